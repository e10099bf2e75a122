//! Manifests at a target: children before parents, the tag last; and patience with a registry that does not know for a moment
//! what it has just taken.

use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt, stream};
use mirror_failure::{Cause, Side};
use mirror_oci::{Digest, RawManifest};
use mirror_registry::ManifestRef;
use tokio::time::Instant;

use crate::blob::Blob;
use crate::copier::Copier;
use crate::error::CopyError;
use crate::graph::Graph;
use crate::graph::links::links;
use crate::job::CopyJob;
use crate::store::{Store, Under};

const AT_ONCE: usize = 6;

/// So often a manifest is put that the registry refuses because it lacks what the manifest points to, in so much time: some
/// need seconds to know what they have (infobloxopen/konk#626, openshift/image-registry#220, estesp/manifest-tool#191).
const MOST_PUTS: u32 = 8;
const LONGEST: Duration = Duration::from_secs(10);
/// The pause after the first refusal; each further one is twice as long, up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// From this refusal on, the registry is asked what it lacks.
const ASK_AFTER: u32 = 4;

impl Copier {
    /// Pushes all manifests of a graph, the root under `root`.
    pub(crate) async fn push_graph(
        &self,
        job: &CopyJob,
        graph: &Graph,
        root: Under<'_>,
    ) -> Result<(), CopyError> {
        self.push_children(job, graph).await?;
        match graph.root() {
            Some(manifest) => self.push_manifest(job, graph, manifest, root).await,
            None => Ok(()),
        }
    }

    /// Pushes all manifests of a graph but the root.
    pub(crate) async fn push_children(
        &self,
        job: &CopyJob,
        graph: &Graph,
    ) -> Result<(), CopyError> {
        let Some((_, waves)) = graph.waves.split_last() else { return Ok(()) };
        for wave in waves {
            let pushes = stream::iter(wave)
                .map(|child| self.push_manifest(job, graph, child, Under::Digest));
            pushes.buffer_unordered(AT_ONCE).try_collect::<()>().await?;
        }
        Ok(())
    }

    /// Pushes one manifest under its digest or a name. A registry that does not know yet what it points to is asked again for
    /// some seconds, then what it lacks, and nothing else, is put there again.
    pub(crate) async fn push_manifest(
        &self,
        job: &CopyJob,
        graph: &Graph,
        manifest: &RawManifest,
        under: Under<'_>,
    ) -> Result<(), CopyError> {
        let began = Instant::now();
        let mut pause = FIRST_PAUSE;
        for puts in 1.. {
            let error = match put(&job.target.store, manifest, under).await {
                Err(error) if error.misses_content() => error,
                outcome => return outcome,
            };
            if let Some(sparse) = self.refused_as_sparse(job, graph, manifest, &error).await? {
                return Err(sparse);
            }
            if puts >= MOST_PUTS || began.elapsed() + pause > LONGEST {
                return Err(error.after(puts, began.elapsed()));
            }
            tracing::debug!(%error, ?pause, "the destination does not know yet what it has");
            tokio::time::sleep(pause).await;
            if puts >= ASK_AFTER {
                self.restore(job, graph, manifest).await?;
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
        Ok(())
    }

    /// The refusal of an index some of whose children were left out, where all others are there: it is about those.
    async fn refused_as_sparse(
        &self,
        job: &CopyJob,
        graph: &Graph,
        manifest: &RawManifest,
        error: &CopyError,
    ) -> Result<Option<CopyError>, CopyError> {
        let children = links(manifest)?.manifests;
        let taken = |digest: &Digest| graph.manifests().any(|one| one.digest() == digest);
        let (here, left_out): (Vec<_>, Vec<_>) =
            children.into_iter().map(|child| child.digest).partition(taken);
        let Cause::Request(refusal) = error.cause() else { return Ok(None) };
        if left_out.is_empty() || !self.lacking(job, here).await.is_empty() {
            return Ok(None);
        }
        let cause = Cause::SparseIndex(refusal.clone());
        Ok(Some(CopyError::new(Side::Destination, step(manifest), cause)))
    }

    /// Puts again what a registry lacks of what a manifest points to, whatever it is below.
    async fn restore(
        &self,
        job: &CopyJob,
        graph: &Graph,
        manifest: &RawManifest,
    ) -> Result<(), CopyError> {
        let mut open = vec![manifest];
        let mut again = Vec::new();
        while let Some(parent) = open.pop() {
            let links = links(parent)?;
            for blob in links.blobs.iter().map(Blob::of) {
                // Not to know is not to send it twice.
                if !job.target.store.has_blob(&blob).await.unwrap_or(true) {
                    self.send(job, &blob).await?;
                }
            }
            let children = links.manifests.into_iter().map(|child| child.digest).collect();
            let lacking = self.lacking(job, children).await;
            for child in graph.manifests().filter(|child| lacking.contains(child.digest())) {
                again.push(child);
                open.push(child);
            }
        }
        // The deepest were found last.
        for child in again.into_iter().rev() {
            put(&job.target.store, child, Under::Digest).await?;
        }
        Ok(())
    }

    /// Which of these manifests a registry says it lacks.
    async fn lacking(&self, job: &CopyJob, digests: Vec<Digest>) -> Vec<Digest> {
        let Store::Remote(remote) = &job.target.store else { return Vec::new() };
        let looks = stream::iter(digests).map(|digest| async move {
            let found = remote.head_manifest(ManifestRef::Digest(&digest)).await;
            matches!(found, Ok(None)).then_some(digest)
        });
        looks.buffered(AT_ONCE).filter_map(std::future::ready).collect().await
    }
}

async fn put(store: &Store, manifest: &RawManifest, under: Under<'_>) -> Result<(), CopyError> {
    store.put_manifest(manifest, under, &step(manifest)).await
}

fn step(manifest: &RawManifest) -> String {
    format!("pushing manifest {}", manifest.digest().short())
}
