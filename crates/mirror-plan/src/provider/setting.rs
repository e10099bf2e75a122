//! What can be set for a repository, in the words of all providers.

use std::collections::BTreeMap;
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What can be set for a repository.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Setting {
    /// Whether tags can't be moved: true, false, or `{"except": ["latest*"]}`.
    ImmutableTags,
    /// `"AES256"`, `"KMS"` or the ARN of a key. Fixed when the repository is made.
    Encryption,
    /// Whether each pushed image is scanned.
    ScanOnPush,
    /// The lifecycle policy: which images expire.
    LifecyclePolicy,
    /// Who else may do what.
    RepositoryPolicy,
    /// Resource tags; only those that are named are looked at.
    Tags,
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Setting::ImmutableTags => "immutable_tags",
            Setting::Encryption => "encryption",
            Setting::ScanOnPush => "scan_on_push",
            Setting::LifecyclePolicy => "lifecycle_policy",
            Setting::RepositoryPolicy => "repository_policy",
            Setting::Tags => "tags",
        })
    }
}

/// Settings of one repository, as JSON in the shape that [`Setting`] describes. What is not in it is left alone.
pub type Settings = BTreeMap<Setting, Value>;

/// A setting that differs from what is wanted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SettingChange {
    /// The setting that changes.
    pub setting: Setting,
    /// What it is; nothing when there is none.
    pub from: Option<Value>,
    /// What it is to be.
    pub to: Value,
}

/// How a provider keeps one setting.
#[derive(Debug, Clone, Copy)]
pub struct SettingRow {
    /// The setting that it is a row of.
    pub setting: Setting,
    /// Whether it is given when a repository is made; otherwise it is made afterwards.
    pub at_creation: bool,
    /// Whether it can't be changed later.
    pub is_fixed: bool,
    /// Whether two values mean the same: what is found, and what is wanted.
    pub is_same: fn(&Value, &Value) -> bool,
    /// What looking takes beyond what looking at repositories takes, in the words of the provider's access management.
    pub look: &'static [&'static str],
    /// What making it later takes.
    pub make: Option<&'static str>,
}
