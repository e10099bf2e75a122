//! Where an image comes from, and how its manifests are read there.

use std::sync::Arc;

use mirror_oci::{Digest, RawManifest};
use mirror_registry::{ManifestRef, PullTurn, Remote, Reservation};

use crate::error::CopyError;
use crate::graph::manifest_cache::ManifestCache;
use crate::graph::manifest_room::ManifestRoom;
use crate::store::Store;

/// Where an image comes from.
#[derive(Debug, Clone)]
pub struct Origin {
    /// Who says what a tag stands for.
    pub remote: Remote,
    /// What has the same content by digest, asked first: other registries, or an image layout that has the blobs.
    pub first: Vec<Store>,
    /// Manifests that were pulled before, where pulls are counted.
    pub cache: Arc<ManifestCache>,
    /// What the manifests of a run may take in memory.
    pub room: Arc<ManifestRoom>,
}

impl Origin {
    /// Everywhere that content can be had by digest, the origin itself last.
    pub(crate) fn stores(&self) -> impl Iterator<Item = Store> {
        self.first.iter().cloned().chain([Store::Remote(self.remote.clone())])
    }

    /// The registries among them.
    pub(crate) fn remotes(&self) -> impl Iterator<Item = &Remote> {
        let first = self.first.iter().filter_map(|store| match store {
            Store::Remote(remote) => Some(remote),
            Store::Layout(_) => None,
        });
        first.chain([&self.remote])
    }

    /// Sets the pulls of these manifests aside, so that no image is begun that can't be finished. Where alternatives may
    /// have them, only what the origin is really asked for counts.
    pub(crate) fn reserve(&self, manifests: usize) -> Result<Option<Reservation<'_>>, CopyError> {
        if !self.first.is_empty() || manifests == 0 {
            return Ok(None);
        }
        let reserved = self.remote.host().reserve_pulls(manifests as u64).map(Some);
        reserved.map_err(|error| {
            CopyError::source(format!("reading {}", self.remote.repository()), error)
        })
    }

    pub(crate) async fn turn(&self) -> Option<PullTurn> {
        if self.first.is_empty() { Some(self.remote.host().pull_turn().await) } else { None }
    }

    /// Finds out what is left of a limit on pulls, where nobody knows and a whole level is about to be read: by one look
    /// at the image, which is free. That it fails is found out again by who reads.
    pub(crate) async fn learn_pulls(&self, root: &Digest) {
        if self.first.is_empty() && self.remote.host().has_unknown_pulls() {
            let _ = self.remote.head_manifest(ManifestRef::Digest(root)).await;
        }
    }

    /// Gives a turn to others when it has turned out that pulls are not limited.
    pub(crate) fn needed(&self, turn: Option<PullTurn>) -> Option<PullTurn> {
        turn.map(|turn| turn.unless(self.remote.host().has_unlimited_pulls()))
    }

    /// A manifest by digest, from the first place that has it. `pulls` are those that were set aside.
    pub(crate) async fn manifest(
        &self,
        digest: &Digest,
        pulls: Option<&Reservation<'_>>,
    ) -> Result<RawManifest, mirror_failure::RequestError> {
        if let Some(known) = self.cache.get(digest) {
            return Ok(known);
        }
        let which = ManifestRef::Digest(digest);
        for store in &self.first {
            let Store::Remote(remote) = store else { continue };
            match remote.get_manifest(which).await {
                Ok(manifest) => return Ok(manifest),
                Err(error) => tracing::debug!(%error, "manifest not had from an alternative"),
            }
        }
        let manifest = match pulls {
            Some(pulls) => self.remote.pull_manifest(pulls, which).await?,
            None => self.remote.get_manifest(which).await?,
        };
        self.keep(&manifest);
        Ok(manifest)
    }

    /// Keeps a manifest that has cost a pull.
    pub(crate) fn keep(&self, manifest: &RawManifest) {
        if self.remote.host().pull_budget().is_some() {
            self.cache.put(manifest);
        }
    }
}
