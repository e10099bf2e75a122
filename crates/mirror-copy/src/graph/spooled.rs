//! An image whose manifests wait in the spool for its turn.

use std::io;
use std::sync::Arc;

use mirror_failure::{Cause, Side};
use mirror_oci::caps::COMMON_MANIFEST_BYTES;
use mirror_oci::{Digest, Platform, RawManifest};

use crate::blob::Blob;
use crate::error::CopyError;
use crate::graph::Graph;
use crate::graph::manifest_room::{HeldManifests, ManifestRoom};
use crate::graph::manifest_spool::ManifestSpool;

/// An image whose manifests wait in the spool for its turn.
///
/// ```
/// use mirror_copy::{Graph, ManifestSpool, SpooledGraph};
/// use mirror_oci::Platforms;
///
/// # use std::sync::Arc;
/// # use mirror_registry::{Access, Credentials, Host, HostOptions, Remote, World};
/// # use mirror_testkit::{ImageBuilder, Registry};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let image = ImageBuilder::new("app").platforms(&["linux/amd64", "linux/arm64"]).layers(&[300]).build();
/// # let registry = Registry::start();
/// # registry.add("app", "1", &image);
/// # let (world, name) = (World::real(), registry.host().parse()?);
/// # let host = Host::new(&world, Arc::new(Credentials::default()), &name, &HostOptions::default())?;
/// # let remote = Remote::new(Arc::new(host), "app".parse()?, Access::Pull);
/// # use mirror_copy::{Origin, Store};
/// # let store = Store::Remote(remote.clone());
/// # let origin = Origin { store, first: Vec::new(), cache: Arc::default(), room: Arc::default() };
/// let graph = Graph::read(&origin, image.digest(), &Platforms::All).await?;
/// let kept = SpooledGraph::keep(&graph, &Arc::new(ManifestSpool::default()), &origin.room)?;
/// assert_eq!((kept.root(), kept.digests().count()), (Some(image.digest()), 3));
/// assert_eq!(kept.manifest(image.digest())?.digest(), image.digest());
/// assert_eq!(kept.load(&origin.room).await?.blobs, kept.blobs());
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct SpooledGraph {
    waves: Vec<Vec<Digest>>,
    blobs: Vec<Blob>,
    platforms: Vec<Platform>,
    is_sparse: bool,
    spool: Arc<ManifestSpool>,
    /// Bytes of its manifests.
    bytes: u64,
    /// What stays in memory of it counts like manifests.
    _held: Arc<HeldManifests>,
}

/// What a digest takes in memory, about, with what is around it.
const ABOUT_A_DIGEST: usize = 200;

impl SpooledGraph {
    /// Puts the manifests of an image into the spool. What stays in memory, the digests, counts in `room`.
    ///
    /// # Errors
    /// When there is no room for it, on the disk or in memory.
    pub fn keep(
        graph: &Graph,
        spool: &Arc<ManifestSpool>,
        room: &Arc<ManifestRoom>,
    ) -> Result<SpooledGraph, CopyError> {
        let step = "keeping manifests in the spool";
        let mut held = HeldManifests::of(room, COMMON_MANIFEST_BYTES);
        let digests = graph.manifests().count() + graph.blobs.len();
        let fits = held.add(digests.saturating_mul(ABOUT_A_DIGEST));
        fits.map_err(|why| CopyError::new(Side::Source, step, Cause::TooMuch(why)))?;
        let mut bytes = 0;
        for manifest in graph.manifests() {
            bytes += manifest.bytes().len() as u64;
            spool.put(manifest).map_err(|error| broken(step, &error))?;
        }
        let digests =
            |wave: &Vec<RawManifest>| wave.iter().map(|one| one.digest().clone()).collect();
        Ok(SpooledGraph {
            waves: graph.waves.iter().map(digests).collect(),
            blobs: graph.blobs.clone(),
            platforms: graph.platforms.clone(),
            is_sparse: graph.is_sparse,
            spool: spool.clone(),
            bytes,
            _held: Arc::new(held),
        })
    }

    /// The image with its manifests, once there is `room` for them: those of large images wait for each other.
    ///
    /// # Errors
    /// When one can't be read from the spool.
    ///
    /// # Cancellation
    /// When the future is dropped, its place in the queue for room is lost.
    pub async fn load(&self, room: &Arc<ManifestRoom>) -> Result<Graph, CopyError> {
        let held = Arc::new(room.load(self.bytes).await);
        let wave = |wave: &Vec<Digest>| wave.iter().map(|digest| self.manifest(digest)).collect();
        let waves = self.waves.iter().map(wave).collect::<io::Result<_>>();
        let waves = waves.map_err(|error| broken("reading manifests from the spool", &error))?;
        let (blobs, platforms) = (self.blobs.clone(), self.platforms.clone());
        Ok(Graph { waves, blobs, platforms, is_sparse: self.is_sparse, _held: held })
    }

    /// A manifest of the image.
    ///
    /// # Errors
    /// When it can't be read from the spool.
    pub fn manifest(&self, digest: &Digest) -> io::Result<RawManifest> {
        self.spool.get(digest)?.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
    }

    /// The digest of its root.
    pub fn root(&self) -> Option<&Digest> {
        self.waves.last().and_then(|wave| wave.first())
    }

    /// The digests of all manifests, children before parents.
    pub fn digests(&self) -> impl Iterator<Item = &Digest> {
        self.waves.iter().flatten()
    }

    /// Its distinct blobs, the biggest first.
    pub fn blobs(&self) -> &[Blob] {
        &self.blobs
    }
}

fn broken(step: &str, error: &io::Error) -> CopyError {
    CopyError::new(Side::Local, step, Cause::Io(error.kind(), error.to_string()))
}
