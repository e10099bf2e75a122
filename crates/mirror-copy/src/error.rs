//! Why an image could not be copied.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use mirror_failure::{Cause, ErrorKind, Failure, RequestError, Side, io_reason};
use mirror_oci::Digest;

/// What a reader of bytes is told that were thrown away. Nothing else here is ever interrupted.
pub(crate) fn starting_over() -> std::io::Error {
    let why = "wrong bytes came first, starting over";
    std::io::Error::new(std::io::ErrorKind::Interrupted, why)
}

/// A step of a copy that failed for good.
///
/// ```
/// use mirror_copy::{Graph, ManifestSpool};
/// use mirror_failure::{Cause, Side};
/// use mirror_oci::{Algorithm, Digest, Platforms};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let unknown = Digest::of(Algorithm::Sha256, b"nothing like that");
/// let error = Graph::saved(&ManifestSpool::default(), &unknown, &Platforms::All).await.unwrap_err();
/// assert_eq!((error.side(), error.failure().side), (Side::Local, Side::Local));
/// assert!(matches!(error.cause(), Cause::Other(why) if why == "the saved plan does not hold it"));
/// assert!(error.moved().is_none() && !error.is_of_referrers());
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct CopyError {
    step: Arc<(Side, String, Cause)>,
    of_referrers: bool,
}

impl CopyError {
    pub(crate) fn new(side: Side, step: impl Into<String>, cause: Cause) -> CopyError {
        CopyError { step: Arc::new((side, step.into(), cause)), of_referrers: false }
    }

    pub(crate) fn source(step: impl Into<String>, cause: RequestError) -> CopyError {
        CopyError::new(Side::Source, step, Cause::Request(cause))
    }

    pub(crate) fn destination(step: impl Into<String>, cause: RequestError) -> CopyError {
        CopyError::new(Side::Destination, step, Cause::Request(cause))
    }

    /// An upload that failed; perhaps for want of its own bytes, which is nobody else's fault.
    pub(crate) fn uploading(step: impl Into<String>, cause: RequestError) -> CopyError {
        let local = matches!(cause.kind(), ErrorKind::Body(_));
        let side = if local { Side::Local } else { Side::Destination };
        CopyError::new(side, step, Cause::Request(cause))
    }

    pub(crate) fn io(
        side: Side,
        step: impl Into<String>,
        path: &Path,
        error: &std::io::Error,
    ) -> CopyError {
        let text = format!("{}: {}", path.display(), io_reason(error));
        CopyError::new(side, step, Cause::Io(error.kind(), text))
    }

    /// The same of a store that something is read from.
    pub(crate) fn of_source(self) -> CopyError {
        let (_, step, cause) = &*self.step;
        CopyError { step: Arc::new((Side::Source, step.clone(), cause.clone())), ..self }
    }

    /// It was about signatures and the like, not about the image itself.
    pub(crate) fn of_referrers(self) -> CopyError {
        CopyError { of_referrers: true, ..self }
    }

    /// Whether it was about signatures and the like: the image itself may be there.
    pub fn is_of_referrers(&self) -> bool {
        self.of_referrers
    }

    /// The side that failed: the source, the destination, or this machine.
    pub fn side(&self) -> Side {
        self.step.0
    }

    /// What was behind it.
    pub fn cause(&self) -> &Cause {
        &self.step.2
    }

    /// Whether a destination refused a manifest because it lacks what the manifest points to.
    pub(crate) fn misses_content(&self) -> bool {
        let Cause::Request(error) = self.cause() else { return false };
        self.side() == Side::Destination && error.lacks_content()
    }

    /// Whether it is certain that nothing was done: a registry has said no, or was not asked.
    pub(crate) fn is_refusal(&self) -> bool {
        let Cause::Request(error) = self.cause() else { return true };
        error.status().is_some_and(|status| (400..500).contains(&status))
    }

    /// Whether a registry has answered, and not that it takes no more requests.
    pub(crate) fn is_answer(&self) -> bool {
        let Cause::Request(error) = self.cause() else { return false };
        let answered = error.status().is_some() || matches!(error.kind(), ErrorKind::Protocol(_));
        answered && !error.is_deferred()
    }

    /// The same after so many attempts of the whole step.
    pub(crate) fn after(self, attempts: u32, elapsed: Duration) -> CopyError {
        let (side, step, cause) = &*self.step;
        let cause = match cause {
            Cause::Request(error) => Cause::Request(error.clone().after(attempts, elapsed)),
            cause => cause.clone(),
        };
        CopyError { step: Arc::new((*side, step.clone(), cause)), ..self }
    }

    /// Whether an upload ended because its own bytes did.
    pub(crate) fn is_body(&self) -> bool {
        match self.cause() {
            Cause::Request(error) => matches!(error.kind(), ErrorKind::Body(_)),
            Cause::Io(kind, _) => *kind == std::io::ErrorKind::Interrupted,
            _ => false,
        }
    }

    /// What is at the destination now, if that has changed since it was looked at.
    pub fn moved(&self) -> Option<Option<&Digest>> {
        match self.cause() {
            Cause::Moved(found) => Some(found.as_ref()),
            _ => None,
        }
    }

    /// What plan and report keep of it.
    pub fn failure(&self) -> Failure {
        Failure::new(self.side(), &self.step.1, self.cause())
    }
}

impl fmt::Display for CopyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.step.1, self.cause())
    }
}

impl std::error::Error for CopyError {}

impl From<CopyError> for Failure {
    fn from(error: CopyError) -> Failure {
        error.failure()
    }
}
