//! What is behind a failure, for whoever reads of it: its kind, and what to do about it at that side. The one table of both.

use std::io::ErrorKind::{PermissionDenied, StorageFull};

use mirror_oci::ManifestError;

use crate::error_kind::ErrorKind;
use crate::failure::{Cause, Side};
use crate::kind::FailureKind;
use crate::request::RequestError;

impl Cause {
    /// The kind of failure that it makes.
    pub fn kind(&self) -> FailureKind {
        match self {
            Cause::Request(error) => error.failure_kind(),
            Cause::Digest(_) | Cause::Manifest(ManifestError::Digest(_)) => FailureKind::Tampering,
            Cause::Manifest(_) | Cause::TooMuch(_) => FailureKind::Content,
            Cause::Missing(_) => FailureKind::Missing,
            Cause::Moved(_) => FailureKind::Moved,
            Cause::Io(..) => FailureKind::Disk,
            Cause::Outdated(_) | Cause::Other(_) => FailureKind::Other,
        }
    }

    /// What the person at the keyboard can do about it, where it is `side` that failed.
    pub fn help(&self, side: Side) -> Option<String> {
        let text = match self {
            Cause::Request(error) => return request_help(error, side).map(str::to_owned),
            Cause::Other(_) => return None,
            Cause::Missing(_) => missing_help(side),
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
            _ if self.is_deferred() => FailureKind::Throttled,
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
            Kind::PlainHttp | Kind::TlsExpected | Kind::Tls(_) => FailureKind::Tls,
            Kind::Body(_) => FailureKind::Disk,
            Kind::NotARegistry(_) | Kind::Protocol(_) => FailureKind::Protocol,
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
        _ if error.is_lost_session() => {
            "the registry forgets uploads before their bytes are here; tell its operator"
        }
        ErrorKind::Status { status, .. } if error.token_service_status().is_some() => {
            token_service_help(*status, error.is_anonymous())
        }
        ErrorKind::Status { status, .. } => return status_help(*status, side),
        ErrorKind::PullLimit { .. } => {
            "log in to the registry for a higher limit, or wait for the window to pass"
        }
        ErrorKind::Throttled { .. } => {
            "run again later; logging in to the registry may raise its limits"
        }
        ErrorKind::PrivateAddress(_) => {
            "if the registry is yours, set `private_redirects = true` for it in images/mirror.toml"
        }
        ErrorKind::Dns => "check the spelling of the registry, and the network",
        ErrorKind::Refused => "is the registry running at this address and port?",
        ErrorKind::PlainHttp => {
            "if that is on purpose, set `endpoint = \"http://…\"` for this registry in images/mirror.toml"
        }
        ErrorKind::TlsExpected => {
            "set `endpoint = \"https://…\"` for this registry in images/mirror.toml"
        }
        ErrorKind::Tls(_) => {
            "trust the registry's certificate authority: install it, or name it in SSL_CERT_FILE"
        }
        ErrorKind::TimedOut(_) | ErrorKind::Broken(_) | ErrorKind::TooSlow { .. } => {
            "check the network between here and the registry"
        }
        ErrorKind::NotARegistry(_) => {
            "check the registry's name and its `endpoint` in images/mirror.toml"
        }
        ErrorKind::Credentials(_) => {
            "fix it, or set MIRROR_AUTH_<HOST>=user:password in the environment"
        }
        ErrorKind::Protocol(_) => {
            "tell the operator of the registry; this is not what the specification allows"
        }
        ErrorKind::Manifest(error) => manifest_help(error),
        ErrorKind::ForeignRealm(_) => {
            "if that is right, set `token_realm` for this registry in images/mirror.toml"
        }
        _ => return None,
    };
    Some(text)
}

fn missing_help(side: Side) -> &'static str {
    match side {
        Side::Source | Side::Local => "check the name and the tag, and that they still exist there",
        Side::Destination => {
            "check `registry` and `repository` of the destination in images/mirror.toml; if they are right, make the repository there"
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

/// What to do about bytes that are not those that were asked for. The publisher has nothing to do with it: who asks by
/// digest can tell.
pub const TAMPERING: &str = "don't use it before somebody has looked: ask from another network, then tell the operator of the registry or of the proxy on the way";

/// What to do about a token service that gives no token; the registry itself was not asked.
fn token_service_help(status: u16, anonymous: bool) -> &'static str {
    match status {
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
        413 => {
            "a proxy in front of the registry limits the size of requests: raise its limit, `client_max_body_size` in nginx"
        }
        429 => "the registry limits requests; log in there, or try again later",
        500.. => "the registry reported an internal error; try again later",
        _ => return None,
    })
}
