//! What a look at the destinations found.

use mirror_failure::Failure;
use mirror_oci::Digest;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::want::model::Want;

/// What `mirror verify` found.
///
/// ```
/// use mirror_plan::report::Verification;
///
/// let found = Verification { images: 14, whole: 14, ..Verification::default() };
/// assert!(found.is_whole());
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Verification {
    /// Version of this format; 1.
    pub format_version: u32,
    /// Images that were looked at.
    pub images: usize,
    /// Images that are whole.
    pub whole: usize,
    /// Everything that is missing or wrong, in the order of the tree.
    pub defects: Vec<ImageDefect>,
    /// Images that could not be looked at.
    pub failures: Vec<VerifyFailure>,
}

impl Verification {
    /// Whether nothing is missing or wrong, and everything could be looked at.
    pub fn is_whole(&self) -> bool {
        self.defects.is_empty() && self.failures.is_empty()
    }
}

/// Something that is missing or wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ImageDefect {
    /// The image that it is part of.
    #[serde(flatten)]
    pub want: Want,
    /// Which manifest or blob; none when it is the image as a whole.
    #[schemars(with = "Option<String>")]
    pub digest: Option<Digest>,
    /// What is wrong, in words that go on after the image.
    pub problem: String,
    /// Whether it isn't there, or not all of it. `mirror apply` copies an image that is missing as a whole,
    /// `mirror apply --repair` puts back parts of one.
    pub missing: bool,
}

/// An image that could not be looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct VerifyFailure {
    /// The image that could not be looked at.
    #[serde(flatten)]
    pub want: Want,
    /// Why it could not be looked at.
    #[serde(flatten)]
    pub failure: Failure,
}
