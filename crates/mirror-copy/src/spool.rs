//! The spool: a folder of blobs by digest, and how much may be in it.
//!
//! A file is there while its blob is on its way, and stays when a run ends before the blob has arrived, so that the
//! next run goes on where this one stopped, also after `kill -9`. Whoever writes a file holds its lock; a second
//! process that wants the same blob takes a file of its own.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use mirror_oci::Digest;
use tokio::sync::Notify;

/// Files that nobody came back for are removed after this time.
const STALE: Duration = Duration::from_secs(7 * 24 * 3600);

/// How often those who wait for room ask who can let go of some.
const ASK_AGAIN: Duration = Duration::from_millis(100);

/// How often the folder may vanish under us before that is an error.
const MOST_REMOVALS: usize = 20;

/// Tells our own files of one blob apart.
static OWN_FILES: AtomicU64 = AtomicU64::new(0);

/// A folder for blobs on their way.
#[derive(Debug)]
pub(crate) struct Spool {
    folder: PathBuf,
    budget: Arc<Budget>,
}

/// How much of the disk is used. Those who don't fit wait.
#[derive(Debug)]
struct Budget {
    limit: u64,
    used: Mutex<u64>,
    freed: Notify,
}

/// Room for one blob; given back when dropped.
#[derive(Debug)]
pub(crate) struct Room {
    budget: Arc<Budget>,
    bytes: u64,
}

/// A file of the spool, locked.
#[derive(Debug)]
pub(crate) struct Spooled {
    pub(crate) path: PathBuf,
    pub(crate) file: File,
    /// Whether the next run would find it.
    pub(crate) resumable: bool,
}

impl Spool {
    /// Uses `folder`, up to `limit` bytes; by default half of what is free.
    pub(crate) fn open(folder: &Path, limit: Option<u64>) -> io::Result<Spool> {
        fs::create_dir_all(folder)?;
        let limit = match limit {
            Some(limit) => limit,
            None => free_bytes(folder)? / 2,
        };
        remove_stale(folder);
        let budget = Budget { limit, used: Mutex::new(0), freed: Notify::new() };
        Ok(Spool { folder: folder.to_owned(), budget: Arc::new(budget) })
    }

    /// Waits for room. `make_room` is asked to let go of blobs that nobody uses at the moment.
    ///
    /// A blob that is larger than the budget gets room when it is alone: every blob that has room arrives without
    /// needing more of it, so nobody waits for ever.
    ///
    /// # Errors
    /// When the blob is larger than what is free on the disk.
    pub(crate) async fn reserve(&self, bytes: u64, make_room: impl Fn()) -> io::Result<Room> {
        loop {
            let freed = self.budget.freed.notified();
            if let Some(room) = self.try_reserve(bytes)? {
                return Ok(room);
            }
            make_room();
            if let Some(room) = self.try_reserve(bytes)? {
                return Ok(room);
            }
            // A blob that has arrived everywhere frees nothing by itself: it is let go when somebody asks.
            let _ = tokio::time::timeout(ASK_AGAIN, freed).await;
        }
    }

    fn try_reserve(&self, bytes: u64) -> io::Result<Option<Room>> {
        let mut used = self.budget.used.lock().unwrap_or_else(PoisonError::into_inner);
        if *used > 0 && used.saturating_add(bytes) > self.budget.limit {
            return Ok(None);
        }
        if bytes > self.budget.limit {
            let free = free_bytes(&self.folder)?;
            if bytes > free {
                let message =
                    format!("a blob of {bytes} bytes does not fit, {free} bytes are free");
                return Err(io::Error::new(io::ErrorKind::StorageFull, message));
            }
        }
        *used += bytes;
        Ok(Some(Room { budget: self.budget.clone(), bytes }))
    }

    /// The file for a blob, with whatever an earlier run left in it; or, when somebody else is at that file, one of
    /// our own that nobody will come back for.
    pub(crate) fn file(&self, digest: &Digest) -> io::Result<Spooled> {
        let name = digest.as_str().replace(':', "-");
        let path = self.folder.join(&name);
        let file = self.open_file(&path)?;
        if file.try_lock().is_ok() && still_there(&path, &file) {
            return Ok(Spooled { path, file, resumable: true });
        }
        // Processes in containers share a folder and a process id; no name is taken twice all the same.
        let (number, random) = (OWN_FILES.fetch_add(1, Ordering::Relaxed), random());
        let path = self.folder.join(format!("{name}.{random:016x}.{number}"));
        let file = self.open_file(&path)?;
        // So that a clean-up elsewhere sees that it is in use.
        let _ = file.try_lock();
        Ok(Spooled { path, file, resumable: false })
    }

    /// Another process may take the empty folder away at any time.
    fn open_file(&self, path: &Path) -> io::Result<File> {
        let open =
            || OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path);
        for _ in 0..MOST_REMOVALS {
            match open() {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    fs::create_dir_all(&self.folder)?;
                }
                outcome => return outcome,
            }
        }
        open()
    }

    /// The folder.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }
}

impl Drop for Spool {
    fn drop(&mut self) {
        // Goes only when it is empty: what is left in it is for the next run.
        let _ = fs::remove_dir(&self.folder);
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        let mut used = self.budget.used.lock().unwrap_or_else(PoisonError::into_inner);
        *used = used.saturating_sub(self.bytes);
        self.budget.freed.notify_waiters();
    }
}

fn random() -> u64 {
    std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), std::process::id())
}

/// Another process may have removed the file between our opening and locking it.
#[cfg(unix)]
fn still_there(path: &Path, file: &File) -> bool {
    use std::os::unix::fs::MetadataExt;
    match (fs::metadata(path), file.metadata()) {
        (Ok(named), Ok(opened)) => named.ino() == opened.ino() && named.dev() == opened.dev(),
        _ => false,
    }
}

#[cfg(not(unix))]
fn still_there(_: &Path, _: &File) -> bool {
    true
}

fn remove_stale(folder: &Path) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
        let age = fs::metadata(&path)
            .and_then(|metadata| metadata.modified())
            .map(|time| SystemTime::now().duration_since(time));
        let old = matches!(age, Ok(Ok(age)) if age > STALE);
        if old && File::open(&path).is_ok_and(|file| file.try_lock().is_ok()) {
            let _ = fs::remove_file(&path);
        }
    }
}

/// What is free for us on the disk of a folder.
fn free_bytes(folder: &Path) -> io::Result<u64> {
    #[cfg(unix)]
    {
        let disk = rustix::fs::statvfs(folder)?;
        Ok(disk.f_bavail.saturating_mul(disk.f_frsize))
    }
    #[cfg(not(unix))]
    {
        let _ = folder;
        Ok(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest() -> Digest {
        Digest::of(mirror_oci::Algorithm::Sha256, b"x")
    }

    #[tokio::test]
    async fn those_who_do_not_fit_wait() {
        let folder = tempfile::tempdir().unwrap();
        let spool = Arc::new(Spool::open(folder.path(), Some(100)).unwrap());
        let first = spool.reserve(80, || ()).await.unwrap();
        let waiting = tokio::spawn({
            let spool = spool.clone();
            async move { spool.reserve(30, || ()).await.map(|room| room.bytes) }
        });
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert!(!waiting.is_finished());
        drop(first);
        assert_eq!(waiting.await.unwrap().unwrap(), 30);
        // Larger than the budget, but alone.
        assert_eq!(spool.reserve(1000, || ()).await.unwrap().bytes, 1000);
        let error = spool.reserve(u64::MAX / 2, || ()).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    }

    #[test]
    fn the_folder_may_vanish() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("spool");
        let (one, two) = (Spool::open(&place, None).unwrap(), Spool::open(&place, None).unwrap());
        drop(one);
        assert!(!place.exists());
        assert!(two.file(&digest()).unwrap().resumable);
    }

    #[tokio::test]
    async fn room_can_come_from_whoever_lets_go_later() {
        let folder = tempfile::tempdir().unwrap();
        let spool = Spool::open(folder.path(), Some(100)).unwrap();
        let held = Mutex::new(Some(spool.reserve(80, || ()).await.unwrap()));
        let asked = AtomicU64::new(0);
        let let_go = || {
            if asked.fetch_add(1, Ordering::Relaxed) > 2 {
                held.lock().unwrap().take();
            }
        };
        assert_eq!(spool.reserve(80, let_go).await.unwrap().bytes, 80);
    }

    #[test]
    fn two_users_of_one_blob_have_two_files() {
        let folder = tempfile::tempdir().unwrap();
        let (one, two) =
            (Spool::open(folder.path(), None).unwrap(), Spool::open(folder.path(), None).unwrap());
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
