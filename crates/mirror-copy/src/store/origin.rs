//! Where an image comes from, and how its manifests are read there.

use std::sync::Arc;

use mirror_failure::Cause;
use mirror_oci::{Digest, RawManifest};
use mirror_registry::{Host, ManifestRef, PullLock, Remote, Reservation};

use crate::error::CopyError;
use crate::graph::manifest_cache::ManifestCache;
use crate::graph::manifest_room::ManifestRoom;
use crate::store::Store;

/// Where an image comes from.
#[derive(Debug, Clone)]
pub struct Origin {
    /// Who says what a tag stands for, and what refers to a manifest.
    pub store: Store,
    /// Registries that have the same content by digest, asked first.
    pub first: Vec<Store>,
    /// Manifests that were pulled before, where pulls are counted.
    pub cache: Arc<ManifestCache>,
    /// What the manifests of a run may take in memory.
    pub room: Arc<ManifestRoom>,
}

impl Origin {
    /// Everywhere that content can be had by digest, the origin itself last.
    pub(crate) fn stores(&self) -> impl Iterator<Item = &Store> {
        self.first.iter().chain([&self.store])
    }

    /// The registries among them.
    pub(crate) fn remotes(&self) -> impl Iterator<Item = &Remote> {
        self.stores().filter_map(Store::remote)
    }

    /// Its host, where every manifest is asked for there and may be counted as a pull.
    fn counting(&self) -> Option<&Arc<Host>> {
        self.store.remote().filter(|_| self.first.is_empty()).map(Remote::host)
    }

    /// Whether its host is known to count no pulls.
    pub(crate) fn has_unlimited_pulls(&self) -> bool {
        self.store.remote().is_some_and(|remote| remote.host().has_unlimited_pulls())
    }

    /// Whether its host is known to count pulls.
    pub(crate) fn has_counted_pulls(&self) -> bool {
        self.store.remote().is_some_and(|remote| remote.host().pull_budget().is_some())
    }

    /// Sets the pulls of these manifests aside, so that no image is begun that can't be finished. Where alternatives may
    /// have them, only what the origin is really asked for counts.
    pub(crate) fn reserve(&self, manifests: usize) -> Result<Option<Reservation<'_>>, CopyError> {
        let Some(host) = self.counting().filter(|_| manifests > 0) else { return Ok(None) };
        let reserved = host.reserve_pulls(manifests as u64).map(Some);
        reserved.map_err(|error| {
            CopyError::source(format!("reading {}", self.store.repository()), error)
        })
    }

    /// Reads as many of these manifests as pulls are left for, if there are never enough for all of them: they are kept, and
    /// the next time there are fewer to read.
    pub(crate) async fn read_some(&self, manifests: &[Digest]) {
        let Some(host) = self.counting() else { return };
        let Some(budget) = host.pull_budget() else { return };
        if budget.most.is_none_or(|most| manifests.len() as u64 <= most) {
            return;
        }
        let Ok(pulls) = host.reserve_pulls(budget.left) else { return };
        let left = usize::try_from(budget.left).unwrap_or(usize::MAX);
        for digest in manifests.iter().take(left) {
            if let Err(error) = self.manifest(digest, Some(&pulls)).await {
                tracing::debug!(%error, "one that was to be kept for later");
            }
        }
    }

    /// The right to be the one who finds out what is left of a limit on pulls.
    pub(crate) async fn pull_lock(&self) -> Option<PullLock> {
        match self.counting() {
            Some(host) => Some(host.pull_lock().await),
            None => None,
        }
    }

    /// Finds out what is left of a limit on pulls, where nobody knows and a whole level is about to be read: by one look
    /// at the image, which is free. That it fails is found out again by who reads.
    pub(crate) async fn learn_pulls(&self, root: &Digest) {
        if let (Some(host), Some(remote)) = (self.counting(), self.store.remote())
            && host.has_unknown_pulls()
        {
            let _ = remote.head_manifest(ManifestRef::Digest(root)).await;
        }
    }

    /// Gives the lock to others when it has turned out that pulls are not limited.
    pub(crate) fn needed(&self, pull_lock: Option<PullLock>) -> Option<PullLock> {
        pull_lock.map(|pull_lock| pull_lock.unless(self.has_unlimited_pulls()))
    }

    /// A manifest by digest, from the first store that has it. `pulls` are those that were set aside.
    pub(crate) async fn manifest(
        &self,
        digest: &Digest,
        pulls: Option<&Reservation<'_>>,
    ) -> Result<RawManifest, Cause> {
        if let Some(known) = self.cache.get(digest) {
            return Ok(known);
        }
        let which = ManifestRef::Digest(digest);
        for remote in self.first.iter().filter_map(Store::remote) {
            match remote.get_manifest(which).await {
                Ok(manifest) => return Ok(manifest),
                Err(error) => {
                    tracing::debug!(%error, "the alternative did not deliver the manifest")
                }
            }
        }
        let manifest = match (&self.store, pulls) {
            (Store::Remote(remote), Some(pulls)) => remote.pull_manifest(pulls, which).await,
            (Store::Remote(remote), None) => remote.get_manifest(which).await,
            (Store::Layout(inside), _) => {
                return inside.manifest(digest).await.map_err(Cause::Other);
            }
        };
        let manifest = manifest.map_err(Cause::Request)?;
        self.keep(&manifest);
        Ok(manifest)
    }

    /// Keeps a manifest that has cost a pull.
    pub(crate) fn keep(&self, manifest: &RawManifest) {
        if self.has_counted_pulls() {
            self.cache.put(manifest);
        }
    }
}
