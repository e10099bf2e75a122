//! What is behind a failure, for whoever reads of it: its kind, and what to do about it at that side. The one table of both.

use std::io::ErrorKind::{PermissionDenied, StorageFull};

use mirror_oci::ManifestError;

use crate::error_kind::{CredentialError, ErrorKind};
use crate::failure::{Cause, Side};
use crate::kind::FailureKind;
use crate::network_help::way_help;
use crate::request::RequestError;
use crate::said::Reason;

impl Cause {
    /// The kind of failure that it makes.
    pub fn kind(&self) -> FailureKind {
        match self {
            Cause::Request(error) => error.failure_kind(),
            Cause::SparseIndex(_) | Cause::ForeignLayers(_) => FailureKind::Configuration,
            Cause::Digest(_) | Cause::Manifest(ManifestError::Digest(_)) => FailureKind::Tampering,
            Cause::Manifest(_) | Cause::TooMuch(_) => FailureKind::Content,
            Cause::Missing { .. } => FailureKind::Missing,
            Cause::Moved(_) => FailureKind::Moved,
            Cause::Io(..) => FailureKind::Disk,
            Cause::Outdated(_) | Cause::Other(_) => FailureKind::Other,
        }
    }

    /// What the person at the keyboard can do about it, where it is `side` that failed.
    pub fn help(&self, side: Side) -> Option<String> {
        let text = match self {
            Cause::Request(error) => return error.help(side).map(str::to_owned),
            Cause::Other(_) => return None,
            Cause::SparseIndex(_) => SPARSE,
            Cause::ForeignLayers(_) => FOREIGN,
            Cause::Missing { anonymous: true, .. } if side == Side::Source => {
                "check the name and the tag, and that they still exist there; a private image may need a login"
            }
            Cause::Missing { .. } => missing_help(side),
            Cause::Digest(_) => TAMPERING,
            Cause::Manifest(error) => manifest_help(error),
            Cause::Io(StorageFull, _) => {
                "free some space, and run again: what is there already is kept"
            }
            Cause::Io(PermissionDenied, _) => "fix the permissions of that path",
            Cause::Io(..) => "check the path, and the disk it is on",
            Cause::Moved(_) => "somebody pushed there; run again to look again",
            Cause::TooMuch(_) => {
                "no honest image is like that: ask its publisher, or take it out of the tree"
            }
            Cause::Outdated(_) => "look again: `mirror plan --out FILE`",
        };
        Some(text.to_owned())
    }
}

impl RequestError {
    /// What a person can do about it, where it is `side` that failed.
    ///
    /// ```
    /// use mirror_failure::{RequestError, Side};
    ///
    /// let error = RequestError::refused("GET https://r.io/v2/app/manifests/1", 507, None, None);
    /// assert!(error.help(Side::Source).is_some_and(|help| help.starts_with("the storage")));
    /// ```
    pub fn help(&self, side: Side) -> Option<&'static str> {
        request_help(self, side)
    }

    /// The kind of failure that it is for whoever reads a plan or a report.
    pub fn failure_kind(&self) -> FailureKind {
        use ErrorKind as Kind;
        if self.is_tampering() {
            return FailureKind::Tampering;
        }
        if self.lacks_credentials() {
            return FailureKind::NoCredentials;
        }
        match self.kind() {
            Kind::PullLimit { .. } => FailureKind::PullLimit,
            _ if self.is_policy() => FailureKind::Denied,
            _ if self.is_deferred() => FailureKind::Throttled,
            _ if self.lacks_content() => FailureKind::Refused,
            Kind::Status { status: 404, .. } if self.token_service_status().is_none() => {
                FailureKind::Missing
            }
            Kind::Status { status: 401 | 403, .. } => FailureKind::Denied,
            Kind::Status { status: 500.., .. } => FailureKind::Unavailable,
            Kind::Status { .. } => FailureKind::Refused,
            Kind::Throttled { .. } => FailureKind::Throttled,
            Kind::Dns
            | Kind::Refused
            | Kind::TimedOut(_)
            | Kind::TooSlow { .. }
            | Kind::Broken(_) => FailureKind::Unreachable,
            Kind::PlainHttp | Kind::TlsExpected | Kind::Tls { .. } => FailureKind::Tls,
            Kind::Proxy { .. } => FailureKind::Proxy,
            Kind::Body(_) => FailureKind::Disk,
            Kind::NotARegistry(_) | Kind::Protocol(_) | Kind::Misconfigured(_) => {
                FailureKind::Protocol
            }
            Kind::Manifest(_) => FailureKind::Content,
            Kind::PrivateAddress(_) | Kind::ForeignRealm(_) => FailureKind::Configuration,
            Kind::Service(_) | Kind::Credentials(_) => FailureKind::Credentials,
        }
    }
}

/// What to do about a request that `side` has failed.
fn request_help(error: &RequestError, side: Side) -> Option<&'static str> {
    let text = match error.kind() {
        ErrorKind::Status { status: 401, .. } if error.is_authorized() => {
            "check the name: this registry answers so for what is missing as well; if it is there, the credentials are not for it"
        }
        ErrorKind::Status { status: 401 | 403, .. } if error.is_of_other_host() => {
            "the registry sends readers on to that host, which refuses them: tell the operator of the registry"
        }
        _ if error.is_lost_session() => {
            "the registry forgets uploads before their bytes are here; tell its operator"
        }
        ErrorKind::Status { status, .. } if error.token_service_status().is_some() => {
            token_service_help(*status, error.code(), error.is_anonymous())
        }
        _ if error.lacks_content() => {
            "the registry does not know what it has just taken: run again later, or tell its operator"
        }
        _ if error.refuses_silently() => SILENT,
        ErrorKind::Status { .. } if error.lacks_aws_right() => {
            "give the role this right; where the registry is another account's, name a role of that account as `role` of the registry in images/mirror.toml"
        }
        ErrorKind::Status { status, .. } => {
            let reason = error.reason().map(|reason| reason_help(reason, side));
            return reason.or_else(|| status_help(*status, side));
        }
        ErrorKind::PullLimit { .. } => {
            "log in to the registry for a higher limit, or wait for the window to pass"
        }
        ErrorKind::Throttled { .. } => {
            "run again later; logging in to the registry may raise its limits"
        }
        ErrorKind::NotARegistry(_) => {
            "check the registry's name and its `endpoint` in images/mirror.toml"
        }
        ErrorKind::Credentials(error) => credential_help(error),
        ErrorKind::Misconfigured(_) => {
            "tell the operator of the registry which name it is reached by: its external URL, or the headers `Host` and `X-Forwarded-Proto` of the proxy in front of it"
        }
        ErrorKind::Protocol(_) => {
            "tell the operator of the registry; this is not what the specification allows"
        }
        ErrorKind::Manifest(error) => manifest_help(error),
        ErrorKind::ForeignRealm(_) => {
            "if that is right, set `token_realm` for this registry in images/mirror.toml"
        }
        kind => return way_help(kind),
    };
    Some(text)
}

/// What to do about what a refusal is about.
fn reason_help(reason: Reason, side: Side) -> &'static str {
    match (reason, side) {
        (Reason::Policy, Side::Destination) => {
            "a policy of the registry refuses this: ask whoever is in charge of it for an exception, or mirror another tag"
        }
        (Reason::Policy, _) => {
            "a policy of the source refuses this image: choose one that it allows, or ask whoever is in charge of the policy"
        }
        (Reason::Quota, _) => {
            "a quota is used up there: delete what nobody needs, or ask for a larger one"
        }
        (Reason::StorageFull, _) => {
            "the storage of the registry is full: tell its operator; what has arrived is kept"
        }
        (Reason::TooLarge, _) => {
            "a proxy in front of the registry limits the size of requests: raise its limit, `client_max_body_size` in nginx"
        }
        (Reason::Layers, _) => {
            "the registry takes no image with so many layers: ask its publisher for one with fewer, or mirror another tag"
        }
        (Reason::Tags, _) => {
            "the image has as many tags there as the registry takes: delete some of them, or mirror fewer tags of it"
        }
        (Reason::Key, _) => {
            "the registry can't use the key that the repository is encrypted with: check that it is enabled, and that the role may use it"
        }
        (Reason::Immutable, _) => {
            "tags can't be written again there: delete the tag, mirror another one, or ask for the right to overwrite"
        }
        (Reason::Name, Side::Destination) => {
            "the registry takes no such name; some allow two components alone: change `repository` of the destination in images/mirror.toml"
        }
        (Reason::Name, _) => "check the name of the image",
        (Reason::Credentials, _) => {
            "check the credentials: `docker login` again, or MIRROR_AUTH_<HOST>=user:password in the environment; `mirror login --explain HOST` says which ones are sent"
        }
        (Reason::Rate, _) => "the registry limits requests; log in there, or try again later",
        (Reason::Address, _) => {
            "the registry takes no requests from this address: ask whoever runs it to let this machine in"
        }
        (Reason::Gateway, _) => {
            "something in front of the registry has answered, such as a proxy, a gateway or a firewall: ask whoever runs it to let this request through"
        }
    }
}

fn credential_help(error: &CredentialError) -> &'static str {
    match error {
        CredentialError::NoHelper { .. } => {
            "install it, or remove it from that file; or set MIRROR_AUTH_<HOST>=user:password in the environment"
        }
        CredentialError::Withheld(_) => {
            "set `endpoint = \"https://…\"` for this registry in images/mirror.toml; or, where it has no TLS, store the login for `http://HOST` in config.json"
        }
        _ => "fix it, or set MIRROR_AUTH_<HOST>=user:password in the environment",
    }
}

fn missing_help(side: Side) -> &'static str {
    match side {
        Side::Source | Side::Local => "check the name and the tag, and that they still exist there",
        Side::Destination => {
            "check `registry` and `repository` of the destination in images/mirror.toml: some registries take two components alone; if they are right, make the repository there"
        }
    }
}

fn manifest_help(error: &ManifestError) -> &'static str {
    match error {
        ManifestError::Digest(_) => TAMPERING,
        ManifestError::Schema1 => "ask its publisher for a rebuilt image, or mirror a newer tag",
        _ => "ask the publisher of the image; no registry can hold it byte for byte as it is",
    }
}

/// What to do about a registry that takes no index without all of its images.
pub const SPARSE: &str = "mirror all platforms of it, or a single one; or let the registry take such an index, which distribution does from 3.0 on with `validation.manifests.indexes.platforms: none`";

/// What to do about a registry that takes no image without the layers that only their publisher may hand out:
/// <https://github.com/opencontainers/image-spec/blob/main/layer.md#non-distributable-layers>.
const FOREIGN: &str = "mirror platforms without such layers: they are those of old Windows images, and their publisher does not allow to copy them";

/// What to do about a manifest that is refused without a word.
const SILENT: &str = "ask the operator of the registry, whose log may say more; if it takes no index, mirror a single platform of the image";

/// What to do about bytes that are not those that were asked for. The publisher has nothing to do with it: who asks by
/// digest can tell.
pub const TAMPERING: &str = "don't use it before somebody has looked: ask from another network, then tell the operator of the registry or of the proxy on the way";

/// What to do about a token service that gives no token; the registry itself was not asked.
fn token_service_help(status: u16, code: Option<&str>, anonymous: bool) -> &'static str {
    match status {
        _ if matches!(code, Some("invalid_grant" | "invalid_client" | "unauthorized_client")) => {
            "the token service does not know this identity token, or no more: `docker login` again"
        }
        500.. => {
            "the token service reported an internal error before the registry was asked; try again later"
        }
        429 => "the token service limits requests; try again later",
        401 | 403 if anonymous => {
            "the token service wants credentials: `docker login`, or MIRROR_AUTH_<HOST>=user:password in the environment"
        }
        400 | 404..=428 => {
            "the token service refuses the question itself; check `token_realm` and `endpoint` of this registry in images/mirror.toml"
        }
        401 => {
            "the token service does not know these credentials: `docker login` again, or set MIRROR_AUTH_<HOST>=user:password in the environment"
        }
        _ => {
            "the token service knows the credentials and refuses the token; ask for the right to use this repository"
        }
    }
}

fn status_help(status: u16, side: Side) -> Option<&'static str> {
    Some(match status {
        401 => {
            "check the credentials: `docker login`, or MIRROR_AUTH_<HOST>=user:password in the environment"
        }
        403 => "the credentials lack permission for this; request it",
        404 => missing_help(side),
        405 => {
            "the registry does not allow this; is it read-only? If not, look for a proxy in front of it"
        }
        429 => "the registry limits requests; log in there, or try again later",
        500.. => "the registry reported an internal error; try again later",
        _ => return None,
    })
}
