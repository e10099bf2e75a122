//! Decides without I/O: configuration, wants, plan, report and their renderings.
//!
//! The tree and the configuration become wants ([`expand`]); wants and what was observed become a [`Plan`];
//! what became of its actions is a [`Report`]. Each is a value that can be printed as JSON, and the text for
//! people is rendered from that same value.

mod alert;
mod attention;
mod base;
mod bots;
mod config;
mod config_ecr;
mod config_file;
mod config_hosts;
mod draft;
mod ecr;
mod ecr_registry;
mod finding;
mod iam;
mod markdown;
mod observed;
mod outdated;
mod plan;
mod progress;
mod record;
mod remarks;
mod report;
mod report_page;
mod report_text;
mod repository;
mod saved;
mod scope;
mod shard;
mod sums;
mod text;
mod upstream;
mod verification;
mod want;

pub use alert::{Alert, Before};
pub use attention::{Earlier, attention_markdown};
pub use base::{Base, ConfigChange, Postponed, config_changes};
pub use bots::{BotRules, kept_numbers};
pub use config::{Config, ConfigProblem, DEFAULT_LAYOUT, Destination, Place};
pub use config_ecr::EcrRules;
pub use config_file::Referrers;
pub use config_hosts::{Alternative, RegistrySettings};
pub use ecr::{Setting, SettingChange, Settings, is_same};
pub use ecr_registry::{AwsRegistry, EcrRegistry};
pub use finding::{Finding, Findings, Level, Position};
pub use iam::{Context, Role, Workflow, accounts, permissions, trust};
pub use markdown::{COMMENT_BUDGET, SUMMARY_BUDGET, headline, plan_markdown};
pub use observed::{Image, Observed};
pub use outdated::{MovedTag, NewerTag, Outdated, TagsFailure, newest, stuck};
pub use plan::{Action, Change, Conflict, Copy, Holder, LookupFailure, Note, Plan, Unchanged};
pub use progress::ProgressLine;
pub use remarks::{plan_findings, report_findings};
pub use report::{Outcome, Report, ReportTotals, Status, Transfer, Warning, WarningKind};
pub use report_page::report_markdown;
pub use report_text::render_report;
pub use repository::{
    Expiring, RepositoryAction, RepositoryAt, RepositoryOutcome, RepositoryProblem,
    RepositoryState, RepositoryWant,
};
pub use saved::{Fit, SavedManifest, SavedPlan, Unfit, tree_digest};
pub use scope::{Changes, ImageGlob, Scope, Unwanted};
pub use shard::{MOST_SHARDS, Shard, busy_shards};
pub use sums::{Pulls, Totals};
pub use text::{count, render_plan, render_verification};
pub use upstream::source_link;
pub use verification::{HoleFound, Verification, VerifyFailure};
pub use want::{Collision, Platforms, Source, Target, Want, Wants, expand};

/// JSON schemas of everything that is read or written, by file name.
pub fn schemas() -> Vec<(&'static str, schemars::Schema)> {
    vec![
        ("config.schema.json", schemars::schema_for!(config_file::ConfigFile)),
        ("findings.schema.json", schemars::schema_for!(Findings)),
        ("outdated.schema.json", schemars::schema_for!(Outdated)),
        ("plan.schema.json", schemars::schema_for!(Plan)),
        ("progress.schema.json", schemars::schema_for!(ProgressLine)),
        ("report.schema.json", schemars::schema_for!(Report)),
        ("saved-plan.schema.json", schemars::schema_for!(SavedPlan)),
        ("verification.schema.json", schemars::schema_for!(Verification)),
    ]
}
