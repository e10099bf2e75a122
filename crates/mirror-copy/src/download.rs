//! Blobs on their way from a source, shared by everybody who wants them: small ones in memory, larger ones in a
//! file of the spool. Readers follow the writer, but get the last byte only when the digest is proven.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use bytes::{Bytes, BytesMut};
use futures_util::stream;
use mirror_oci::{Digest, Verifier};
use mirror_registry::{BlobReader, UploadBody};
use tokio::sync::watch;
use tokio::task::AbortHandle;

use crate::error::{Cause, CopyError, Side};
use crate::graph::{Blob, Place, Source};
use crate::spool::{Room, Spool, Spooled};

/// Blobs up to this size stay in memory: most are configs, and a file costs more than it saves.
const SMALL: u64 = 1 << 20;
/// What small blobs may take together; what doesn't fit goes through a file.
const MEMORY: u64 = 16 << 20;
/// Written and read in pieces of this size.
const PIECE: usize = 256 << 10;

/// The blobs of a run, by digest.
#[derive(Debug)]
pub(crate) struct Downloads {
    spool: Arc<Spool>,
    shared: Arc<Mutex<HashMap<Digest, Entry>>>,
}

/// Who still wants a blob, and the download if there is one. It is held until nobody is left.
#[derive(Debug, Default)]
struct Entry {
    wanted: usize,
    failed: bool,
    download: Option<Arc<Download>>,
}

/// A blob on its way, or here.
#[derive(Debug)]
pub(crate) struct Download {
    digest: Digest,
    size: u64,
    fetched: Arc<AtomicU64>,
    state: watch::Receiver<State>,
    storage: Arc<Storage>,
    task: AbortHandle,
}

#[derive(Debug, Clone)]
enum State {
    /// So many bytes can be read. The round grows when wrong bytes are thrown away: who has read some must start
    /// over.
    Running {
        round: u32,
        written: u64,
    },
    /// All bytes are here and hash to the digest.
    Done {
        round: u32,
    },
    Failed(CopyError),
}

#[derive(Debug)]
enum Storage {
    Memory(OnceLock<Bytes>),
    /// Set when there is room; removed when dropped, unless somebody may come back for it.
    File(OnceLock<SpoolFile>, AtomicBool),
}

/// A file of the spool with its room; the handle holds the lock.
#[derive(Debug)]
struct SpoolFile {
    path: PathBuf,
    file: File,
    _room: Room,
}

impl Downloads {
    pub(crate) fn new(spool: Spool) -> Downloads {
        Downloads { spool: Arc::new(spool), shared: Arc::default() }
    }

    /// One more image wants this blob, and will say how that ended.
    pub(crate) fn expect(&self, digest: &Digest) {
        lock(&self.shared).entry(digest.clone()).or_default().wanted += 1;
    }

    /// An image has got this blob, or has failed to. When it was the last one, the blob is let go; its file stays
    /// if somebody didn't get it and the next run may want it.
    pub(crate) fn settle(&self, digest: &Digest, arrived: bool) {
        let mut shared = lock(&self.shared);
        let Some(entry) = shared.get_mut(digest) else { return };
        entry.failed |= !arrived;
        entry.wanted = entry.wanted.saturating_sub(1);
        if entry.wanted == 0
            && let Some(Entry { download: Some(download), failed, .. }) = shared.remove(digest)
            && !failed
        {
            download.storage.forget();
        }
    }

    /// The download of a blob, started if it isn't running; then the second value is true.
    pub(crate) fn get(
        &self,
        source: &Source,
        blob: &Blob,
        progress: impl Fn(u64) + Send + Sync + 'static,
    ) -> (Arc<Download>, bool) {
        let mut shared = lock(&self.shared);
        let running = shared.get(&blob.digest).and_then(|entry| entry.download.clone());
        if let Some(download) = running.filter(|download| download.failure().is_none()) {
            return (download, false);
        }
        let storage =
            Arc::new(if blob.size <= SMALL && memory_used(&shared) + blob.size <= MEMORY {
                Storage::Memory(OnceLock::new())
            } else {
                Storage::File(OnceLock::new(), AtomicBool::new(true))
            });
        let (sender, state) = watch::channel(State::Running { round: 0, written: 0 });
        let fetched = Arc::new(AtomicU64::new(0));
        let counter = fetched.clone();
        let counted = move |bytes| {
            counter.fetch_add(bytes, Ordering::Relaxed);
            progress(bytes);
        };
        let fetch = Fetch {
            places: source.places().cloned().collect(),
            blob: blob.clone(),
            spool: self.spool.clone(),
            shared: self.shared.clone(),
            storage: storage.clone(),
            state: sender,
            progress: Box::new(counted),
        };
        let task = tokio::spawn(fetch.run()).abort_handle();
        let (digest, size) = (blob.digest.clone(), blob.size);
        let download = Arc::new(Download { digest, size, fetched, state, storage, task });
        shared.entry(blob.digest.clone()).or_default().download = Some(download.clone());
        (download, true)
    }
}

fn lock(shared: &Mutex<HashMap<Digest, Entry>>) -> MutexGuard<'_, HashMap<Digest, Entry>> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

fn memory_used(shared: &HashMap<Digest, Entry>) -> u64 {
    let in_memory = |download: &&Arc<Download>| matches!(*download.storage, Storage::Memory(_));
    shared
        .values()
        .filter_map(|entry| entry.download.as_ref())
        .filter(in_memory)
        .map(|download| download.size)
        .sum()
}

/// Lets go of finished downloads that nobody reads at the moment; whoever wants one later fetches it again.
fn make_room(shared: &Mutex<HashMap<Digest, Entry>>) {
    let mut idle = Vec::new();
    for entry in lock(shared).values_mut() {
        let unused = |download: &mut Arc<Download>| {
            Arc::strong_count(download) == 1 && download.is_spooled()
        };
        idle.extend(entry.download.take_if(unused));
    }
    for download in idle {
        download.storage.forget();
    }
}

impl Download {
    /// Why it failed, if it did.
    pub(crate) fn failure(&self) -> Option<CopyError> {
        match &*self.state.borrow() {
            State::Failed(error) => Some(error.clone()),
            _ => None,
        }
    }

    /// Bytes that came over the wire for it.
    pub(crate) fn fetched(&self) -> u64 {
        self.fetched.load(Ordering::Relaxed)
    }

    fn is_spooled(&self) -> bool {
        matches!(*self.storage, Storage::File(..))
            && matches!(*self.state.borrow(), State::Done { .. })
    }

    /// The bytes, from the first. A small blob is waited for; a larger one is followed while it comes.
    pub(crate) async fn body(self: Arc<Self>) -> io::Result<UploadBody> {
        let gone = || io::Error::other("the blob is not where it should be");
        match &*self.storage {
            Storage::Memory(bytes) => {
                self.readable(self.size, None).await?;
                let bytes = bytes.get().cloned().ok_or_else(gone)?;
                Ok(Box::pin(stream::iter([Ok(bytes)])))
            }
            Storage::File(place, _) => {
                // The upload is opened when bytes flow, not before: registries close sessions that wait.
                let (_, round) = self.readable(1, None).await?;
                let path = place.get().map(|spooled| spooled.path.clone()).ok_or_else(gone)?;
                let file = tokio::task::spawn_blocking(move || File::open(path)).await??;
                let follow = move |(download, file, at): (Arc<Download>, File, u64)| async move {
                    let (piece, file) = download.piece(file, at, round).await?;
                    let next = at + piece.len() as u64;
                    Ok((!piece.is_empty()).then_some((piece, (download, file, next))))
                };
                Ok(Box::pin(stream::try_unfold((self, file, 0), follow)))
            }
        }
    }

    /// The next bytes at `at`; none at the end.
    async fn piece(&self, mut file: File, at: u64, round: u32) -> io::Result<(Bytes, File)> {
        if at >= self.size {
            return Ok((Bytes::new(), file));
        }
        let (limit, _) = self.readable(at + 1, Some(round)).await?;
        let want = usize::try_from(limit - at).unwrap_or(PIECE).min(PIECE);
        tokio::task::spawn_blocking(move || {
            let mut piece = BytesMut::zeroed(want);
            file.seek(SeekFrom::Start(at))?;
            file.read_exact(&mut piece)?;
            Ok((piece.freeze(), file))
        })
        .await?
    }

    /// Waits until `wanted` bytes can be read, and says how many can, in which round. The last byte is held back
    /// until the digest is proven, so that nobody can complete an upload of wrong bytes.
    async fn readable(&self, wanted: u64, reading: Option<u32>) -> io::Result<(u64, u32)> {
        let mut state = self.state.clone();
        let (size, held) = (self.size, self.size.saturating_sub(1));
        let limit = move |state: &State| match state {
            State::Running { round, written } => Some(((*written).min(held), *round)),
            State::Done { round } => Some((size, *round)),
            State::Failed(_) => None,
        };
        let other = |round: u32| reading.is_some_and(|reading| reading != round);
        let enough = |state: &State| {
            limit(state).is_none_or(|(limit, round)| other(round) || limit >= wanted)
        };
        let ready = state.wait_for(enough).await.ok().and_then(|state| limit(&state));
        match ready {
            Some((_, round)) if other(round) => {
                Err(io::Error::other("wrong bytes came first, starting over"))
            }
            Some(ready) => Ok(ready),
            None => Err(io::Error::other(format!("the download of {} failed", self.digest))),
        }
    }
}

impl Drop for Download {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Storage {
    /// Nobody will come back for the file.
    fn forget(&self) {
        if let Storage::File(_, keep) = self {
            keep.store(false, Ordering::Relaxed);
        }
    }
}

impl Drop for Storage {
    fn drop(&mut self) {
        if let Storage::File(place, keep) = self
            && !keep.load(Ordering::Relaxed)
            && let Some(SpoolFile { path, .. }) = place.get()
        {
            let _ = std::fs::remove_file(path);
        }
    }
}

/// A download at work.
struct Fetch {
    places: Vec<Place>,
    blob: Blob,
    spool: Arc<Spool>,
    shared: Arc<Mutex<HashMap<Digest, Entry>>>,
    storage: Arc<Storage>,
    state: watch::Sender<State>,
    progress: Box<dyn Fn(u64) + Send + Sync>,
}

impl Fetch {
    /// Runs to the end and tells everybody how it went.
    async fn run(self) {
        let outcome = match &*self.storage {
            Storage::Memory(bytes) => self.through_memory(bytes).await,
            Storage::File(place, _) => self.through_file(place).await,
        };
        let round = self.round();
        self.state.send_replace(outcome.map_or_else(State::Failed, |()| State::Done { round }));
    }

    fn round(&self) -> u32 {
        match &*self.state.borrow() {
            State::Running { round, .. } | State::Done { round } => *round,
            State::Failed(_) => 0,
        }
    }

    fn wrote(&self, written: u64) {
        let round = self.round();
        self.state.send_replace(State::Running { round, written });
    }

    async fn through_memory(&self, memory: &OnceLock<Bytes>) -> Result<(), CopyError> {
        let mut outcome = Err(self.nowhere());
        for place in &self.places {
            outcome = self.small(place).await;
            if let Ok(bytes) = &outcome {
                let _ = memory.set(bytes.clone());
                break;
            }
        }
        outcome.map(|_| ())
    }

    async fn small(&self, place: &Place) -> Result<Bytes, CopyError> {
        let mut reader = self.reader(place, 0);
        let mut bytes = BytesMut::new();
        while let Some(chunk) = reader.chunk().await.map_err(|error| self.failed(error))? {
            bytes.extend_from_slice(&chunk);
            (self.progress)(chunk.len() as u64);
        }
        let mut verifier = Verifier::new(&self.blob.digest);
        verifier.update(&bytes);
        self.prove(verifier)?;
        Ok(bytes.freeze())
    }

    async fn through_file(&self, spooled: &OnceLock<SpoolFile>) -> Result<(), CopyError> {
        let room = self.spool.reserve(self.blob.size, || make_room(&self.shared)).await;
        let _room = room.map_err(|error| self.io(self.spool.folder(), &error))?;
        let Spooled { path, file } = self
            .spool
            .file(&self.blob.digest)
            .map_err(|error| self.io(self.spool.folder(), &error))?;
        let spooled = spooled.get_or_init(|| SpoolFile { path, file, _room });
        let mut outcome = Err(self.nowhere());
        let mut found = 0;
        // A place goes on with the bytes that are there, unless they were wrong. The origin, which is the last one,
        // has two tries: an earlier run may have left wrong bytes.
        for place in self.places.iter().chain(self.places.last()) {
            let wrong = error_is_digest(&outcome);
            let sink = if wrong { self.emptied(spooled)? } else { self.resumed(spooled).await? };
            found = if wrong { 0 } else { found.max(sink.at) };
            outcome = self.large(place, sink, &spooled.path).await;
            match &outcome {
                Ok(()) => break,
                Err(error) => {
                    tracing::debug!(%error, host = %place.host.name(), "blob not had from here")
                }
            }
            if self.places.last().is_some_and(|origin| std::ptr::eq(origin, place))
                && (found == 0 || !error_is_digest(&outcome))
            {
                break;
            }
        }
        if error_is_digest(&outcome) {
            self.storage.forget();
        }
        outcome
    }

    fn emptied(&self, spooled: &SpoolFile) -> Result<Sink, CopyError> {
        let file = spooled.file.try_clone().and_then(|mut file| {
            file.set_len(0)?;
            file.seek(SeekFrom::Start(0))?;
            Ok(file)
        });
        let file = file.map_err(|error| self.io(&spooled.path, &error))?;
        let round = self.round() + 1;
        self.state.send_replace(State::Running { round, written: 0 });
        Ok(Sink { file, verifier: Verifier::new(&self.blob.digest), at: 0 })
    }

    /// Hashes what an earlier attempt or run left in the file.
    async fn resumed(&self, spooled: &SpoolFile) -> Result<Sink, CopyError> {
        let mut file = spooled.file.try_clone().map_err(|error| self.io(&spooled.path, &error))?;
        let (digest, size) = (self.blob.digest.clone(), self.blob.size);
        let work = tokio::task::spawn_blocking(move || {
            let mut verifier = Verifier::new(&digest);
            let mut buffer = vec![0; PIECE];
            let mut at = 0;
            file.seek(SeekFrom::Start(0))?;
            loop {
                let read = file.read(&mut buffer)?;
                if read == 0 {
                    break;
                }
                at += read as u64;
                verifier.update(buffer.get(..read).unwrap_or_default());
            }
            if at > size {
                file.set_len(0)?;
                file.seek(SeekFrom::Start(0))?;
                (verifier, at) = (Verifier::new(&digest), 0);
            }
            io::Result::Ok(Sink { file, verifier, at })
        });
        let sink = work.await.map_err(io::Error::from).and_then(|sink| sink);
        let sink = sink.map_err(|error| self.io(&spooled.path, &error))?;
        self.wrote(sink.at);
        Ok(sink)
    }

    /// Reads the rest of a blob from one place.
    async fn large(&self, place: &Place, sink: Sink, path: &Path) -> Result<(), CopyError> {
        let mut written = sink.at;
        let mut sink = Some(sink);
        let mut reader = self.reader(place, written);
        let mut buffer = Vec::with_capacity(PIECE);
        let mut last = written == self.blob.size;
        while !last {
            let outcome = reader.chunk().await;
            // What came before the connection broke for good is kept for the next attempt.
            last = matches!(outcome, Ok(None) | Err(_));
            buffer.extend_from_slice(
                outcome.as_ref().ok().and_then(Option::as_ref).map_or(&[], |chunk| chunk),
            );
            if (buffer.len() >= PIECE || last) && !buffer.is_empty() {
                let length = buffer.len() as u64;
                (sink, buffer) = keep(sink, buffer).await.map_err(|error| self.io(path, &error))?;
                written += length;
                (self.progress)(length);
                self.wrote(written);
            }
            outcome.map_err(|error| self.failed(error))?;
        }
        sink.map_or(Ok(()), |sink| self.prove(sink.verifier))
    }

    fn reader<'a>(&self, place: &'a Place, from: u64) -> BlobReader<'a> {
        place.host.read_blob(&place.repository, &self.blob.digest, self.blob.size, from)
    }

    fn prove(&self, verifier: Verifier) -> Result<(), CopyError> {
        verifier
            .finish()
            .map_err(|error| CopyError::new(Side::Source, self.step(), Cause::Digest(error)))
    }

    fn failed(&self, error: mirror_registry::Error) -> CopyError {
        CopyError::source(self.step(), error)
    }

    fn nowhere(&self) -> CopyError {
        CopyError::new(
            Side::Source,
            self.step(),
            Cause::Other("there is no place to fetch it from".to_owned()),
        )
    }

    fn io(&self, path: &Path, error: &io::Error) -> CopyError {
        CopyError::io(
            Side::Source,
            format!("spooling blob {}", self.blob.digest.short()),
            path,
            error,
        )
    }

    fn step(&self) -> String {
        format!("download of {}", self.blob)
    }
}

/// A file being written, and the hash of what is in it.
struct Sink {
    file: File,
    verifier: Verifier,
    at: u64,
}

/// Hashes and writes on a thread of its own, so that two transfers use two cores; hands everything back.
async fn keep(sink: Option<Sink>, mut buffer: Vec<u8>) -> io::Result<(Option<Sink>, Vec<u8>)> {
    tokio::task::spawn_blocking(move || {
        let mut sink = sink;
        if let Some(sink) = sink.as_mut() {
            sink.verifier.update(&buffer);
            sink.file.write_all(&buffer)?;
        }
        buffer.clear();
        Ok((sink, buffer))
    })
    .await?
}

fn error_is_digest(outcome: &Result<(), CopyError>) -> bool {
    outcome.as_ref().is_err_and(|error| matches!(error.cause(), Cause::Digest(_)))
}
