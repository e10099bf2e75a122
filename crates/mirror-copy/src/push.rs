//! Manifests at a target: children before parents, the tag last.

use futures_util::{StreamExt, TryStreamExt, stream};
use mirror_oci::RawManifest;

use crate::error::CopyError;
use crate::graph::Graph;
use crate::store::{Store, Under};

const AT_ONCE: usize = 6;

/// Pushes all manifests of a graph, the root under `root`.
pub(crate) async fn graph(store: &Store, graph: &Graph, root: Under<'_>) -> Result<(), CopyError> {
    children(store, graph).await?;
    match graph.root() {
        Some(found) => manifest(store, found, root).await,
        None => Ok(()),
    }
}

/// Pushes all manifests of a graph but the root.
pub(crate) async fn children(store: &Store, graph: &Graph) -> Result<(), CopyError> {
    let Some((_, waves)) = graph.waves.split_last() else { return Ok(()) };
    for wave in waves {
        let pushes = stream::iter(wave).map(|child| manifest(store, child, Under::Digest));
        pushes.buffer_unordered(AT_ONCE).try_collect::<()>().await?;
    }
    Ok(())
}

/// Pushes one manifest under its digest or a name.
pub(crate) async fn manifest(
    store: &Store,
    manifest: &RawManifest,
    under: Under<'_>,
) -> Result<(), CopyError> {
    let step = format!("pushing manifest {}", manifest.digest().short());
    store.put_manifest(manifest, under, &step).await
}
