//! What bytes are read from and written to: a repository of a registry, or an image layout.

pub(crate) mod layout;
pub(crate) mod origin;
pub(crate) mod reader;

use std::sync::Arc;

use mirror_failure::{Cause, Side};
use mirror_oci::{Digest, RawManifest, Repository, Tag};
use mirror_registry::{Listed, ManifestRef, Recall, Remote};

use crate::blob::Blob;
use crate::error::CopyError;
use crate::store::layout::Layout;

/// What bytes are read from and written to.
///
/// ```
/// use std::sync::Arc;
///
/// use mirror_copy::{InLayout, Layout, Store};
/// use mirror_registry::Threads;
///
/// # let folder = tempfile::tempdir()?;
/// let layout = Arc::new(Layout::open(&folder.path().join("store"), Threads::Apart)?);
/// let store = Store::Layout(InLayout { layout, repository: "library/app".parse()? });
/// assert_eq!(store.repository().as_str(), "library/app");
/// assert!(store.remote().is_none());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub enum Store {
    /// A repository of a registry.
    Remote(Remote),
    /// The images of one repository in an image layout.
    Layout(InLayout),
}

/// The images of one repository in an image layout.
#[derive(Debug, Clone)]
pub struct InLayout {
    /// The layout that the images are in.
    pub layout: Arc<Layout>,
    /// The repository that the images would be in at a registry.
    pub repository: Repository,
}

/// What is wrong with something that a store should have.
#[derive(Debug, Clone)]
pub(crate) struct ContentProblem {
    /// Whether it isn't there, or not all of it.
    pub(crate) is_missing: bool,
    /// In words that go on after what it is about.
    pub(crate) text: String,
}

/// What a manifest is to be found under.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Under<'a> {
    /// Its digest, from other manifests.
    Digest,
    /// This tag; without one its digest, by whoever knows it.
    Name(Option<&'a Tag>),
}

impl ContentProblem {
    pub(crate) fn missing(text: &str) -> ContentProblem {
        ContentProblem { is_missing: true, text: text.to_owned() }
    }

    pub(crate) fn wrong(text: impl ToString) -> ContentProblem {
        ContentProblem { is_missing: false, text: text.to_string() }
    }
}

impl InLayout {
    /// A manifest, or what is wrong with it.
    pub(crate) async fn manifest(&self, digest: &Digest) -> Result<RawManifest, String> {
        let digest = digest.clone();
        let read = move |layout: &Layout| layout.manifest(&digest, &layout.media_type_of(&digest));
        let read = self.layout.run(read).await;
        read.unwrap_or_else(|error| Err(error.to_string()))
    }

    /// What an image is called in a layout: `repository:tag`, or `repository@digest` without a tag.
    ///
    /// ```
    /// use std::sync::Arc;
    ///
    /// use mirror_copy::{InLayout, Layout};
    /// use mirror_registry::Threads;
    ///
    /// # let folder = tempfile::tempdir()?;
    /// let layout = Arc::new(Layout::open(&folder.path().join("store"), Threads::Apart)?);
    /// let inside = InLayout { layout, repository: "app".parse()? };
    /// assert_eq!(inside.name(Some(&"1".parse()?), None), "app:1");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn name(&self, tag: Option<&Tag>, digest: Option<&Digest>) -> String {
        match (tag, digest) {
            (Some(tag), _) => format!("{}:{tag}", self.repository),
            (None, Some(digest)) => format!("{}@{digest}", self.repository),
            (None, None) => self.repository.to_string(),
        }
    }
}

impl Store {
    /// The repository of a registry, if it is one.
    pub fn remote(&self) -> Option<&Remote> {
        match self {
            Store::Remote(remote) => Some(remote),
            Store::Layout(_) => None,
        }
    }

    /// The repository of the registry, or the one that images of the layout are named after.
    pub fn repository(&self) -> &Repository {
        match self {
            Store::Remote(remote) => remote.repository(),
            Store::Layout(inside) => &inside.repository,
        }
    }

    /// What tells it from others of a run: the registry or the folder, and the repository.
    pub(crate) fn key(&self) -> (String, Repository) {
        match self {
            Store::Remote(remote) => {
                (remote.host().name().to_string(), remote.repository().clone())
            }
            Store::Layout(InLayout { layout, repository }) => {
                (layout.folder().display().to_string(), repository.clone())
            }
        }
    }

    /// The digest under a tag; without one, `digest` if it is there.
    ///
    /// # Errors
    /// When the store can't be asked.
    pub(crate) async fn resolve(
        &self,
        tag: Option<&Tag>,
        digest: Option<&Digest>,
    ) -> Result<Option<Digest>, CopyError> {
        match self {
            Store::Layout(inside) => inside.layout.digest_of(&inside.name(tag, digest)),
            Store::Remote(remote) => {
                let which = match (tag, digest) {
                    (Some(tag), _) => ManifestRef::Tag(tag),
                    (None, Some(digest)) => ManifestRef::Digest(digest),
                    (None, None) => return Ok(None),
                };
                let failed = |error| {
                    let step = format!("looking up {}:{which}", remote.repository());
                    CopyError::destination(step, error)
                };
                match remote.look_up(which).await.map_err(failed)? {
                    Some(found) => Ok(Some(found)),
                    // Some registries deny to a HEAD what a GET gets: those that fetch it from another one.
                    None => {
                        let found = remote.find_manifest(which).await.map_err(failed)?;
                        Ok(found.map(|found| found.digest().clone()))
                    }
                }
            }
        }
    }

    /// A manifest, or what is wrong with it.
    ///
    /// # Errors
    /// When the store can't be asked.
    pub(crate) async fn manifest(
        &self,
        digest: &Digest,
    ) -> Result<Result<RawManifest, ContentProblem>, CopyError> {
        match self {
            Store::Layout(inside) => {
                Ok(inside.manifest(digest).await.map_err(ContentProblem::wrong))
            }
            Store::Remote(remote) => match remote.get_manifest(ManifestRef::Digest(digest)).await {
                Ok(manifest) => Ok(Ok(manifest)),
                Err(error) if error.status() == Some(404) => {
                    Ok(Err(ContentProblem::missing("is missing")))
                }
                Err(error) if error.is_content() => Ok(Err(ContentProblem::wrong(error))),
                Err(error) => {
                    let step = format!("reading manifest {}", digest.short());
                    Err(CopyError::destination(step, error))
                }
            },
        }
    }

    /// The manifest under a tag that is mostly missing, where a manifest that is `there` can be looked at.
    ///
    /// # Errors
    /// When the store can't be asked, or can't give what it has. `step` says what for.
    pub(crate) async fn tagged(
        &self,
        tag: &Tag,
        there: &Digest,
        step: &str,
    ) -> Result<Option<RawManifest>, CopyError> {
        match self {
            Store::Remote(remote) => match remote.find_manifest(ManifestRef::Tag(tag)).await {
                Err(error) if remote.means_missing(&error, there).await => Ok(None),
                found => found.map_err(|error| CopyError::destination(step, error)),
            },
            Store::Layout(inside) => {
                let Some(found) = inside.layout.digest_of(&inside.name(Some(tag), None))? else {
                    return Ok(None);
                };
                let read = inside.layout.manifest(&found, "");
                let fail = |why| CopyError::new(Side::Destination, step, Cause::Other(why));
                read.map(Some).map_err(fail)
            }
        }
    }

    /// The digest under a tag that is mostly missing.
    ///
    /// # Errors
    /// As [`Store::tagged`].
    pub(crate) async fn digest_of_tag(
        &self,
        tag: &Tag,
        there: &Digest,
        step: &str,
    ) -> Result<Option<Digest>, CopyError> {
        match self {
            Store::Remote(remote) => {
                let found = remote.look_for_tag(tag, there).await;
                found.map_err(|error| CopyError::destination(step, error))
            }
            Store::Layout(inside) => inside.layout.digest_of(&inside.name(Some(tag), None)),
        }
    }

    /// What refers to a manifest; nothing where there is no list of that but the one under a tag.
    ///
    /// # Errors
    /// When the store can't be asked.
    pub(crate) async fn referrers(
        &self,
        subject: &Digest,
        recall: Recall,
    ) -> Result<Option<Listed>, CopyError> {
        let Store::Remote(remote) = self else { return Ok(None) };
        let listed = remote.referrers(subject, recall).await;
        let step = || format!("looking for signatures of {}", subject.short());
        listed.map_err(|error| CopyError::destination(step(), error))
    }

    /// Whether it is known to list what refers to its manifests.
    pub(crate) fn lists_referrers(&self) -> bool {
        let Store::Remote(remote) = self else { return false };
        let known = remote.host().capabilities().lists_referrers();
        known.is_some_and(|lists| lists.value)
    }

    /// Whether it has a blob, by its word.
    ///
    /// # Errors
    /// When it can't be asked.
    pub(crate) async fn has_blob(&self, blob: &Blob) -> Result<bool, CopyError> {
        match self {
            Store::Layout(InLayout { layout, .. }) => Ok(layout.has(&blob.digest, blob.size)),
            Store::Remote(remote) => {
                let found = remote.has_blob(&blob.digest, blob.size).await;
                found.map_err(|error| CopyError::destination(format!("asking for {blob}"), error))
            }
        }
    }

    /// Writes a manifest.
    ///
    /// # Errors
    /// When the store refuses it.
    pub(crate) async fn put_manifest(
        &self,
        manifest: &RawManifest,
        under: Under<'_>,
        step: &str,
    ) -> Result<(), CopyError> {
        match self {
            Store::Remote(remote) => {
                let put = put(remote, manifest, under).await;
                put.map_err(|error| CopyError::destination(step, error))
            }
            Store::Layout(inside) => {
                let name = match under {
                    Under::Digest => None,
                    Under::Name(tag) => Some(inside.name(tag, Some(manifest.digest()))),
                };
                inside.layout.put_manifest(manifest, name.as_deref()).await
            }
        }
    }
}

async fn put(
    remote: &Remote,
    manifest: &RawManifest,
    under: Under<'_>,
) -> Result<(), mirror_failure::RequestError> {
    let tag = match under {
        Under::Digest => None,
        Under::Name(tag) => tag,
    };
    let which = tag.map_or(ManifestRef::Digest(manifest.digest()), ManifestRef::Tag);
    remote.put_manifest(which, manifest).await
}
