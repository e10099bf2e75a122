//! Everything an image consists of, as its source describes it.

pub(crate) mod about;
pub(crate) mod links;
pub(crate) mod manifest_cache;
pub(crate) mod manifest_room;
pub(crate) mod manifest_spool;
pub(crate) mod resolve;
pub(crate) mod spooled;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures_util::{StreamExt, TryStreamExt, stream};
use mirror_failure::{Cause, Side};
use mirror_oci::caps::{
    COMMON_MANIFEST_BYTES, COMMON_REFERRER_BYTES, MAX_DEPTH, MAX_IMAGE_MANIFEST_BYTES,
    MAX_MANIFESTS,
};
use mirror_oci::{ByteSize, Digest, Links, Platform, Platforms, RawManifest};
use mirror_registry::Reservation;

use crate::blob::Blob;
use crate::error::CopyError;
use crate::graph::links::{check, links};
use crate::graph::manifest_room::HeldManifests;
use crate::graph::manifest_spool::ManifestSpool;
use crate::store::origin::Origin;

const AT_ONCE: usize = 8;

/// An image: its manifests and the blobs they name.
///
/// ```
/// use mirror_copy::{Graph, ManifestSpool};
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
/// assert_eq!(graph.root().map(|root| root.digest()), Some(image.digest()));
/// assert_eq!(graph.manifests().count(), 3, "the index is the last of three");
///
/// let spool = ManifestSpool::default();
/// for manifest in graph.manifests() {
///     spool.put(manifest)?;
/// }
/// let again = Graph::saved(&spool, image.digest(), &Platforms::All).await?;
/// assert_eq!(again.blobs, graph.blobs);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Graph {
    /// Manifests in the order of pushing: none points to a later wave. The last wave is the root alone.
    pub waves: Vec<Vec<RawManifest>>,
    /// Distinct blobs, the biggest first.
    pub blobs: Vec<Blob>,
    /// Platforms of the children, sorted, where the index names them.
    pub platforms: Vec<Platform>,
    /// Whether an index has children that were left out: other platforms.
    pub is_sparse: bool,
    /// Its part of what manifests may take in memory.
    pub(crate) _held: Arc<HeldManifests>,
}

impl Graph {
    /// Reads the manifests of `root` and of everything below it, each once.
    ///
    /// # Errors
    /// When one can't be read or isn't a manifest that can be mirrored.
    ///
    /// # Cancellation
    /// The future may be dropped at any time; what was read goes to the cache of the origin, if that has one.
    pub async fn read(
        source: &Origin,
        root: &Digest,
        platforms: &Platforms,
    ) -> Result<Graph, CopyError> {
        Graph::from(source, root, platforms, COMMON_MANIFEST_BYTES).await
    }

    /// The same for what refers to an image, of which there may be many.
    pub(crate) async fn of_referrer(source: &Origin, root: &Digest) -> Result<Graph, CopyError> {
        Graph::from(source, root, &Platforms::All, COMMON_REFERRER_BYTES).await
    }

    async fn from(
        source: &Origin,
        root: &Digest,
        platforms: &Platforms,
        share: u64,
    ) -> Result<Graph, CopyError> {
        if let Some(known) = source.cache.get(root) {
            return Graph::below(source, known, platforms, share).await;
        }
        let pull_lock = source.pull_lock().await;
        let pulls = source.reserve(1)?;
        let (manifest, _) = fetch(source, root.clone(), pulls.as_ref()).await?;
        let _turn = source.needed(pull_lock);
        Graph::complete(&Manifests::Source(source, share), manifest, platforms).await
    }

    /// Puts an image together from manifests that were read before.
    ///
    /// # Errors
    /// When one is missing or can't be mirrored.
    pub async fn saved(
        manifests: &ManifestSpool,
        root: &Digest,
        platforms: &Platforms,
    ) -> Result<Graph, CopyError> {
        let saved = Manifests::Saved(manifests);
        let (manifest, _) = saved.get(root.clone(), None).await?;
        Graph::complete(&saved, manifest, platforms).await
    }

    /// Reads everything below the manifest of a referrer that was read already.
    pub(crate) async fn below_referrer(
        source: &Origin,
        root: RawManifest,
    ) -> Result<Graph, CopyError> {
        Graph::below(source, root, &Platforms::All, COMMON_REFERRER_BYTES).await
    }

    async fn below(
        source: &Origin,
        root: RawManifest,
        platforms: &Platforms,
        share: u64,
    ) -> Result<Graph, CopyError> {
        let pull_lock = source.pull_lock().await;
        source.learn_pulls(root.digest()).await;
        let _turn = source.needed(pull_lock);
        Graph::complete(&Manifests::Source(source, share), root, platforms).await
    }

    async fn complete(
        source: &Manifests<'_>,
        root: RawManifest,
        platforms: &Platforms,
    ) -> Result<Graph, CopyError> {
        let links_of_root = links(&root)?;
        check(platforms, &links_of_root)?;
        let mut walk = Walk {
            root: root.digest().clone(),
            wanted: platforms,
            found: BTreeMap::new(),
            next: BTreeMap::new(),
            platforms: BTreeSet::new(),
            is_sparse: false,
            held: source.held(),
            depth: 0,
        };
        walk.add(root, links_of_root)?;
        loop {
            let level = walk.next_level()?;
            if level.is_empty() {
                return walk.end();
            }
            let pulls = source.reserve(&level).await?;
            let pulls = pulls.as_ref();
            let fetched = stream::iter(level).map(|digest| source.get(digest, pulls));
            let mut fetched = std::pin::pin!(fetched.buffered(AT_ONCE));
            while let Some((manifest, links)) = fetched.try_next().await? {
                walk.add(manifest, links)?;
            }
        }
    }

    /// The manifest that the tag names.
    pub fn root(&self) -> Option<&RawManifest> {
        self.waves.last().and_then(|wave| wave.first())
    }

    /// All manifests, children before parents.
    pub fn manifests(&self) -> impl Iterator<Item = &RawManifest> {
        self.waves.iter().flatten()
    }
}

/// A walk through an image, level by level. What is over a cap is known before it is fetched, as far as the image tells.
struct Walk<'a> {
    root: Digest,
    wanted: &'a Platforms,
    found: BTreeMap<Digest, (RawManifest, Links)>,
    /// Children that were not read yet, with the size that their parent claims.
    next: BTreeMap<Digest, u64>,
    platforms: BTreeSet<Platform>,
    is_sparse: bool,
    held: HeldManifests,
    depth: usize,
}

impl Walk<'_> {
    fn add(&mut self, manifest: RawManifest, mut links: Links) -> Result<(), CopyError> {
        self.held.add(manifest.bytes().len()).map_err(|why| self.over(why))?;
        let children = links.manifests.len();
        links.manifests.retain(|child| self.wanted.include(child.platform.as_ref()));
        self.is_sparse |= links.manifests.len() < children;
        let platforms = links.manifests.iter().filter_map(|child| child.platform.clone());
        self.platforms.extend(platforms.filter(|platform| platform.os != "unknown"));
        let children = links.manifests.iter();
        self.next.extend(children.map(|child| (child.digest.clone(), child.size)));
        self.found.insert(manifest.digest().clone(), (manifest, links));
        Ok(())
    }

    /// The next manifests to read; none at the end.
    fn next_level(&mut self) -> Result<Vec<Digest>, CopyError> {
        self.next.retain(|digest, _| !self.found.contains_key(digest));
        if self.next.is_empty() {
            return Ok(Vec::new());
        }
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(self.over(format!("it is nested deeper than {MAX_DEPTH} levels")));
        }
        if self.found.len() + self.next.len() > MAX_MANIFESTS {
            return Err(self.over(format!("it has over {MAX_MANIFESTS} manifests")));
        }
        let claimed = self.next.values().fold(0, |sum: u64, size| sum.saturating_add(*size));
        if claimed > MAX_IMAGE_MANIFEST_BYTES {
            let most = ByteSize(MAX_IMAGE_MANIFEST_BYTES);
            return Err(self.over(format!("its manifests have over {most}")));
        }
        Ok(std::mem::take(&mut self.next).into_keys().collect())
    }

    fn over(&self, why: String) -> CopyError {
        CopyError::new(Side::Source, format!("reading {}", self.root), Cause::TooMuch(why))
    }

    fn end(self) -> Result<Graph, CopyError> {
        let blobs = distinct_blobs(&self.found, &self.root)?;
        Ok(Graph {
            waves: waves(&self.root, self.found),
            blobs,
            platforms: self.platforms.into_iter().collect(),
            is_sparse: self.is_sparse,
            _held: Arc::new(self.held),
        })
    }
}

/// Where the manifests of an image come from.
enum Manifests<'a> {
    /// A registry, and the bytes that count for nobody else.
    Source(&'a Origin, u64),
    /// An earlier look at it.
    Saved(&'a ManifestSpool),
}

impl Manifests<'_> {
    fn held(&self) -> HeldManifests {
        match self {
            Manifests::Source(source, share) => HeldManifests::of(&source.room, *share),
            Manifests::Saved(_) => HeldManifests::default(),
        }
    }

    async fn reserve(&self, level: &[Digest]) -> Result<Option<Reservation<'_>>, CopyError> {
        let Manifests::Source(source, _) = self else { return Ok(None) };
        let unknown = level.iter().filter(|digest| source.cache.get(digest).is_none());
        let unknown: Vec<Digest> = unknown.cloned().collect();
        let reserved = source.reserve(unknown.len());
        if reserved.is_err() {
            source.read_some(&unknown).await;
        }
        reserved
    }

    async fn get(
        &self,
        digest: Digest,
        pulls: Option<&Reservation<'_>>,
    ) -> Result<(RawManifest, Links), CopyError> {
        let saved = match self {
            Manifests::Source(source, _) => return fetch(source, digest, pulls).await,
            Manifests::Saved(saved) => saved,
        };
        let step = || format!("reading manifest {}", digest.short());
        let fail = |why: String| CopyError::new(Side::Local, step(), Cause::Other(why));
        let manifest = saved.get(&digest).map_err(|error| fail(error.to_string()))?;
        let missing = || fail("the saved plan does not hold it".to_owned());
        let manifest = manifest.ok_or_else(missing)?;
        let links = links(&manifest)?;
        Ok((manifest, links))
    }
}

async fn fetch(
    source: &Origin,
    digest: Digest,
    pulls: Option<&Reservation<'_>>,
) -> Result<(RawManifest, Links), CopyError> {
    let manifest = source.manifest(&digest, pulls).await;
    let step = || format!("reading manifest {} of {}", digest.short(), source.store.repository());
    let manifest = manifest.map_err(|cause| CopyError::new(Side::Source, step(), cause))?;
    let links = links(&manifest)?;
    Ok((manifest, links))
}

fn distinct_blobs(
    found: &BTreeMap<Digest, (RawManifest, Links)>,
    root: &Digest,
) -> Result<Vec<Blob>, CopyError> {
    let mut distinct: BTreeMap<&Digest, Blob> = BTreeMap::new();
    for descriptor in found.values().flat_map(|(_, links)| &links.blobs) {
        let known = distinct.entry(&descriptor.digest).or_insert_with(|| Blob::of(descriptor));
        if known.size != descriptor.size {
            let (digest, other) = (&descriptor.digest, descriptor.size);
            let message = format!("blob {digest} has two sizes, {} and {other}", known.size);
            return Err(CopyError::new(
                Side::Source,
                format!("reading {root}"),
                Cause::Other(message),
            ));
        }
    }
    let mut blobs: Vec<Blob> = distinct.into_values().collect();
    blobs.sort_by(|a, b| b.size.cmp(&a.size).then_with(|| a.digest.cmp(&b.digest)));
    Ok(blobs)
}

/// Orders manifests by the longest way down to a leaf: equal heights never point to each other.
fn waves(
    root: &Digest,
    mut found: BTreeMap<Digest, (RawManifest, Links)>,
) -> Vec<Vec<RawManifest>> {
    let mut heights: BTreeMap<Digest, usize> = BTreeMap::new();
    height(root, &found, &mut heights);
    let mut ordered: Vec<(usize, Digest)> =
        heights.into_iter().map(|(digest, height)| (height, digest)).collect();
    ordered.sort_unstable();
    let mut waves: Vec<Vec<RawManifest>> = Vec::new();
    let mut current = None;
    for (height, digest) in ordered {
        let Some((manifest, _)) = found.remove(&digest) else { continue };
        if current.replace(height) != Some(height) {
            waves.push(Vec::new());
        }
        waves.extend(waves.last().is_none().then(Vec::new));
        if let Some(wave) = waves.last_mut() {
            wave.push(manifest);
        }
    }
    waves
}

/// A manifest cannot contain its own hash, so there are no cycles.
fn height(
    digest: &Digest,
    found: &BTreeMap<Digest, (RawManifest, Links)>,
    heights: &mut BTreeMap<Digest, usize>,
) -> usize {
    if let Some(known) = heights.get(digest) {
        return *known;
    }
    let children =
        found.get(digest).map(|(_, links)| links.manifests.as_slice()).unwrap_or_default();
    let height =
        children.iter().map(|child| height(&child.digest, found, heights) + 1).max().unwrap_or(0);
    heights.insert(digest.clone(), height);
    height
}
