//! The copier: one image graph from one place to one or more others.
//!
//! [`Graph`] is everything an image consists of, as its source describes it. [`Copier`] brings a graph to a
//! [`Target`]: blobs first, then child manifests, then the root under its tag, so that a reader of the tag sees
//! the old image or the whole new one. Each distinct blob is fetched once for all targets that want it at the
//! time, into the spool, and uploads follow the writer.

mod about;
mod attach;
mod bring;
mod companion;
mod copier;
mod download;
mod error;
mod fetch;
mod graph;
mod job;
mod landing;
mod layout;
mod listing;
mod manifest_cache;
mod manifest_room;
mod push;
mod resolve;
mod selection;
mod source;
mod spool;
mod storage;
mod verify;
mod window;

pub use about::{About, about};
pub use copier::Copier;
pub use error::CopyError;
pub use graph::{Blob, Graph};
pub use job::{Companions, Copied, Event, Job, Scope, Target, Transfer, Warning, WarningKind};
pub use layout::Layout;
pub use manifest_cache::ManifestCache;
pub use manifest_room::ManifestRoom;
pub use resolve::Purpose;
pub use selection::Selection;
pub use source::{Place, Source};
pub use verify::{Check, Hole, missing_children, verify};
