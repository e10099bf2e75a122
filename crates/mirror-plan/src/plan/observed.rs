//! What was seen at sources and destinations.

use std::collections::{BTreeMap, BTreeSet};

use mirror_failure::Failure;
use mirror_oci::{Digest, Platform, Registry};

use crate::want::model::{Source, Target};
use crate::want::resource::{RepositoryAt, RepositoryState};

/// What was seen when everything was looked at for the first time.
#[derive(Debug, Clone, Default)]
pub struct Observed {
    /// The digest that a source stands for now; of its one platform, where only that is wanted.
    pub sources: BTreeMap<Source, Result<Digest, Failure>>,
    /// The digest that a target has now, if it is there.
    pub targets: BTreeMap<Target, Result<Option<Digest>, Failure>>,
    /// Repositories at destinations where they have to be made; nothing where there is none.
    pub repositories: BTreeMap<RepositoryAt, Result<Option<RepositoryState>, Failure>>,
    /// Registries that were asked without credentials, since the base of a pull request does not know them.
    pub strangers: BTreeSet<Registry>,
}

/// What an image consists of.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Image {
    /// Platforms that will be copied, sorted; empty when the manifests don't say.
    pub platforms: Vec<Platform>,
    /// Manifests that will be copied: root and children.
    pub manifests: Vec<Digest>,
    /// Blobs that will be copied, with their size in bytes.
    pub blobs: BTreeMap<Digest, u64>,
    /// The source repository that it names, checked.
    pub upstream: Option<String>,
}
