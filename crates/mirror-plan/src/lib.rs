//! Decides without I/O: configuration, wants, plan, report.
//!
//! The tree and the configuration become wants ([`want::expand`]); wants and what was observed become a [`plan::Plan`];
//! what became of its actions is a [`report::Report`]. Each is a value that can be printed as JSON, and text is
//! rendered from that same value elsewhere.

pub mod bots;
pub mod config;
pub mod plan;
pub mod provider;
pub mod report;
pub mod want;

/// JSON schemas of everything that is read or written, by file name.
pub fn schemas() -> Vec<(&'static str, schemars::Schema)> {
    vec![
        ("config.schema.json", schemars::schema_for!(config::file::ConfigFile)),
        ("diagnostics.schema.json", schemars::schema_for!(report::Diagnostics)),
        ("outdated.schema.json", schemars::schema_for!(report::Outdated)),
        ("plan.schema.json", schemars::schema_for!(plan::Plan)),
        ("progress.schema.json", schemars::schema_for!(report::ProgressLine)),
        ("report.schema.json", schemars::schema_for!(report::Report)),
        ("saved-plan.schema.json", schemars::schema_for!(plan::SavedLine)),
        ("verification.schema.json", schemars::schema_for!(report::Verification)),
    ]
}
