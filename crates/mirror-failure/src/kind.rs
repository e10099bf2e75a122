//! Kinds of failures.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What kind of failure it is. Whoever decides, decides on this.
///
/// ```
/// use mirror_failure::FailureKind;
///
/// assert!(FailureKind::PullLimit.is_deferred() && !FailureKind::Denied.is_deferred());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FailureKind {
    /// What was asked for does not exist, or no longer.
    Missing,
    /// These credentials may not do that.
    Denied,
    /// Nothing is known to be wrong but that there are no credentials. Many registries don't tell strangers what exists.
    NoCredentials,
    /// Credentials could not be had, or can't be used.
    Credentials,
    /// A limit on requests, which time alone removes.
    Throttled,
    /// A limit on pulls, which time alone removes.
    PullLimit,
    /// Nobody answers, or the connection breaks.
    Unreachable,
    /// The other side has a problem of its own.
    Unavailable,
    /// The certificate or the handshake; or TLS on one side only.
    Tls,
    /// The proxy on the way.
    Proxy,
    /// The other side refuses the request, for another reason.
    Refused,
    /// Bytes that are not what they were said to be: it may be an attack.
    Tampering,
    /// What is there can't be mirrored as it is.
    Content,
    /// An answer that the protocol does not allow.
    Protocol,
    /// The tag at the destination is another image than when it was looked at.
    Moved,
    /// The file system of the machine that copies, or of an image layout.
    Disk,
    /// What the configuration says, or does not allow.
    Configuration,
    /// Anything else, which the message says.
    Other,
}

impl FailureKind {
    /// Whether time alone removes it: a limit on pulls or requests.
    pub fn is_deferred(self) -> bool {
        matches!(self, FailureKind::Throttled | FailureKind::PullLimit)
    }
}
