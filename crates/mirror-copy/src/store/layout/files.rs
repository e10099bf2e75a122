//! The folder of an image layout. Nothing else here touches its disk.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use mirror_oci::{Digest, Verifier};

use crate::blob::{PIECE, hash};

const MARKER: &str = "oci-layout";
const PART: &str = ".part-";
const LOCK: &str = ".index.json.lock";
/// A day is more than any blob takes.
const OLD: Duration = Duration::from_secs(24 * 3600);

/// The folder of one image layout.
#[derive(Debug)]
pub(crate) struct Files {
    folder: PathBuf,
}

/// What tells that a file has changed. Each time that it is replaced it is another file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp {
    modified: Option<SystemTime>,
    length: u64,
    number: u64,
}

impl Stamp {
    fn of(metadata: &fs::Metadata) -> Stamp {
        #[cfg(unix)]
        let number = std::os::unix::fs::MetadataExt::ino(metadata);
        #[cfg(not(unix))]
        let number = 0;
        Stamp { modified: metadata.modified().ok(), length: metadata.len(), number }
    }
}

/// A file on its way to its place, where a reader finds it whole or not at all.
pub(crate) struct PartFile(tempfile::NamedTempFile);

impl Files {
    pub(crate) fn of(folder: &Path) -> Files {
        Files { folder: folder.to_owned() }
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// A file of the folder itself.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Where a blob or manifest is.
    pub(crate) fn blob(&self, digest: &Digest) -> PathBuf {
        self.folder.join("blobs").join(digest.algorithm().name()).join(digest.hex())
    }

    /// Whether there is anything in it that is no layout. What a run leaves that was killed before there was a layout is
    /// ours.
    pub(crate) fn is_something_else(&self) -> io::Result<bool> {
        let ours = |name: &OsStr| name == "blobs" || name.to_string_lossy().starts_with(PART);
        match fs::read_dir(&self.folder) {
            Ok(entries) => {
                let mut entries = entries.flatten();
                let foreign = entries.any(|entry| !ours(&entry.file_name()));
                Ok(foreign && !self.path(MARKER).exists())
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Removes parts that a killed run left behind.
    pub(crate) fn remove_old_parts(&self) {
        let old = |path: &Path| {
            let age = fs::metadata(path)
                .and_then(|metadata| metadata.modified())
                .map(|time| time.elapsed());
            matches!(age, Ok(Ok(age)) if age > OLD)
        };
        let folders = [self.folder.clone(), self.folder.join("blobs")].into_iter();
        let entries = folders.filter_map(|folder| fs::read_dir(folder).ok()).flatten();
        for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
            let part =
                path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(PART));
            if part && old(&path) {
                let _ = fs::remove_file(&path);
            }
        }
    }

    /// What tells that a file of the folder itself has changed; nothing, if it isn't there.
    pub(crate) fn stamp(&self, name: &str) -> io::Result<Option<Stamp>> {
        match fs::metadata(self.path(name)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            metadata => Ok(Some(Stamp::of(&metadata?))),
        }
    }

    /// The size of a blob that is there.
    pub(crate) fn size(&self, digest: &Digest) -> Option<u64> {
        let metadata = fs::metadata(self.blob(digest)).ok()?;
        metadata.is_file().then_some(metadata.len())
    }

    /// A file of the folder itself; nothing, if it isn't there.
    pub(crate) fn read(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        match fs::read(self.path(name)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            read => read.map(Some),
        }
    }

    /// A blob, and one byte more than `cap` at most.
    pub(crate) fn read_blob(&self, digest: &Digest, cap: usize) -> io::Result<Vec<u8>> {
        let file = File::open(self.blob(digest))?;
        // With room for all of it, and for finding its end, that takes two reads.
        let size = usize::try_from(file.metadata()?.len()).unwrap_or(cap).min(cap);
        let mut bytes = Vec::with_capacity(size + 1);
        file.take(cap as u64 + 1).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    /// The next bytes of a blob; none at the end.
    pub(crate) fn piece(&self, digest: &Digest, at: u64) -> io::Result<Bytes> {
        let mut piece = Vec::new();
        let mut file = File::open(self.blob(digest))?;
        file.seek(SeekFrom::Start(at))?;
        file.take(PIECE as u64).read_to_end(&mut piece)?;
        Ok(Bytes::from(piece))
    }

    /// Hashes a blob; says what is wrong with it.
    pub(crate) fn hash(&self, digest: &Digest) -> Result<(), String> {
        let wrong = |error: io::Error| format!("can't be read: {error}");
        let mut file = File::open(self.blob(digest)).map_err(wrong)?;
        let mut verifier = Verifier::new(digest);
        hash(&mut file, &mut verifier).map_err(wrong)?;
        verifier.finish().map_err(|error| error.to_string())
    }

    /// Begins a blob or manifest. The folder becomes a layout with the first.
    pub(crate) fn begin(&self) -> io::Result<PartFile> {
        let blobs = self.folder.join("blobs");
        fs::create_dir_all(&blobs)?;
        let marker = self.path(MARKER);
        if !marker.exists() {
            let mut whole = tempfile::Builder::new().prefix(PART).tempfile_in(&self.folder)?;
            whole.write_all(b"{\"imageLayoutVersion\":\"1.0.0\"}")?;
            PartFile(whole).keep(&marker)?;
        }
        tempfile::Builder::new().prefix(PART).tempfile_in(blobs).map(PartFile)
    }

    /// Replaces a file of the folder itself by what `change` makes of it, under a lock that other processes respect too.
    /// `change` is told which file that is, if it is there; the new one is returned.
    pub(crate) fn update(
        &self,
        name: &str,
        change: impl FnOnce(Option<Stamp>) -> io::Result<Vec<u8>>,
    ) -> io::Result<Option<Stamp>> {
        fs::create_dir_all(&self.folder)?;
        let lock = File::create(self.path(LOCK))?;
        lock.lock()?;
        let bytes = change(self.stamp(name)?)?;
        let mut part =
            tempfile::Builder::new().prefix(PART).tempfile_in(&self.folder).map(PartFile)?;
        part.write(&bytes)?;
        part.keep(&self.path(name))?;
        self.stamp(name)
    }
}

impl PartFile {
    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all(bytes)
    }

    /// Moves it to its place when all of it is on the disk.
    pub(crate) fn keep(self, target: &Path) -> io::Result<()> {
        if let Some(parent) = target.parent() {
            fs::create_dir_all(parent)?;
        }
        let file = self.0;
        file.as_file().sync_all()?;
        #[cfg(unix)]
        file.as_file().set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644))?;
        file.persist(target).map_err(|error| error.error)?;
        Ok(())
    }
}
