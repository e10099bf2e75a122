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
use mirror_registry::{Chance, Pressure, Threads, World};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use self::files::{BlobFile, Files, remove_idle};

/// How often those who wait for room ask who can let go of some.
const ASK_AGAIN: Duration = Duration::from_millis(100);

/// Who waits longer than this may go over the limit, one at a time.
const PATIENT: Duration = Duration::from_millis(500);

/// How long to wait for others where the disk has no room for the rest of a blob.
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
    /// Files of earlier runs that nobody of this one has asked for yet. They count as used.
    leftovers: Mutex<BTreeMap<PathBuf, u64>>,
    chance: Chance,
    threads: Threads,
}

/// How much of the disk is used. Those who don't fit wait.
#[derive(Debug)]
struct Budget {
    limit: u64,
    used: Mutex<u64>,
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
        let files = Files::open(folder)?;
        let leftovers = files.leftovers();
        let used = leftovers.values().sum();
        let limit = match limit {
            Some(limit) => limit,
            None => files.free_bytes()?.saturating_add(used) / 2,
        };
        let budget = Budget {
            limit,
            used: Mutex::new(used),
            freed: Notify::new(),
            beyond: Arc::new(Semaphore::new(1)),
            pressure: Pressure::default(),
        };
        Ok(Spool {
            files,
            budget: Arc::new(budget),
            leftovers: Mutex::new(leftovers),
            chance: world.chance.clone(),
            threads: world.threads,
        })
    }

    /// Where its files are read and written.
    pub(crate) fn threads(&self) -> Threads {
        self.threads
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
        let mut chosen = None;
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
            let free = self.files.free_bytes()?;
            let rest = size.saturating_sub(room.taken().bytes);
            if chosen.is_some() && rest <= free {
                room.taken().beyond = chosen;
                room.take(more);
                return Ok(());
            }
            if rest > free && started.elapsed() > LONGEST_WAIT {
                return Err(too_large(rest, free));
            }
        }
    }

    /// Deletes what earlier runs have left and nobody of this one `expects`, if no other process is at it.
    pub(crate) fn let_go_of_leftovers(&self, expects: impl Fn(&str) -> bool) {
        let mut leftovers = self.leftovers();
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

    fn leftovers(&self) -> MutexGuard<'_, BTreeMap<PathBuf, u64>> {
        self.leftovers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn room(&self, bytes: u64) -> Room {
        let taken = Mutex::new(Taken { bytes, beyond: None });
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
            let counted = self.leftovers().remove(&path).unwrap_or_default();
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

    fn free(&self, bytes: u64) {
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
        true
    }

    /// All of the blob is here: another one may go over the limit.
    pub(crate) fn is_enough(&self) {
        self.taken().beyond = None;
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        let bytes = self.taken().bytes;
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
mod tests {
    use std::fs;

    use super::*;

    fn open(folder: &Path, limit: Option<u64>) -> io::Result<Spool> {
        // Each is another process.
        Spool::open(folder, limit, &World::real())
    }

    fn digest() -> Digest {
        Digest::of(mirror_oci::Algorithm::Sha256, b"x")
    }

    /// Takes room step by step, as a download does.
    async fn fill(spool: &Spool, room: &Room, size: u64) -> io::Result<()> {
        for bytes in (10..=size).step_by(10) {
            spool.grow(room, bytes, size, || ()).await?;
        }
        room.is_enough();
        Ok(())
    }

    #[tokio::test]
    async fn room_is_taken_as_it_is_used() {
        let folder = tempfile::tempdir().unwrap();
        let spool = open(folder.path(), Some(160)).unwrap();
        // What somebody claims takes nothing.
        let claimed = spool.room(0);
        spool.grow(&claimed, 10, 1 << 40, || ()).await.unwrap();
        assert_eq!(*spool.budget.used(), 10);
        let rooms = [spool.room(0), spool.room(0)];
        for room in &rooms {
            fill(&spool, room, 70).await.unwrap();
        }
        assert_eq!(*spool.budget.used(), 150);
        drop(rooms);
        assert_eq!(*spool.budget.used(), 10);
    }

    #[tokio::test]
    async fn all_that_have_begun_come_to_an_end() {
        let folder = tempfile::tempdir().unwrap();
        let spool = open(folder.path(), Some(100)).unwrap();
        let rooms: Vec<Room> = (0..5).map(|_| spool.room(0)).collect();
        let fills = rooms.iter().map(|room| fill(&spool, room, 80));
        let all = futures_util::future::join_all(fills);
        let all = tokio::time::timeout(Duration::from_secs(20), all).await.unwrap();
        assert!(all.iter().all(Result::is_ok), "{all:?}");
        drop(rooms);
        assert_eq!(*spool.budget.used(), 0);
    }

    #[tokio::test]
    async fn what_the_disk_can_not_hold_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let spool = open(folder.path(), None).unwrap();
        let error = spool.check(u64::MAX / 2).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        spool.check(1000).unwrap();
    }

    #[tokio::test]
    async fn leftovers_count_until_somebody_needs_their_room() {
        let folder = tempfile::tempdir().unwrap();
        let other = Digest::of(mirror_oci::Algorithm::Sha256, b"y");
        for digest in [digest(), other.clone()] {
            fs::write(folder.path().join(file_name(&digest)), [0; 60]).unwrap();
        }
        let spool = open(folder.path(), Some(160)).unwrap();
        assert_eq!(*spool.budget.used(), 120);
        let wanted = spool.file(&digest()).unwrap();
        assert_eq!((*spool.budget.used(), wanted.room.taken().bytes), (120, 60));
        let make_room = || spool.let_go_of_leftovers(|name| name == file_name(&digest()));
        spool.grow(&wanted.room, 150, 150, make_room).await.unwrap();
        assert_eq!(*spool.budget.used(), 150);
        assert!(!folder.path().join(file_name(&other)).exists());
    }

    #[test]
    fn the_folder_may_vanish() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("spool");
        let (one, two) = (open(&place, None).unwrap(), open(&place, None).unwrap());
        drop(one);
        assert!(!place.exists());
        assert!(two.file(&digest()).unwrap().resumable);
    }

    #[tokio::test]
    async fn room_can_come_from_whoever_lets_go_later() {
        let folder = tempfile::tempdir().unwrap();
        let spool = open(folder.path(), Some(160)).unwrap();
        let _beyond = spool.budget.beyond.clone().acquire_owned().await.unwrap();
        let room = spool.room(0);
        fill(&spool, &room, 150).await.unwrap();
        let held = Mutex::new(Some(room));
        let asked = AtomicU64::new(0);
        let let_go = || {
            if asked.fetch_add(1, Ordering::Relaxed) > 2 {
                held.lock().unwrap().take();
            }
        };
        spool.grow(&spool.room(0), 80, 80, let_go).await.unwrap();
    }

    #[test]
    fn two_users_of_one_blob_have_two_files() {
        let folder = tempfile::tempdir().unwrap();
        let (one, two) = (open(folder.path(), None).unwrap(), open(folder.path(), None).unwrap());
        let first = one.file(&digest()).unwrap();
        let second = two.file(&digest()).unwrap();
        let another = two.file(&digest()).unwrap();
        assert!(first.resumable && !second.resumable && !another.resumable);
        assert!(first.path != second.path && second.path != another.path);
        drop(first);
        let third = two.file(&digest()).unwrap();
        assert_eq!(third.path, folder.path().join(digest().as_str().replace(':', "-")));
    }
}
