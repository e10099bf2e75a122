//! What there is to copy, and what came of it.

use std::collections::BTreeSet;
use std::sync::Arc;

use mirror_oci::{Digest, Tag};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::graph::Graph;
use crate::store::origin::Origin;
use crate::store::{Store, Under};

/// Whether the one who sends a blob may keep the one who fetches it waiting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Backpressure {
    /// The sender may keep the fetcher waiting.
    Allowed,
    /// It may not: they may want a slot at the same registry.
    Avoided,
}

/// An image to copy.
#[derive(Debug, Clone)]
pub struct CopyJob {
    /// How events call it.
    pub number: usize,
    /// Where it comes from.
    pub origin: Origin,
    /// What it consists of.
    pub graph: Arc<Graph>,
    /// The store and the tag that it goes to.
    pub target: CopyTarget,
    /// What to do about signatures and the like.
    pub referrers: ReferrerPolicy,
    /// What to copy of it.
    pub parts: Parts,
    /// Blobs that the target has, where that was asked in bulk: then it lacks all others.
    pub present: Option<BTreeSet<Digest>>,
    /// Blobs that the target is known to lack, whatever it says when it is asked for a mount.
    pub missing: BTreeSet<Digest>,
    /// What was under the tag when it was looked at.
    pub expected: Found,
    /// When the tag was looked at.
    pub looked: Instant,
}

impl CopyJob {
    /// Whether sending a blob may hold up fetching it: not where a registry on either side is the other side of something
    /// else in this run.
    pub(crate) fn backpressure(&self) -> Backpressure {
        if self.is_two_way() { Backpressure::Avoided } else { Backpressure::Allowed }
    }

    /// What its root is to be found under.
    pub(crate) fn own_name(&self) -> Under<'_> {
        Under::Name(self.target.tag.as_ref())
    }

    fn is_two_way(&self) -> bool {
        let target = match &self.target.store {
            Store::Remote(remote) => remote.host().is_two_way(),
            Store::Layout(_) => false,
        };
        let mut origins = self.origin.remotes().map(|remote| remote.host());
        target || origins.any(|host| host.is_two_way() || host.is_written())
    }
}

/// What is under a tag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// Nothing is.
    Nothing,
    /// An image with this digest.
    Digest(Digest),
    /// An image that nobody may read.
    Unreadable,
}

/// What to do about referrers and signatures of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReferrerPolicy {
    /// Don't look for them.
    Leave,
    /// Copy them; where that is refused, say so.
    Copy,
    /// Copy them; where that is refused, the image fails.
    Require,
}

/// What to copy of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parts {
    /// The image, and what refers to it.
    Image,
    /// Only its referrers and signatures: the image is there already.
    Referrers,
}

/// What came of a job.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Copied {
    /// What is not as it should be with its referrers and signatures.
    pub warnings: Vec<ReferrerWarning>,
    /// The referrers and signatures that the destination has now; nothing, if they were not looked for.
    pub attached: Option<BTreeSet<Attached>>,
}

/// A referrer or signature at a destination.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Attached {
    /// The tag that it is found under; without one a list of referrers leads to it.
    pub tag: Option<Tag>,
    /// The digest of its manifest.
    pub digest: Digest,
}

/// Where an image goes.
#[derive(Debug, Clone)]
pub struct CopyTarget {
    /// What it goes to.
    pub store: Store,
    /// The tag there; without one the image is reached by its digest.
    pub tag: Option<Tag>,
}

/// Bytes or blobs that moved for a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Traffic {
    /// The number of the job.
    pub job: usize,
    /// What moved, and how much of it.
    pub moved: Moved,
}

/// What moved for a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moved {
    /// Bytes of blobs came from the source.
    Fetched(u64),
    /// Bytes of blobs went to the destination. Those of an upload that is made again count again.
    Pushed(u64),
    /// A blob of so many bytes was at the destination already, or was mounted there.
    Reused(u64),
}

/// What is not as it should be with the referrers and signatures of an image that was copied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReferrerWarning {
    /// What kind of problem it is.
    pub kind: ReferrerProblem,
    /// Why, or which one.
    pub message: String,
    /// Whether to look again in the next run.
    pub again: bool,
}

/// What is not as it should be with signatures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReferrerProblem {
    /// Whether there are any could not be found out.
    Unknown,
    /// One that is there could not be had, or was refused.
    Missing,
    /// The destination has another one under the same tag, which stays.
    Kept,
}
