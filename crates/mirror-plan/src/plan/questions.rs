//! What a draft leaves open, and what was found out.

use std::collections::{BTreeMap, BTreeSet};

use mirror_failure::Failure;
use mirror_oci::{Digest, Registry};

use crate::plan::model::{Before, Holder};
use crate::plan::observed::Image;
use crate::want::model::{Source, Target};

/// What to find out beyond what is needed to compare.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// Compare digests, and read no manifests.
    Digests,
    /// And read the manifests of what will be copied.
    Manifests,
    /// And of everything else.
    All,
}

/// Whether to find out what only a reviewer wants to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReviewNotes {
    /// Where the tags beside digests point by now, and what the images before were like.
    Ask,
    /// Don't.
    Skip,
}

/// A closer look at what seems to be as it should be.
#[derive(Debug, Clone, Default)]
pub struct Closer {
    /// Targets that have the right digest, but not all of the image: what is missing there, or why that is unknown.
    pub incomplete: BTreeMap<Target, Result<Vec<Digest>, Failure>>,
    /// Targets whose signatures are still to be looked for.
    pub owed: BTreeSet<Target>,
}

/// What a draft leaves open.
#[derive(Debug, Default)]
pub struct Questions<'a> {
    /// Images whose manifests are to be read.
    pub manifests: BTreeMap<&'a Source, &'a Digest>,
    /// Pinned sources whose tag may point elsewhere by now.
    pub tags: BTreeSet<&'a Source>,
    /// Pinned sources of images that a lifecycle policy would delete, and that may have them no more.
    pub gone: BTreeSet<&'a Source>,
    /// Images that take the place of another one.
    pub replaced: Vec<Replaced<'a>>,
}

/// An image that takes the place of another one, at a destination or in the tree.
#[derive(Debug, Clone)]
pub struct Replaced<'a> {
    /// Where it comes from.
    pub source: &'a Source,
    /// The target whose image is replaced.
    pub target: &'a Target,
    /// The digest of the image that is replaced.
    pub before: Digest,
    /// Its digest, where it is there already.
    pub there: Option<&'a Digest>,
}

/// What was found out.
#[derive(Debug, Clone, Default)]
pub struct Answers {
    /// What there is to copy, for those sources whose manifests were read.
    pub images: BTreeMap<Source, Result<Image, Failure>>,
    /// Sources that do not give their image, and the destination that it can be had from.
    pub holder: BTreeMap<Source, Holder>,
    /// Where the tags of pinned sources point now.
    pub tags: BTreeMap<Source, Digest>,
    /// Sources that have their digest no more.
    pub gone: BTreeSet<Source>,
    /// Of targets whose image takes the place of another one: what that was like, and what this is like.
    pub before: BTreeMap<Target, (Before, Before)>,
    /// Pulls that are left at registries that limit them.
    pub pulls_left: BTreeMap<Registry, u64>,
}
