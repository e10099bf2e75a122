//! Images as they were read.

use std::collections::BTreeMap;
use std::sync::Arc;

use mirror_copy::Graph;
use mirror_failure::Failure;
use mirror_plan::want::Source;

/// Manifests that were read, by source, or why they could not be.
pub type Graphs = BTreeMap<Source, Result<Arc<Graph>, Failure>>;
