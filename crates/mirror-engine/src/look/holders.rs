//! Images that their source has no more, or can't give, and that a destination of ours holds: the day that a mirror is
//! for.

use std::sync::Arc;

use futures_util::{StreamExt, stream};
use mirror_copy::{Graph, Layout, ManifestSpool, Origin};
use mirror_failure::Failure;
use mirror_oci::{Digest, Platforms};
use mirror_plan::config::Location;
use mirror_plan::plan::Holder;
use mirror_plan::want::{Source, Target, Want, Wants};
use mirror_registry::ManifestRef;

use crate::address;
use crate::connections::Connections;

/// Blobs that are asked for at once.
const AT_ONCE: usize = 8;

/// An image at a destination.
pub(crate) struct HeldImage {
    pub(crate) graph: Arc<Graph>,
    pub(crate) holder: Holder,
}

/// Looks for an image at all destinations that get it under any tag, or may have got it once, but for those in `tried`.
/// It counts where all of it is there.
///
/// # Errors
/// Who nearly has it, or could not be asked.
pub(crate) async fn find(
    source: &Source,
    digest: &Digest,
    failure: &Failure,
    tried: &[Holder],
    wants: &Wants,
    connections: &Connections,
) -> Result<HeldImage, Option<String>> {
    let mut seen = Vec::new();
    let mut nearly = None;
    let named = || all(wants).filter(|want| want.source.name == source.name);
    let was_tried = |target: &Target| {
        tried.iter().any(|holder| {
            holder.destination == target.destination && holder.repository == target.repository
        })
    };
    // A registry tells more: what belongs to an image is found there as well.
    let in_layout = |want: &&Want| matches!(want.target.location, Location::Layout(_));
    for want in named().filter(|want| !in_layout(want)).chain(named().filter(in_layout)) {
        let location = (&want.target.location, &want.target.repository);
        if seen.contains(&location) || was_tried(&want.target) {
            continue;
        }
        seen.push(location);
        let whole = whole(&want.target, source, digest, connections).await;
        if let Err(Some(why)) = &whole {
            nearly = Some(format!("{} {why}", want.target.destination));
        }
        if let Ok(graph) = whole {
            let holder = Holder {
                destination: want.target.destination.clone(),
                repository: want.target.repository.clone(),
                failure: failure.clone(),
            };
            return Ok(HeldImage { graph: Arc::new(graph), holder });
        }
    }
    Err(nearly)
}

/// Where such an image is read from instead of its own origin.
pub(crate) fn origin(holder: &Holder, wants: &Wants, connections: &Connections) -> Option<Origin> {
    let target = all(wants).map(|want| &want.target).find(|target| {
        target.destination == holder.destination && target.repository == holder.repository
    })?;
    at(target, connections)
}

/// Wherever images go, or may have gone once.
fn all(wants: &Wants) -> impl Iterator<Item = &Want> {
    wants.wants.iter().chain(&wants.elsewhere)
}

fn at(target: &Target, connections: &Connections) -> Option<Origin> {
    Some(connections.origin_in(address::store(target, connections).ok()?))
}

/// The manifests of an image, if a destination has all of it; otherwise what is in the way, if it has any of it.
async fn whole(
    target: &Target,
    source: &Source,
    digest: &Digest,
    connections: &Connections,
) -> Result<Graph, Option<String>> {
    let platforms = &source.platforms;
    if let Location::Layout(folder) = &target.location {
        return in_layout(folder, digest, platforms, connections).await.ok_or(None);
    }
    let origin = at(target, connections).ok_or(None)?;
    let remote = origin.store.remote().ok_or(None)?;
    match remote.head_manifest(ManifestRef::Digest(digest)).await {
        Ok(Some(_)) => {}
        Err(error) if !error.may_mean_missing() => {
            return Err(Some(format!("could not be asked whether it holds the image: {error}")));
        }
        Ok(None) | Err(_) => return Err(None),
    }
    let partly = |why: String| Some(format!("holds the image, but not all of it: {why}"));
    let graph = Graph::read(&origin, digest, platforms).await;
    let graph = graph.map_err(|error| partly(error.to_string()))?;
    let looks = stream::iter(&graph.blobs).map(|blob| remote.has_blob(&blob.digest, blob.size));
    let found: Vec<_> = looks.buffer_unordered(AT_ONCE).collect().await;
    let missing = found.iter().filter(|found| !matches!(found, Ok(true))).count();
    if missing > 0 {
        let blobs = mirror_failure::count(missing as u64, "blob");
        return Err(partly(format!("{blobs} missing")));
    }
    Ok(graph)
}

async fn in_layout(
    folder: &str,
    digest: &Digest,
    platforms: &Platforms,
    connections: &Connections,
) -> Option<Graph> {
    let (layout, wanted, root) =
        (connections.layout(folder).ok()?, platforms.clone(), digest.clone());
    let read = move |layout: &Layout| layout.whole_image(&root, &wanted);
    let manifests = ManifestSpool::default();
    let whole = layout.run(read).await.ok()??;
    whole.values().try_for_each(|manifest| manifests.put(manifest)).ok()?;
    Graph::saved(&manifests, digest, platforms).await.ok()
}
