//! Small documents in a folder of the spool, written whole or not at all.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

const LOCK: &str = ".lock";

/// A folder of small documents, which is made with the first of them. Other processes may use it at the same time.
///
/// ```
/// use mirror_copy::Documents;
///
/// # let folder = tempfile::tempdir()?;
/// # let folder = folder.path().join("remembered");
/// let documents = Documents::in_folder(&folder);
/// assert_eq!(documents.read("left", 1024)?, None);
/// documents.alone(|| documents.write("left", &[b"one\n", b"two\n"]))?;
/// assert_eq!(documents.read("left", 1024)?.as_deref(), Some(&b"one\ntwo\n"[..]));
/// assert!(documents.read("left", 4).is_err(), "it is larger than that");
/// documents.clear()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct Documents {
    folder: PathBuf,
}

impl Documents {
    /// Documents in this folder.
    pub fn in_folder(folder: &Path) -> Documents {
        Documents { folder: folder.to_owned() }
    }

    /// A document; nothing, if it isn't there.
    ///
    /// # Errors
    /// When it can't be read, or is no plain file of at most `cap` bytes.
    pub fn read(&self, name: &str, cap: u64) -> io::Result<Option<Vec<u8>>> {
        let path = self.folder.join(name);
        match fs::symlink_metadata(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
            Ok(metadata) if !metadata.is_file() => {
                Err(io::Error::other("it is not a regular file"))
            }
            Ok(metadata) if metadata.len() > cap => {
                Err(io::Error::from(io::ErrorKind::FileTooLarge))
            }
            Ok(_) => fs::read(&path).map(Some),
        }
    }

    /// Its age counts from now on.
    pub(crate) fn touch(&self, name: &str) {
        let file = File::options().append(true).open(self.folder.join(name));
        let _ = file.and_then(|file| file.set_modified(SystemTime::now()));
    }

    /// Puts a document there.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn write(&self, name: &str, parts: &[&[u8]]) -> io::Result<()> {
        fs::create_dir_all(&self.folder)?;
        let mut file = tempfile::NamedTempFile::new_in(&self.folder)?;
        for part in parts {
            file.write_all(part)?;
        }
        file.persist(self.folder.join(name)).map_err(|error| error.error)?;
        Ok(())
    }

    /// Does `work` while no other process does the same.
    ///
    /// # Errors
    /// What `work` fails with, or when the folder can't be written.
    pub fn alone(&self, work: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
        fs::create_dir_all(&self.folder)?;
        let lock = File::create(self.folder.join(LOCK))?;
        lock.lock()?;
        work()
    }

    /// Removes documents that are older.
    pub(crate) fn tidy(&self, oldest: Duration) {
        for entry in fs::read_dir(&self.folder).into_iter().flatten().flatten() {
            let age = entry.metadata().and_then(|metadata| metadata.modified());
            if age.is_ok_and(|time| time.elapsed().is_ok_and(|age| age > oldest)) {
                let _ = fs::remove_file(entry.path());
            }
        }
    }

    /// Removes all of them.
    ///
    /// # Errors
    /// When the folder can't be removed.
    pub fn clear(&self) -> io::Result<()> {
        fs::remove_dir_all(&self.folder)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_large_or_no_file_is_not_taken_for_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let documents = Documents::in_folder(&folder.path().join("below"));
        assert_eq!(documents.read("a", 10).unwrap(), None);
        documents.write("a", &[b"one ", b"two"]).unwrap();
        assert_eq!(documents.read("a", 7).unwrap().unwrap(), b"one two");
        assert_eq!(documents.read("a", 6).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
        fs::create_dir(folder.path().join("below/b")).unwrap();
        assert!(documents.read("b", 10).is_err());
    }
}
