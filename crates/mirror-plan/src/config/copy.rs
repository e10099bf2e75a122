//! `[copy]`: how images are copied.

use schemars::JsonSchema;
use serde::Deserialize;

/// How images are copied.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a table of settings")]
pub(crate) struct CopyFile {
    /// Signatures, attestations and other referrers of images.
    #[serde(default)]
    pub(crate) referrers: Referrers,
}

/// What to do about signatures, attestations and other referrers of images.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Referrers {
    /// Copy them; a destination that refuses them gives a warning.
    #[default]
    Copy,
    /// Copy them; a destination that refuses them makes the image fail.
    Require,
    /// Don't look for them.
    Off,
}
