//! What a refusal means: the question that whoever decides asks of it.

use mirror_oci::ManifestError;

use crate::error_kind::ErrorKind;
use crate::request::RequestError;
use crate::said::{Reason, reason};

impl RequestError {
    /// Whether a refusal can mean that something is missing. Registries answer 403 (google/go-containerregistry#1691) or,
    /// to a valid token, 401 for what is not there: Docker Hub since 2023 (jupyterhub/binderhub#1664).
    pub fn may_mean_missing(&self) -> bool {
        match self.status() {
            // AWS says so of rights, and of nothing else.
            Some(403) if self.lacks_aws_right() => false,
            Some(403) => true,
            Some(401) => self.is_authorized(),
            _ => false,
        }
    }

    /// Whether a policy of the service refuses this, such as one on vulnerabilities, as its status, its code or its words say.
    ///
    /// ```
    /// use mirror_failure::RequestError;
    ///
    /// let code = Some("PROJECTPOLICYVIOLATION".to_owned());
    /// let error = RequestError::refused("GET https://r.io/v2/app/manifests/1", 412, code, None);
    /// assert!(error.is_policy());
    /// ```
    pub fn is_policy(&self) -> bool {
        self.reason() == Some(Reason::Policy)
    }

    /// Whether it is this image that may not be read, of all that is there: for a policy, or for another reason of the registry's
    /// own. One that is older can be replaced all the same (goharbor/harbor#23638).
    ///
    /// ```
    /// use mirror_failure::RequestError;
    ///
    /// let refused = |status| RequestError::refused("HEAD https://r.io/v2/app/manifests/1", status, None, None);
    /// assert!(refused(410).is_about_image() && !refused(401).is_about_image());
    /// ```
    pub fn is_about_image(&self) -> bool {
        let of_others = [401, 403, 404, 405, 407, 408, 425, 429];
        let refused = |status: u16| (400..500).contains(&status) && !of_others.contains(&status);
        self.is_policy() || self.status().is_some_and(refused)
    }

    /// Whether the tag can't be written again, as the registry says.
    ///
    /// ```
    /// use mirror_failure::RequestError;
    ///
    /// let message = Some("the tag is immutable".to_owned());
    /// let error = RequestError::refused("PUT https://r.io/v2/app/manifests/1", 409, None, message);
    /// assert!(error.is_immutable_tag());
    /// ```
    pub fn is_immutable_tag(&self) -> bool {
        self.reason() == Some(Reason::Immutable)
    }

    /// Whether a manifest was refused because the registry does not know what it points to, or not yet:
    /// <https://github.com/opencontainers/distribution-spec/blob/main/spec.md#error-codes>.
    ///
    /// ```
    /// use mirror_failure::RequestError;
    ///
    /// let code = Some("MANIFEST_BLOB_UNKNOWN".to_owned());
    /// assert!(RequestError::refused("PUT https://r.io/v2/app/manifests/1", 400, code, None).lacks_content());
    ///
    /// let other = Some("project team not found".to_owned());
    /// assert!(!RequestError::refused("PUT https://r.io/v2/app/manifests/1", 404, None, other).lacks_content());
    /// ```
    pub fn lacks_content(&self) -> bool {
        let words = ["blob unknown", "manifest unknown", "unknown blob", "unknown manifest"];
        let ErrorKind::Status { status, message, .. } = self.kind() else { return false };
        if !self.request().starts_with("PUT ") || self.is_of_token_service() {
            return false;
        }
        let manifest = self.request().contains("/manifests/");
        let said = message.as_deref().unwrap_or_default().to_ascii_lowercase();
        let says_unknown = said.contains("unknown") || said.contains("not known");
        self.code().is_some_and(is_unknown_content)
            // What a registry has taken the blobs for is there, unless it says what is not.
            || manifest && (*status == 404 && (said.is_empty() || says_unknown))
            || manifest && words.iter().any(|words| said.contains(words))
    }

    /// Whether another host has answered, which the registry has sent us on to.
    pub(crate) fn is_of_other_host(&self) -> bool {
        self.request().contains(", sent on to ")
    }

    /// Whether a manifest was refused without a word.
    pub(crate) fn refuses_silently(&self) -> bool {
        let request = self.request();
        let silent = ErrorKind::Status { status: 400, code: None, message: None, page: false };
        *self.kind() == silent && request.starts_with("PUT ") && request.contains("/manifests/")
    }

    /// What the registry's refusal is about, where it says so.
    pub(crate) fn reason(&self) -> Option<Reason> {
        match self.kind() {
            ErrorKind::Status { status, code, message, page } if !self.is_of_token_service() => {
                reason(*status, code.as_deref(), message.as_deref(), *page)
            }
            _ => None,
        }
    }

    /// Whether nothing is known to be wrong but that there are no credentials for the registry. What is missing can look
    /// the same: many registries don't tell strangers the difference.
    pub fn lacks_credentials(&self) -> bool {
        let refused = matches!(
            self.kind(),
            ErrorKind::Service(_) | ErrorKind::Status { status: 401 | 403, .. }
        );
        self.is_anonymous() && refused && self.reason().is_none()
    }

    /// Whether a login was sent that is over. ECR says 403 then, and nothing else tells it from a missing right.
    ///
    /// ```
    /// use mirror_failure::RequestError;
    ///
    /// let message = Some("Your authorization token has expired".to_owned());
    /// let error = RequestError::refused("HEAD https://r.io/v2/app/manifests/1", 403, None, message);
    /// assert!(error.is_expired_login());
    /// ```
    pub fn is_expired_login(&self) -> bool {
        match self.kind() {
            ErrorKind::Status { status: 403, message: Some(message), .. } => {
                message.to_ascii_lowercase().contains("expired")
            }
            _ => false,
        }
    }

    /// Whether the registry does not know an upload session any more.
    ///
    /// ```
    /// use mirror_failure::RequestError;
    ///
    /// let code = Some("BLOB_UPLOAD_UNKNOWN".to_owned());
    /// assert!(RequestError::refused("PUT https://r.io/v2/app/blobs/uploads/1", 404, code, None).is_lost_session());
    /// ```
    pub fn is_lost_session(&self) -> bool {
        self.code().is_some_and(|code| code.starts_with("BLOB_UPLOAD_"))
    }

    /// Whether AWS says that a role lacks a right, as a call of its own or in the words of its registry.
    pub(crate) fn lacks_aws_right(&self) -> bool {
        let ErrorKind::Status { status: 403, message, .. } = self.kind() else { return false };
        let said = message.as_deref().unwrap_or_default();
        self.request().starts_with("ecr:") || said.contains("not authorized to perform")
    }

    /// Whether the bytes that came are not those that were asked for.
    ///
    /// ```
    /// use mirror_failure::{ErrorKind, RequestError};
    /// use mirror_oci::{Algorithm, Digest, RawManifest};
    ///
    /// let expected = Digest::of(Algorithm::Sha256, b"what was signed");
    /// let wrong = RawManifest::verified("{}".into(), "application/json", &expected).unwrap_err();
    /// assert!(RequestError::new("GET https://r.io/v2/app/manifests/1", ErrorKind::Manifest(wrong)).is_tampering());
    /// ```
    pub fn is_tampering(&self) -> bool {
        matches!(self.kind(), ErrorKind::Manifest(ManifestError::Digest(_)))
    }
}

/// Whether a code says that a registry does not know what something points to:
/// <https://github.com/opencontainers/distribution-spec/blob/main/spec.md#error-codes>.
///
/// ```
/// use mirror_failure::is_unknown_content;
///
/// assert!(is_unknown_content("BLOB_UNKNOWN") && !is_unknown_content("NAME_UNKNOWN"));
/// ```
pub fn is_unknown_content(code: &str) -> bool {
    matches!(code, "MANIFEST_BLOB_UNKNOWN" | "BLOB_UNKNOWN" | "MANIFEST_UNKNOWN")
}
