//! Images as they were read.

use std::collections::BTreeMap;
use std::sync::Arc;

use mirror_copy::{ManifestSpool, SpooledGraph};
use mirror_failure::Failure;
use mirror_plan::plan::Plan;
use mirror_plan::want::Source;

/// Manifests that were read, by source, or why they could not be.
pub type Graphs = BTreeMap<Source, Result<Arc<SpooledGraph>, Failure>>;

/// A plan with the manifests of its images.
#[derive(Debug, Clone)]
pub struct Planned {
    /// What is carried out.
    pub plan: Arc<Plan>,
    /// Its manifests, each checked against its digest.
    pub manifests: Arc<ManifestSpool>,
}
