//! Where an image comes from, and how its manifests are read there.

use std::sync::Arc;

use mirror_oci::{Digest, RawManifest, Repository};
use mirror_registry::{Host, ManifestRef, PullTurn, Reservation};

use crate::error::CopyError;
use crate::layout::Layout;
use crate::manifest_cache::ManifestCache;
use crate::manifest_room::ManifestRoom;

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
    /// What the manifests of a run may take in memory.
    pub room: Arc<ManifestRoom>,
    /// An image layout that has the blobs, read before anybody is asked.
    pub layout: Option<Arc<Layout>>,
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
    pub(crate) async fn learn_pulls(&self, root: &Digest) {
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
    ) -> Result<RawManifest, mirror_failure::RequestError> {
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
