//! `[check]`: what the tree must be like.

use schemars::JsonSchema;
use serde::Deserialize;

/// What the tree must be like.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a table of settings")]
pub(crate) struct CheckFile {
    /// Every reference needs a digest.
    #[serde(default)]
    pub(crate) require_digest: bool,
    /// A digest without a tag is fine; it is copied without a tag.
    #[serde(default)]
    pub(crate) allow_digest_only: bool,
}
