//! Why talking to a registry, or to a service beside it, failed.

use std::fmt;
use std::time::Duration;

use crate::error_kind::ErrorKind;

/// A pause that a host asks for is waited for up to this; a longer one defers what is wanted of it.
pub const LONGEST_PAUSE: Duration = Duration::from_secs(300);

/// A request that failed for good: which one, why, after how many attempts.
///
/// ```
/// use std::time::Duration;
///
/// use mirror_failure::{ErrorKind, FailureKind, RequestError};
///
/// let request = "GET https://r.io:5000/v2/app/manifests/1";
/// let error = RequestError::refused(request, 503, Some("UNAVAILABLE".to_owned()), None);
/// assert_eq!((error.request(), error.host()), (request, Some("r.io:5000")));
/// assert_eq!((error.status(), error.code()), (Some(503), Some("UNAVAILABLE")));
/// assert!(matches!(error.kind(), ErrorKind::Status { status: 503, .. }));
/// assert_eq!(error.failure_kind(), FailureKind::Unavailable);
/// assert!(error.is_passing() && !error.is_unreachable() && !error.is_content());
///
/// // The server asks for a pause; after that, and four more attempts, it is given up.
/// let error = error.with_retry_after(Some(Duration::from_secs(9)));
/// assert_eq!(error.pause(), Some(Some(Duration::from_secs(9))));
/// let error = error.after(5, Duration::from_secs(12)).settled();
/// assert_eq!((error.attempts(), error.elapsed().as_secs()), (5, 12));
/// assert_eq!((error.retry_after(), error.pause()), (Some(Duration::from_secs(9)), None));
/// assert!(!error.is_passing() && error.is_deferred());
/// ```
#[derive(Debug, Clone)]
pub struct RequestError(Box<Inner>);

#[derive(Debug, Clone)]
struct Inner {
    request: String,
    kind: ErrorKind,
    attempts: u32,
    elapsed: Duration,
    retry_after: Option<Duration>,
    settled: bool,
    again: bool,
    anonymous: bool,
    authorized: bool,
    by_token_service: bool,
}

impl RequestError {
    /// The first attempt at a request, which failed.
    pub fn new(request: impl Into<String>, kind: ErrorKind) -> RequestError {
        RequestError(Box::new(Inner {
            request: request.into(),
            kind,
            attempts: 1,
            elapsed: Duration::ZERO,
            retry_after: None,
            settled: false,
            again: false,
            anonymous: false,
            authorized: false,
            by_token_service: false,
        }))
    }

    /// A refusal by a service beside the registry, such as the one that makes its repositories.
    pub fn refused(
        request: impl Into<String>,
        status: u16,
        code: Option<String>,
        message: Option<String>,
    ) -> RequestError {
        RequestError::new(request, ErrorKind::Status { status, code, message, page: false })
    }

    /// A connection to such a service that broke.
    ///
    /// ```
    /// use mirror_failure::RequestError;
    ///
    /// assert!(RequestError::broken("ecr:CreateRepository", "connection reset").is_passing());
    /// ```
    pub fn broken(request: impl Into<String>, why: impl Into<String>) -> RequestError {
        RequestError::new(request, ErrorKind::Broken(why.into()))
    }

    /// An answer of such a service that can't be used, or credentials that it needs and nobody has.
    ///
    /// ```
    /// use mirror_failure::RequestError;
    ///
    /// assert!(!RequestError::unusable("ecr:DescribeImages", "not JSON").is_passing());
    /// ```
    pub fn unusable(request: impl Into<String>, why: impl Into<String>) -> RequestError {
        RequestError::new(request, ErrorKind::Service(why.into()))
    }

    /// A service that wants to know who we are, where nobody has told us.
    ///
    /// ```
    /// use mirror_failure::RequestError;
    ///
    /// let error = RequestError::without_credentials("ecr:DescribeImages", "no credentials in the chain");
    /// assert!(error.lacks_credentials());
    /// ```
    pub fn without_credentials(request: impl Into<String>, why: impl Into<String>) -> RequestError {
        RequestError::new(request, ErrorKind::Service(why.into())).anonymously(true)
    }

    /// Tells whether no credentials were sent.
    ///
    /// ```
    /// use mirror_failure::RequestError;
    ///
    /// let refused = RequestError::refused("GET https://r.io/v2/app/tags/list", 401, None, None);
    /// assert!(!refused.lacks_credentials() && refused.anonymously(true).lacks_credentials());
    /// ```
    #[must_use]
    pub fn anonymously(mut self, anonymous: bool) -> RequestError {
        self.0.anonymous = anonymous;
        self
    }

    /// Tells whether a token service has given us, who are known to it, a token for this.
    ///
    /// ```
    /// use mirror_failure::RequestError;
    ///
    /// let refused = RequestError::refused("GET https://r.io/v2/app/manifests/1", 401, None, None);
    /// assert!(!refused.may_mean_missing() && refused.with_token(true).may_mean_missing());
    /// ```
    #[must_use]
    pub fn with_token(mut self, authorized: bool) -> RequestError {
        self.0.authorized = authorized;
        self
    }

    /// It is the token service that failed: its answer says nothing of what the registry has or allows.
    ///
    /// ```
    /// use mirror_failure::RequestError;
    ///
    /// let error = RequestError::refused("GET https://auth.io/token", 403, None, None).by_token_service();
    /// assert_eq!((error.status(), error.token_service_status()), (None, Some(403)));
    /// assert!(!error.may_mean_missing());
    /// ```
    #[must_use]
    pub fn by_token_service(mut self) -> RequestError {
        self.0.by_token_service = true;
        self
    }

    /// Whether time alone removes what stands in the way: a limit on pulls or on requests.
    pub fn is_deferred(&self) -> bool {
        match &self.0.kind {
            ErrorKind::PullLimit { .. } | ErrorKind::Throttled { .. } => true,
            ErrorKind::Status { status: 429, .. } => true,
            ErrorKind::Status { status, .. } => {
                passing_status(*status) && self.0.retry_after.is_some()
            }
            _ => false,
        }
    }

    /// Whether the host asks for a pause, and for which, if it says. A limit on pulls is waited for where that is soon
    /// over; what is no pull works meanwhile.
    pub fn pause(&self) -> Option<Option<Duration>> {
        let asked = self.0.retry_after;
        match &self.0.kind {
            _ if self.0.settled => None,
            ErrorKind::Status { status: 429, .. } => Some(asked),
            ErrorKind::Status { status, .. } if passing_status(*status) => asked.map(Some),
            ErrorKind::PullLimit { .. } => asked.filter(|asked| *asked <= LONGEST_PAUSE).map(Some),
            _ => None,
        }
    }

    /// Says how many attempts were made, in which time.
    #[must_use]
    pub fn after(mut self, attempts: u32, elapsed: Duration) -> RequestError {
        self.0.attempts = attempts;
        self.0.elapsed = elapsed;
        self
    }

    /// What the server said of when to come back.
    #[must_use]
    pub fn with_retry_after(mut self, wait: Option<Duration>) -> RequestError {
        self.0.retry_after = wait;
        self
    }

    /// Somebody has tried often enough.
    #[must_use]
    pub fn settled(mut self) -> RequestError {
        self.0.settled = true;
        self
    }

    /// Trying once more may help, whatever it looks like.
    ///
    /// ```
    /// use mirror_failure::RequestError;
    ///
    /// let error = RequestError::refused("PUT https://r.io/v2/app/manifests/1", 404, None, None);
    /// assert!(!error.is_passing() && error.worth_another_try().is_passing());
    /// ```
    #[must_use]
    pub fn worth_another_try(mut self) -> RequestError {
        self.0.again = true;
        self
    }

    /// Whether nobody was reached at all.
    pub fn is_unreachable(&self) -> bool {
        use ErrorKind::{Dns, PlainHttp, Refused, TimedOut, Tls, TlsExpected};
        matches!(self.0.kind, Dns | Refused | TimedOut(_) | PlainHttp | TlsExpected | Tls { .. })
    }

    /// What the server said of when to come back.
    pub fn retry_after(&self) -> Option<Duration> {
        self.0.retry_after
    }

    /// What was asked, of whom.
    pub fn request(&self) -> &str {
        &self.0.request
    }

    /// The host that was asked, as far as the request is one to a URL.
    pub fn host(&self) -> Option<&str> {
        let (_, rest) = self.0.request.split_once("://")?;
        rest.split(['/', '?', ' ']).next().filter(|host| !host.is_empty())
    }

    /// How often it was tried.
    pub fn attempts(&self) -> u32 {
        self.0.attempts
    }

    /// How long that took, from the first attempt to the end of the last.
    pub fn elapsed(&self) -> Duration {
        self.0.elapsed
    }

    /// Whether it is a token service that failed.
    pub(crate) fn is_of_token_service(&self) -> bool {
        self.0.by_token_service
    }

    /// Whether no credentials were sent.
    pub(crate) fn is_anonymous(&self) -> bool {
        self.0.anonymous
    }

    /// Whether a token service has given us, who are known to it, a token for this.
    pub(crate) fn is_authorized(&self) -> bool {
        self.0.authorized
    }

    /// Why the request failed.
    pub fn kind(&self) -> &ErrorKind {
        &self.0.kind
    }

    /// HTTP status, if the registry answered; that of a token service is none.
    pub fn status(&self) -> Option<u16> {
        match &self.0.kind {
            ErrorKind::Status { status, .. } if !self.0.by_token_service => Some(*status),
            _ => None,
        }
    }

    /// HTTP status of the token service, if it is that which refused.
    pub fn token_service_status(&self) -> Option<u16> {
        match &self.0.kind {
            ErrorKind::Status { status, .. } if self.0.by_token_service => Some(*status),
            _ => None,
        }
    }

    /// Whether the registry answered, but with something else than was asked for.
    pub fn is_content(&self) -> bool {
        matches!(self.0.kind, ErrorKind::Manifest(_) | ErrorKind::Protocol(_))
    }

    /// The code that the registry gave, such as `DENIED`.
    pub fn code(&self) -> Option<&str> {
        match &self.0.kind {
            ErrorKind::Status { code, .. } => code.as_deref(),
            _ => None,
        }
    }

    /// Whether trying once more may help.
    pub fn is_passing(&self) -> bool {
        if self.0.settled {
            return false;
        }
        match &self.0.kind {
            _ if self.0.again => true,
            ErrorKind::Status { status, .. } => passing_status(*status),
            ErrorKind::Dns
            | ErrorKind::Refused
            | ErrorKind::TimedOut(_)
            | ErrorKind::TooSlow { .. }
            | ErrorKind::Broken(_) => true,
            ErrorKind::Proxy { problem, .. } => problem.passes(),
            _ => false,
        }
    }
}

/// Statuses that often go away: <https://www.rfc-editor.org/rfc/rfc9110#name-status-codes>. 501 and 505 don't.
///
/// ```
/// use mirror_failure::passing_status;
///
/// assert!(passing_status(503) && !passing_status(501));
/// ```
pub fn passing_status(status: u16) -> bool {
    matches!(status, 408 | 425 | 429 | 500 | 502 | 503 | 504)
}

impl fmt::Display for RequestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.0.request, self.0.kind)?;
        if self.0.attempts > 1 {
            write!(f, " ({} attempts in {:.1} s)", self.0.attempts, self.0.elapsed.as_secs_f64())?;
        }
        Ok(())
    }
}

impl std::error::Error for RequestError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passing() {
        let passing: Vec<u16> = (100..600).filter(|status| passing_status(*status)).collect();
        assert_eq!(passing, [408, 425, 429, 500, 502, 503, 504]);
    }

    #[test]
    fn attempts_are_told() {
        let error = RequestError::new("GET https://r.io/v2/", ErrorKind::Refused);
        assert_eq!(error.to_string(), "GET https://r.io/v2/: connection refused");
        let error = error.after(4, Duration::from_millis(1850));
        assert_eq!(
            error.to_string(),
            "GET https://r.io/v2/: connection refused (4 attempts in 1.9 s)"
        );
    }
}
