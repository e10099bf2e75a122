//! What a reference stands for.

use mirror_failure::{Cause, Side};
use mirror_oci::{Digest, Links, Platform, RawManifest, Tag, Version, media_type};
use mirror_registry::ManifestRef;
use serde::Deserialize;

use crate::error::CopyError;
use crate::graph::about::read_config;
use crate::graph::links::{links, no_platform};
use crate::store::origin::Origin;

/// What a digest is wanted for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// To compare it with what the destination has.
    Compare,
    /// To copy it: the destination has nothing.
    Copy,
}

impl Purpose {
    /// Manifests that finding one platform of an index takes, and copying it.
    fn pulls(self) -> usize {
        match self {
            Purpose::Compare => 1,
            Purpose::Copy => 2,
        }
    }
}

impl Origin {
    /// The digest that `version` stands for; of its manifest for `platform`, if one is given.
    ///
    /// Without platform a pinned version costs nothing, a tag one HEAD. With a platform the index has to be read, which
    /// counts as a pull where pulls are counted; there it is read once and kept.
    ///
    /// # Errors
    /// When the source can't be asked, has no such image, or not for this platform.
    pub async fn resolve(
        &self,
        version: &Version,
        platform: Option<&Platform>,
        purpose: Purpose,
    ) -> Result<Digest, CopyError> {
        if let Some(platform) = platform {
            return self.resolve_platform(version, platform, purpose).await;
        }
        self.resolve_whole(version).await
    }

    async fn resolve_whole(&self, version: &Version) -> Result<Digest, CopyError> {
        match version {
            Version::Pinned(pinned) => Ok(pinned.digest.clone()),
            Version::Floating(tag) => self.look_up(tag).await,
        }
    }

    /// What a tag stands for, by one HEAD.
    async fn look_up(&self, tag: &Tag) -> Result<Digest, CopyError> {
        let found = self.store.resolve(Some(tag), None).await.map_err(CopyError::of_source)?;
        found.ok_or_else(|| {
            let step = format!("looking up {}:{tag}", self.store.repository());
            let cause = match self.store.remote() {
                Some(remote) => Cause::Missing {
                    registry: remote.host().name().clone(),
                    anonymous: !remote.host().has_used_credentials(),
                },
                None => Cause::Other("the layout does not have it".to_owned()),
            };
            CopyError::new(Side::Source, step, cause)
        })
    }

    async fn resolve_platform(
        &self,
        version: &Version,
        platform: &Platform,
        purpose: Purpose,
    ) -> Result<Digest, CopyError> {
        let step = format!("looking up {platform} of {}", self.store.repository());
        let failed = |cause| CopyError::new(Side::Source, step.clone(), cause);
        if let Some(root) = version.digest().and_then(|digest| self.cache.get(digest)) {
            let child = self.child(&root, platform, &step).await;
            let alone = links(&root)?.manifests.is_empty();
            // It was found to be for this platform before. A source that has lost it can't say so again.
            return child.or_else(|error| match error.cause() {
                Cause::Request(_) | Cause::Missing { .. } if alone => Ok(root.digest().clone()),
                _ => Err(error),
            });
        }
        // Whoever comes first learns for all whether pulls are counted.
        let pull_lock = self.pull_lock().await;
        if let Version::Floating(tag) = version
            && let Some(remote) = self.store.remote()
            && remote.host().has_unlimited_pulls()
        {
            let root = remote.get_manifest(ManifestRef::Tag(tag)).await;
            let root = root.map_err(|error| failed(Cause::Request(error)))?;
            return self.child(&root, platform, &step).await;
        }
        let digest = self.resolve_whole(version).await?;
        let pull_lock = self.needed(pull_lock);
        if let Some(root) = self.cache.get(&digest) {
            return self.child(&root, platform, &step).await;
        }
        let pulls = self.reserve(purpose.pulls())?;
        let root = self.manifest(&digest, pulls.as_ref()).await.map_err(failed)?;
        let _turn = self.needed(pull_lock);
        let child = self.child(&root, platform, &step).await?;
        if version.digest().is_some() {
            // Once the source has lost it, nothing else says which manifest is the wanted one.
            self.cache.put(&root);
        }
        // Where pulls are counted, what will be copied is read now: later its pull may be gone.
        if purpose == Purpose::Copy && child != digest && self.has_counted_pulls() {
            self.manifest(&child, pulls.as_ref()).await.map_err(failed)?;
        }
        Ok(child)
    }

    /// Whether the image `digest`, which is no index itself, is one of those that an index names. One request that
    /// is no pull; where that is no index, another one, and where only the other image is an index, a pull.
    ///
    /// # Errors
    /// When the source can't be asked, or the index can't be read.
    ///
    /// ```
    /// use mirror_copy::Graph;
    /// use mirror_oci::Platforms;
    ///
    /// # use std::sync::Arc;
    /// # use mirror_registry::{Access, Credentials, Host, HostOptions, Remote, World};
    /// # use mirror_testkit::{ImageBuilder, Registry};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let image = ImageBuilder::new("app").platforms(&["linux/amd64", "linux/arm64"]).layers(&[300]).build();
    /// # let registry = Registry::start();
    /// # registry.add("app", "1", &image);
    /// # let (world, name) = (World::real(), registry.host().parse()?);
    /// # let host = Host::new(&world, Arc::new(Credentials::default()), &name, &HostOptions::default())?;
    /// # let remote = Remote::new(Arc::new(host), "app".parse()?, Access::Pull);
    /// # use mirror_copy::{Origin, Store};
    /// # let store = Store::Remote(remote.clone());
    /// # let origin = Origin { store, first: Vec::new(), cache: Arc::default(), room: Arc::default() };
    /// let graph = Graph::read(&origin, image.digest(), &Platforms::All).await?;
    /// let child = graph.manifests().next().ok_or("a child")?;
    /// assert!(origin.is_child(image.digest(), child.digest()).await?);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn is_child(&self, index: &Digest, digest: &Digest) -> Result<bool, CopyError> {
        let Some(remote) = self.store.remote() else { return Ok(false) };
        let step = || format!("looking for {digest} in {}@{index}", remote.repository());
        let failed = |error| CopyError::source(step(), error);
        let is_index = async |digest: &Digest| {
            let told = remote.media_type(ManifestRef::Digest(digest)).await.map_err(failed)?;
            Ok(told.map(|told| media_type::is_index(media_type::essence(&told))))
        };
        if is_index(digest).await? != Some(false) || is_index(index).await? != Some(true) {
            return Ok(false);
        }
        let pulls = self.reserve(1)?;
        let index = self.manifest(index, pulls.as_ref()).await;
        let index = index.map_err(|cause| CopyError::new(Side::Source, step(), cause))?;
        Ok(links(&index)?.manifests.iter().any(|child| child.digest == *digest))
    }

    /// The manifest for a platform that an index names, or the image itself.
    async fn child(
        &self,
        root: &RawManifest,
        platform: &Platform,
        step: &str,
    ) -> Result<Digest, CopyError> {
        let links = links(root)?;
        if links.manifests.is_empty() {
            return self.check_single(root, &links, platform, step).await;
        }
        let offered = |found: &Platform| platform.accepts(found);
        let child =
            links.manifests.iter().find(|child| child.platform.as_ref().is_some_and(offered));
        child.map(|child| child.digest.clone()).ok_or_else(|| {
            let offered: Vec<&Platform> =
                links.manifests.iter().filter_map(|child| child.platform.as_ref()).collect();
            no_platform(platform, &offered, step.to_owned())
        })
    }

    /// An image that isn't an index names its platform in its configuration.
    async fn check_single(
        &self,
        root: &RawManifest,
        links: &Links,
        platform: &Platform,
        step: &str,
    ) -> Result<Digest, CopyError> {
        #[derive(Deserialize)]
        struct ImageConfig {
            os: Option<String>,
            architecture: Option<String>,
            variant: Option<String>,
        }
        let fail = |message: String| CopyError::new(Side::Source, step, Cause::Other(message));
        let config = links.blobs.first().ok_or_else(|| {
            fail("the image has no configuration that names a platform".to_owned())
        })?;
        let bytes = read_config(&self.store, config, step).await?;
        let config: ImageConfig = serde_json::from_slice(&bytes).map_err(|_| {
            fail("the image's configuration is not JSON, its platform is unknown".to_owned())
        })?;
        let parts =
            [config.os, config.architecture, config.variant.filter(|variant| !variant.is_empty())];
        let text = parts.into_iter().flatten().collect::<Vec<_>>().join("/");
        match text.parse::<Platform>() {
            Ok(found) if platform.accepts(&found) => Ok(root.digest().clone()),
            _ => Err(fail(format!("the image is for `{text}`"))),
        }
    }
}
