//! What an image says of itself: its platforms, and when it was made.

use bytes::{Bytes, BytesMut};
use mirror_failure::{Cause, Side};
use mirror_oci::{Descriptor, Digest, Platform, RawManifest, Verifier};
use mirror_registry::{ManifestRef, Pressure, Remote};
use serde::Deserialize;

use crate::error::CopyError;
use crate::graph::Graph;
use crate::graph::links::links;
use crate::store::Store;

/// Larger configurations are not read.
const LARGEST_CONFIG: u64 = 4 << 20;

/// <https://github.com/opencontainers/image-spec/blob/main/annotations.md#pre-defined-annotation-keys>
const CREATED: &str = "org.opencontainers.image.created";

/// What an image says of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct About {
    /// Its platforms, sorted; empty when its manifests don't say.
    pub platforms: Vec<Platform>,
    /// When it was made, in RFC 3339, if it says.
    pub created: Option<String>,
}

/// Reads what an image says of itself; nothing, when it isn't there.
///
/// # Errors
/// When it can't be read.
///
/// ```
/// use mirror_copy::about;
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
/// let found = about(&remote, image.digest()).await?.ok_or("it is there")?;
/// assert_eq!(found.platforms, ["linux/amd64".parse()?, "linux/arm64".parse()?]);
/// # Ok(())
/// # }
/// ```
pub async fn about(remote: &Remote, digest: &Digest) -> Result<Option<About>, CopyError> {
    let fail =
        |error| CopyError::destination(format!("reading manifest {}", digest.short()), error);
    let found = remote.find_manifest(ManifestRef::Digest(digest)).await.map_err(fail)?;
    let Some(root) = found else { return Ok(None) };
    let children = links(&root)?.manifests;
    let mut platforms = offered(&children);
    let image = match first_image(&children) {
        None => Some(root.clone()),
        Some(child) => {
            let child = ManifestRef::Digest(child);
            remote.find_manifest(child).await.map_err(fail)?
        }
    };
    let own = match image {
        Some(image) => of_image(&Store::Remote(remote.clone()), &image).await,
        None => About::default(),
    };
    if platforms.is_empty() {
        platforms = own.platforms;
    }
    Ok(Some(About { platforms, created: root.annotation(CREATED).or(own.created) }))
}

impl Graph {
    /// What the image says of itself, as its source tells; not to know is no failure.
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
    /// assert_eq!(graph.about(&origin.store).await.platforms.len(), 2);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn about(&self, store: &Store) -> About {
        let Some(root) = self.root() else { return About::default() };
        let children = root.links().map(|links| links.manifests).unwrap_or_default();
        let first = first_image(&children);
        let image = first.and_then(|first| self.manifests().find(|one| one.digest() == first));
        let own = of_image(store, image.unwrap_or(root)).await;
        let platforms = match offered(&children) {
            none if none.is_empty() => own.platforms,
            offered => offered,
        };
        About { platforms, created: root.annotation(CREATED).or(own.created) }
    }
}

/// All platforms that an index names, whichever of them are copied.
fn offered(children: &[Descriptor]) -> Vec<Platform> {
    let named = children.iter().filter_map(|child| child.platform.clone());
    let mut platforms: Vec<Platform> = named.filter(|platform| platform.os != "unknown").collect();
    platforms.sort_unstable();
    platforms.dedup();
    platforms
}

/// The first child that is an image for some platform: all of them were made together.
fn first_image(children: &[Descriptor]) -> Option<&Digest> {
    let image = |child: &&Descriptor| {
        child.platform.as_ref().is_some_and(|platform| platform.os != "unknown")
    };
    children.iter().find(image).map(|child| &child.digest)
}

/// What an image of one platform says of itself, in its annotations or its configuration.
async fn of_image(store: &Store, manifest: &RawManifest) -> About {
    #[derive(Default, Deserialize)]
    struct ImageConfig {
        created: Option<String>,
        os: Option<String>,
        architecture: Option<String>,
        variant: Option<String>,
    }
    let config = manifest.links().ok().and_then(|links| links.blobs.into_iter().next());
    let bytes = match config {
        Some(config) => read_config(store, &config, "reading a configuration").await.ok(),
        None => None,
    };
    let config = bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok());
    let ImageConfig { created, os, architecture, variant } = config.unwrap_or_default();
    let parts = [os, architecture, variant.filter(|variant| !variant.is_empty())];
    let platform = parts.into_iter().flatten().collect::<Vec<_>>().join("/").parse().ok();
    About {
        platforms: platform.into_iter().collect(),
        created: manifest.annotation(CREATED).or(created),
    }
}

/// Reads the configuration of an image, and believes nothing that has another digest.
pub(crate) async fn read_config(
    store: &Store,
    config: &Descriptor,
    step: &str,
) -> Result<Bytes, CopyError> {
    if let Some(bytes) = config.inline() {
        return Ok(bytes);
    }
    if config.size > LARGEST_CONFIG {
        let why = Cause::TooMuch("its configuration has over 4 MiB".to_owned());
        return Err(CopyError::new(Side::Source, step, why));
    }
    let mut bytes = BytesMut::new();
    let mut verifier = Verifier::new(&config.digest);
    let nobody = Pressure::default();
    let mut reader = store.reader(&config.digest, config.size, 0, &nobody);
    let failed = |cause| CopyError::new(Side::Source, step, cause);
    while let Some(chunk) = reader.chunk().await.map_err(failed)? {
        verifier.update(&chunk);
        bytes.extend_from_slice(&chunk);
    }
    verifier.finish().map_err(|error| failed(Cause::Digest(error)))?;
    Ok(bytes.freeze())
}
