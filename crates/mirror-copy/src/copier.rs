//! Copying: blobs, then children, then the root under its tag.

use std::path::Path;
use std::time::Duration;

use futures_util::{StreamExt, TryFutureExt, TryStreamExt, stream};
use mirror_failure::{Cause, Side};
use mirror_oci::{Digest, RawManifest, Tag};
use mirror_registry::{Listener, ManifestRef, World};

use crate::blob::Blob;
use crate::blob::download::Downloads;
use crate::blob::mount_index::MountIndex;
use crate::blob::spool::Spool;
use crate::error::CopyError;
use crate::graph::Graph;
use crate::job::{Copied, CopyJob, Found, Moved, Parts, Traffic};
use crate::store::{Store, Under};

/// A look at a tag that is older is repeated before the tag is written.
const STILL_TRUE: Duration = Duration::from_secs(5 * 60);

/// Blobs of one image that are on their way at once. The hosts limit the sum over all images.
const BLOBS_AT_ONCE: usize = 6;

/// Copies images and remembers, over all of them, which blobs are where.
#[derive(Debug)]
pub struct Copier {
    pub(crate) downloads: Downloads,
    pub(crate) mounts: MountIndex,
    pub(crate) traffic: Listener<Traffic>,
}

impl Copier {
    /// Spools larger blobs in the folder `spool`, up to `limit` bytes, half of what is free if none is given. What
    /// moves is told to `traffic`.
    ///
    /// # Errors
    /// When the folder can't be used.
    pub fn new(
        spool: &Path,
        limit: Option<u64>,
        world: &World,
        traffic: Listener<Traffic>,
    ) -> Result<Copier, CopyError> {
        let opened = Spool::open(spool, limit, world);
        let opened = opened
            .map_err(|error| CopyError::io(Side::Local, "opening the spool", spool, &error))?;
        Ok(Copier { downloads: Downloads::new(opened), mounts: MountIndex::default(), traffic })
    }

    /// Announces the blobs of a job: what it shares with others is kept until all of them have it. Call it for each job
    /// before the first one is copied.
    pub fn expect(&self, blobs: &[Blob]) {
        blobs.iter().for_each(|blob| self.downloads.expect(&blob.digest));
    }

    /// Takes an announcement back: nothing of this job is copied.
    ///
    /// ```
    /// use mirror_copy::{Blob, Copier};
    /// use mirror_oci::{Algorithm, Digest};
    /// use mirror_registry::{Listener, World};
    ///
    /// # let spool = tempfile::tempdir()?;
    /// let copier = Copier::new(spool.path(), None, &World::real(), Listener::default())?;
    /// let blobs = [Blob { digest: Digest::of(Algorithm::Sha256, b"a layer"), size: 7, data: None }];
    /// copier.expect(&blobs);
    /// copier.forget(&blobs);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn forget(&self, blobs: &[Blob]) {
        self.settle_all(blobs, false);
    }

    fn settle_all(&self, blobs: &[Blob], arrived: bool) {
        for blob in blobs {
            if self.downloads.settle(&blob.digest, arrived) {
                self.mounts.let_go(&blob.digest);
            }
        }
    }

    /// Copies one image. When it fails, the tag still names what it named before.
    ///
    /// # Errors
    /// The first step that failed for good.
    ///
    /// # Cancellation
    /// When the future is dropped, blobs and manifests that are at the target stay there, and the tag names what it named
    /// before or the whole image. Jobs that share a download with this one go on. What was announced for it stays announced,
    /// which [`Copier::forget`] takes back.
    pub async fn copy(&self, job: &CopyJob) -> Result<Copied, CopyError> {
        let outcome = self.copy_parts(job).await;
        if outcome.is_ok() {
            self.remember_mounts(job);
        }
        self.settle(&job.graph, outcome.is_ok());
        outcome
    }

    /// Tells what moved for a job.
    pub(crate) fn moved(&self, job: &CopyJob, moved: Moved) {
        self.traffic.tell(Traffic { job: job.number, moved });
    }

    pub(crate) fn settle(&self, graph: &Graph, arrived: bool) {
        self.settle_all(&graph.blobs, arrived);
    }

    async fn copy_parts(&self, job: &CopyJob) -> Result<Copied, CopyError> {
        let own_blobs = async {
            match job.parts {
                Parts::Image => self.blobs(job, &job.graph).await,
                Parts::Referrers => Ok(()),
            }
        };
        // Looking for signatures goes on beside the blobs, so it costs no time; when those fail, nobody needs it.
        let ((), (found, warnings)) =
            tokio::try_join!(own_blobs, self.find_referrers(job).map_err(CopyError::of_referrers))?;
        let mut copied = Copied { warnings, attached: None };
        if job.parts == Parts::Image {
            // Without referrers the root goes up once, by tag; with them the tag waits until they are there.
            let root = if found.is_empty() { job.own_name() } else { Under::Digest };
            self.push_image(job, root).await?;
        }
        self.attach(job, &found, &mut copied).await.map_err(CopyError::of_referrers)?;
        if job.parts == Parts::Image && !found.is_empty() {
            self.push_root(job, job.own_name()).await?;
        }
        Ok(copied)
    }

    /// Manifests of the image.
    async fn push_image(&self, job: &CopyJob, root: Under<'_>) -> Result<(), CopyError> {
        self.push_children(job, &job.graph).await?;
        self.push_root(job, root).await
    }

    async fn push_root(&self, job: &CopyJob, root: Under<'_>) -> Result<(), CopyError> {
        let Some(manifest) = job.graph.root() else { return Ok(()) };
        if matches!(root, Under::Name(_)) && job.looked.elapsed() > STILL_TRUE {
            self.look_again(job, manifest).await?;
        }
        let pushed = self.push_manifest(job, &job.graph, manifest, root).await;
        match (pushed, root) {
            // Whoever heard nothing, or nonsense, finds out whether it is there.
            (Err(error), Under::Name(Some(tag)))
                if !error.is_refusal() && is_under(&job.target.store, tag, manifest).await =>
            {
                tracing::debug!(%error, "it is there all the same");
                Ok(())
            }
            (pushed, _) => pushed,
        }
    }

    /// Somebody may have pushed the tag while others were copied; what they did is not undone.
    async fn look_again(&self, job: &CopyJob, ours: &RawManifest) -> Result<(), CopyError> {
        let Some(tag) = &job.target.tag else { return Ok(()) };
        let found = match &job.target.store {
            Store::Remote(remote) => {
                let which = ManifestRef::Tag(tag);
                let step = format!("looking up {}:{tag}", remote.repository());
                let fail = |error| CopyError::destination(step.clone(), error);
                let found = match remote.look_up(which).await {
                    Err(error) if error.is_about_image() && job.expected == Found::Unreadable => {
                        return Ok(());
                    }
                    Err(error) if error.may_mean_missing() => None,
                    outcome => outcome.map_err(fail)?,
                };
                // A digest that is known by another hash function has to be computed.
                let known = match &job.expected {
                    Found::Digest(expected) => expected,
                    Found::Nothing | Found::Unreadable => ours.digest(),
                };
                match found {
                    Some(found) if found.algorithm() != known.algorithm() => {
                        let manifest = remote.find_manifest(which).await.map_err(fail)?;
                        manifest.map(|manifest| Digest::of(known.algorithm(), manifest.bytes()))
                    }
                    found => found,
                }
            }
            store => store.resolve(Some(tag), None).await?,
        };
        let found = found.map_or(Found::Nothing, Found::Digest);
        if found == job.expected || found == Found::Digest(ours.digest().clone()) {
            return Ok(());
        }
        let found = match found {
            Found::Digest(digest) => Some(digest),
            Found::Nothing | Found::Unreadable => None,
        };
        Err(CopyError::new(Side::Destination, "before the last step", Cause::Moved(found)))
    }

    pub(crate) async fn blobs(&self, job: &CopyJob, graph: &Graph) -> Result<(), CopyError> {
        let blobs = stream::iter(&graph.blobs)
            .map(|blob| self.blob(job, blob))
            .buffer_unordered(BLOBS_AT_ONCE);
        blobs.try_collect().await
    }
}

/// Whether a tag is known to name this manifest.
async fn is_under(store: &Store, tag: &Tag, manifest: &RawManifest) -> bool {
    let looking = format!("looking for {tag}");
    let found = store.digest_of_tag(tag, manifest.digest(), &looking).await;
    found.is_ok_and(|found| found.as_ref() == Some(manifest.digest()))
}
