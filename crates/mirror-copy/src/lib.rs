//! The copier: one image graph from one store to one or more others.
//!
//! [`Graph`] is everything an image consists of, as its source describes it. [`Copier`] copies a graph to a
//! [`CopyTarget`]: blobs first, then child manifests, then the root under its tag, so that a reader of the tag sees
//! the old image or the whole new one. Each distinct blob is fetched once for all targets that want it at the
//! time, into the spool, and uploads follow the writer.
//!
//! ```
//! use std::sync::Arc;
//!
//! use mirror_copy::{
//!     Copier, CopyJob, CopyTarget, Graph, InLayout, Layout, Origin, Parts, Purpose, ReferrerPolicy,
//!     Store, VerifyMode, verify,
//! };
//! use mirror_oci::Platforms;
//! use mirror_registry::{Access, Credentials, Host, HostOptions, Listener, Remote, World};
//! # use mirror_testkit::{ImageBuilder, Registry};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let image = ImageBuilder::new("app").layers(&[300]).build();
//! # let registry = Registry::start();
//! # registry.add("app", "1", &image);
//! # let (name, folder) = (registry.host(), tempfile::tempdir()?);
//! # let folder = folder.path();
//! // Where it comes from: a repository of a registry.
//! let world = World::real();
//! let credentials = Arc::new(Credentials::default());
//! let host = Host::new(&world, credentials, &name.parse()?, &HostOptions::default())?;
//! let remote = Remote::new(Arc::new(host), "app".parse()?, Access::Pull);
//! let store = Store::Remote(remote);
//! let origin = Origin { store, first: Vec::new(), cache: Arc::default(), room: Arc::default() };
//! let reference: mirror_oci::Reference = format!("{name}/app:1").parse()?;
//! let version = reference.version().ok_or("a tag")?;
//! let digest = origin.resolve(&version, None, Purpose::Copy).await?;
//! let graph = Arc::new(Graph::read(&origin, &digest, &Platforms::All).await?);
//!
//! // Where it goes: an image layout.
//! let layout = Arc::new(Layout::open(&folder.join("store"), world.threads)?);
//! let store = Store::Layout(InLayout { layout: layout.clone(), repository: "app".parse()? });
//! let target = CopyTarget { store, tag: Some("1".parse()?) };
//! let job = CopyJob {
//!     number: 0,
//!     origin,
//!     graph,
//!     target: target.clone(),
//!     referrers: ReferrerPolicy::Leave,
//!     parts: Parts::Image,
//!     present: None,
//!     missing: Default::default(),
//!     expected: mirror_copy::Found::Nothing,
//!     looked: tokio::time::Instant::now(),
//! };
//! let copier = Copier::new(&folder.join("spool"), None, &world, Listener::default())?;
//! copier.expect(&job.graph.blobs);
//! copier.copy(&job).await?;
//! assert_eq!(layout.digest_of("app:1")?, Some(digest.clone()));
//! let defects = verify(&target, Some(&digest), &Platforms::All, None, VerifyMode::Content).await?;
//! assert_eq!(defects, []);
//! # Ok(())
//! # }
//! ```

mod blob;
mod copier;
mod error;
mod graph;
mod job;
mod push;
mod referrers;
mod settling;
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
    Attached, Copied, CopyJob, CopyTarget, Found, Moved, Parts, ReferrerPolicy, ReferrerProblem,
    ReferrerWarning, Traffic,
};
pub use store::layout::Layout;
pub use store::origin::Origin;
pub use store::{InLayout, Store};
pub use verify::{Defect, VerifyMode, missing_children, verify};
