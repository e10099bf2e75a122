//! Pages and annotations for CI: comments on pull requests, summaries of jobs, issues.

pub(crate) mod annotations;
pub(crate) mod issue;
pub(crate) mod markdown;
pub(crate) mod pages;
pub(crate) mod report;
pub(crate) mod system;
pub(crate) mod update;

pub use annotations::{plan_diagnostics, report_diagnostics};
pub use issue::{Earlier, issue_markdown};
pub use markdown::{COMMENT_BUDGET, headline, plan_markdown};
pub use report::report_markdown;
pub use system::System;
pub use update::{TagUpdate, update_markdown};
