//! Why something failed: which side, which request, after how many attempts, whether to try again, and what to do.
//!
//! [`RequestError`] is one request that failed for good, with everything that deciding takes. [`Failure`] is what plan,
//! report and JSON keep of it, with the side and the step. Code decides on kind, code and status, never on a sentence.

mod error_kind;
mod failure;
mod help;
mod kind;
mod meaning;
mod network_help;
mod request;
mod retry;
mod said;
mod text;

pub use error_kind::{CredentialError, ErrorKind, LONGEST_TOLD, ProxyProblem, TlsCause};
pub use failure::{Cause, FailedRequest, Failure, Side};
pub use help::{SPARSE, TAMPERING};
pub use kind::FailureKind;
pub use meaning::is_unknown_content;
pub use request::{LONGEST_PAUSE, RequestError, passing_status};
pub use retry::{Delays, RetryPolicy};
pub use text::{count, io_reason, is_deceptive, printable, without_secrets};
