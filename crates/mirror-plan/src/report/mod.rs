//! What became of it, and what else the commands find.

pub(crate) mod ending;
pub(crate) mod event;
pub(crate) mod finding;
pub(crate) mod fold;
pub(crate) mod model;
pub(crate) mod outdated;
pub(crate) mod progress;
pub(crate) mod verification;

pub use ending::Ending;
pub use event::Event;
pub use finding::{Finding, Findings, Level, Position};
pub use fold::ReportFold;
pub use model::{Outcome, Report, ReportTotals, Status, Transfer, Warning, WarningKind};
pub use outdated::{MovedTag, NewerTag, Outdated, TagsFailure, newest, stuck};
pub use progress::ProgressLine;
pub use verification::{HoleFound, Verification, VerifyFailure};
