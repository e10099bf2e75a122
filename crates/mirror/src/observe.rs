//! Looking at sources and destinations: as few requests as possible, all at once.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures_util::{StreamExt, stream};
use mirror_copy::{Graph, Selection};
use mirror_oci::{Digest, Version};
use mirror_plan::{Failure, Image, Observed, Place, Plan, Platforms, Side, Source, Target, Wants};
use mirror_registry::ManifestRef;

use crate::hosts::{Hosts, failure};

/// Look-ups on their way at once; each host has its own, lower limit.
const AT_ONCE: usize = 256;

/// Manifests that were read, by source.
pub(crate) type Graphs = BTreeMap<Source, Arc<Graph>>;

/// Which questions to ask beyond what is needed to compare.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Depth {
    /// Compare digests.
    Digests,
    /// And read the manifests of what will be copied.
    Manifests,
    /// And of everything else.
    All,
}

/// Whether to ask where the tags beside digests point by now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tags {
    /// Ask, for what will be copied.
    Ask,
    /// Don't.
    Leave,
}

/// Observes and plans.
pub(crate) async fn plan(wants: &Wants, hosts: &Hosts, depth: Depth, tags: Tags) -> (Plan, Graphs) {
    let mut observed = Observed::default();
    let sources: BTreeSet<&Source> = wants.wants.iter().map(|want| &want.source).collect();
    let targets: BTreeSet<&Target> = wants.wants.iter().map(|want| &want.target).collect();
    let digests: BTreeMap<&Target, &Version> =
        wants.wants.iter().map(|want| (&want.target, &want.source.version)).collect();
    let (found_sources, found_targets) = tokio::join!(
        all(sources, |source| async move { resolve(source, hosts).await }),
        all(targets, |target| {
            let version = digests.get(target).copied();
            async move { look_at(target, version, hosts).await }
        }),
    );
    observed.sources = found_sources;
    observed.targets = found_targets;
    let mut graphs = Graphs::new();
    let rough = Plan::new(wants, &observed);
    let copied: BTreeSet<&Source> =
        rough.copies().filter_map(|copy| copy.want.as_ref().map(|want| &want.0)).collect();
    if tags == Tags::Ask {
        let moved = all(copied.clone(), |source| async move { tag_now(source, hosts).await }).await;
        observed.tags =
            moved.into_iter().filter_map(|(source, digest)| Some((source, digest?))).collect();
    }
    if depth != Depth::Digests {
        let mut copied = copied;
        if depth == Depth::All {
            copied.extend(
                rough.unchanged.iter().filter_map(|item| item.want.as_ref().map(|want| &want.0)),
            );
        }
        let seen = &observed.sources;
        let read = all(copied, |source| async move { read(source, seen, hosts).await }).await;
        for (source, graph) in read {
            observed.images.insert(
                source.clone(),
                graph.as_ref().map(|graph| image(graph)).map_err(Clone::clone),
            );
            graphs.extend(graph.ok().map(|graph| (source, graph)));
        }
    }
    observed.pulls_left = hosts.pulls_left();
    (Plan::new(wants, &observed), graphs)
}

/// Asks one question about each key, many at once.
async fn all<'a, K, V, F>(keys: BTreeSet<&'a K>, question: impl Fn(&'a K) -> F) -> BTreeMap<K, V>
where
    K: Clone + Ord + 'a,
    F: Future<Output = V>,
{
    let ask = |key: &'a K| {
        let answer = question(key);
        async move { (key.clone(), answer.await) }
    };
    stream::iter(keys).map(ask).buffer_unordered(AT_ONCE).collect().await
}

fn place(source: &Source, hosts: &Hosts) -> Result<mirror_copy::Source, Failure> {
    hosts.source(&source.name)
}

async fn resolve(source: &Source, hosts: &Hosts) -> Result<Digest, Failure> {
    let platform = match &source.platforms {
        Platforms::One(platform) => Some(platform),
        Platforms::All | Platforms::Some(_) => None,
    };
    place(source, hosts)?.resolve(&source.version, platform).await.map_err(failure)
}

/// Where the tag of a pinned source points now. This is a remark, so a failure to find out is none.
async fn tag_now(source: &Source, hosts: &Hosts) -> Option<Digest> {
    let Version::Pinned(pinned) = &source.version else { return None };
    let tag = pinned.tag.as_ref()?;
    let place = place(source, hosts).ok()?;
    let origin = place.origin;
    origin.host.head_manifest(&origin.repository, ManifestRef::Tag(tag)).await.ok()?
}

async fn look_at(
    target: &Target,
    version: Option<&Version>,
    hosts: &Hosts,
) -> Result<Option<Digest>, Failure> {
    match &target.place {
        Place::Layout(folder) => hosts
            .layout(folder)?
            .digest_of(&layout_name(target, version.and_then(Version::digest)))
            .map_err(failure),
        Place::Registry(registry) => {
            let host = hosts.registry(registry)?;
            let which = match (&target.tag, version.and_then(Version::digest)) {
                (Some(tag), _) => ManifestRef::Tag(tag),
                (None, Some(digest)) => ManifestRef::Digest(digest),
                (None, None) => return Ok(None),
            };
            host.head_manifest(&target.repository, which).await.map_err(|error| Failure {
                side: Side::Destination,
                message: format!("looking up {}:{which}: {error}", target.repository),
                deferred: false,
                help: error.help(),
            })
        }
    }
}

/// What an image is called in a layout: `repository:tag`, or `repository@digest` without a tag.
pub(crate) fn layout_name(target: &Target, digest: Option<&Digest>) -> String {
    match (&target.tag, digest) {
        (Some(tag), _) => format!("{}:{tag}", target.repository),
        (None, Some(digest)) => format!("{}@{digest}", target.repository),
        (None, None) => target.repository.to_string(),
    }
}

async fn read(
    source: &Source,
    resolved: &BTreeMap<Source, Result<Digest, Failure>>,
    hosts: &Hosts,
) -> Result<Arc<Graph>, Failure> {
    let selection = match &source.platforms {
        Platforms::Some(platforms) => Selection::Platforms(platforms.clone()),
        Platforms::All | Platforms::One(_) => Selection::All,
    };
    let Some(Ok(root)) = resolved.get(source) else {
        return Err(Failure {
            side: Side::Source,
            message: format!("{source} was not resolved"),
            deferred: false,
            help: None,
        });
    };
    Graph::read(&place(source, hosts)?, root, &selection).await.map(Arc::new).map_err(failure)
}

fn image(graph: &Graph) -> Image {
    Image {
        platforms: graph.platforms.clone(),
        manifests: graph.manifests().map(|manifest| manifest.digest().clone()).collect(),
        blobs: graph.blobs.iter().map(|blob| (blob.digest.clone(), blob.size)).collect(),
    }
}
