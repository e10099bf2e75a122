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
    /// What targets have now.
    pub targets: BTreeMap<Target, Result<Presence, Failure>>,
    /// Repositories at destinations where they have to be made; nothing where there is none.
    pub repositories: BTreeMap<RepositoryAt, Result<Option<RepositoryState>, Failure>>,
    /// Registries that were asked without credentials, since the base of a pull request does not know them.
    pub strangers: BTreeSet<Registry>,
}

/// What a target has.
///
/// ```
/// use mirror_plan::plan::Presence;
///
/// let refused = Presence::Unreadable("412 PROJECTPOLICYVIOLATION".to_owned());
/// assert!(refused.digest().is_none() && refused.is_there() && !Presence::of(None).is_there());
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Presence {
    /// It has nothing.
    Absent,
    /// It has an image with this digest.
    There(Digest),
    /// It has an image that nobody may read, and so says this.
    Unreadable(String),
}

impl Presence {
    /// An image with this digest, or nothing.
    pub fn of(found: Option<Digest>) -> Presence {
        found.map_or(Presence::Absent, Presence::There)
    }

    /// The digest of what is there, as far as it is known.
    pub fn digest(&self) -> Option<&Digest> {
        match self {
            Presence::There(digest) => Some(digest),
            Presence::Absent | Presence::Unreadable(_) => None,
        }
    }

    /// Whether there is anything.
    pub fn is_there(&self) -> bool {
        *self != Presence::Absent
    }
}

/// What an image consists of.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Image {
    /// Platforms that will be copied, sorted; empty when the manifests don't say.
    pub platforms: Vec<Platform>,
    /// Whether its index has children that will not be copied.
    pub is_sparse: bool,
    /// Manifests that will be copied: root and children.
    pub manifests: Vec<Digest>,
    /// Blobs that will be copied, with their size in bytes.
    pub blobs: BTreeMap<Digest, u64>,
    /// The source repository that it names, checked.
    pub upstream: Option<String>,
}
