//! An OCI image layout as destination: <https://github.com/opencontainers/image-spec/blob/main/image-layout.md>.
//!
//! One folder holds all images; each is an entry of `index.json` under its name. Blobs are written beside their
//! place and moved there, `index.json` comes last, so a killed run leaves no entry that isn't whole.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures_util::StreamExt;
use mirror_failure::{Cause, Side};
use mirror_oci::caps::{MAX_IMAGE_MANIFEST_BYTES, MAX_MANIFEST_BYTES, MAX_MANIFESTS};
use mirror_oci::{Digest, RawManifest};
use mirror_registry::UploadBody;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::error::CopyError;
use crate::selection::{Selection, selected};

const MARKER: &str = "oci-layout";
const INDEX: &str = "index.json";
const PART: &str = ".part-";
const LOCK: &str = ".index.json.lock";
const NAME: &str = "org.opencontainers.image.ref.name";

/// A folder with images.
#[derive(Debug)]
pub struct Layout {
    folder: PathBuf,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Index {
    schema_version: u32,
    manifests: Vec<Entry>,
    #[serde(flatten)]
    other: Map<String, Value>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    media_type: String,
    digest: Digest,
    size: u64,
    #[serde(default)]
    annotations: Map<String, Value>,
    #[serde(flatten)]
    other: Map<String, Value>,
}

impl Entry {
    fn name(&self) -> Option<&str> {
        self.annotations.get(NAME).and_then(Value::as_str)
    }
}

impl Layout {
    /// Uses `folder`, which need not exist yet. Nothing is written before the first blob.
    ///
    /// # Errors
    /// When there is something else in the folder.
    pub fn open(folder: &Path) -> Result<Layout, CopyError> {
        let layout = Layout { folder: folder.to_owned() };
        let occupied = match fs::read_dir(folder) {
            Ok(mut entries) => entries.next().is_some(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => false,
            Err(error) => {
                return Err(CopyError::io(
                    Side::Destination,
                    "opening the image layout",
                    folder,
                    &error,
                ));
            }
        };
        if occupied && !folder.join(MARKER).exists() {
            let message = format!("{} is not empty and not an OCI image layout", folder.display());
            return Err(CopyError::new(
                Side::Destination,
                "opening the image layout",
                Cause::Other(message),
            ));
        }
        Ok(layout)
    }

    /// Removes parts that a killed run left behind; a day is more than any blob takes. For those who write.
    pub fn remove_leftovers(&self) {
        let old = |path: &Path| {
            let age = fs::metadata(path)
                .and_then(|metadata| metadata.modified())
                .map(|time| time.elapsed());
            matches!(age, Ok(Ok(age)) if age > Duration::from_secs(24 * 3600))
        };
        let entries = [self.folder.clone(), self.folder.join("blobs")]
            .into_iter()
            .filter_map(|folder| fs::read_dir(folder).ok());
        for path in entries.flatten().filter_map(|entry| Some(entry.ok()?.path())) {
            let part =
                path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(PART));
            if part && old(&path) {
                let _ = fs::remove_file(&path);
            }
        }
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The digest under a name, if the image is there.
    ///
    /// # Errors
    /// When `index.json` can't be read.
    pub fn digest_of(&self, name: &str) -> Result<Option<Digest>, CopyError> {
        let index = self.read_index().map_err(|error| {
            self.wrong("reading the image layout", &self.folder.join(INDEX), &error)
        })?;
        let found = index.manifests.into_iter().find(|entry| entry.name() == Some(name));
        Ok(found.map(|entry| entry.digest).filter(|digest| self.path(digest).exists()))
    }

    /// The digest under a name, if the image is there with everything below it that is wanted.
    ///
    /// # Errors
    /// When `index.json` can't be read.
    pub fn whole_digest_of(
        &self,
        name: &str,
        selection: &Selection,
    ) -> Result<Option<Digest>, CopyError> {
        let root = self.digest_of(name)?;
        Ok(root.filter(|root| self.whole_image(root, selection).is_some()))
    }

    /// The manifests of an image, if all of it is there that is wanted. Looking costs no request here, so a blob that got
    /// lost is noticed and brought again. The layout may be anybody's: what is not by its right name isn't there, and what
    /// is read has the caps of an image.
    pub fn whole_image(
        &self,
        root: &Digest,
        selection: &Selection,
    ) -> Option<BTreeMap<Digest, RawManifest>> {
        let mut seen = BTreeSet::from([root.clone()]);
        let mut open = vec![root.clone()];
        let mut manifests = BTreeMap::new();
        let mut bytes = 0;
        while let Some(digest) = open.pop() {
            let manifest = self.manifest(&digest, "").ok()?;
            let links = manifest.links().ok()?;
            bytes += manifest.bytes().len() as u64;
            if !links.blobs.iter().all(|blob| self.has(&blob.digest, blob.size)) {
                return None;
            }
            manifests.insert(digest, manifest);
            let children = links.manifests.into_iter();
            let wanted = children.filter(|child| selected(selection, child.platform.as_ref()));
            let new = wanted.map(|child| child.digest).filter(|child| seen.insert(child.clone()));
            open.extend(new.collect::<Vec<_>>());
            if seen.len() > MAX_MANIFESTS || bytes > MAX_IMAGE_MANIFEST_BYTES {
                return None;
            }
        }
        Some(manifests)
    }

    /// Reads a manifest; says what is wrong with it.
    pub(crate) fn manifest(
        &self,
        digest: &Digest,
        media_type: &str,
    ) -> Result<RawManifest, String> {
        let read = || {
            let mut bytes = Vec::new();
            let file = File::open(self.path(digest))?;
            file.take(MAX_MANIFEST_BYTES as u64 + 1).read_to_end(&mut bytes)?;
            io::Result::Ok(bytes)
        };
        let bytes = read().map_err(|error| format!("can't be read: {error}"))?;
        RawManifest::verified(bytes.into(), media_type, digest).map_err(|error| error.to_string())
    }

    /// Whether a blob of this size is there.
    pub(crate) fn has(&self, digest: &Digest, size: u64) -> bool {
        fs::metadata(self.path(digest))
            .is_ok_and(|metadata| metadata.is_file() && metadata.len() == size)
    }

    /// Writes a blob from a body whose digest is proven by whoever made it.
    pub(crate) async fn put_blob(&self, digest: &Digest, mut body: UploadBody) -> io::Result<()> {
        let mut file = self.temporary()?;
        while let Some(piece) = body.next().await {
            let piece = piece?;
            file = tokio::task::spawn_blocking(move || {
                file.write_all(&piece)?;
                io::Result::Ok(file)
            })
            .await??;
        }
        let target = self.path(digest);
        tokio::task::spawn_blocking(move || persist(file, &target)).await?
    }

    /// Writes a manifest, and if it has a name, the entry under it.
    pub(crate) fn put_manifest(
        &self,
        manifest: &RawManifest,
        name: Option<&str>,
    ) -> Result<(), CopyError> {
        let path = self.path(manifest.digest());
        let step = || format!("writing manifest {}", manifest.digest().short());
        let write = || {
            let mut file = self.temporary()?;
            file.write_all(manifest.bytes())?;
            persist(file, &path)
        };
        write().map_err(|error| self.wrong(&step(), &path, &error))?;
        let Some(name) = name else { return Ok(()) };
        self.add_entry(manifest, name)
            .map_err(|error| self.wrong(&step(), &self.folder.join(INDEX), &error))
    }

    /// An error of the file system at a path of this layout.
    pub(crate) fn wrong(&self, step: &str, path: &Path, error: &io::Error) -> CopyError {
        CopyError::io(Side::Destination, step, path, error)
    }

    /// What `index.json` says a manifest is; nothing for those that only other manifests name.
    pub(crate) fn media_type_of(&self, digest: &Digest) -> String {
        let index = self.read_index().ok();
        let entries = index.map(|index| index.manifests).unwrap_or_default();
        entries
            .into_iter()
            .find(|entry| entry.digest == *digest)
            .map(|entry| entry.media_type)
            .unwrap_or_default()
    }

    /// Where a blob or manifest is.
    pub(crate) fn path(&self, digest: &Digest) -> PathBuf {
        self.folder.join("blobs").join(digest.algorithm().name()).join(digest.hex())
    }

    fn temporary(&self) -> io::Result<tempfile::NamedTempFile> {
        let blobs = self.folder.join("blobs");
        fs::create_dir_all(&blobs)?;
        let marker = self.folder.join(MARKER);
        if !marker.exists() {
            fs::write(marker, "{\"imageLayoutVersion\":\"1.0.0\"}")?;
        }
        tempfile::Builder::new().prefix(PART).tempfile_in(blobs)
    }

    fn read_index(&self) -> io::Result<Index> {
        match fs::read(self.folder.join(INDEX)) {
            // What is in the file is not repeated: it may be a link to anything.
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(|error| {
                let (line, column) = (error.line(), error.column());
                io::Error::other(format!("it is no index: line {line}, column {column}"))
            }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Ok(Index { schema_version: 2, manifests: Vec::new(), other: Map::new() })
            }
            Err(error) => Err(error),
        }
    }

    /// Reads, changes and replaces `index.json` under a lock that other processes respect too.
    fn add_entry(&self, manifest: &RawManifest, name: &str) -> io::Result<()> {
        let lock = File::create(self.folder.join(LOCK))?;
        lock.lock()?;
        let mut index = self.read_index()?;
        index.manifests.retain(|entry| entry.name() != Some(name));
        index.manifests.push(Entry {
            media_type: manifest.media_type().to_owned(),
            digest: manifest.digest().clone(),
            size: manifest.bytes().len() as u64,
            annotations: Map::from_iter([(NAME.to_owned(), Value::from(name))]),
            other: Map::new(),
        });
        index.manifests.sort_by(|a, b| a.name().cmp(&b.name()));
        let mut file = tempfile::Builder::new().prefix(PART).tempfile_in(&self.folder)?;
        serde_json::to_writer_pretty(&mut file, &index)?;
        persist(file, &self.folder.join(INDEX))
    }
}

/// Moves a finished file to its place, where a reader finds it whole or not at all.
fn persist(file: tempfile::NamedTempFile, target: &Path) -> io::Result<()> {
    if let Some(parent) = target.parent() {
        fs::create_dir_all(parent)?;
    }
    file.as_file().sync_all()?;
    #[cfg(unix)]
    file.as_file().set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644))?;
    file.persist(target).map_err(|error| error.error)?;
    Ok(())
}
