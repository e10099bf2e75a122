//! Text for people, in a terminal or a log.

pub(crate) mod report;
pub(crate) mod text;

pub use report::render_report;
pub use text::{render_plan, render_verification};
