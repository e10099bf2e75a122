//! The folder of the spool. Nothing else here touches its disk.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::{Bytes, BytesMut};
use mirror_oci::{Digest, Verifier};

use crate::blob::hash;

/// Files that nobody came back for are removed after this time.
const STALE: Duration = Duration::from_secs(7 * 24 * 3600);

/// How often the folder may vanish under us before that is an error.
const MOST_REMOVALS: usize = 20;

/// The folder of the spool.
#[derive(Debug)]
pub(crate) struct Files {
    folder: PathBuf,
    disk: Option<Arc<SmallDisk>>,
}

/// A disk that holds less than the real one.
#[derive(Debug)]
struct SmallDisk {
    folder: PathBuf,
    bytes: u64,
}

impl SmallDisk {
    /// What is free on it.
    fn free(&self) -> u64 {
        let entries = fs::read_dir(&self.folder).into_iter().flatten();
        let sizes = entries.filter_map(|entry| Some(entry.ok()?.metadata().ok()?.len()));
        self.bytes.saturating_sub(sizes.sum())
    }
}

impl Files {
    /// Makes the folder, and removes what nobody came back for. `disk` is the size of the disk, if it is not the one of this
    /// machine.
    pub(crate) fn open(folder: &Path, disk: Option<u64>) -> io::Result<Files> {
        fs::create_dir_all(folder)?;
        let small = |bytes| Arc::new(SmallDisk { folder: folder.to_owned(), bytes });
        let files = Files { folder: folder.to_owned(), disk: disk.map(small) };
        files.remove_stale();
        Ok(files)
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Files of blobs that earlier runs have left, with their size.
    pub(crate) fn leftovers(&self) -> BTreeMap<PathBuf, u64> {
        let Ok(entries) = fs::read_dir(&self.folder) else { return BTreeMap::new() };
        let files = entries.filter_map(|entry| {
            let entry = entry.ok()?;
            let metadata = entry.metadata().ok()?;
            metadata.is_file().then(|| (entry.path(), metadata.len()))
        });
        files.collect()
    }

    fn remove_stale(&self) {
        let Ok(entries) = fs::read_dir(&self.folder) else { return };
        for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
            let age = fs::metadata(&path)
                .and_then(|metadata| metadata.modified())
                .map(|time| SystemTime::now().duration_since(time));
            if matches!(age, Ok(Ok(age)) if age > STALE) {
                remove_idle(&path);
            }
        }
    }

    /// Opens a file, or makes it. Another process may take the empty folder away at any time.
    pub(crate) fn file(&self, path: &Path) -> io::Result<BlobFile> {
        let open =
            || OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path);
        for _ in 0..MOST_REMOVALS {
            match open() {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    fs::create_dir_all(&self.folder)?;
                }
                outcome => return outcome.map(|file| BlobFile(file, self.disk.clone())),
            }
        }
        open().map(|file| BlobFile(file, self.disk.clone()))
    }

    /// What is free for us on its disk.
    pub(crate) fn free_bytes(&self) -> io::Result<u64> {
        if let Some(disk) = &self.disk {
            return Ok(disk.free());
        }
        #[cfg(unix)]
        {
            let disk = rustix::fs::statvfs(&self.folder)?;
            Ok(disk.f_bavail.saturating_mul(disk.f_frsize))
        }
        #[cfg(not(unix))]
        Ok(u64::MAX)
    }

    /// Removes the folder if it is empty: what is left in it is for the next run.
    pub(crate) fn remove_if_empty(&self) {
        let _ = fs::remove_dir(&self.folder);
    }
}

/// Removes a file that no process is at; whether it has.
pub(crate) fn remove_idle(path: &Path) -> bool {
    let idle = File::open(path).is_ok_and(|file| file.try_lock().is_ok());
    idle && fs::remove_file(path).is_ok()
}

/// Removes a file of our own.
pub(crate) fn remove(path: &Path) {
    let _ = fs::remove_file(path);
}

/// A file with a part of a blob.
#[derive(Debug)]
pub(crate) struct BlobFile(File, Option<Arc<SmallDisk>>);

impl BlobFile {
    /// Opens a file to read it.
    pub(crate) fn open(path: &Path) -> io::Result<BlobFile> {
        File::open(path).map(|file| BlobFile(file, None))
    }

    /// Takes its lock, unless somebody else has it or the file at `path` is another one by now: a process may have removed
    /// it between our opening and locking it.
    pub(crate) fn lock(&self, path: &Path) -> bool {
        self.0.try_lock().is_ok() && still_there(path, &self.0)
    }

    /// How many bytes are in it.
    pub(crate) fn length(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    /// The same file once more.
    pub(crate) fn second_handle(&self) -> io::Result<BlobFile> {
        Ok(BlobFile(self.0.try_clone()?, self.1.clone()))
    }

    /// The same file, to be written from the beginning.
    pub(crate) fn emptied(&self) -> io::Result<BlobFile> {
        let mut file = self.0.try_clone()?;
        file.set_len(0)?;
        file.seek(SeekFrom::Start(0))?;
        Ok(BlobFile(file, self.1.clone()))
    }

    /// Gets it ready to be gone on with: hashes what is in it, which is nothing if it was more than the blob has.
    pub(crate) fn resumed(
        self,
        digest: &Digest,
        size: u64,
    ) -> io::Result<(BlobFile, Verifier, u64)> {
        let BlobFile(mut file, disk) = self;
        let mut verifier = Verifier::new(digest);
        file.seek(SeekFrom::Start(0))?;
        let at = hash(&mut file, &mut verifier)?;
        if at > size {
            return Ok((BlobFile(file, disk).emptied()?, Verifier::new(digest), 0));
        }
        Ok((BlobFile(file, disk), verifier, at))
    }

    /// Adds bytes at the end.
    pub(crate) fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.1.as_ref().is_some_and(|disk| disk.free() < bytes.len() as u64) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.0.write_all(bytes)
    }

    /// Reads bytes that are there.
    pub(crate) fn read(&mut self, at: u64, length: usize) -> io::Result<Bytes> {
        let mut piece = BytesMut::zeroed(length);
        self.0.seek(SeekFrom::Start(at))?;
        self.0.read_exact(&mut piece)?;
        Ok(piece.freeze())
    }
}

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
