//! Values into text, for people and for CI.

pub(crate) mod annotations;
pub(crate) mod attention;
pub(crate) mod markdown;
pub(crate) mod report_markdown;
pub(crate) mod report_text;
pub(crate) mod text;
pub(crate) mod upstream;

pub use annotations::{plan_findings, report_findings};
pub use attention::{Earlier, attention_markdown};
pub use markdown::{COMMENT_BUDGET, SUMMARY_BUDGET, headline, plan_markdown};
pub use report_markdown::report_markdown;
pub use report_text::render_report;
pub use text::{render_plan, render_verification};
pub use upstream::source_link;
