//! Manifests at a target: children before parents, the tag last.

use futures_util::{StreamExt, TryStreamExt, stream};
use mirror_failure::{Cause, Side};
use mirror_oci::{RawManifest, Tag};
use mirror_registry::ManifestRef;

use crate::error::CopyError;
use crate::graph::Graph;
use crate::job::Target;

const AT_ONCE: usize = 6;

/// What a manifest is to be found under.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Under<'a> {
    /// Its digest.
    Digest,
    /// The tag or name that the target has.
    Own,
    /// Another tag of the same repository.
    Tag(&'a Tag),
}

/// Pushes all manifests of a graph, the root under `root`.
pub(crate) async fn graph(
    target: &Target,
    graph: &Graph,
    root: Under<'_>,
) -> Result<(), CopyError> {
    children(target, graph).await?;
    match graph.root() {
        Some(found) => manifest(target, found, root).await,
        None => Ok(()),
    }
}

/// Pushes all manifests of a graph but the root.
pub(crate) async fn children(target: &Target, graph: &Graph) -> Result<(), CopyError> {
    let Some((_, waves)) = graph.waves.split_last() else { return Ok(()) };
    for wave in waves {
        let pushes = stream::iter(wave).map(|child| manifest(target, child, Under::Digest));
        pushes.buffer_unordered(AT_ONCE).try_collect::<()>().await?;
    }
    Ok(())
}

/// Pushes one manifest.
pub(crate) async fn manifest(
    target: &Target,
    manifest: &RawManifest,
    under: Under<'_>,
) -> Result<(), CopyError> {
    match target {
        Target::Registry { host, repository, tag } => {
            let tag = match under {
                Under::Digest => None,
                Under::Own => tag.as_ref(),
                Under::Tag(tag) => Some(tag),
            };
            let which = tag.map_or(ManifestRef::Digest(manifest.digest()), ManifestRef::Tag);
            let put = match host.put_manifest(repository, which, manifest).await {
                // ECR refuses to put even the same image under an immutable tag; the one that is there may be from
                // another run, or from an attempt whose answer was lost.
                Err(error) if tag.is_some() && error.code() == Some("TAG_INVALID") => {
                    let found = host.head_manifest(repository, which).await;
                    let same = matches!(found, Ok(Some(found)) if found == *manifest.digest());
                    if same { Ok(()) } else { Err(error) }
                }
                outcome => outcome,
            };
            put.map_err(|error| {
                CopyError::destination(
                    format!("pushing manifest {}", manifest.digest().short()),
                    error,
                )
            })
        }
        Target::Layout { layout, repository, name } => {
            let name = match under {
                Under::Digest => None,
                Under::Own => Some(name.clone()),
                Under::Tag(tag) => Some(format!("{repository}:{tag}")),
            };
            let (layout, manifest) = (layout.clone(), manifest.clone());
            let write = tokio::task::spawn_blocking(move || {
                layout.put_manifest(&manifest, name.as_deref())
            });
            write.await.unwrap_or_else(|error| {
                Err(CopyError::new(
                    Side::Destination,
                    "writing a manifest",
                    Cause::Other(error.to_string()),
                ))
            })
        }
    }
}
