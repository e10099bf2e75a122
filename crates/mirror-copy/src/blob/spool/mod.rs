//! The spool: a folder of blobs by digest, and how much may be in it.
//!
//! A file is there while its blob is on its way, and stays when a run ends before the blob has arrived, so that the
//! next run goes on where this one stopped, also after `kill -9`. Whoever writes a file holds its lock; a second
//! process that wants the same blob takes a file of its own.

pub(crate) mod documents;
pub(crate) mod files;
pub(crate) mod scratch;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use mirror_oci::{ByteSize, Digest};
use mirror_registry::{Chance, Pressure, Space, Threads, World};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use self::files::{BlobFile, Files, remove_idle};

/// How often those who wait for room ask who can let go of some.
const ASK_AGAIN: Duration = Duration::from_millis(100);

/// Who waits longer than this may go over the limit, one at a time.
const PATIENT: Duration = Duration::from_millis(500);

/// How long nobody may get on while somebody waits for room that the disk does not have.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// Room is taken in steps: of this size, or a part of all there is.
const STEP: u64 = 16 << 20;
const PARTS: u64 = 16;

/// Tells our own files of one blob apart.
static OWN_FILES: AtomicU64 = AtomicU64::new(0);

/// A folder for blobs on their way.
#[derive(Debug)]
pub(crate) struct Spool {
    files: Files,
    budget: Arc<Budget>,
    chance: Chance,
    threads: Threads,
    space: Space,
}

/// How much of the disk is used. Those who don't fit wait.
#[derive(Debug)]
struct Budget {
    limit: u64,
    used: Mutex<u64>,
    /// Files that earlier runs or attempts have left, and that nobody has asked for since. They count as used.
    leftovers: Mutex<BTreeMap<PathBuf, u64>>,
    /// Goes up whenever somebody writes, reads or lets go.
    moves: AtomicU64,
    /// What is taken and not on the disk yet, so that it looks free there.
    unwritten: AtomicU64,
    freed: Notify,
    /// One blob may go over the limit, as far as the disk allows: then all that have begun come to an end, one after the
    /// other, and nobody waits for ever.
    beyond: Arc<Semaphore>,
    pressure: Pressure,
}

/// Room for what has come of one blob; given back when dropped.
#[derive(Debug)]
pub(crate) struct Room {
    budget: Arc<Budget>,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    bytes: u64,
    /// What of that is on the disk, or is just being written.
    written: u64,
    beyond: Option<OwnedSemaphorePermit>,
}

/// A file of the spool, locked.
#[derive(Debug)]
pub(crate) struct Spooled {
    pub(crate) path: PathBuf,
    pub(crate) file: BlobFile,
    /// Whether the next run would find it.
    pub(crate) resumable: bool,
    /// What is in it already.
    pub(crate) room: Room,
}

impl Spool {
    /// Uses `folder`, up to `limit` bytes; by default half of what is free.
    pub(crate) fn open(folder: &Path, limit: Option<u64>, world: &World) -> io::Result<Spool> {
        let files = Files::open(folder, world.space.disk)?;
        let leftovers = files.leftovers();
        let used = leftovers.values().sum();
        let limit = match limit {
            Some(limit) => limit,
            None => files.free_bytes()?.saturating_add(used) / 2,
        };
        let budget = Budget {
            limit,
            used: Mutex::new(used),
            leftovers: Mutex::new(leftovers),
            moves: AtomicU64::new(0),
            unwritten: AtomicU64::new(0),
            freed: Notify::new(),
            beyond: Arc::new(Semaphore::new(1)),
            pressure: Pressure::default(),
        };
        Ok(Spool {
            files,
            budget: Arc::new(budget),
            chance: world.chance.clone(),
            threads: world.threads,
            space: world.space,
        })
    }

    /// Where its files are read and written.
    pub(crate) fn threads(&self) -> Threads {
        self.threads
    }

    /// How much fits where blobs are kept.
    pub(crate) fn space(&self) -> &Space {
        &self.space
    }

    /// Whether somebody waits for room that others hold.
    pub(crate) fn pressure(&self) -> &Pressure {
        &self.budget.pressure
    }

    /// Whether a blob of so many more bytes can be kept at all.
    ///
    /// # Errors
    /// When the disk has not that much, whatever is let go of here.
    pub(crate) fn check(&self, bytes: u64) -> io::Result<()> {
        let free = self.files.free_bytes()?;
        if bytes > free.saturating_add(*self.budget.used()) {
            return Err(too_large(bytes, free));
        }
        Ok(())
    }

    /// Waits until there is room for `bytes` of a blob of `size`. `make_room` is asked to let go of what nobody uses.
    ///
    /// # Errors
    /// When there is none left on the disk.
    pub(crate) async fn grow(
        &self,
        room: &Room,
        bytes: u64,
        size: u64,
        make_room: impl Fn(),
    ) -> io::Result<()> {
        self.find_room(room, bytes, size, make_room).await?;
        room.writes(bytes);
        Ok(())
    }

    async fn find_room(
        &self,
        room: &Room,
        bytes: u64,
        size: u64,
        make_room: impl Fn(),
    ) -> io::Result<()> {
        let Some(more) = room.lacks(bytes, size) else { return Ok(()) };
        if room.take(more) {
            return Ok(());
        }
        make_room();
        if room.take(more) {
            return Ok(());
        }
        let _waiting = self.budget.pressure.waiting();
        let started = Instant::now();
        let (mut chosen, mut moves, mut idle) = (None, 0, started);
        loop {
            let freed = self.budget.freed.notified();
            make_room();
            if room.take(more) {
                return Ok(());
            }
            // A blob that has arrived everywhere frees nothing by itself: it is let go when somebody asks.
            tokio::select! {
                biased;
                () = freed => {}
                () = tokio::time::sleep(ASK_AGAIN) => {}
            }
            if chosen.is_none() && started.elapsed() > PATIENT {
                chosen = self.budget.beyond.clone().try_acquire_owned().ok();
            }
            // What others have taken and not written yet is not free.
            let unwritten = self.budget.unwritten.load(Ordering::Relaxed);
            let free = self.files.free_bytes()?.saturating_sub(unwritten);
            let rest = size.saturating_sub(room.taken().bytes);
            if chosen.is_some() && rest <= free {
                // All of it at once, so that nobody takes what it still needs.
                room.taken().beyond = chosen;
                room.take(rest.max(more));
                return Ok(());
            }
            // Whoever fetches or sends what is there makes room in the end, however long it takes.
            let now = self.budget.moves.load(Ordering::Relaxed);
            if now != moves {
                (moves, idle) = (now, Instant::now());
            }
            if rest > free && idle.elapsed() > LONGEST_WAIT {
                return Err(too_large(rest, free));
            }
        }
    }

    /// Deletes what earlier runs have left and nobody of this one `expects`, if no other process is at it.
    pub(crate) fn let_go_of_leftovers(&self, expects: impl Fn(&str) -> bool) {
        let mut leftovers = self.budget.leftovers();
        let mut freed = 0;
        leftovers.retain(|path, bytes| {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            let goes = !expects(name) && remove_idle(path);
            freed += if goes { *bytes } else { 0 };
            !goes
        });
        drop(leftovers);
        self.budget.free(freed);
    }

    fn room(&self, bytes: u64) -> Room {
        let taken = Mutex::new(Taken { bytes, written: bytes, beyond: None });
        Room { budget: self.budget.clone(), taken }
    }

    /// The file for a blob, with whatever an earlier run left in it; or, when somebody else is at that file, one of
    /// our own that nobody will come back for.
    pub(crate) fn file(&self, digest: &Digest) -> io::Result<Spooled> {
        let name = file_name(digest);
        let path = self.files.path(&name);
        let file = self.files.file(&path)?;
        if file.lock(&path) {
            // What an earlier run has left is counted; what another process has put there just now is not.
            let counted = self.budget.leftovers().remove(&path).unwrap_or_default();
            return Ok(Spooled { path, file, resumable: true, room: self.room(counted) });
        }
        // Processes in containers share a folder and a process id; no name is taken twice all the same.
        let (number, random) = (OWN_FILES.fetch_add(1, Ordering::Relaxed), self.chance.number());
        let path = self.files.path(&format!("{name}.{random:016x}.{number}"));
        let file = self.files.file(&path)?;
        // So that a clean-up elsewhere sees that it is in use.
        let _ = file.lock(&path);
        Ok(Spooled { path, file, resumable: false, room: self.room(0) })
    }

    /// The folder that its files are in.
    pub(crate) fn folder(&self) -> &Path {
        self.files.folder()
    }
}

impl Drop for Spool {
    fn drop(&mut self) {
        self.files.remove_if_empty();
    }
}

impl Budget {
    fn used(&self) -> MutexGuard<'_, u64> {
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn leftovers(&self) -> MutexGuard<'_, BTreeMap<PathBuf, u64>> {
        self.leftovers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn free(&self, bytes: u64) {
        if bytes == 0 {
            // Two who wait would wake each other without end.
            return;
        }
        self.moves.fetch_add(1, Ordering::Relaxed);
        let mut used = self.used();
        *used = used.saturating_sub(bytes);
        drop(used);
        self.freed.notify_waiters();
    }
}

impl Room {
    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How much more to take for `bytes` of a blob of `size`.
    fn lacks(&self, bytes: u64, size: u64) -> Option<u64> {
        let taken = self.taken().bytes;
        let step = STEP.min(self.budget.limit / PARTS);
        (bytes > taken).then(|| bytes.max(taken.saturating_add(step).min(size)) - taken)
    }

    /// Takes more, if the limit allows it or is not for this one.
    fn take(&self, more: u64) -> bool {
        let mut taken = self.taken();
        let mut used = self.budget.used();
        let all = used.saturating_add(more);
        if all > self.budget.limit && taken.beyond.is_none() {
            return false;
        }
        *used = all;
        taken.bytes += more;
        self.budget.unwritten.fetch_add(more, Ordering::Relaxed);
        true
    }

    /// So many bytes of the blob are on the disk from here on.
    fn writes(&self, bytes: u64) {
        self.moves();
        let mut taken = self.taken();
        let more = bytes.min(taken.bytes).saturating_sub(taken.written);
        taken.written += more;
        self.budget.unwritten.fetch_sub(more, Ordering::Relaxed);
    }

    /// Somebody gets on with it.
    pub(crate) fn moves(&self) {
        self.budget.moves.fetch_add(1, Ordering::Relaxed);
    }

    /// The file stays for whoever comes back for it, and with it what is used of the disk.
    pub(crate) fn leave(&self, path: &Path) {
        let mut taken = self.taken();
        let written = std::mem::take(&mut taken.written);
        taken.bytes -= written;
        self.budget.leftovers().insert(path.to_owned(), written);
    }

    /// All of the blob is here: another one may go over the limit.
    pub(crate) fn is_enough(&self) {
        self.taken().beyond = None;
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        let (bytes, unwritten) = {
            let taken = self.taken();
            (taken.bytes, taken.bytes - taken.written)
        };
        self.budget.unwritten.fetch_sub(unwritten, Ordering::Relaxed);
        self.budget.free(bytes);
    }
}

fn too_large(bytes: u64, free: u64) -> io::Error {
    let message = format!("{} do not fit, {} are free", ByteSize(bytes), ByteSize(free));
    io::Error::new(io::ErrorKind::StorageFull, message)
}

/// What the file of a blob is called.
pub(crate) fn file_name(digest: &Digest) -> String {
    digest.as_str().replace(':', "-")
}

#[cfg(test)]
mod tests;
