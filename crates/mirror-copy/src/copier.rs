//! Copying: blobs, then children, then the root under its tag.

use std::path::Path;
use std::sync::Arc;

use futures_util::{StreamExt, TryStreamExt, stream};
use mirror_oci::{RawManifest, Repository, Tag};
use mirror_registry::{Host, ManifestRef, Upload};
use tokio::sync::mpsc::UnboundedSender;

use crate::download::{Download, Downloads};
use crate::error::{Cause, CopyError, Side};
use crate::graph::{Blob, Graph, Source};
use crate::landing::Landings;
use crate::layout::Layout;
use crate::spool::Spool;

/// Blobs of one image that are on their way at once. The hosts limit the sum over all images.
const BLOBS_AT_ONCE: usize = 6;

/// Copies images and remembers, over all of them, which blobs are where.
#[derive(Debug)]
pub struct Copier {
    downloads: Downloads,
    landings: Landings,
    events: UnboundedSender<Event>,
}

/// An image to copy.
#[derive(Debug, Clone)]
pub struct Job {
    /// How events call it.
    pub number: usize,
    /// Where it comes from.
    pub source: Source,
    /// What it consists of.
    pub graph: Arc<Graph>,
    /// Where it goes.
    pub target: Target,
}

/// Where an image goes.
#[derive(Debug, Clone)]
pub enum Target {
    /// A repository of a registry.
    Registry {
        /// The registry.
        host: Arc<Host>,
        /// The repository.
        repository: Repository,
        /// The tag; without one the image is reached by its digest.
        tag: Option<Tag>,
    },
    /// An OCI image layout.
    Layout {
        /// The layout.
        layout: Arc<Layout>,
        /// The name of the image in it.
        name: String,
    },
}

/// Something moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// Bytes came from the source, on behalf of this job.
    Fetched(usize, u64),
    /// Bytes went to the destination of this job.
    Pushed(usize, u64),
    /// A blob of so many bytes is at the destination of this job, sent or found there.
    Landed(usize, u64),
}

/// What was moved for one job.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Transfer {
    /// Bytes of blobs read from the source.
    pub fetched_bytes: u64,
    /// Bytes of blobs written to the destination.
    pub pushed_bytes: u64,
    /// Blobs that were there already, or could be mounted.
    pub reused_blobs: u64,
}

impl Copier {
    /// Spools larger blobs in the folder `spool`, up to `limit` bytes, half of what is free if none is given. What
    /// moves is told to `events`.
    ///
    /// # Errors
    /// When the folder can't be used.
    pub fn new(
        spool: &Path,
        limit: Option<u64>,
        events: UnboundedSender<Event>,
    ) -> Result<Copier, CopyError> {
        let opened = Spool::open(spool, limit);
        let opened = opened.map_err(|error| {
            CopyError::io(Side::Destination, "opening the spool", spool, &error)
        })?;
        Ok(Copier { downloads: Downloads::new(opened), landings: Landings::default(), events })
    }

    /// Announces a job: what it shares with others is kept until all of them have it. Each job is announced before
    /// the first one is copied.
    pub fn expect(&self, job: &Job) {
        job.graph.blobs.iter().for_each(|blob| self.downloads.expect(&blob.digest));
    }

    /// Copies one image. When it fails, or the future is dropped, the tag still names what it named before.
    ///
    /// # Errors
    /// The first step that failed for good.
    pub async fn copy(&self, job: &Job) -> Result<Transfer, CopyError> {
        let outcome = self.copy_parts(job).await;
        job.graph
            .blobs
            .iter()
            .for_each(|blob| self.downloads.settle(&blob.digest, outcome.is_ok()));
        outcome
    }

    async fn copy_parts(&self, job: &Job) -> Result<Transfer, CopyError> {
        let blobs = stream::iter(&job.graph.blobs)
            .map(|blob| self.blob(job, blob))
            .buffer_unordered(BLOBS_AT_ONCE);
        let transfer = blobs
            .try_fold(Transfer::default(), |sum, one| async move { Ok(sum.plus(one)) })
            .await?;
        for wave in &job.graph.waves {
            let pushes = stream::iter(wave)
                .map(|manifest| push_manifest(job, manifest))
                .buffer_unordered(BLOBS_AT_ONCE);
            pushes.try_collect::<()>().await?;
        }
        Ok(transfer)
    }

    /// Brings one blob to the target, once for all images that want it there.
    async fn blob(&self, job: &Job, blob: &Blob) -> Result<Transfer, CopyError> {
        let transfer = match &job.target {
            Target::Registry { host, repository, .. } => {
                let landing = self.landings.get(host.name(), &blob.digest);
                let mut landed = landing.lock().await;
                let mut transfer = None;
                if !landed.contains(repository) {
                    // Mounting from itself asks whether the blob is there, in the request that opens the upload.
                    let from = landed.first().unwrap_or(repository).clone();
                    transfer =
                        again(async || self.upload(job, blob, host, repository, &from).await)
                            .await?;
                    landed.push(repository.clone());
                }
                transfer
            }
            Target::Layout { layout, .. } => {
                again(async || self.write(job, blob, layout).await).await?
            }
        };
        let _ = self.events.send(Event::Landed(job.number, blob.size));
        Ok(transfer.unwrap_or(Transfer { reused_blobs: 1, ..Transfer::default() }))
    }

    /// `None` when the registry had the blob.
    async fn upload(
        &self,
        job: &Job,
        blob: &Blob,
        host: &Host,
        repository: &Repository,
        from: &Repository,
    ) -> Brought {
        let mut wanted = Wanted::default();
        let upload = host.upload_blob(repository, &blob.digest, blob.size, from, || {
            let download = self.download(job, blob, &mut wanted);
            let (events, number) = (self.events.clone(), job.number);
            async move {
                let body = download.body().await?;
                Ok(Box::pin(body.inspect(move |piece| {
                    let length = piece.as_ref().map_or(0, bytes::Bytes::len) as u64;
                    let _ = events.send(Event::Pushed(number, length));
                })) as mirror_registry::UploadBody)
            }
        });
        match upload.await {
            Ok(Upload::Reused) => Ok(None),
            Ok(Upload::Sent) => Ok(Some(wanted.transfer(blob))),
            Err(error) => {
                Err(wanted.failed(|| CopyError::destination(format!("upload of {blob}"), error)))
            }
        }
    }

    /// `None` when the layout had the blob.
    async fn write(&self, job: &Job, blob: &Blob, layout: &Layout) -> Brought {
        if layout.has(&blob.digest, blob.size) {
            return Ok(None);
        }
        let mut wanted = Wanted::default();
        let download = self.download(job, blob, &mut wanted);
        let write = async { layout.put_blob(&blob.digest, download.body().await?).await };
        match write.await {
            Ok(()) => {
                let _ = self.events.send(Event::Pushed(job.number, blob.size));
                Ok(Some(wanted.transfer(blob)))
            }
            Err(error) => Err(wanted.failed(|| {
                layout.wrong(&format!("writing {blob}"), &layout.path(&blob.digest), &error)
            })),
        }
    }

    /// The running download of a blob, or a new one. One that failed is not joined.
    fn download(&self, job: &Job, blob: &Blob, wanted: &mut Wanted) -> Arc<Download> {
        let (download, started) = self.downloads.get(&job.source, blob, self.fetched(job.number));
        wanted.own_downloads.extend(started.then(|| download.clone()));
        wanted.own = started;
        wanted.download = Some(download.clone());
        download
    }

    fn fetched(&self, number: usize) -> impl Fn(u64) + Send + Sync + 'static {
        let events = self.events.clone();
        move |bytes| {
            let _ = events.send(Event::Fetched(number, bytes));
        }
    }
}

impl Transfer {
    fn plus(self, other: Transfer) -> Transfer {
        Transfer {
            fetched_bytes: self.fetched_bytes + other.fetched_bytes,
            pushed_bytes: self.pushed_bytes + other.pushed_bytes,
            reused_blobs: self.reused_blobs + other.reused_blobs,
        }
    }
}

/// What came of bringing a blob; `None` when it was there.
type Brought = Result<Option<Transfer>, Failed>;

struct Failed {
    error: CopyError,
    /// The download was started for another image, perhaps from another repository.
    borrowed: bool,
}

/// The download that is used for a blob at the moment.
#[derive(Default)]
struct Wanted {
    download: Option<Arc<Download>>,
    own: bool,
    own_downloads: Vec<Arc<Download>>,
}

impl Wanted {
    fn transfer(&self, blob: &Blob) -> Transfer {
        let fetched_bytes = self.own_downloads.iter().map(|download| download.fetched()).sum();
        Transfer { fetched_bytes, pushed_bytes: blob.size, reused_blobs: 0 }
    }

    /// A download that failed is the cause; the destination only saw its upload end early.
    fn failed(&self, otherwise: impl FnOnce() -> CopyError) -> Failed {
        let failure = self.download.as_ref().and_then(|download| download.failure());
        Failed {
            borrowed: failure.is_some() && !self.own,
            error: failure.unwrap_or_else(otherwise),
        }
    }
}

/// What failed because another image's source did is tried once more from our own.
async fn again(bring: impl AsyncFn() -> Brought) -> Result<Option<Transfer>, CopyError> {
    match bring().await {
        Err(Failed { borrowed: true, .. }) => bring().await.map_err(|failed| failed.error),
        outcome => outcome.map_err(|failed| failed.error),
    }
}

/// The root goes up once, by tag where there is one; everything below it by digest.
async fn push_manifest(job: &Job, manifest: &RawManifest) -> Result<(), CopyError> {
    let is_root = job.graph.root().is_some_and(|root| root.digest() == manifest.digest());
    match &job.target {
        Target::Registry { host, repository, tag } => {
            let which = match tag {
                Some(tag) if is_root => ManifestRef::Tag(tag),
                _ => ManifestRef::Digest(manifest.digest()),
            };
            let put = host.put_manifest(repository, which, manifest).await;
            put.map_err(|error| {
                CopyError::destination(
                    format!("pushing manifest {}", manifest.digest().short()),
                    error,
                )
            })
        }
        Target::Layout { layout, name } => {
            let (layout, manifest, name) =
                (layout.clone(), manifest.clone(), is_root.then(|| name.clone()));
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
