//! Bringing one blob to a target: fetched once, sent once, mounted everywhere else.

use std::sync::Arc;

use futures_util::StreamExt;
use mirror_failure::Cause;
use mirror_registry::{Mount, Mounts, Remote, Supply, Upload, UploadBody};

use crate::blob::Blob;
use crate::blob::download::{Borrow, Download};
use crate::copier::Copier;
use crate::error::CopyError;
use crate::job::{Backpressure, CopyJob, Moved, Traffic};
use crate::store::Store;
use crate::store::layout::Layout;

/// Each store that a blob is fetched from can send wrong bytes once.
const MOST_RESTARTS: usize = 4;

impl Copier {
    /// Brings one blob to the target, once for all images that want it there.
    pub(crate) async fn blob(&self, job: &CopyJob, blob: &Blob) -> Result<(), CopyError> {
        let upload = match &job.target.store {
            Store::Remote(remote) => self.ensure(job, blob, remote).await?,
            Store::Layout(inside) => {
                let (folder, repository) = job.target.store.key();
                let first = self.mounts.first(&folder, &blob.digest);
                let mut first = first.lock().await;
                let layout = &inside.layout;
                let uploaded = retried(async |borrow| self.write(job, blob, layout, borrow).await);
                let uploaded = uploaded.await?;
                first.get_or_insert(repository);
                uploaded
            }
        };
        if upload == Upload::Reused {
            self.moved(job, Moved::Reused(blob.size));
        }
        Ok(())
    }

    /// Brings one blob to a repository: sent by whoever is first at that registry, mounted from there by the others.
    async fn ensure(
        &self,
        job: &CopyJob,
        blob: &Blob,
        remote: &Remote,
    ) -> Result<Upload, CopyError> {
        let here = self.mounts.is_present(
            remote.host().name().as_str(),
            remote.repository(),
            &blob.digest,
        );
        let mut here = here.lock().await;
        let there = job.present.as_ref().is_some_and(|present| present.contains(&blob.digest));
        if *here || there {
            *here = true;
            return Ok(Upload::Reused);
        }
        let upload = if job.missing.contains(&blob.digest) {
            self.transfer(job, blob, remote, Mount::Never).await?
        } else {
            match remote.host().capabilities().mounts().value {
                Mounts::Any => self.upload_or_mount(job, blob, remote).await?,
                mounts => {
                    let from = self.mounts.first(remote.host().name().as_str(), &blob.digest);
                    let from = from.lock().await.clone().filter(|_| mounts == Mounts::OfManifests);
                    let from = from.map_or_else(|| ask(job, remote), Mount::From);
                    self.transfer(job, blob, remote, from).await?
                }
            }
        };
        *here = true;
        Ok(upload)
    }

    /// Brings a blob to the first repository, or mounts it from there.
    async fn upload_or_mount(
        &self,
        job: &CopyJob,
        blob: &Blob,
        remote: &Remote,
    ) -> Result<Upload, CopyError> {
        let first = self.mounts.first(remote.host().name().as_str(), &blob.digest);
        let mut first = first.lock().await;
        if let Some(from) = first.clone() {
            drop(first);
            return self.transfer(job, blob, remote, Mount::From(from)).await;
        }
        let upload = self.transfer(job, blob, remote, ask(job, remote)).await?;
        *first = Some(remote.repository().clone());
        Ok(upload)
    }

    /// Blobs of an image that has arrived can be mounted from its repository, also where that takes a manifest.
    pub(crate) fn remember_mounts(&self, job: &CopyJob) {
        let Store::Remote(remote) = &job.target.store else { return };
        if remote.host().capabilities().mounts().value != Mounts::OfManifests {
            return;
        }
        for blob in &job.graph.blobs {
            let first = self.mounts.first(remote.host().name().as_str(), &blob.digest);
            if let Ok(mut first) = first.try_lock() {
                first.get_or_insert_with(|| remote.repository().clone());
            }
        }
    }

    /// Uploads one blob of an image, whatever the destination says it has.
    pub(crate) async fn send(&self, job: &CopyJob, blob: &Blob) -> Result<(), CopyError> {
        let Store::Remote(remote) = &job.target.store else { return Ok(()) };
        let here = self.mounts.is_present(
            remote.host().name().as_str(),
            remote.repository(),
            &blob.digest,
        );
        let _alone = here.lock().await;
        self.transfer(job, blob, remote, Mount::Never).await.map(drop)
    }

    async fn transfer(
        &self,
        job: &CopyJob,
        blob: &Blob,
        remote: &Remote,
        from: Mount,
    ) -> Result<Upload, CopyError> {
        retried(async |borrow| self.upload(job, blob, remote, &from, borrow).await).await
    }

    async fn upload(
        &self,
        job: &CopyJob,
        blob: &Blob,
        remote: &Remote,
        from: &Mount,
        borrow: Borrow,
    ) -> UploadResult {
        let mut current = CurrentDownload::default();
        let pressure = self.downloads.pressure();
        let upload = remote.upload_blob(&blob.digest, blob.size, from, pressure, || {
            let download = self.download(job, blob, borrow, &mut current);
            let (traffic, number) = (self.traffic.clone(), job.number);
            let (passing, flow) = (download.is_passing(), job.backpressure());
            let opening = Box::pin(async move {
                let body = download.body(flow).await?;
                Ok(Box::pin(body.inspect(move |piece| {
                    let length = piece.as_ref().map_or(0, bytes::Bytes::len) as u64;
                    traffic.tell(Traffic { job: number, moved: Moved::Pushed(length) });
                })) as UploadBody)
            });
            if passing { Supply::Passing(opening) } else { Supply::Stored(opening) }
        });
        match upload.await {
            Ok(Upload::Sent) => {
                self.downloads.sent(&blob.digest);
                Ok(Upload::Sent)
            }
            Ok(Upload::Reused) => Ok(Upload::Reused),
            Err(error) => {
                Err(current.failed(|| CopyError::uploading(format!("upload of {blob}"), error)))
            }
        }
    }

    async fn write(
        &self,
        job: &CopyJob,
        blob: &Blob,
        layout: &Layout,
        borrow: Borrow,
    ) -> UploadResult {
        if layout.has(&blob.digest, blob.size) {
            return Ok(Upload::Reused);
        }
        let mut current = CurrentDownload::default();
        let download = self.download(job, blob, borrow, &mut current);
        let write = async {
            layout.put_blob(&blob.digest, download.body(Backpressure::Allowed).await?).await
        };
        match write.await {
            Ok(()) => {
                self.moved(job, Moved::Pushed(blob.size));
                Ok(Upload::Sent)
            }
            Err(error) => Err(current.failed(|| {
                layout.wrong(&format!("writing {blob}"), &layout.path(&blob.digest), &error)
            })),
        }
    }

    /// The running download of a blob, or a new one. One that failed is not joined.
    fn download(
        &self,
        job: &CopyJob,
        blob: &Blob,
        borrow: Borrow,
        current: &mut CurrentDownload,
    ) -> Arc<Download> {
        let progress = self.fetched(job.number);
        let (download, started) =
            self.downloads.get(&job.origin, blob, borrow, job.backpressure(), progress);
        current.own = started;
        current.download = Some(download.clone());
        download
    }

    fn fetched(&self, job: usize) -> impl Fn(u64) + Send + Sync + 'static {
        let traffic = self.traffic.clone();
        move |bytes| traffic.tell(Traffic { job, moved: Moved::Fetched(bytes) })
    }
}

/// Mounting from itself asks whether the blob is there, in the request that opens the upload; where what is there was asked
/// in bulk, it isn't.
fn ask(job: &CopyJob, remote: &Remote) -> Mount {
    if job.present.is_some() { Mount::Never } else { Mount::From(remote.repository().clone()) }
}

/// How the upload of a blob ended.
type UploadResult = Result<Upload, UploadFailure>;

struct UploadFailure {
    error: CopyError,
    /// The download was started for another image, perhaps from another repository.
    borrowed: bool,
    /// The bytes were thrown away and are fetched anew.
    restarted: bool,
}

/// The download that is used for a blob at the moment.
#[derive(Default)]
struct CurrentDownload {
    download: Option<Arc<Download>>,
    own: bool,
}

impl CurrentDownload {
    /// A download that failed is the cause; the destination only saw its upload end early.
    fn failed(&self, otherwise: impl FnOnce() -> CopyError) -> UploadFailure {
        let failure = self.download.as_ref().and_then(|download| download.failure());
        let borrowed = failure.is_some() && !self.own;
        // What has no file can't be fetched anew below the upload that follows it.
        let passing = self.download.as_ref().is_some_and(|download| download.has_no_file());
        let wrong = failure.as_ref().is_some_and(|error| matches!(error.cause(), Cause::Digest(_)));
        let sound = failure.is_none();
        let error = failure.unwrap_or_else(otherwise);
        let restarted = (sound && error.is_body()) || (passing && wrong);
        UploadFailure { borrowed, restarted, error }
    }
}

/// Brings a blob. What failed because another image's source did is tried from our own; an upload that followed
/// bytes which turned out wrong is made anew, since the right ones are on their way.
async fn retried(transfer: impl AsyncFn(Borrow) -> UploadResult) -> Result<Upload, CopyError> {
    let mut borrow = Borrow::Yes;
    let mut restarts = 0;
    loop {
        match transfer(borrow).await {
            Err(UploadFailure { borrowed: true, .. }) if borrow == Borrow::Yes => {
                borrow = Borrow::No
            }
            Err(UploadFailure { restarted: true, .. }) if restarts < MOST_RESTARTS => restarts += 1,
            outcome => return outcome.map_err(|failed| failed.error),
        }
    }
}
