//! Looking at sources and destinations: as few requests as possible, all at once.

pub(crate) mod before;
pub(crate) mod bulk;
pub(crate) mod holders;
pub mod incomplete;
pub mod outdated;
pub mod tags;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures_util::{StreamExt, stream};
use mirror_copy::{Graph, InLayout, Layout, Purpose, SpooledGraph};
use mirror_failure::{Failure, Side};
use mirror_oci::{Digest, Platforms, Version};
use mirror_plan::config::Location;
use mirror_plan::plan::{
    Answers, Closer, Depth, Draft, Holder, Image, Observed, Plan, Presence, ReviewNotes,
    source_link,
};
use mirror_plan::want::{Source, Target, Wants};
use mirror_registry::{ManifestRef, Remote};

use crate::connections::Connections;
use crate::graphs::Graphs;
use crate::look::incomplete::Closely;

/// Look-ups on their way at once; each host has its own, lower limit.
const AT_ONCE: usize = 256;

/// What to look at.
#[derive(Debug, Clone, Copy)]
pub struct Ask {
    /// What to find out beyond what is needed to compare.
    pub depth: Depth,
    /// Whether to find out what only a reviewer wants to know.
    pub review_notes: ReviewNotes,
    /// How closely to look at images whose tag has the right digest.
    pub closely: Closely,
}

/// Observes and plans.
///
/// `whole` is what is wanted, whatever part of it this is about: another part may hold what a source has lost.
///
/// # Cancellation
/// Looking changes nothing anywhere, so the future may be dropped at any time.
pub async fn plan(
    wants: &Wants,
    whole: &Wants,
    connections: &Connections,
    ask: Ask,
) -> (Plan, Graphs) {
    let mut draft = Draft::new(wants, compare(wants, connections).await);
    let incomplete = incomplete::look(&draft, connections, ask.closely).await;
    let owed = draft.fulfilled();
    let owed = owed.filter(|(want, digest)| connections.owes_signatures(&want.target, digest));
    let owed = owed.map(|(want, _)| want.target.clone()).collect();
    draft.look_closer(Closer { incomplete, owed });
    let questions = draft.questions(ask.depth, ask.review_notes);
    let mut answers = Answers {
        tags: moved(&questions.tags, connections).await,
        gone: before::gone(&questions.gone, connections).await,
        ..Answers::default()
    };
    let graphs = read_all(&questions.manifests, whole, connections, &mut answers).await;
    let context =
        before::LookContext { whole, connections, graphs: &graphs, holder: &answers.holder };
    answers.before = before::look(&questions.replaced, &context).await;
    answers.pulls_left = connections.pulls_left();
    (draft.settle(&answers), graphs)
}

/// Where the tags beside digests point by now.
async fn moved(pinned: &BTreeSet<&Source>, connections: &Connections) -> BTreeMap<Source, Digest> {
    let moved =
        all(pinned.clone(), |source| async move { tag_now(source, connections).await }).await;
    moved.into_iter().filter_map(|(source, digest)| Some((source, digest?))).collect()
}

/// Reads manifests, from the source or from whoever holds the image instead.
async fn read_all(
    wanted: &BTreeMap<&Source, &Digest>,
    wants: &Wants,
    connections: &Connections,
    answers: &mut Answers,
) -> Graphs {
    let sources = wanted.keys().copied().collect();
    let reads = all(sources, |source| {
        let root = wanted.get(source).copied();
        async move { read(source, root, wants, connections).await }
    });
    let mut graphs = Graphs::new();
    for (source, graph) in reads.await {
        let graph = graph.map(|Read { image, graph, holder }| {
            answers.holder.extend(holder.map(|holder| (source.clone(), holder)));
            (image, graph)
        });
        let (image, graph) = match graph {
            Ok((image, graph)) => (Ok(image), Ok(graph)),
            Err(failure) => (Err(failure.clone()), Err(failure)),
        };
        answers.images.insert(source.clone(), image);
        graphs.insert(source, graph);
    }
    graphs
}

/// What sources stand for, and what targets have.
///
/// Finding one platform of an index can cost a pull. Where the destination has nothing, that pull makes a copy; so those
/// come first, in case there are not enough for all.
async fn compare(wants: &Wants, connections: &Connections) -> Observed {
    let wanted: BTreeSet<&Source> = wants.wants.iter().map(|want| &want.source).collect();
    let (single, whole): (BTreeSet<&Source>, BTreeSet<&Source>) =
        wanted.into_iter().partition(|source| matches!(source.platforms, Platforms::One(_)));
    let nothing = BTreeMap::new();
    let (mut sources, mut targets) = tokio::join!(
        all(whole, |source| async move { resolve(source, Purpose::Compare, connections).await }),
        look_at_all(wants, connections, |target| target.tag.is_some(), &nothing),
    );
    let lacking =
        wants.wants.iter().filter(|want| targets.get(&want.target) == Some(&Ok(Presence::Absent)));
    let lacking: BTreeSet<&Source> = lacking.map(|want| &want.source).collect();
    let (first, then) = single.into_iter().partition(|source| lacking.contains(source));
    for (sources_now, purpose) in [(first, Purpose::Copy), (then, Purpose::Compare)] {
        let found =
            all(sources_now, |source| async move { resolve(source, purpose, connections).await });
        sources.extend(found.await);
    }
    // An image without a tag is found by its digest, which for one platform is known only when its source was asked.
    let untagged = look_at_all(wants, connections, |target| target.tag.is_none(), &sources);
    let (untagged, seen) =
        tokio::join!(untagged, bulk::look(wants, connections, resolved(wants, &sources)));
    targets.extend(untagged);
    targets.extend(seen.targets);
    targets
        .extend(look_at_each(wants, connections, |it| seen.refused.contains(it), &sources).await);
    let strangers = connections.strangers();
    Observed { sources, targets, repositories: seen.repositories, strangers }
}

/// What targets have, where the sources were looked at before.
pub async fn targets(
    wants: &Wants,
    connections: &Connections,
    sources: &BTreeMap<Source, Result<Digest, Failure>>,
) -> BTreeMap<Target, Result<Presence, Failure>> {
    let (mut found, seen) = tokio::join!(
        look_at_all(wants, connections, |_| true, sources),
        bulk::look(wants, connections, resolved(wants, sources)),
    );
    found.extend(seen.targets);
    found.extend(look_at_each(wants, connections, |it| seen.refused.contains(it), sources).await);
    found
}

/// The digest that a target is to have, as far as sources are known.
fn resolved(
    wants: &Wants,
    sources: &BTreeMap<Source, Result<Digest, Failure>>,
) -> impl Fn(&Target) -> Option<Digest> {
    let wants = wants.wants.iter();
    let known = wants.filter_map(|want| {
        let digest = sources.get(&want.source)?.as_ref().ok()?;
        Some((want.target.clone(), digest.clone()))
    });
    let known: BTreeMap<Target, Digest> = known.collect();
    move |target| known.get(target).cloned()
}

/// Looks at those targets that nobody can be asked about in bulk.
async fn look_at_all(
    wants: &Wants,
    connections: &Connections,
    which: impl Fn(&Target) -> bool,
    sources: &BTreeMap<Source, Result<Digest, Failure>>,
) -> BTreeMap<Target, Result<Presence, Failure>> {
    let in_bulk = |target: &Target| match &target.location {
        Location::Registry(registry) => connections.control_plane(registry).is_some(),
        Location::Layout(_) => false,
    };
    look_at_each(wants, connections, |target| which(target) && !in_bulk(target), sources).await
}

/// Looks at targets one by one.
async fn look_at_each(
    wants: &Wants,
    connections: &Connections,
    which: impl Fn(&Target) -> bool,
    sources: &BTreeMap<Source, Result<Digest, Failure>>,
) -> BTreeMap<Target, Result<Presence, Failure>> {
    let by_target: BTreeMap<&Target, &Source> =
        wants.wants.iter().map(|want| (&want.target, &want.source)).collect();
    let asked = by_target.keys().copied().filter(|target| which(target));
    all(asked.collect(), |target| {
        let source = by_target.get(target).copied();
        let digest = source.and_then(|source| sources.get(source)?.as_ref().ok().cloned());
        async move { look_at(target, source, digest, connections).await }
    })
    .await
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

async fn resolve(
    source: &Source,
    purpose: Purpose,
    connections: &Connections,
) -> Result<Digest, Failure> {
    let platform = match &source.platforms {
        Platforms::One(platform) => Some(platform),
        Platforms::All | Platforms::Some(_) => None,
    };
    connections
        .origin(&source.name)?
        .resolve(&source.version, platform, purpose)
        .await
        .map_err(Failure::from)
}

/// Where the tag of a pinned source points now. It is only noted, so a failure to find out is none.
async fn tag_now(source: &Source, connections: &Connections) -> Option<Digest> {
    let Version::Pinned(pinned) = &source.version else { return None };
    let tag = pinned.tag.as_ref()?;
    let remote = connections.remote(&source.name.registry, &source.name.repository).ok()?;
    remote.head_manifest(ManifestRef::Tag(tag)).await.ok()?
}

/// What a target has now. `digest` is what an image without a tag is found by.
async fn look_at(
    target: &Target,
    source: Option<&Source>,
    digest: Option<Digest>,
    connections: &Connections,
) -> Result<Presence, Failure> {
    match &target.location {
        Location::Layout(folder) => {
            let (layout, repository) = (connections.layout(folder)?, target.repository.clone());
            let inside = InLayout { layout: layout.clone(), repository };
            let name = inside.name(target.tag.as_ref(), digest.as_ref());
            let platforms = source.map_or(Platforms::All, |source| source.platforms.clone());
            // Reading many manifests takes its time, and others have answers to wait for.
            let look = move |layout: &Layout| {
                layout.whole_digest_of(&name, &platforms).map(Presence::of).map_err(Failure::from)
            };
            let broken = |error: std::io::Error| {
                Err(Failure::other(Side::Destination, format!("reading the layout: {error}")))
            };
            layout.run(look).await.unwrap_or_else(broken)
        }
        Location::Registry(registry) => {
            let remote = connections.remote(registry, &target.repository)?;
            let which = match (&target.tag, &digest) {
                (Some(tag), _) => ManifestRef::Tag(tag),
                (None, Some(digest)) => ManifestRef::Digest(digest),
                (None, None) => return Ok(Presence::Absent),
            };
            let wanted = source.and_then(|source| source.version.digest());
            found_at(&remote, which, wanted).await.map_err(|error| {
                let step = format!("looking up {}:{which}", target.repository);
                Failure::new(Side::Destination, &step, &error.into())
            })
        }
    }
}

/// What a registry has, with the digest by the hash function of the one that is wanted.
async fn found_at(
    remote: &Remote,
    which: ManifestRef<'_>,
    wanted: Option<&Digest>,
) -> Result<Presence, mirror_failure::RequestError> {
    let found = match remote.look_up(which).await {
        // An old image that may not be pulled any more can be replaced all the same: goharbor/harbor#23638.
        Err(error) if error.is_about_image() => {
            return Ok(Presence::Unreadable(error.kind().to_string()));
        }
        // If it is a real refusal, the push will tell.
        Err(error) if error.may_mean_missing() => return Ok(Presence::Absent),
        outcome => outcome?,
    };
    let (Some(found), Some(wanted)) = (&found, wanted) else { return Ok(Presence::of(found)) };
    if found.algorithm() == wanted.algorithm() {
        return Ok(Presence::There(found.clone()));
    }
    let manifest = remote.get_manifest(which).await?;
    Ok(Presence::There(Digest::of(wanted.algorithm(), manifest.bytes())))
}

/// An image whose manifests were read.
struct Read {
    image: Image,
    graph: Arc<SpooledGraph>,
    /// The destination that they are from, if the source does not give them.
    holder: Option<Holder>,
}

async fn read(
    source: &Source,
    root: Option<&Digest>,
    wants: &Wants,
    connections: &Connections,
) -> Result<Read, Failure> {
    let read = |graph: &Graph, holder| {
        let kept = SpooledGraph::keep(graph, connections.manifests(), &connections.room)?;
        Ok(Read { image: image(graph), graph: Arc::new(kept), holder })
    };
    let Some(root) = root else {
        return Err(Failure::other(Side::Source, format!("{source} was not resolved")));
    };
    let found = match connections.origin(&source.name) {
        Ok(origin) => Graph::read(&origin, root, &source.platforms).await.map_err(Failure::from),
        Err(failure) => Err(failure),
    };
    match found {
        Ok(graph) => read(&graph, None),
        Err(failure) => {
            match holders::find(source, root, &failure, &[], wants, connections).await {
                Ok(holders::HeldImage { graph, holder }) => read(&graph, Some(holder)),
                // Whoever nearly has it is more help than a look at the name.
                Err(Some(nearly)) => Err(failure.with_help(&nearly)),
                Err(None) => Err(failure),
            }
        }
    }
}

fn image(graph: &Graph) -> Image {
    Image {
        platforms: graph.platforms.clone(),
        is_sparse: graph.is_sparse,
        manifests: graph.manifests().map(|manifest| manifest.digest().clone()).collect(),
        blobs: graph.blobs.iter().map(|blob| (blob.digest.clone(), blob.size)).collect(),
        upstream: graph
            .manifests()
            .filter_map(|manifest| manifest.annotation("org.opencontainers.image.source"))
            .find_map(|annotation| source_link(&annotation)),
    }
}
