//! Fetching one blob: from the first store that has it, on top of what an earlier run left, hashed on the way.

use std::io;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use bytes::{Bytes, BytesMut};
use mirror_failure::{Cause, Side};
use mirror_oci::Verifier;
use mirror_registry::Threads;

use crate::blob::Blob;
use crate::blob::spool::files::BlobFile;
use crate::blob::spool::{Spool, Spooled};
use crate::blob::state::{FetchState, StateSender};
use crate::blob::storage::{SpoolFile, Storage};
use crate::blob::tail_buffer::TailBuffer;
use crate::error::CopyError;
use crate::store::Store;
use crate::store::reader::Reader;

/// A download at work.
pub(crate) struct Fetch {
    /// Where it may be had, the origin last.
    pub(crate) stores: Vec<Store>,
    pub(crate) blob: Blob,
    pub(crate) spool: Arc<Spool>,
    pub(crate) make_room: Box<dyn Fn() + Send + Sync>,
    pub(crate) storage: Arc<Storage>,
    pub(crate) state: StateSender,
    pub(crate) progress: Box<dyn Fn(u64) + Send + Sync>,
}

impl Fetch {
    /// Runs to the end and tells everybody how it went.
    pub(crate) async fn run(self) {
        let outcome = match &*self.storage {
            Storage::Memory(bytes) => self.through_memory(bytes).await,
            Storage::Held(buffer) => self.through_buffer(buffer).await,
            Storage::Passing(buffer) => {
                buffer.begun().await;
                self.through_buffer(buffer).await
            }
            Storage::File(spooled, _, buffer) => self.through_file(spooled, buffer).await,
        };
        let round = self.state.round();
        self.state.tell(outcome.map_or_else(FetchState::Failed, |()| FetchState::Done { round }));
    }

    fn wrote(&self, written: u64) {
        let round = self.state.round();
        self.state.tell(FetchState::Running { round, written });
    }

    async fn through_memory(&self, memory: &OnceLock<Bytes>) -> Result<(), CopyError> {
        if memory.get().is_some() {
            return Ok(());
        }
        let mut outcome = Err(self.nowhere());
        for from in &self.stores {
            outcome = self.small(from).await;
            if let Ok(bytes) = &outcome {
                let _ = memory.set(bytes.clone());
                break;
            }
        }
        outcome.map(|_| ())
    }

    async fn small(&self, from: &Store) -> Result<Bytes, CopyError> {
        let mut reader = self.reader(from, 0);
        let mut bytes = BytesMut::new();
        while let Some(chunk) = reader.chunk().await.map_err(|cause| self.failed(cause))? {
            bytes.extend_from_slice(&chunk);
            (self.progress)(chunk.len() as u64);
        }
        let mut verifier = Verifier::new(&self.blob.digest);
        verifier.update(&bytes);
        self.prove(verifier)?;
        Ok(bytes.freeze())
    }

    async fn through_file(
        &self,
        spooled: &OnceLock<SpoolFile>,
        buffer: &TailBuffer,
    ) -> Result<(), CopyError> {
        let wrong = |error: io::Error| self.io(self.spool.folder(), &error);
        let Spooled { path, file, resumable, room } =
            self.spool.file(&self.blob.digest).map_err(wrong)?;
        let here = file.length().map_err(wrong)?;
        self.spool.check(self.blob.size.saturating_sub(here)).map_err(wrong)?;
        if !resumable {
            self.storage.forget();
        }
        let spooled = spooled.get_or_init(|| SpoolFile { path, file, room });
        let mut outcome = Err(self.nowhere());
        let mut found = 0;
        // A store continues with the bytes that are there, unless they were wrong. The origin, which is the last one,
        // has two tries: an earlier run may have left wrong bytes.
        let from = &self.stores;
        for (number, store) in from.iter().chain(from.last()).enumerate() {
            let wrong = error_is_digest(&outcome);
            buffer.clear();
            let mut sink =
                if wrong { self.emptied(spooled)? } else { self.resumed(spooled).await? };
            found = if wrong { 0 } else { found.max(sink.at) };
            outcome = self.large(store, &mut sink, Some(spooled), buffer).await;
            match &outcome {
                Ok(()) => break,
                Err(error) => {
                    tracing::debug!(%error, from = ?store, "this store did not deliver the blob")
                }
            }
            if number + 1 == from.len() && (found == 0 || !error_is_digest(&outcome)) {
                break;
            }
        }
        spooled.room.is_enough();
        // Those who come later read the file.
        buffer.clear();
        if error_is_digest(&outcome) {
            self.storage.forget();
        }
        outcome
    }

    /// Throws away what is in the file. Whoever reads is told before the bytes are gone.
    fn emptied(&self, spooled: &SpoolFile) -> Result<Sink, CopyError> {
        let round = self.state.round() + 1;
        self.state.tell(FetchState::Running { round, written: 0 });
        let file = spooled.file.emptied();
        let file = file.map_err(|error| self.io(&spooled.path, &error))?;
        Ok(Sink { file: Some(file), verifier: Some(Verifier::new(&self.blob.digest)), at: 0 })
    }

    /// Hashes what an earlier attempt or run left in the file.
    async fn resumed(&self, spooled: &SpoolFile) -> Result<Sink, CopyError> {
        let (digest, size) = (self.blob.digest.clone(), self.blob.size);
        let file = spooled.file.second_handle();
        let threads = self.spool.threads();
        let resumed = match file {
            Ok(file) => threads.run(move || file.resumed(&digest, size)).await.and_then(|it| it),
            Err(error) => Err(error),
        };
        let (file, verifier, at) = resumed.map_err(|error| self.io(&spooled.path, &error))?;
        let sink = Sink { file: Some(file), verifier: Some(verifier), at };
        self.wrote(sink.at);
        Ok(sink)
    }

    /// Without a file. A store continues where the last one stopped; when the bytes turn out wrong, whoever
    /// wants them starts over, through a file.
    async fn through_buffer(&self, buffer: &TailBuffer) -> Result<(), CopyError> {
        let mut sink = Sink { file: None, verifier: Some(Verifier::new(&self.blob.digest)), at: 0 };
        let mut outcome = Err(self.nowhere());
        for from in &self.stores {
            outcome = self.large(from, &mut sink, None, buffer).await;
            match &outcome {
                Ok(()) => break,
                Err(error) => tracing::debug!(%error, ?from, "this store did not deliver the blob"),
            }
            if error_is_digest(&outcome) {
                break;
            }
        }
        outcome
    }

    /// Reads the rest of a blob from one store.
    async fn large(
        &self,
        from: &Store,
        sink: &mut Sink,
        spooled: Option<&SpoolFile>,
        buffer: &TailBuffer,
    ) -> Result<(), CopyError> {
        let mut reader = self.reader(from, sink.at);
        let mut pieces = Pieces::default();
        let mut held = 0;
        let mut last = sink.at == self.blob.size;
        while !last {
            let outcome = reader.chunk().await.map_err(|cause| self.failed(cause));
            // What came before the connection broke for good is kept for the next attempt.
            last = matches!(outcome, Ok(None) | Err(_));
            if let Ok(Some(chunk)) = &outcome {
                held += chunk.len();
                pieces.add(chunk);
            }
            if (held >= self.spool.space().piece || last) && held > 0 {
                let before = sink.at;
                if let Some(SpoolFile { path, room, .. }) = spooled {
                    let (bytes, size) = (before + held as u64, self.blob.size);
                    let grown = self.spool.grow(room, bytes, size, &self.make_room).await;
                    grown.map_err(|error| self.io(path, &error))?;
                }
                let path = spooled.map_or(Path::new(""), |spooled| &spooled.path);
                let kept = sink.keep(std::mem::take(&mut pieces).all(), self.spool.threads()).await;
                buffer.add(before, kept.map_err(|error| self.io(path, &error))?);
                (self.progress)(held as u64);
                self.wrote(sink.at);
                held = 0;
                match &*self.storage {
                    Storage::File(..) => buffer.trim(),
                    Storage::Passing(_) => buffer.room().await,
                    Storage::Memory(_) | Storage::Held(_) => {}
                }
            }
            outcome?;
        }
        self.prove(sink.verifier.take().ok_or_else(|| self.nowhere())?)
    }

    fn reader<'a>(&'a self, from: &'a Store, at: u64) -> Reader<'a> {
        from.reader(&self.blob.digest, self.blob.size, at, self.spool.pressure())
    }

    fn prove(&self, verifier: Verifier) -> Result<(), CopyError> {
        verifier
            .finish()
            .map_err(|error| CopyError::new(Side::Source, self.step(), Cause::Digest(error)))
    }

    fn failed(&self, cause: Cause) -> CopyError {
        CopyError::new(Side::Source, self.step(), cause)
    }

    fn nowhere(&self) -> CopyError {
        CopyError::new(
            Side::Source,
            self.step(),
            Cause::Other("there is nowhere to fetch it from".to_owned()),
        )
    }

    fn io(&self, path: &Path, error: &io::Error) -> CopyError {
        CopyError::io(
            Side::Local,
            format!("spooling blob {}", self.blob.digest.short()),
            path,
            error,
        )
    }

    fn step(&self) -> String {
        format!("download of {}", self.blob)
    }
}

/// Chunks smaller than this are joined: each has a cost of its own, and a server may send them byte by byte.
const TINY: usize = 4 << 10;

/// Chunks as they came, the tiny ones joined.
#[derive(Default)]
struct Pieces {
    whole: Vec<Bytes>,
    tiny: BytesMut,
}

impl Pieces {
    fn add(&mut self, chunk: &Bytes) {
        if chunk.len() < TINY {
            self.tiny.extend_from_slice(chunk);
            return;
        }
        self.flush();
        self.whole.push(chunk.clone());
    }

    fn flush(&mut self) {
        if !self.tiny.is_empty() {
            self.whole.push(std::mem::take(&mut self.tiny).freeze());
        }
    }

    fn all(mut self) -> Vec<Bytes> {
        self.flush();
        self.whole
    }
}

/// What has come: perhaps a file, and the hash of it.
struct Sink {
    file: Option<BlobFile>,
    verifier: Option<Verifier>,
    at: u64,
}

impl Sink {
    /// Hashes and writes, on threads that two transfers can use two cores with; hands the pieces back.
    async fn keep(&mut self, pieces: Vec<Bytes>, threads: Threads) -> io::Result<Vec<Bytes>> {
        let (mut verifier, mut file) = (self.verifier.take(), self.file.take());
        let work = threads.run(move || {
            for piece in &pieces {
                if let Some(verifier) = verifier.as_mut() {
                    verifier.update(piece);
                }
                if let Some(file) = file.as_mut() {
                    file.append(piece)?;
                }
            }
            io::Result::Ok((verifier, file, pieces))
        });
        let pieces;
        (self.verifier, self.file, pieces) = work.await??;
        self.at += pieces.iter().map(|piece| piece.len() as u64).sum::<u64>();
        Ok(pieces)
    }
}

fn error_is_digest(outcome: &Result<(), CopyError>) -> bool {
    outcome.as_ref().is_err_and(|error| matches!(error.cause(), Cause::Digest(_)))
}
