//! Manifests at a target: children before parents, the tag last; and patience with a registry that does not know for a moment
//! what it has just taken.

use std::collections::BTreeSet;

use futures_util::{StreamExt, TryStreamExt, stream};
use mirror_failure::{Cause, Side};
use mirror_oci::{Digest, RawManifest};
use mirror_registry::ManifestRef;

use crate::blob::Blob;
use crate::copier::Copier;
use crate::error::CopyError;
use crate::graph::Graph;
use crate::graph::links::links;
use crate::job::CopyJob;
use crate::settling::Settling;
use crate::store::{Store, Under};

const AT_ONCE: usize = 6;

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
        let mut settling = Settling::new();
        let mut again = BTreeSet::new();
        loop {
            let puts = settling.put();
            let error = match put(&job.target.store, manifest, under).await {
                Err(error) if error.misses_content() => error,
                outcome => return outcome,
            };
            let left_out = self.left_out(job, graph, manifest, &error, puts).await?;
            if let Some(refusal) = left_out {
                return Err(refusal);
            }
            settling.after(error).await?;
            if puts >= ASK_AFTER {
                self.restore(job, graph, manifest, &mut again).await?;
            }
        }
    }

    /// The refusal of a manifest some of whose children or layers were left out, where all else is there: it is about those.
    async fn left_out(
        &self,
        job: &CopyJob,
        graph: &Graph,
        manifest: &RawManifest,
        error: &CopyError,
        puts: u32,
    ) -> Result<Option<CopyError>, CopyError> {
        let links = links(manifest)?;
        let taken = |digest: &Digest| graph.manifests().any(|one| one.digest() == digest);
        let (here, left_out): (Vec<_>, Vec<_>) =
            links.manifests.into_iter().map(|child| child.digest).partition(taken);
        let Cause::Request(refusal) = error.cause() else { return Ok(None) };
        let cause = match (left_out.is_empty(), links.foreign.is_empty()) {
            (false, _) => Cause::SparseIndex(refusal.clone()),
            // Many take these, and need a moment.
            (true, false) if puts >= ASK_AFTER => Cause::ForeignLayers(refusal.clone()),
            (true, _) => return Ok(None),
        };
        if !self.lacking(job, here).await.is_empty() {
            return Ok(None);
        }
        for blob in links.blobs.iter().map(Blob::of) {
            if !job.target.store.has_blob(&blob).await.unwrap_or(true) {
                return Ok(None);
            }
        }
        Ok(Some(CopyError::new(Side::Destination, step(manifest), cause)))
    }

    /// Puts again what a registry lacks of what a manifest points to, whatever it is below; each once.
    async fn restore(
        &self,
        job: &CopyJob,
        graph: &Graph,
        manifest: &RawManifest,
        again: &mut BTreeSet<Digest>,
    ) -> Result<(), CopyError> {
        let mut open = vec![manifest];
        let mut lost = Vec::new();
        while let Some(parent) = open.pop() {
            let links = links(parent)?;
            for blob in links.blobs.iter().map(Blob::of) {
                // Not to know is not to send it twice.
                let there = again.contains(&blob.digest)
                    || job.target.store.has_blob(&blob).await.unwrap_or(true);
                if !there {
                    again.insert(blob.digest.clone());
                    self.send(job, &blob).await?;
                }
            }
            let children = links.manifests.into_iter().map(|child| child.digest).collect();
            let lacking = self.lacking(job, children).await;
            for child in graph.manifests().filter(|child| lacking.contains(child.digest())) {
                if again.insert(child.digest().clone()) {
                    lost.push(child);
                    open.push(child);
                }
            }
        }
        // The deepest were found last.
        for child in lost.into_iter().rev() {
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
