//! Blobs on their way from a source, shared by everybody who wants them: small ones in memory, larger ones in a
//! file of the spool, unless one reader alone wants a blob that is soon fetched again. That one is held in memory until
//! it is sent, or passes by where memory is short. Readers follow the writer, but get the last byte only when the digest
//! is proven.

use std::collections::{BTreeSet, HashMap};
use std::io;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use bytes::Bytes;
use futures_util::stream;
use mirror_oci::Digest;
use mirror_registry::{Pressure, Space, Threads, UploadBody};
use tokio::task::AbortHandle;

use crate::blob::Blob;
use crate::blob::fetch::Fetch;
use crate::blob::spool::files::BlobFile;
use crate::blob::spool::{Spool, file_name};
use crate::blob::state::{FetchState, StateReceiver, beginning};
use crate::blob::storage::{Allowance, Share, Storage};
use crate::blob::tail_buffer::TailBuffer;
use crate::error::{CopyError, starting_over};
use crate::job::Backpressure;
use crate::store::origin::Origin;

/// The blobs of a run, by digest.
#[derive(Debug)]
pub(crate) struct Downloads {
    spool: Arc<Spool>,
    shared: Arc<Mutex<HashMap<Digest, SharedBlob>>>,
    small: Allowance,
    held: Allowance,
}

/// Who still wants a blob, and the download if there is one. It is held until nobody is left.
#[derive(Debug, Default)]
struct SharedBlob {
    wanted: usize,
    failed: bool,
    /// It was fetched before, and wanted again.
    again: bool,
    download: Option<Arc<Download>>,
}

/// Whether a download that was started for another image will do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Borrow {
    /// It does, as long as that has not failed.
    Yes,
    /// It has failed, perhaps because of where that image comes from.
    No,
}

/// A blob on its way, or here.
#[derive(Debug)]
pub(crate) struct Download {
    digest: Digest,
    size: u64,
    state: StateReceiver,
    storage: Arc<Storage>,
    threads: Threads,
    most: usize,
    task: AbortHandle,
    _share: Option<Share>,
}

impl Downloads {
    pub(crate) fn new(spool: Spool) -> Downloads {
        let (small, held) = (spool.space().memory, spool.space().held);
        Downloads {
            spool: Arc::new(spool),
            shared: Arc::default(),
            small: Allowance::of(small),
            held: Allowance::of(held),
        }
    }

    /// Whether somebody waits for room that others hold.
    pub(crate) fn pressure(&self) -> &Pressure {
        self.spool.pressure()
    }

    /// One more image wants this blob, and will say how that ended.
    pub(crate) fn expect(&self, digest: &Digest) {
        lock(&self.shared).entry(digest.clone()).or_default().wanted += 1;
    }

    /// An image has got this blob, or has failed to; whether it was the last one. Then the blob is let go; its file stays
    /// if somebody didn't get it and the next run may want it.
    pub(crate) fn settle(&self, digest: &Digest, arrived: bool) -> bool {
        let mut shared = lock(&self.shared);
        let Some(entry) = shared.get_mut(digest) else { return true };
        entry.failed |= !arrived;
        entry.wanted = entry.wanted.saturating_sub(1);
        if entry.wanted > 0 {
            return false;
        }
        if let Some(SharedBlob { download: Some(download), failed: false, .. }) =
            shared.remove(digest)
        {
            download.storage.forget();
        }
        true
    }

    /// Where a blob of this size is kept; `alone`, if one reader wants it, once, and may keep it waiting.
    fn storage(&self, size: u64, alone: bool) -> (Storage, Option<Share>) {
        let Space { small, passing, tail, .. } = *self.spool.space();
        let buffer = || TailBuffer::of(tail);
        if size <= small
            && let Some(share) = self.small.take(size)
        {
            return (Storage::Memory(OnceLock::new()), Some(share));
        }
        if alone && (small..passing).contains(&size) {
            return match self.held.take(size) {
                Some(share) => (Storage::Held(buffer()), Some(share)),
                None => (Storage::Passing(buffer()), None),
            };
        }
        (Storage::File(OnceLock::new(), AtomicBool::new(true), buffer()), None)
    }

    /// A blob has been sent. One that is held in memory for that is let go, if nobody else wants it.
    pub(crate) fn sent(&self, digest: &Digest) {
        if let Some(entry) = lock(&self.shared).get_mut(digest).filter(|entry| entry.wanted <= 1) {
            entry.download.take_if(|download| matches!(*download.storage, Storage::Held(_)));
        }
    }

    /// The download of a blob, started if there is none to share; then the second value is true.
    pub(crate) fn get(
        &self,
        origin: &Origin,
        blob: &Blob,
        borrow: Borrow,
        backpressure: Backpressure,
        progress: impl Fn(u64) + Send + Sync + 'static,
    ) -> (Arc<Download>, bool) {
        let mut shared = lock(&self.shared);
        let entry = shared.entry(blob.digest.clone()).or_default();
        let usable = |download: &&Arc<Download>| {
            borrow == Borrow::Yes && download.failure().is_none() && !download.is_passing()
        };
        if let Some(download) = entry.download.as_ref().filter(usable) {
            return (download.clone(), false);
        }
        let alone = entry.wanted <= 1 && !entry.again && backpressure == Backpressure::Allowed;
        let (storage, share) = match &blob.data {
            // It is in memory, with the manifest that carries it.
            Some(data) => (Storage::Memory(OnceLock::from(data.clone())), None),
            None => self.storage(blob.size, alone),
        };
        let storage = Arc::new(storage);
        entry.again = true;
        let (teller, state) = beginning();
        // A strong reference would keep the download alive by itself, when nobody wants it any more.
        let (others, spool) = (Arc::downgrade(&self.shared), self.spool.clone());
        let fetch = Fetch {
            stores: origin.stores().cloned().collect(),
            blob: blob.clone(),
            spool: self.spool.clone(),
            make_room: Box::new(move || {
                others.upgrade().iter().for_each(|others| make_room(others, &spool));
            }),
            storage: storage.clone(),
            state: teller,
            progress: Box::new(progress),
        };
        let task = tokio::spawn(fetch.run()).abort_handle();
        let (digest, size) = (blob.digest.clone(), blob.size);
        let download = Arc::new(Download {
            digest,
            size,
            state,
            storage,
            threads: self.spool.threads(),
            most: self.spool.space().piece,
            task,
            _share: share,
        });
        entry.download = Some(download.clone());
        (download, true)
    }
}

fn lock(
    shared: &Mutex<HashMap<Digest, SharedBlob>>,
) -> MutexGuard<'_, HashMap<Digest, SharedBlob>> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Lets go of finished downloads that nobody reads at the moment; whoever wants one later fetches it again.
fn make_room(shared: &Mutex<HashMap<Digest, SharedBlob>>, spool: &Spool) {
    let mut idle = Vec::new();
    let mut expected = BTreeSet::new();
    for (digest, entry) in lock(shared).iter_mut() {
        expected.insert(file_name(digest));
        let unused =
            |download: &mut Arc<Download>| Arc::strong_count(download) == 1 && download.is_over();
        idle.extend(entry.download.take_if(unused));
    }
    spool.let_go_of_leftovers(|name| expected.contains(name));
    // What a failed one has fetched stays for the next attempt.
    for download in idle.iter().filter(|download| download.failure().is_none()) {
        download.storage.forget();
    }
}

impl Download {
    /// Why it failed, if it did.
    pub(crate) fn failure(&self) -> Option<CopyError> {
        match self.state.now() {
            FetchState::Failed(error) => Some(error),
            _ => None,
        }
    }

    /// Whether its bytes come only when they are taken.
    pub(crate) fn is_passing(&self) -> bool {
        matches!(*self.storage, Storage::Passing(..))
    }

    /// Whether its bytes are in memory, if anywhere: wrong ones are not fetched anew below whoever reads them.
    pub(crate) fn has_no_file(&self) -> bool {
        matches!(*self.storage, Storage::Passing(_) | Storage::Held(_))
    }

    /// Whether it takes room in the spool and nothing more comes.
    fn is_over(&self) -> bool {
        matches!(*self.storage, Storage::File(..))
            && matches!(self.state.now(), FetchState::Done { .. } | FetchState::Failed(_))
    }

    /// The bytes, from the first. A small blob is waited for; a larger one is followed while it comes.
    pub(crate) async fn body(
        self: Arc<Self>,
        backpressure: Backpressure,
    ) -> io::Result<UploadBody> {
        // Whoever follows a download holds a slot at a registry that the download may need.
        if backpressure == Backpressure::Avoided {
            self.readable(self.size + 1, None).await?;
        }
        let gone = || io::Error::other("the blob is not where it should be");
        match &*self.storage {
            Storage::Memory(bytes) => {
                // All of it, also when that is nothing.
                self.readable(self.size + 1, None).await?;
                let bytes = bytes.get().cloned().ok_or_else(gone)?;
                Ok(Box::pin(stream::iter([Ok(bytes)])))
            }
            Storage::File(spooled_file, ..) => {
                // The upload is opened when bytes flow, not before: registries close sessions that wait.
                let (_, round) = self.readable(1, None).await?;
                let path =
                    spooled_file.get().map(|spooled| spooled.path.clone()).ok_or_else(gone)?;
                let file = self.threads.run(move || BlobFile::open(&path)).await??;
                let follow = move |(download, file, at): (Arc<Download>, BlobFile, u64)| async move {
                    let (piece, file) = download.piece(file, at, round).await?;
                    let next = at + piece.len() as u64;
                    Ok((!piece.is_empty()).then_some((piece, (download, file, next))))
                };
                Ok(Box::pin(stream::try_unfold((self, file, 0), follow)))
            }
            Storage::Held(_) => {
                let (_, round) = self.readable(1, None).await?;
                let follow = move |(download, at): (Arc<Download>, u64)| async move {
                    let piece = download.held(at, round).await?;
                    let next = at + piece.len() as u64;
                    Ok((!piece.is_empty()).then_some((piece, (download, next))))
                };
                Ok(Box::pin(stream::try_unfold((self, 0), follow)))
            }
            Storage::Passing(buffer) => {
                buffer.begin();
                let reader = Reader(self);
                let (_, round) = reader.0.readable(1, None).await?;
                let follow = move |(reader, at): (Reader, u64)| async move {
                    let piece = reader.0.passing(at, round).await?;
                    let next = at + piece.len() as u64;
                    Ok((!piece.is_empty()).then_some((piece, (reader, next))))
                };
                Ok(Box::pin(stream::try_unfold((reader, 0), follow)))
            }
        }
    }

    /// The next bytes at `at`; none at the end.
    async fn piece(
        &self,
        mut file: BlobFile,
        at: u64,
        round: u32,
    ) -> io::Result<(Bytes, BlobFile)> {
        if at >= self.size {
            return Ok((Bytes::new(), file));
        }
        let (limit, _) = self.readable(at + 1, Some(round)).await?;
        if let Storage::File(spooled, _, buffer) = &*self.storage {
            spooled.get().iter().for_each(|spooled| spooled.room.moves());
            if let Some(piece) = buffer.get(at, limit) {
                return Ok((piece, file));
            }
        }
        let want = usize::try_from(limit.min(self.size) - at).unwrap_or(self.most).min(self.most);
        let read = move || {
            let piece = file.read(at, want)?;
            Ok((piece, file))
        };
        let read: io::Result<(Bytes, BlobFile)> = self.threads.run(read).await?;
        // What can't be read may have been thrown away meanwhile.
        read.map_err(|error| match self.state.now() {
            FetchState::Running { round: now, .. } | FetchState::Done { round: now }
                if now != round =>
            {
                starting_over()
            }
            _ => error,
        })
    }

    /// The same without a file: all of it stays.
    async fn held(&self, at: u64, round: u32) -> io::Result<Bytes> {
        let Storage::Held(buffer) = &*self.storage else { return Ok(Bytes::new()) };
        if at >= self.size {
            return Ok(Bytes::new());
        }
        let (limit, _) = self.readable(at + 1, Some(round)).await?;
        let piece = buffer.get(at, limit);
        piece.ok_or_else(|| io::Error::other("the bytes are not where they should be"))
    }

    /// The same where nothing is kept: what was read before is let go.
    async fn passing(&self, at: u64, round: u32) -> io::Result<Bytes> {
        let Storage::Passing(buffer) = &*self.storage else { return Ok(Bytes::new()) };
        if at >= self.size {
            return Ok(Bytes::new());
        }
        buffer.take_until(at);
        let (limit, _) = self.readable(at + 1, Some(round)).await?;
        let piece = buffer.get(at, limit);
        piece.ok_or_else(|| io::Error::other("the bytes are not where they should be"))
    }

    /// Waits until `wanted` bytes can be read, and says how many can, in which round. The last byte is held back
    /// until the digest is proven, so that nobody can complete an upload of wrong bytes.
    async fn readable(&self, wanted: u64, reading: Option<u32>) -> io::Result<(u64, u32)> {
        let (size, held) = (self.size, self.size.saturating_sub(1));
        let other = |round: u32| reading.is_some_and(|reading| reading != round);
        let limit = |state: &FetchState| match state {
            FetchState::Running { round, written } => Some(((*written).min(held), *round)),
            FetchState::Done { round } => Some((size + 1, *round)),
            FetchState::Failed(_) => None,
        };
        let enough = |state: &FetchState| {
            let limit = limit(state);
            limit.is_none_or(|(limit, round)| other(round) || limit >= wanted).then_some(limit)
        };
        let ready = self.state.until(enough).await.flatten();
        match ready {
            Some((_, round)) if other(round) => Err(starting_over()),
            Some(ready) => Ok(ready),
            None => Err(io::Error::other(format!("the download of {} failed", self.digest))),
        }
    }
}

/// The one who reads what is kept nowhere. When it goes, fetching ends.
struct Reader(Arc<Download>);

impl Drop for Reader {
    fn drop(&mut self) {
        self.0.task.abort();
    }
}

impl Drop for Download {
    fn drop(&mut self) {
        self.task.abort();
    }
}
