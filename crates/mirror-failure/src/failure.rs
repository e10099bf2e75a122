//! A failure as plan, report and JSON keep it.

use std::fmt;

use mirror_oci::{Digest, DigestMismatch, ManifestError, Registry};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::kind::FailureKind;
use crate::request::RequestError;
use crate::text::printable;

/// Where a failure is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Side {
    /// The one that is copied from.
    Source,
    /// The one that is copied to.
    Destination,
    /// The machine that copies.
    Local,
}

/// What was behind a step that failed.
///
/// ```
/// use mirror_failure::{Cause, FailureKind, Side};
///
/// let cause = Cause::Io(std::io::ErrorKind::StorageFull, "no space left".to_owned());
/// assert_eq!(cause.kind(), FailureKind::Disk);
/// assert!(cause.help(Side::Local).is_some_and(|help| help.starts_with("free some space")));
/// ```
#[derive(Debug, Clone)]
pub enum Cause {
    /// A request to a registry, or to a service beside it.
    Request(RequestError),
    /// Bytes that hash to something else.
    Digest(DigestMismatch),
    /// A manifest that can't be mirrored.
    Manifest(ManifestError),
    /// The registry takes no index some of whose images were left out.
    SparseIndex(RequestError),
    /// The registry takes no image some of whose layers were left out.
    ForeignLayers(RequestError),
    /// The registry has no such image, or denies it to strangers, if we are none other.
    Missing {
        /// Which registry.
        registry: Registry,
        /// Whether no credentials were sent there.
        anonymous: bool,
    },
    /// The tag at the destination is another image, or none, since it was looked at.
    Moved(Option<Digest>),
    /// The file system refused: what kind of error, and in words.
    Io(std::io::ErrorKind, String),
    /// More of something than is taken from any registry.
    TooMuch(String),
    /// A saved plan says what is not so, or is not so any more.
    Outdated(String),
    /// Anything else, in words.
    Other(String),
}

/// Why something could not be looked up or done. [`Failure::new`] makes it, so that kind, help and request are those of its
/// cause, and what comes from outside is safe to show.
///
/// ```
/// use mirror_failure::{Cause, Failure, FailureKind, RequestError, Side};
///
/// let code = Some("MANIFEST_UNKNOWN".to_owned());
/// let cause: Cause = RequestError::refused("GET https://r.io/v2/app/manifests/1", 404, code, None).into();
/// let failure = Failure::new(Side::Source, "looking up app:1", &cause);
/// assert_eq!(failure.kind, FailureKind::Missing);
/// assert!(failure.is_gone() && !failure.is_deferred() && !failure.is_security());
/// assert_eq!(
///     failure.message,
///     "looking up app:1: GET https://r.io/v2/app/manifests/1: 404 MANIFEST_UNKNOWN"
/// );
///
/// let failure = failure.saying("the tag is gone").with_help("choose another tag");
/// assert_eq!(failure.help.as_deref(), Some("choose another tag"));
/// assert_eq!(Failure::other(Side::Local, "no plan").kind, FailureKind::Other);
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct Failure {
    /// The side that failed: the source, the destination, or this machine.
    pub side: Side,
    /// What kind of failure it is.
    pub kind: FailureKind,
    /// What was tried, on what, and how it failed.
    pub message: String,
    /// The request that failed, if one has.
    #[serde(flatten)]
    pub request: Option<Box<FailedRequest>>,
    /// What a person can do about it, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
}

/// A request that failed for good.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FailedRequest {
    /// The request, without secrets: `GET https://…`, or a call of AWS.
    pub request: String,
    /// The host that was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// The HTTP status of the last answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// The code that came with it, such as `DENIED`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// How often the request was made.
    pub attempts: u32,
    /// How long that took, in milliseconds.
    pub elapsed_milliseconds: u64,
}

impl FailedRequest {
    fn of(error: &RequestError) -> FailedRequest {
        FailedRequest {
            request: printable(error.request()),
            host: error.host().map(printable),
            status: error.status().or_else(|| error.token_service_status()),
            code: error.code().map(printable),
            attempts: error.attempts(),
            elapsed_milliseconds: u64::try_from(error.elapsed().as_millis()).unwrap_or(u64::MAX),
        }
    }
}

impl Failure {
    /// What failed at `side`, in which step, and why. Everything that is text from outside is made safe to show.
    pub fn new(side: Side, step: &str, cause: &Cause) -> Failure {
        let request = match cause {
            Cause::Request(error) | Cause::SparseIndex(error) | Cause::ForeignLayers(error) => {
                Some(Box::new(FailedRequest::of(error)))
            }
            _ => None,
        };
        let separator = if step.is_empty() { "" } else { ": " };
        Failure {
            side,
            kind: cause.kind(),
            message: printable(&format!("{step}{separator}{cause}")),
            request,
            help: cause.help(side).map(|help| printable(&help)),
        }
    }

    /// The same failure, where what it means here says more than what it is.
    pub fn saying(self, message: &str) -> Failure {
        Failure { message: printable(message), ..self }
    }

    /// The same failure, where something else can be done about it than about most of its kind.
    pub fn with_help(self, help: &str) -> Failure {
        Failure { help: Some(printable(help)), ..self }
    }

    /// A failure that is nothing but what its message says.
    pub fn other(side: Side, message: impl Into<String>) -> Failure {
        Failure::new(side, "", &Cause::Other(message.into()))
    }

    /// Whether nothing is wrong but a limit on pulls or requests, which time alone removes.
    pub fn is_deferred(&self) -> bool {
        self.kind.is_deferred()
    }

    /// Whether the source says that it has no such image, or has it no more.
    pub fn is_gone(&self) -> bool {
        self.side == Side::Source && self.kind == FailureKind::Missing
    }

    /// Whether it may be an attack: bytes that are not what they were said to be.
    pub fn is_security(&self) -> bool {
        self.kind == FailureKind::Tampering
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Cause::Request(error) => error.fmt(f),
            Cause::SparseIndex(error) => {
                write!(f, "the registry takes no index without all of its images: {error}")
            }
            Cause::ForeignLayers(error) => {
                write!(f, "the registry takes no image without its foreign layers: {error}")
            }
            Cause::Digest(error) => error.fmt(f),
            Cause::Manifest(error) => error.fmt(f),
            Cause::Moved(Some(found)) => write!(f, "the tag is now {found}"),
            Cause::Moved(None) => f.write_str("the tag no longer exists"),
            Cause::Missing { registry, .. } => write!(f, "{registry} has no such image (404)"),
            Cause::Io(_, text)
            | Cause::TooMuch(text)
            | Cause::Outdated(text)
            | Cause::Other(text) => f.write_str(text),
        }
    }
}

impl From<RequestError> for Cause {
    fn from(error: RequestError) -> Cause {
        Cause::Request(error)
    }
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Side::Source => "source",
            Side::Destination => "destination",
            Side::Local => "local disk",
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::error_kind::ErrorKind;
    use crate::kind::FailureKind;

    fn refused(status: u16, code: &str) -> RequestError {
        let code = Some(code.to_owned());
        let kind = ErrorKind::Status { status, code, message: None, page: false };
        RequestError::new("GET https://r.io:5000/v2/a/manifests/1", kind)
    }

    #[test]
    fn keeps_its_structure() {
        let error = refused(503, "UNAVAIL\u{1b}ABLE").after(5, Duration::from_millis(1234));
        let failure = Failure::new(Side::Destination, "looking up a:1", &error.into());
        let json = serde_json::to_value(&failure).unwrap();
        let expected = serde_json::json!({
            "side": "destination",
            "kind": "unavailable",
            "message": "looking up a:1: GET https://r.io:5000/v2/a/manifests/1: 503 UNAVAIL\u{fffd}ABLE (5 attempts in 1.2 s)",
            "host": "r.io:5000",
            "request": "GET https://r.io:5000/v2/a/manifests/1",
            "status": 503,
            "code": "UNAVAIL\u{fffd}ABLE",
            "attempts": 5,
            "elapsed_milliseconds": 1234,
            "help": "the registry reported an internal error; try again later",
        });
        assert_eq!(json, expected);
        assert_eq!(serde_json::from_value::<Failure>(json).unwrap(), failure);
    }

    #[test]
    fn help_is_by_side_too() {
        let help =
            |side| Failure::new(side, "", &refused(404, "NAME_UNKNOWN").into()).help.unwrap();
        assert_eq!(
            help(Side::Source),
            "check the name and the tag, and that they still exist there"
        );
        assert_eq!(
            help(Side::Destination),
            "check `registry` and `repository` of the destination in images/mirror.toml: some registries take two \
             components alone; if they are right, make the repository there"
        );
    }

    #[test]
    fn kinds() {
        let anonymous = refused(401, "UNAUTHORIZED").anonymously(true);
        let service = refused(404, "UNKNOWN").by_token_service();
        for (error, kind) in [
            (refused(404, "NAME_UNKNOWN"), FailureKind::Missing),
            (service, FailureKind::Refused),
            (refused(401, "UNAUTHORIZED"), FailureKind::Denied),
            (anonymous, FailureKind::NoCredentials),
            (refused(429, "TOOMANYREQUESTS"), FailureKind::Throttled),
            (refused(502, "X"), FailureKind::Unavailable),
            (refused(400, "X"), FailureKind::Refused),
            (RequestError::new("GET x", ErrorKind::Dns), FailureKind::Unreachable),
            (RequestError::new("GET x", ErrorKind::PlainHttp), FailureKind::Tls),
        ] {
            assert_eq!(Cause::from(error.clone()).kind(), kind, "{error}");
        }
        let gone = |side| Failure::new(side, "", &refused(404, "X").into()).is_gone();
        assert!(gone(Side::Source) && !gone(Side::Destination));
    }
}
