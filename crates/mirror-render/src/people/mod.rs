//! Text for people, in a terminal or a log.

pub(crate) mod diagnostic;
pub(crate) mod explanation;
pub(crate) mod failure;
pub(crate) mod login;
mod outdated;
pub(crate) mod progress;
pub(crate) mod report;
pub(crate) mod text;

pub use diagnostic::{render_diagnostic, render_diagnostics};
pub use explanation::render_explanation;
pub use login::render_login;
pub use outdated::render_outdated;
pub use progress::{render_finished, render_notice, render_unknown};
pub use report::render_report;
pub use text::{render_plan, render_verification};
