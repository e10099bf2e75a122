//! Manifests that were pulled where pulls are counted, kept by digest, so that none is pulled twice: not in the next run
//! either, when this one ended at a limit. Content has one name, so nothing in here can be out of date, and what was
//! changed is not believed.

use std::io;
use std::path::Path;
use std::sync::Once;
use std::time::Duration;

use bytes::Bytes;
use mirror_oci::{Digest, MAX_MANIFEST_BYTES, RawManifest};

use crate::blob::spool::documents::Documents;
use crate::graph::manifest_spool::ManifestSpool;

/// What was not used for so long is deleted.
const OLD: Duration = Duration::from_secs(30 * 24 * 3600);

/// Manifests by digest, in this run and in a folder.
///
/// ```
/// use std::sync::Arc;
/// use mirror_copy::ManifestCache;
///
/// // For all origins of a run:
/// let cache = Arc::new(ManifestCache::in_folder(&std::env::temp_dir().join("manifests")));
/// ```
#[derive(Debug, Default)]
pub struct ManifestCache {
    documents: Option<Documents>,
    known: ManifestSpool,
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
        let documents = Some(Documents::in_folder(folder));
        let known = ManifestSpool::in_folder(folder);
        ManifestCache { documents, known, ..ManifestCache::default() }
    }

    /// A manifest that was kept.
    pub(crate) fn get(&self, digest: &Digest) -> Option<RawManifest> {
        self.known.get(digest).ok().flatten().or_else(|| {
            let found = self.read(digest)?;
            let _ = self.known.put(&found);
            Some(found)
        })
    }

    /// Keeps a manifest. A folder that can't be written is no failure: it only costs a pull later.
    pub(crate) fn put(&self, manifest: &RawManifest) {
        if let Err(error) = self.known.put(manifest).and_then(|()| self.write(manifest)) {
            tracing::debug!(%error, "a manifest was not kept");
        }
    }

    /// The media type stands in the first line.
    fn read(&self, digest: &Digest) -> Option<RawManifest> {
        let (documents, name) = (self.documents.as_ref()?, name(digest));
        let bytes = documents.read(&name, 2 * MAX_MANIFEST_BYTES as u64).ok()??;
        let end = bytes.iter().position(|byte| *byte == b'\n')?;
        let media_type = std::str::from_utf8(bytes.get(..end)?).ok()?.to_owned();
        let content = Bytes::from(bytes).slice(end + 1..);
        let manifest = RawManifest::verified(content, &media_type, digest).ok()?;
        // Its age counts from the last use.
        documents.touch(&name);
        Some(manifest)
    }

    fn write(&self, manifest: &RawManifest) -> io::Result<()> {
        let Some(documents) = &self.documents else { return Ok(()) };
        self.tidied.0.call_once(|| documents.tidy(OLD));
        let parts = [manifest.media_type().as_bytes(), b"\n", manifest.bytes()];
        documents.write(&name(manifest.digest()), &parts)
    }
}

fn name(digest: &Digest) -> String {
    format!("{}-{}", digest.algorithm().name(), digest.hex())
}

#[cfg(test)]
mod tests {
    use std::fs;

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
        let path = folder.path().join("manifests").join(name(index.digest()));
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
        let file = fs::File::options();
        let file = file.clone().append(true).open(folder.path().join(name(old.digest()))).unwrap();
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
