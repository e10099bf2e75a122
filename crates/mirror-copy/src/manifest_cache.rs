//! Manifests that were pulled where pulls are counted, kept by digest, so that none is pulled twice: not in the next run
//! either, when this one ended at a limit. Content has one name, so nothing in here can be out of date, and what was
//! changed is not believed.

use std::collections::HashMap;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, Once, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use mirror_oci::{Digest, MAX_MANIFEST_BYTES, RawManifest};

/// What was not used for so long is deleted.
const OLD: Duration = Duration::from_secs(30 * 24 * 3600);

/// Manifests by digest, in memory and in a folder.
#[derive(Debug, Default)]
pub struct ManifestCache {
    folder: Option<PathBuf>,
    known: Mutex<HashMap<Digest, RawManifest>>,
    tidied: Tidied,
}

#[derive(Debug)]
struct Tidied(Once);

impl Default for Tidied {
    fn default() -> Tidied {
        Tidied(Once::new())
    }
}

impl ManifestCache {
    /// Keeps manifests in this folder, which is made when there is something to keep.
    pub fn in_folder(folder: &Path) -> ManifestCache {
        ManifestCache { folder: Some(folder.to_owned()), ..ManifestCache::default() }
    }

    /// A manifest that was kept.
    pub(crate) fn get(&self, digest: &Digest) -> Option<RawManifest> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner).get(digest).cloned();
        known.or_else(|| {
            let found = self.read(digest)?;
            self.remember(&found);
            Some(found)
        })
    }

    /// Keeps a manifest. A folder that can't be written is no failure: it only costs a pull later.
    pub(crate) fn put(&self, manifest: &RawManifest) {
        self.remember(manifest);
        if let Err(error) = self.write(manifest) {
            tracing::debug!(%error, "a manifest was not kept");
        }
    }

    fn remember(&self, manifest: &RawManifest) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.insert(manifest.digest().clone(), manifest.clone());
    }

    fn path(&self, digest: &Digest) -> Option<PathBuf> {
        let folder = self.folder.as_ref()?;
        Some(folder.join(format!("{}-{}", digest.algorithm().name(), digest.hex())))
    }

    /// The media type stands in the first line.
    fn read(&self, digest: &Digest) -> Option<RawManifest> {
        let path = self.path(digest)?;
        let metadata = fs::symlink_metadata(&path).ok()?;
        if !metadata.is_file() || metadata.len() > 2 * MAX_MANIFEST_BYTES as u64 {
            return None;
        }
        let bytes = fs::read(&path).ok()?;
        let end = bytes.iter().position(|byte| *byte == b'\n')?;
        let media_type = std::str::from_utf8(bytes.get(..end)?).ok()?.to_owned();
        let content = Bytes::from(bytes).slice(end + 1..);
        let manifest = RawManifest::verified(content, &media_type, digest).ok()?;
        // Its age counts from the last use.
        let file = fs::File::options().append(true).open(&path);
        let _ = file.and_then(|file| file.set_modified(std::time::SystemTime::now()));
        Some(manifest)
    }

    fn write(&self, manifest: &RawManifest) -> io::Result<()> {
        let Some((folder, path)) = self.folder.as_ref().zip(self.path(manifest.digest())) else {
            return Ok(());
        };
        fs::create_dir_all(folder)?;
        self.tidied.0.call_once(|| tidy(folder));
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        writeln!(file, "{}", manifest.media_type())?;
        file.write_all(manifest.bytes())?;
        file.persist(path).map_err(|error| error.error)?;
        Ok(())
    }
}

fn tidy(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let age = entry.metadata().and_then(|metadata| metadata.modified());
        if age.is_ok_and(|time| time.elapsed().is_ok_and(|age| age > OLD)) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(text: &str) -> RawManifest {
        RawManifest::digested(
            Bytes::from(text.to_owned()),
            "application/vnd.oci.image.index.v1+json",
        )
        .unwrap()
    }

    #[test]
    fn kept_for_the_next_run_and_not_believed_when_changed() {
        let folder = tempfile::tempdir().unwrap();
        let index = manifest(r#"{"schemaVersion":2,"manifests":[]}"#);
        let cache = ManifestCache::in_folder(&folder.path().join("manifests"));
        assert!(cache.get(index.digest()).is_none());
        cache.put(&index);
        let next = ManifestCache::in_folder(&folder.path().join("manifests"));
        let found = next.get(index.digest()).unwrap();
        assert_eq!((found.bytes(), found.media_type()), (index.bytes(), index.media_type()));
        let path = next.path(index.digest()).unwrap();
        let mut bytes = fs::read(&path).unwrap();
        *bytes.last_mut().unwrap() = b' ';
        fs::write(&path, bytes).unwrap();
        let next = ManifestCache::in_folder(&folder.path().join("manifests"));
        assert!(next.get(index.digest()).is_none());
    }

    #[test]
    fn what_is_old_goes() {
        let folder = tempfile::tempdir().unwrap();
        let (old, new) = (manifest(r#"{"old":1}"#), manifest(r#"{"new":1}"#));
        ManifestCache::in_folder(folder.path()).put(&old);
        let cache = ManifestCache::in_folder(folder.path());
        let file =
            fs::File::options().append(true).open(cache.path(old.digest()).unwrap()).unwrap();
        file.set_modified(std::time::SystemTime::now() - OLD - Duration::from_secs(60)).unwrap();
        cache.put(&new);
        let next = ManifestCache::in_folder(folder.path());
        assert!(next.get(old.digest()).is_none() && next.get(new.digest()).is_some());
    }

    #[test]
    fn nothing_fails_where_nothing_can_be_written() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let cache = ManifestCache::in_folder(file.path());
        let index = manifest("{}");
        cache.put(&index);
        assert!(cache.get(index.digest()).is_some(), "in memory at least");
    }
}
