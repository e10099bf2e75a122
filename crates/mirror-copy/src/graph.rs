//! Everything an image consists of, as its source describes it.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;

use futures_util::{StreamExt, TryStreamExt, stream};
use mirror_oci::{ByteSize, Digest, Links, Platform, RawManifest, Repository};
use mirror_registry::{Host, ManifestRef, PullTurn, Reservation};

use crate::error::{Cause, CopyError, Side};
use crate::manifest_cache::ManifestCache;

/// Indexes of indexes are legal; more than a few levels, or thousands of manifests, are an attack.
const DEEPEST: usize = 8;
const MOST_MANIFESTS: usize = 2000;
const AT_ONCE: usize = 8;

/// A repository of a registry.
#[derive(Debug, Clone)]
pub struct Place {
    /// The registry.
    pub host: Arc<Host>,
    /// The repository in it.
    pub repository: Repository,
}

/// Where an image comes from.
#[derive(Debug, Clone)]
pub struct Source {
    /// Who says what a tag stands for.
    pub origin: Place,
    /// Who has the same content by digest, asked first.
    pub alternatives: Vec<Place>,
    /// Manifests that were pulled before, where pulls are counted.
    pub cache: Arc<ManifestCache>,
}

/// Which children of an index are wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selection {
    /// Every one.
    All,
    /// Those for these platforms. The index itself stays as it is.
    Platforms(Vec<Platform>),
}

/// An image: its manifests and the blobs they name.
#[derive(Debug, Clone)]
pub struct Graph {
    /// Manifests in the order of pushing: none points to a later wave. The last wave is the root alone.
    pub waves: Vec<Vec<RawManifest>>,
    /// Distinct blobs, the biggest first.
    pub blobs: Vec<Blob>,
    /// Platforms of the children, sorted, where the index names them.
    pub platforms: Vec<Platform>,
}

/// A config or layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blob {
    /// Which bytes.
    pub digest: Digest,
    /// How many.
    pub size: u64,
}

impl Selection {
    /// Every platform that is asked for must be there, or nobody would notice that one is not.
    fn check(&self, links: &Links) -> Result<(), CopyError> {
        let Selection::Platforms(wanted) = self else { return Ok(()) };
        let offered: Vec<&Platform> =
            links.manifests.iter().filter_map(|child| child.platform.as_ref()).collect();
        let missing =
            wanted.iter().find(|wanted| !offered.iter().any(|offered| wanted.accepts(offered)));
        missing.map_or(Ok(()), |missing| {
            Err(no_platform(missing, &offered, format!("looking for {missing}")))
        })
    }
}

/// An image that isn't made for a platform.
pub(crate) fn no_platform(wanted: &Platform, offered: &[&Platform], step: String) -> CopyError {
    let names: Vec<String> = offered.iter().map(ToString::to_string).collect();
    let message = match names.as_slice() {
        [] => format!("the image has no manifest for {wanted}; it is not an index of platforms"),
        names => format!("the image has no manifest for {wanted}, only for {}", names.join(", ")),
    };
    CopyError::new(Side::Source, step, Cause::Other(message))
}

impl fmt::Display for Blob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "blob {} ({})", self.digest.short(), ByteSize(self.size))
    }
}

impl Source {
    /// Everywhere that content can be had by digest, the origin last.
    pub(crate) fn places(&self) -> impl Iterator<Item = &Place> {
        self.alternatives.iter().chain([&self.origin])
    }

    /// Sets the pulls of these manifests aside, so that no image is begun that can't be finished. Where alternatives may
    /// have them, only what the origin is really asked for counts.
    pub(crate) fn reserve(&self, manifests: usize) -> Result<Option<Reservation<'_>>, CopyError> {
        if !self.alternatives.is_empty() || manifests == 0 {
            return Ok(None);
        }
        let reserved = self.origin.host.reserve_pulls(manifests as u64).map(Some);
        reserved.map_err(|error| {
            CopyError::source(format!("reading {}", self.origin.repository), error)
        })
    }

    pub(crate) async fn turn(&self) -> Option<PullTurn> {
        if self.alternatives.is_empty() { Some(self.origin.host.pull_turn().await) } else { None }
    }

    /// Finds out what is left of a limit on pulls, where nobody knows and a whole level is about to be read: by one look
    /// at the image, which is free. That it fails is found out again by who reads.
    async fn learn_pulls(&self, root: &Digest) {
        let Place { host, repository } = &self.origin;
        if self.alternatives.is_empty() && host.has_unknown_pulls() {
            let _ = host.head_manifest(repository, ManifestRef::Digest(root)).await;
        }
    }

    /// Gives a turn to others when it has turned out that pulls are not limited.
    pub(crate) fn needed(&self, turn: Option<PullTurn>) -> Option<PullTurn> {
        turn.map(|turn| turn.unless(self.origin.host.has_unlimited_pulls()))
    }

    /// A manifest by digest, from the first place that has it. `pulls` are those that were set aside.
    pub(crate) async fn manifest(
        &self,
        digest: &Digest,
        pulls: Option<&Reservation<'_>>,
    ) -> Result<RawManifest, mirror_registry::Error> {
        if let Some(known) = self.cache.get(digest) {
            return Ok(known);
        }
        let which = ManifestRef::Digest(digest);
        for place in &self.alternatives {
            match place.host.get_manifest(&place.repository, which).await {
                Ok(manifest) => return Ok(manifest),
                Err(error) => tracing::debug!(%error, "manifest not had from an alternative"),
            }
        }
        let Place { host, repository } = &self.origin;
        let manifest = match pulls {
            Some(pulls) => host.pull_manifest(pulls, repository, which).await?,
            None => host.get_manifest(repository, which).await?,
        };
        self.keep(&manifest);
        Ok(manifest)
    }

    /// Keeps a manifest that has cost a pull.
    pub(crate) fn keep(&self, manifest: &RawManifest) {
        if self.origin.host.pull_budget().is_some() {
            self.cache.put(manifest);
        }
    }
}

impl Graph {
    /// Reads the manifests of `root` and of everything below it, each once.
    ///
    /// # Errors
    /// When one can't be read or isn't a manifest that can be mirrored.
    pub async fn read(
        source: &Source,
        root: &Digest,
        selection: &Selection,
    ) -> Result<Graph, CopyError> {
        if let Some(known) = source.cache.get(root) {
            return Graph::below(source, known, selection).await;
        }
        let turn = source.turn().await;
        let pulls = source.reserve(1)?;
        let (manifest, _) = fetch(source, root.clone(), pulls.as_ref()).await?;
        let _turn = source.needed(turn);
        Graph::complete(&Manifests::Source(source), manifest, selection).await
    }

    /// Puts an image together from manifests that were read before.
    ///
    /// # Errors
    /// When one is missing or can't be mirrored.
    pub async fn saved(
        manifests: &BTreeMap<Digest, RawManifest>,
        root: &Digest,
        selection: &Selection,
    ) -> Result<Graph, CopyError> {
        let saved = Manifests::Saved(manifests);
        let (manifest, _) = saved.get(root.clone(), None).await?;
        Graph::complete(&saved, manifest, selection).await
    }

    /// Reads everything below a manifest that was read already.
    pub(crate) async fn below(
        source: &Source,
        root: RawManifest,
        selection: &Selection,
    ) -> Result<Graph, CopyError> {
        let turn = source.turn().await;
        source.learn_pulls(root.digest()).await;
        let _turn = source.needed(turn);
        Graph::complete(&Manifests::Source(source), root, selection).await
    }

    async fn complete(
        source: &Manifests<'_>,
        manifest: RawManifest,
        selection: &Selection,
    ) -> Result<Graph, CopyError> {
        let root = manifest.digest().clone();
        let root = &root;
        let mut found: HashMap<Digest, (RawManifest, Links)> = HashMap::new();
        let mut platforms = Vec::new();
        let mut links_of_root = links(&manifest)?;
        selection.check(&links_of_root)?;
        links_of_root.manifests.retain(|child| selected(selection, child.platform.as_ref()));
        platforms.extend(links_of_root.manifests.iter().filter_map(|child| child.platform.clone()));
        let mut level: Vec<Digest> =
            links_of_root.manifests.iter().map(|child| child.digest.clone()).collect();
        found.insert(root.clone(), (manifest, links_of_root));
        level.sort_unstable();
        level.dedup();
        for depth in 1.. {
            if level.is_empty() {
                break;
            }
            let pulls = source.reserve(&level)?;
            let mut fetched: Vec<(RawManifest, Links)> = stream::iter(level)
                .map(|digest| source.get(digest, pulls.as_ref()))
                .buffered(AT_ONCE)
                .try_collect()
                .await?;
            level = Vec::new();
            for (_, links) in &mut fetched {
                links.manifests.retain(|child| selected(selection, child.platform.as_ref()));
                platforms.extend(links.manifests.iter().filter_map(|child| child.platform.clone()));
                level.extend(links.manifests.iter().map(|child| child.digest.clone()));
            }
            found.extend(
                fetched
                    .into_iter()
                    .map(|(manifest, links)| (manifest.digest().clone(), (manifest, links))),
            );
            level.sort_unstable();
            level.dedup();
            level.retain(|digest| !found.contains_key(digest));
            if depth == DEEPEST || found.len() + level.len() > MOST_MANIFESTS {
                let message = format!(
                    "the index is nested deeper than {DEEPEST} levels or has over {MOST_MANIFESTS} manifests"
                );
                return Err(CopyError::new(
                    Side::Source,
                    format!("reading {root}"),
                    Cause::Other(message),
                ));
            }
        }
        platforms.retain(|platform| platform.os != "unknown");
        platforms.sort_unstable();
        platforms.dedup();
        let blobs = distinct_blobs(&found, root)?;
        Ok(Graph { waves: waves(root, found), blobs, platforms })
    }

    /// The root manifest.
    pub fn root(&self) -> Option<&RawManifest> {
        self.waves.last().and_then(|wave| wave.first())
    }

    /// All manifests, children before parents.
    pub fn manifests(&self) -> impl Iterator<Item = &RawManifest> {
        self.waves.iter().flatten()
    }
}

/// Where the manifests of an image come from.
enum Manifests<'a> {
    /// A registry.
    Source(&'a Source),
    /// An earlier look at it.
    Saved(&'a BTreeMap<Digest, RawManifest>),
}

impl Manifests<'_> {
    fn reserve(&self, level: &[Digest]) -> Result<Option<Reservation<'_>>, CopyError> {
        match self {
            Manifests::Source(source) => {
                let unknown = level.iter().filter(|digest| source.cache.get(digest).is_none());
                source.reserve(unknown.count())
            }
            Manifests::Saved(_) => Ok(None),
        }
    }

    async fn get(
        &self,
        digest: Digest,
        pulls: Option<&Reservation<'_>>,
    ) -> Result<(RawManifest, Links), CopyError> {
        let saved = match self {
            Manifests::Source(source) => return fetch(source, digest, pulls).await,
            Manifests::Saved(saved) => saved,
        };
        let step = || format!("reading manifest {}", digest.short());
        let missing = || Cause::Other("the saved plan does not hold it".to_owned());
        let manifest = saved
            .get(&digest)
            .cloned()
            .ok_or_else(|| CopyError::new(Side::Source, step(), missing()))?;
        let links = links(&manifest)?;
        Ok((manifest, links))
    }
}

async fn fetch(
    source: &Source,
    digest: Digest,
    pulls: Option<&Reservation<'_>>,
) -> Result<(RawManifest, Links), CopyError> {
    let manifest = source.manifest(&digest, pulls).await;
    let step = || format!("reading manifest {} of {}", digest.short(), source.origin.repository);
    let manifest = manifest.map_err(|error| CopyError::source(step(), error))?;
    let links = links(&manifest)?;
    Ok((manifest, links))
}

pub(crate) fn links(manifest: &RawManifest) -> Result<Links, CopyError> {
    let step = || format!("reading manifest {}", manifest.digest().short());
    manifest.links().map_err(|error| CopyError::new(Side::Source, step(), Cause::Manifest(error)))
}

/// Whether a child of an index is wanted.
pub(crate) fn selected(selection: &Selection, platform: Option<&Platform>) -> bool {
    match (selection, platform) {
        (Selection::All, _) => true,
        (Selection::Platforms(_), None) => false,
        (Selection::Platforms(wanted), Some(found)) => {
            wanted.iter().any(|wanted| wanted.accepts(found))
        }
    }
}

fn distinct_blobs(
    found: &HashMap<Digest, (RawManifest, Links)>,
    root: &Digest,
) -> Result<Vec<Blob>, CopyError> {
    let mut sizes: BTreeMap<&Digest, u64> = BTreeMap::new();
    for blob in found.values().flat_map(|(_, links)| &links.blobs) {
        let known = *sizes.entry(&blob.digest).or_insert(blob.size);
        if known != blob.size {
            let message = format!("blob {} has two sizes, {known} and {}", blob.digest, blob.size);
            return Err(CopyError::new(
                Side::Source,
                format!("reading {root}"),
                Cause::Other(message),
            ));
        }
    }
    let mut blobs: Vec<Blob> =
        sizes.into_iter().map(|(digest, size)| Blob { digest: digest.clone(), size }).collect();
    blobs.sort_by(|a, b| b.size.cmp(&a.size).then_with(|| a.digest.cmp(&b.digest)));
    Ok(blobs)
}

/// Orders manifests by the longest way down to a leaf: equal heights never point to each other.
fn waves(root: &Digest, mut found: HashMap<Digest, (RawManifest, Links)>) -> Vec<Vec<RawManifest>> {
    let mut heights: HashMap<Digest, usize> = HashMap::new();
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
    found: &HashMap<Digest, (RawManifest, Links)>,
    heights: &mut HashMap<Digest, usize>,
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
