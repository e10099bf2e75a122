//! What a service means by a refusal, from the code and the text that came with it: they say more than the status, which is
//! often that of something else.

/// What a refusal is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reason {
    /// A policy about what may be pulled or pushed, such as one on vulnerabilities.
    Policy,
    /// A limit on what may be stored.
    Quota,
    /// The storage of the service is full.
    StorageFull,
    /// The request is too large for something on the way.
    TooLarge,
    /// The image has more layers than the service takes.
    Layers,
    /// The image has more tags than the service takes.
    Tags,
    /// The key that the service encrypts with.
    Key,
    /// The tag can't be written again.
    Immutable,
    /// The service takes no such name.
    Name,
    /// Something in front of the service has answered.
    Gateway,
    /// The service does not take these credentials, whatever they may do.
    Credentials,
    /// Too many requests, which time removes.
    Rate,
    /// The service takes no requests from here.
    Address,
}

/// What a refusal is about, where it says so.
pub(crate) fn reason(
    status: u16,
    code: Option<&str>,
    text: Option<&str>,
    page: bool,
) -> Option<Reason> {
    let code = code.unwrap_or_default().to_ascii_lowercase();
    let text = text.unwrap_or_default().to_ascii_lowercase();
    let says = |words: &[&str]| words.iter().any(|word| text.contains(word));
    // What AWS says of rights is full of policies, and means none of these.
    let rights = code.starts_with("accessdenied")
        || says(&["identity-based policy", "resource-based policy", "not authorized to perform"]);
    let limit = says(&["limit", "maximum", "exceed", "too many"]);
    let known = match status {
        507 => true,
        400..=428 | 430..=451 | 500 => false,
        _ => return None,
    };
    if known || says(&["no space left", "disk full", "insufficient storage", "\"err\":28"]) {
        return Some(Reason::StorageFull);
    }
    if code.contains("kms") || says(&["kms key", "kms:", "kmsexception"]) {
        return Some(Reason::Key);
    }
    if limit && says(&["layer"]) {
        return Some(Reason::Layers);
    }
    if limit && says(&["number of tags", "tags per image", "tags for an image"]) {
        return Some(Reason::Tags);
    }
    let caller = of_caller(says).filter(|_| matches!(status, 400 | 403) && !rights);
    if caller.is_some() {
        return caller;
    }
    if is_immutable(&code, says) {
        return Some(Reason::Immutable);
    }
    if !page && !rights && is_policy(status, &code, says) {
        return Some(Reason::Policy);
    }
    if !rights
        && (says(&["quota"]) || (says(&["storage"]) && limit) || code.contains("limitexceeded"))
    {
        return Some(Reason::Quota);
    }
    if status == 413 {
        return Some(Reason::TooLarge);
    }
    if code == "name_invalid" {
        return Some(Reason::Name);
    }
    (page && matches!(status, 401 | 403)).then_some(Reason::Gateway)
}

/// What is refused of whoever asks, whatever he asks for.
fn of_caller(says: impl Fn(&[&str]) -> bool) -> Option<Reason> {
    if says(&["username or password", "bad credentials", "account locked", "account is locked"]) {
        return Some(Reason::Credentials);
    }
    if says(&["rate limit", "too many requests"]) {
        return Some(Reason::Rate);
    }
    says(&["ip address", "allow list", "allowlist", "ip allow"]).then_some(Reason::Address)
}

/// Whether what is there may not be written again, in the words of one registry or another.
fn is_immutable(code: &str, says: impl Fn(&[&str]) -> bool) -> bool {
    let exists = says(&["already exists", "cannot be overwritten", "is protected"]);
    let written = says(&[
        "immutable",
        "not allowed to overwrite",
        "does not allow updating",
        "delete/overwrite",
        "cannot be changed",
    ]);
    code.contains("immutable")
        || matches!(code, "manifest_exists" | "tag_exists" | "tag_already_exists")
        || written
        || exists && (code == "tag_invalid" || says(&["tag ", "tags ", "manifest"]))
}

/// Whether a policy about what may be pulled or pushed refuses.
fn is_policy(status: u16, code: &str, says: impl Fn(&[&str]) -> bool) -> bool {
    let words = says(&[
        "policy",
        "policies",
        "vulnerab",
        "quarantin",
        "licens",
        "blocked",
        "firewall",
        "prevented",
    ]);
    let named = ["policy", "quarantin"].iter().any(|word| code.contains(word));
    match status {
        402 | 412 | 423 | 451 => true,
        403 | 409 => named || words,
        _ => named,
    }
}

#[cfg(test)]
mod tests {
    use super::Reason::*;
    use super::*;

    const CASES: [(u16, &str, &str, Option<Reason>); 34] = [
        (
            412,
            "PROJECTPOLICYVIOLATION",
            "current image with 6 vulnerabilities cannot be pulled",
            Some(Policy),
        ),
        (412, "", "", Some(Policy)),
        (403, "DENIED", "pull policy: image older than 7 days", Some(Policy)),
        (403, "FORBIDDEN", "Artifact is in quarantine", Some(Policy)),
        (403, "DENIED", "requested access to the resource is denied", None),
        (
            403,
            "AccessDeniedException",
            "no identity-based policy allows the ecr:PutImage action",
            None,
        ),
        (405, "UNSUPPORTED", "Limit on number of layers in an image was exceeded", Some(Layers)),
        (
            403,
            "DENIED",
            "The maximum allowed number of tags for an image has been reached",
            Some(Tags),
        ),
        (
            403,
            "DENIED",
            "adding 5 MiB of storage resource, which when updated to current usage will exceed the configured upper limit",
            Some(Quota),
        ),
        (400, "LimitExceededException", "The repository has too many images", Some(Quota)),
        (400, "KmsException", "key is disabled", Some(Key)),
        (500, "UNKNOWN", "unknown error: no space left on device", Some(StorageFull)),
        (507, "", "", Some(StorageFull)),
        (413, "", "Request Entity Too Large", Some(TooLarge)),
        (
            400,
            "TAG_INVALID",
            "the image tag 1 already exists and cannot be overwritten because the repository is immutable",
            Some(Immutable),
        ),
        (409, "", "tag is immutable", Some(Immutable)),
        (409, "TAG_IMMUTABLE", "", Some(Immutable)),
        (409, "CONFLICT", "tag already exists", Some(Immutable)),
        (403, "DENIED", "tag 1 is protected and cannot be changed", Some(Immutable)),
        (403, "DENIED", "Tag is protected", Some(Immutable)),
        (409, "MANIFEST_EXISTS", "", Some(Immutable)),
        (400, "", "Repository does not allow updating assets: docker", Some(Immutable)),
        (403, "DENIED", "Not enough permissions to delete/overwrite artifact", Some(Immutable)),
        (412, "PRECONDITION", "matched tag 1 is configured as immutable", Some(Immutable)),
        (402, "PAYMENT_REQUIRED", "", Some(Policy)),
        (403, "DENIED", "incorrect username or password", Some(Credentials)),
        (403, "DENIED", "API rate limit exceeded", Some(Rate)),
        (403, "DENIED", "your IP address 10.0.0.1 is not in the allow list", Some(Address)),
        (409, "QUARANTINED", "", Some(Policy)),
        (400, "RepositoryAlreadyExistsException", "The repository already exists", None),
        (400, "NAME_INVALID", "invalid repository name", Some(Name)),
        (404, "MANIFEST_UNKNOWN", "manifest unknown", None),
        (429, "TOOMANYREQUESTS", "rate limit exceeded", None),
        (503, "UNAVAILABLE", "blocked", None),
    ];

    #[test]
    fn what_is_said_counts_more_than_the_status() {
        for (status, code, text, reason) in CASES {
            let (code, text) =
                (Some(code).filter(|it| !it.is_empty()), Some(text).filter(|it| !it.is_empty()));
            assert_eq!(
                super::reason(status, code, text, false),
                reason,
                "{status} {code:?} {text:?}"
            );
        }
        assert_eq!(super::reason(403, None, Some("Access Denied"), true), Some(Gateway));
        assert_eq!(super::reason(403, None, Some("Request blocked"), true), Some(Gateway));
    }
}
