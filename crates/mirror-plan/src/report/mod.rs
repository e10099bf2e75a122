//! What became of it, and what else the commands find.

pub(crate) mod diagnostic;
pub(crate) mod ending;
pub(crate) mod event;
pub(crate) mod explanation;
pub(crate) mod fold;
pub(crate) mod login;
mod model;
pub(crate) mod outdated;
pub(crate) mod progress;
pub(crate) mod verification;

pub use diagnostic::{Diagnostic, Diagnostics, Level, Position};
pub use ending::Ending;
pub use event::Event;
pub use explanation::{ExplainedEntry, Explanation};
pub use fold::ReportFold;
pub use login::{CLOUD_LOGIN, LoginExplanation, LoginKind, LoginOutcome, LoginStep};
pub use model::{Outcome, Report, ReportTotals, Status, Transfer, Warning, WarningKind};
pub use outdated::{
    IncomparableTag, Looked, MovedTag, NewerTag, OUTDATED_FORMAT, Outdated, TagsFailure, newer,
    stuck,
};
pub use progress::ProgressLine;
pub use verification::{ImageDefect, Verification, VerifyFailure};
