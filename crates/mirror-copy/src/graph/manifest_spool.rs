//! The manifests of a run by digest: in memory while they are few, beyond that in an unnamed file of the spool. A tree of
//! ten thousand images has hundreds of MiB of them.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use mirror_oci::{Digest, RawManifest};

use crate::blob::spool::scratch::Scratch;

/// Bytes of manifests in memory.
const IN_MEMORY: usize = 16 << 20;
/// The same where the disk takes nothing.
const MOST_WITHOUT_DISK: usize = 256 << 20;

/// Manifests by digest, in memory or in an unnamed file.
///
/// ```
/// use mirror_copy::ManifestSpool;
/// use mirror_oci::{RawManifest, media_type};
///
/// # let folder = tempfile::tempdir()?;
/// let spool = ManifestSpool::in_folder(folder.path());
/// let manifest = RawManifest::digested(r#"{"manifests": []}"#.into(), media_type::OCI_INDEX)?;
/// spool.put(&manifest)?;
/// assert_eq!(spool.get(manifest.digest())?, Some(manifest));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct ManifestSpool {
    /// Where to make a file; none, where all of it stays in memory.
    folder: Option<PathBuf>,
    in_memory: usize,
    state: Mutex<SpoolState>,
}

#[derive(Debug, Default)]
struct SpoolState {
    known: HashMap<Digest, KeptManifest>,
    /// Media types, each of them stored once.
    media_types: Vec<Arc<str>>,
    bytes: usize,
    scratch: Option<Scratch>,
}

#[derive(Debug, Clone)]
struct KeptManifest {
    media_type: Arc<str>,
    kept_in: KeptIn,
}

#[derive(Debug, Clone)]
enum KeptIn {
    Memory(Bytes),
    File { at: u64, length: usize },
}

impl Default for ManifestSpool {
    fn default() -> ManifestSpool {
        ManifestSpool { folder: None, in_memory: usize::MAX, state: Mutex::default() }
    }
}

impl ManifestSpool {
    /// Keeps what doesn't fit into memory in this folder, which is made when it is needed.
    pub fn in_folder(folder: &Path) -> ManifestSpool {
        let folder = Some(folder.to_owned());
        ManifestSpool { folder, in_memory: IN_MEMORY, state: Mutex::default() }
    }

    /// Keeps a manifest. Where there is no room on the disk it stays in memory, up to a limit.
    ///
    /// # Errors
    /// What the disk said, when there is no room in memory either.
    pub fn put(&self, manifest: &RawManifest) -> io::Result<()> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.known.contains_key(manifest.digest()) {
            return Ok(());
        }
        let media_type = state.interned(manifest.media_type());
        let length = manifest.bytes().len();
        let all = state.bytes.saturating_add(length);
        let on_disk = if all <= self.in_memory {
            Ok(None)
        } else {
            self.on_disk(&mut state, manifest.bytes())
        };
        let kept_in = match on_disk {
            Ok(Some(kept_in)) => kept_in,
            Err(error) if all > MOST_WITHOUT_DISK => return Err(error),
            Ok(None) | Err(_) => {
                state.bytes = all;
                KeptIn::Memory(manifest.bytes().clone())
            }
        };
        state.known.insert(manifest.digest().clone(), KeptManifest { media_type, kept_in });
        Ok(())
    }

    fn on_disk(&self, state: &mut SpoolState, bytes: &Bytes) -> io::Result<Option<KeptIn>> {
        let Some(folder) = self.folder.as_deref() else { return Ok(None) };
        let scratch = match state.scratch.take() {
            Some(scratch) => scratch,
            None => Scratch::in_folder(folder)?,
        };
        let at = state.scratch.insert(scratch).append(bytes)?;
        Ok(Some(KeptIn::File { at, length: bytes.len() }))
    }

    /// A manifest that was kept.
    ///
    /// # Errors
    /// When it can't be read from the disk, or is not there as it was written.
    pub fn get(&self, digest: &Digest) -> io::Result<Option<RawManifest>> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(KeptManifest { media_type, kept_in }) = state.known.get(digest).cloned() else {
            return Ok(None);
        };
        let bytes = match kept_in {
            KeptIn::Memory(bytes) => bytes,
            KeptIn::File { at, length } => {
                let scratch = state.scratch.as_mut();
                let scratch = scratch.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
                Bytes::from(scratch.read(at, length)?)
            }
        };
        drop(state);
        RawManifest::verified(bytes, &media_type, digest).map(Some).map_err(io::Error::other)
    }
}

impl SpoolState {
    fn interned(&mut self, media_type: &str) -> Arc<str> {
        let known = self.media_types.iter().find(|known| &***known == media_type);
        known.cloned().unwrap_or_else(|| {
            let new: Arc<str> = media_type.into();
            self.media_types.push(new.clone());
            new
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(number: usize) -> RawManifest {
        let text = format!(r#"{{"schemaVersion":2,"manifests":[],"x":"{number}"}}"#);
        RawManifest::digested(text.into(), "application/vnd.oci.image.index.v1+json").unwrap()
    }

    #[test]
    fn what_does_not_fit_into_memory_is_on_the_disk() {
        let folder = tempfile::tempdir().unwrap();
        let spool =
            ManifestSpool { in_memory: 200, ..ManifestSpool::in_folder(&folder.path().join("a")) };
        (0..100).for_each(|number| spool.put(&manifest(number)).unwrap());
        for number in 0..100 {
            let wanted = manifest(number);
            let found = spool.get(wanted.digest()).unwrap().unwrap();
            assert_eq!((found.bytes(), found.media_type()), (wanted.bytes(), wanted.media_type()));
        }
        assert!(spool.state.lock().unwrap().bytes <= 200);
        assert!(spool.get(manifest(100).digest()).unwrap().is_none());
        assert_eq!(std::fs::read_dir(folder.path().join("a")).unwrap().count(), 0, "unnamed");
    }

    #[test]
    fn where_nothing_can_be_written_it_stays_in_memory() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let spool = ManifestSpool { in_memory: 10, ..ManifestSpool::in_folder(file.path()) };
        spool.put(&manifest(1)).unwrap();
        assert!(spool.get(manifest(1).digest()).unwrap().is_some());
    }
}
