//! An OCI image layout as destination: <https://github.com/opencontainers/image-spec/blob/main/image-layout.md>.
//!
//! One folder holds all images; each is an entry of `index.json` under its name. Blobs are written beside their
//! place and moved there, `index.json` comes last, so a killed run leaves no entry that isn't whole.

pub(crate) mod files;
mod index;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use futures_util::StreamExt;
use mirror_failure::{Cause, Side};
use mirror_oci::caps::{MAX_IMAGE_MANIFEST_BYTES, MAX_MANIFEST_BYTES, MAX_MANIFESTS};
use mirror_oci::{Digest, Platforms, RawManifest};
use mirror_registry::{Threads, UploadBody};

use self::files::Files;
use self::index::Index;
use crate::error::CopyError;

/// A folder with images.
///
/// ```
/// use std::sync::Arc;
///
/// use mirror_copy::Layout;
/// use mirror_oci::Platforms;
/// use mirror_registry::Threads;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = tempfile::tempdir()?;
/// let layout = Arc::new(Layout::open(&folder.path().join("store"), Threads::Apart)?);
/// layout.remove_leftovers();
/// assert_eq!(layout.digest_of("app:1")?, None, "there is nothing in {}", layout.folder().display());
/// let whole = layout.run(|layout| layout.whole_digest_of("app:1", &Platforms::All)).await??;
/// assert_eq!(whole, None);
///
/// std::fs::write(folder.path().join("notes.txt"), "something else")?;
/// assert!(Layout::open(folder.path(), Threads::Apart).is_err());
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Layout {
    files: Arc<Files>,
    threads: Threads,
    index: Arc<Index>,
}

impl Layout {
    /// Uses `folder`, which need not exist yet. Nothing is written before the first blob.
    ///
    /// # Errors
    /// When there is something else in the folder.
    pub fn open(folder: &Path, threads: Threads) -> Result<Layout, CopyError> {
        let layout = Layout { files: Arc::new(Files::of(folder)), threads, index: Arc::default() };
        let step = "opening the image layout";
        let occupied = layout.files.is_something_else();
        if occupied.map_err(|error| CopyError::io(Side::Destination, step, folder, &error))? {
            let message = format!("{} is not empty and not an OCI image layout", folder.display());
            return Err(CopyError::new(Side::Destination, step, Cause::Other(message)));
        }
        Ok(layout)
    }

    /// Removes parts that a killed run left behind. For those who write.
    pub fn remove_leftovers(&self) {
        self.files.remove_old_parts();
    }

    /// Does `work` with it, which may take its time.
    ///
    /// # Errors
    /// When it can't be done at all.
    ///
    /// # Cancellation
    /// With [`Threads::Apart`], `work` goes on to its end when the future is dropped; only its result is lost.
    pub async fn run<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Layout) -> T + Send + 'static,
    ) -> io::Result<T> {
        let layout = self.clone();
        self.threads.run(move || work(&layout)).await
    }

    /// The folder that the layout is in.
    pub fn folder(&self) -> &Path {
        self.files.folder()
    }

    /// The digest under a name, if the image is there.
    ///
    /// # Errors
    /// When `index.json` can't be read.
    pub fn digest_of(&self, name: &str) -> Result<Option<Digest>, CopyError> {
        let names = self.index.names(&self.files).map_err(|error| {
            self.wrong("reading the image layout", &Index::path(&self.files), &error)
        })?;
        let found = names.digest(name);
        Ok(found.filter(|digest| self.files.size(digest).is_some()).cloned())
    }

    /// The digest under a name, if the image is there with everything below it that is wanted.
    ///
    /// # Errors
    /// When `index.json` can't be read.
    pub fn whole_digest_of(
        &self,
        name: &str,
        platforms: &Platforms,
    ) -> Result<Option<Digest>, CopyError> {
        let root = self.digest_of(name)?;
        Ok(root.filter(|root| self.whole_image(root, platforms).is_some()))
    }

    /// The manifests of an image, if all of it is there that is wanted. Looking costs no request here, so a blob that got
    /// lost is noticed and copied again. The layout may be anybody's: what is not by its right name isn't there, and what
    /// is read has the caps of an image.
    ///
    /// ```
    /// use mirror_copy::Layout;
    /// use mirror_oci::{Algorithm, Digest, Platforms};
    /// use mirror_registry::Threads;
    ///
    /// # let folder = tempfile::tempdir()?;
    /// let layout = Layout::open(&folder.path().join("store"), Threads::Apart)?;
    /// let unknown = Digest::of(Algorithm::Sha256, b"a manifest");
    /// assert!(layout.whole_image(&unknown, &Platforms::All).is_none());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn whole_image(
        &self,
        root: &Digest,
        platforms: &Platforms,
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
            let wanted = children.filter(|child| platforms.include(child.platform.as_ref()));
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
        let bytes = self.files.read_blob(digest, MAX_MANIFEST_BYTES);
        let bytes = bytes.map_err(|error| format!("can't be read: {error}"))?;
        RawManifest::verified(bytes.into(), media_type, digest).map_err(|error| error.to_string())
    }

    /// Whether a blob of this size is there.
    pub(crate) fn has(&self, digest: &Digest, size: u64) -> bool {
        self.files.size(digest) == Some(size)
    }

    /// The next bytes of a blob; none at the end.
    pub(crate) async fn piece(self: &Arc<Self>, digest: &Digest, at: u64) -> io::Result<Bytes> {
        let digest = digest.clone();
        self.run(move |layout| layout.files.piece(&digest, at)).await?
    }

    /// Hashes a blob; says what is wrong with it.
    pub(crate) async fn hash(self: &Arc<Self>, digest: &Digest) -> Result<(), String> {
        let digest = digest.clone();
        let hashed = self.run(move |layout| layout.files.hash(&digest)).await;
        hashed.unwrap_or_else(|error| Err(error.to_string()))
    }

    /// Writes a blob from a body whose digest is proven by whoever made it.
    pub(crate) async fn put_blob(&self, digest: &Digest, mut body: UploadBody) -> io::Result<()> {
        let mut part = self.files.begin()?;
        while let Some(piece) = body.next().await {
            let piece = piece?;
            let write = move || {
                part.write(&piece)?;
                io::Result::Ok(part)
            };
            part = self.threads.run(write).await??;
        }
        let target = self.path(digest);
        self.threads.run(move || part.keep(&target)).await?
    }

    /// Writes a manifest, and if it has a name, the entry under it.
    pub(crate) async fn put_manifest(
        self: &Arc<Self>,
        manifest: &RawManifest,
        name: Option<&str>,
    ) -> Result<(), CopyError> {
        let path = self.path(manifest.digest());
        let step = || format!("writing manifest {}", manifest.digest().short());
        let (bytes, target) = (manifest.bytes().clone(), path.clone());
        let write = move |layout: &Layout| {
            let mut part = layout.files.begin()?;
            part.write(&bytes)?;
            part.keep(&target)
        };
        let written = self.run(write).await.and_then(|written| written);
        written.map_err(|error| self.wrong(&step(), &path, &error))?;
        let Some(name) = name else { return Ok(()) };
        let ticket = self.index.enqueue(manifest, name);
        let entry = self.index.clone().write(self.files.clone(), self.threads, ticket);
        entry.await.map_err(|error| self.wrong(&step(), &Index::path(&self.files), &error))
    }

    /// An error of the file system at a path of this layout.
    pub(crate) fn wrong(&self, step: &str, path: &Path, error: &io::Error) -> CopyError {
        CopyError::io(Side::Destination, step, path, error)
    }

    /// What `index.json` says a manifest is; nothing for those that only other manifests name.
    pub(crate) fn media_type_of(&self, digest: &Digest) -> String {
        let names = self.index.names(&self.files).unwrap_or_default();
        names.media_type(digest).unwrap_or_default().to_owned()
    }

    /// Where a blob or manifest is.
    pub(crate) fn path(&self, digest: &Digest) -> PathBuf {
        self.files.blob(digest)
    }
}
