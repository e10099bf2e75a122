//! Blobs on their way from a source, shared by everybody who wants them: small ones in memory, larger ones in a
//! file of the spool. Readers follow the writer, but get the last byte only when the digest is proven.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use bytes::{Bytes, BytesMut};
use futures_util::stream;
use mirror_oci::{Digest, Verifier};
use mirror_registry::UploadBody;
use tempfile::TempDir;
use tokio::sync::watch;
use tokio::task::AbortHandle;

use crate::error::{Cause, CopyError, Side};
use crate::graph::{Blob, Source};

/// Blobs up to this size stay in memory: most are configs, and a file costs more than it saves.
const SMALL: u64 = 1 << 20;
/// Written and read in pieces of this size.
const PIECE: usize = 256 << 10;

/// The blobs of a run, by digest. One that nobody wants any more is forgotten, and its file deleted.
#[derive(Debug)]
pub(crate) struct Downloads {
    spool: TempDir,
    running: Mutex<HashMap<Digest, Weak<Download>>>,
}

/// A blob on its way, or here.
#[derive(Debug)]
pub(crate) struct Download {
    digest: Digest,
    size: u64,
    state: watch::Receiver<State>,
    storage: Storage,
    task: AbortHandle,
}

#[derive(Debug, Clone)]
enum State {
    /// So many bytes can be read.
    Running(u64),
    /// All bytes are here and hash to the digest.
    Done,
    Failed(CopyError),
}

#[derive(Debug, Clone)]
enum Storage {
    Memory(Arc<Mutex<Bytes>>),
    File(PathBuf),
}

impl Downloads {
    /// Uses a new folder in `parent`, which goes when the downloads go.
    pub(crate) fn new(parent: &Path) -> io::Result<Downloads> {
        let spool = tempfile::Builder::new().prefix("mirror-spool-").tempdir_in(parent)?;
        Ok(Downloads { spool, running: Mutex::default() })
    }

    /// The download of a blob, started if it isn't running; then the second value is true.
    pub(crate) fn get(
        &self,
        source: &Source,
        blob: &Blob,
        progress: impl Fn(u64) + Send + Sync + 'static,
    ) -> (Arc<Download>, bool) {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(download) = running.get(&blob.digest).and_then(Weak::upgrade)
            && !download.has_failed()
        {
            return (download, false);
        }
        let storage = if blob.size <= SMALL {
            Storage::Memory(Arc::default())
        } else {
            Storage::File(self.spool.path().join(blob.digest.as_str().replace(':', "-")))
        };
        let (sender, state) = watch::channel(State::Running(0));
        let fetch = fetch(source.clone(), blob.clone(), storage.clone(), sender, progress);
        let task = tokio::spawn(fetch).abort_handle();
        let download =
            Download { digest: blob.digest.clone(), size: blob.size, state, storage, task };
        let download = Arc::new(download);
        running.insert(blob.digest.clone(), Arc::downgrade(&download));
        (download, true)
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

    fn has_failed(&self) -> bool {
        self.failure().is_some()
    }

    /// The bytes, from the first. A small blob is waited for; a larger one is followed while it comes.
    pub(crate) async fn body(self: Arc<Self>) -> io::Result<UploadBody> {
        match self.storage.clone() {
            Storage::Memory(bytes) => {
                self.readable(self.size).await?;
                let bytes = bytes.lock().unwrap_or_else(PoisonError::into_inner).clone();
                Ok(Box::pin(stream::iter([Ok(bytes)])))
            }
            Storage::File(path) => {
                // The upload is opened when bytes flow, not before: registries close sessions that wait.
                self.readable(1).await?;
                let file = tokio::task::spawn_blocking(move || File::open(path)).await??;
                let follow = |(download, file, at): (Arc<Download>, File, u64)| async move {
                    let (piece, file) = download.piece(file, at).await?;
                    let next = at + piece.len() as u64;
                    Ok((!piece.is_empty()).then_some((piece, (download, file, next))))
                };
                Ok(Box::pin(stream::try_unfold((self, file, 0), follow)))
            }
        }
    }

    /// The next bytes at `at`; none at the end.
    async fn piece(&self, mut file: File, at: u64) -> io::Result<(Bytes, File)> {
        if at >= self.size {
            return Ok((Bytes::new(), file));
        }
        let limit = self.readable(at + 1).await?;
        let want = usize::try_from(limit - at).unwrap_or(PIECE).min(PIECE);
        tokio::task::spawn_blocking(move || {
            let mut piece = BytesMut::zeroed(want);
            file.seek(SeekFrom::Start(at))?;
            file.read_exact(&mut piece)?;
            Ok((piece.freeze(), file))
        })
        .await?
    }

    /// Waits until `wanted` bytes can be read, and says how many can. The last byte is held back until the digest
    /// is proven, so that nobody can complete an upload of wrong bytes.
    async fn readable(&self, wanted: u64) -> io::Result<u64> {
        let mut state = self.state.clone();
        let held = self.size.saturating_sub(1);
        let limit = move |state: &State| match state {
            State::Running(written) => Some((*written).min(held)),
            State::Done => Some(u64::MAX),
            State::Failed(_) => None,
        };
        let ready = state.wait_for(|state| limit(state).is_none_or(|limit| limit >= wanted)).await;
        match ready.map(|state| limit(&state)) {
            Ok(Some(limit)) => Ok(limit.min(self.size)),
            Ok(None) | Err(_) => {
                Err(io::Error::other(format!("the download of {} failed", self.digest)))
            }
        }
    }
}

impl Drop for Download {
    fn drop(&mut self) {
        self.task.abort();
        if let Storage::File(path) = &self.storage {
            let _ = std::fs::remove_file(path);
        }
    }
}

/// Runs a download to its end and tells everybody how it went.
async fn fetch(
    source: Source,
    blob: Blob,
    storage: Storage,
    state: watch::Sender<State>,
    progress: impl Fn(u64) + Send + Sync,
) {
    let outcome = match &storage {
        Storage::Memory(bytes) => into_memory(&source, &blob, bytes, &progress).await,
        Storage::File(path) => into_file(&source, &blob, path, &state, &progress).await,
    };
    state.send_replace(outcome.map_or_else(State::Failed, |()| State::Done));
}

async fn into_memory(
    source: &Source,
    blob: &Blob,
    place: &Mutex<Bytes>,
    progress: &(impl Fn(u64) + Sync),
) -> Result<(), CopyError> {
    let mut reader = source.host.read_blob(&source.repository, &blob.digest, blob.size);
    let mut bytes = BytesMut::new();
    while let Some(chunk) = reader.chunk().await.map_err(|error| failed(blob, error))? {
        bytes.extend_from_slice(&chunk);
        progress(chunk.len() as u64);
    }
    let mut verifier = Verifier::new(&blob.digest);
    verifier.update(&bytes);
    prove(blob, verifier)?;
    *place.lock().unwrap_or_else(PoisonError::into_inner) = bytes.freeze();
    Ok(())
}

async fn into_file(
    source: &Source,
    blob: &Blob,
    path: &Path,
    state: &watch::Sender<State>,
    progress: &(impl Fn(u64) + Sync),
) -> Result<(), CopyError> {
    let mut sink = Some(Sink::create(path, blob)?);
    let mut reader = source.host.read_blob(&source.repository, &blob.digest, blob.size);
    let mut buffer = Vec::with_capacity(PIECE);
    let mut written = 0;
    loop {
        let chunk = reader.chunk().await.map_err(|error| failed(blob, error))?;
        let last = chunk.is_none();
        buffer.extend_from_slice(&chunk.unwrap_or_default());
        if (buffer.len() >= PIECE || last) && !buffer.is_empty() {
            let length = buffer.len() as u64;
            let taken = sink.take();
            (sink, buffer) = keep(taken, buffer, path).await?;
            written += length;
            progress(length);
            state.send_replace(State::Running(written));
        }
        if last {
            break;
        }
    }
    match sink {
        Some(sink) => prove(blob, sink.verifier),
        None => Ok(()),
    }
}

/// A file being written, and the hash of what is in it.
struct Sink {
    file: File,
    verifier: Verifier,
}

impl Sink {
    fn create(path: &Path, blob: &Blob) -> Result<Sink, CopyError> {
        let file = File::create(path)
            .map_err(|error| CopyError::io(Side::Source, step(blob), path, &error))?;
        Ok(Sink { file, verifier: Verifier::new(&blob.digest) })
    }
}

/// Hashes and writes on a thread of its own, so that two transfers use two cores; hands everything back.
async fn keep(
    sink: Option<Sink>,
    mut buffer: Vec<u8>,
    path: &Path,
) -> Result<(Option<Sink>, Vec<u8>), CopyError> {
    let work = tokio::task::spawn_blocking(move || {
        let mut sink = sink;
        if let Some(sink) = sink.as_mut() {
            sink.verifier.update(&buffer);
            sink.file.write_all(&buffer)?;
        }
        buffer.clear();
        io::Result::Ok((sink, buffer))
    });
    let outcome = work.await.map_err(io::Error::from).and_then(|outcome| outcome);
    outcome.map_err(|error| CopyError::io(Side::Source, "spooling a layer", path, &error))
}

fn prove(blob: &Blob, verifier: Verifier) -> Result<(), CopyError> {
    verifier
        .finish()
        .map_err(|error| CopyError::new(Side::Source, step(blob), Cause::Digest(error)))
}

fn failed(blob: &Blob, error: mirror_registry::Error) -> CopyError {
    CopyError::source(step(blob), error)
}

fn step(blob: &Blob) -> String {
    format!("download of blob {} ({} bytes)", blob.digest.short(), blob.size)
}
