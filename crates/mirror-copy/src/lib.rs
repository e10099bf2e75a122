//! The copier: one image graph from one place to one or more others.
//!
//! [`Graph`] is everything an image consists of, as its source describes it. [`Copier`] brings a graph to a
//! [`CopyTarget`]: blobs first, then child manifests, then the root under its tag, so that a reader of the tag sees
//! the old image or the whole new one. Each distinct blob is fetched once for all targets that want it at the
//! time, into the spool, and uploads follow the writer.

mod blob;
mod copier;
mod error;
mod graph;
mod job;
mod push;
mod referrers;
mod store;
mod verify;

pub use blob::Blob;
pub use blob::spool::documents::Documents;
pub use copier::Copier;
pub use error::CopyError;
pub use graph::Graph;
pub use graph::about::{About, about};
pub use graph::manifest_cache::ManifestCache;
pub use graph::manifest_room::ManifestRoom;
pub use graph::manifest_spool::ManifestSpool;
pub use graph::resolve::Purpose;
pub use graph::spooled::SpooledGraph;
pub use job::{
    Copied, CopyJob, CopyTarget, Moved, Parts, ReferrerPolicy, ReferrerProblem, ReferrerWarning,
    Traffic,
};
pub use store::layout::Layout;
pub use store::origin::Origin;
pub use store::{InLayout, Store};
pub use verify::{Defect, VerifyMode, missing_children, verify};
