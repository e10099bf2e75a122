//! What was seen at sources and destinations.

use std::collections::{BTreeMap, BTreeSet};

use mirror_failure::Failure;
use mirror_oci::{Digest, Platform, Registry};

use crate::plan::model::{Before, Holder};
use crate::want::model::{Source, Target};
use crate::want::resource::{RepositoryAt, RepositoryState};

/// Everything that was looked up, by what was asked.
#[derive(Debug, Clone, Default)]
pub struct Observed {
    /// The digest that a source stands for now; of its one platform, where only that is wanted.
    pub sources: BTreeMap<Source, Result<Digest, Failure>>,
    /// The digest that a target has now, if it is there.
    pub targets: BTreeMap<Target, Result<Option<Digest>, Failure>>,
    /// For pinned sources: where their tag points now, if that was looked up.
    pub tags: BTreeMap<Source, Digest>,
    /// Pulls that are left at registries that limit them.
    pub pulls_left: BTreeMap<Registry, u64>,
    /// Repositories at destinations where they have to be made; nothing where there is none.
    pub repositories: BTreeMap<RepositoryAt, Result<Option<RepositoryState>, Failure>>,
    /// Targets that have the right digest, but not all of the image: what is missing there.
    pub incomplete: BTreeMap<Target, Vec<Digest>>,
    /// Sources that do not give their image, and the destination that it can be had from.
    pub holder: BTreeMap<Source, Holder>,
    /// Of targets whose image is another one than before, there or in the tree: what that was like, and what this is like.
    pub before: BTreeMap<Target, (Before, Before)>,
    /// Digests that their source has no more.
    pub gone: BTreeSet<Source>,
    /// Targets that are as they should be, but whose signatures are still to be looked for.
    pub owed: BTreeSet<Target>,
    /// Registries that were asked without credentials, since the base of a pull request does not know them.
    pub strangers: BTreeSet<Registry>,
    /// What there is to copy, for those sources whose manifests were read.
    pub images: BTreeMap<Source, Result<Image, Failure>>,
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
