//! What an image says of itself: its platforms, and when it was made.

use bytes::{Bytes, BytesMut};
use mirror_oci::{Descriptor, Digest, Platform, RawManifest, Verifier};
use mirror_registry::{ManifestRef, Pressure};
use serde::Deserialize;

use crate::error::{Cause, CopyError, Side};
use crate::graph::{Graph, links};
use crate::source::Place;

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
pub async fn about(place: &Place, digest: &Digest) -> Result<Option<About>, CopyError> {
    let fail =
        |error| CopyError::destination(format!("reading manifest {}", digest.short()), error);
    let Place { host, repository } = place;
    let found = host.find_manifest(repository, ManifestRef::Digest(digest)).await.map_err(fail)?;
    let Some(root) = found else { return Ok(None) };
    let children = links(&root)?.manifests;
    let mut platforms: Vec<Platform> =
        children.iter().filter_map(|child| child.platform.clone()).collect();
    platforms.retain(|platform| platform.os != "unknown");
    platforms.sort_unstable();
    platforms.dedup();
    let created = match (root.annotation(CREATED), first_image(&children)) {
        (Some(created), _) => Some(created),
        (None, None) => created(place, &root).await,
        (None, Some(child)) => {
            let child = ManifestRef::Digest(child);
            let child = host.find_manifest(repository, child).await.map_err(fail)?;
            match child {
                Some(child) => created(place, &child).await,
                None => None,
            }
        }
    };
    Ok(Some(About { platforms, created }))
}

impl Graph {
    /// When the image was made, in RFC 3339, as its source says; not to know is no failure.
    pub async fn created(&self, place: &Place) -> Option<String> {
        let root = self.root()?;
        if let Some(created) = root.annotation(CREATED) {
            return Some(created);
        }
        let children = root.links().ok()?.manifests;
        let first = first_image(&children);
        let image = first.and_then(|first| self.manifests().find(|one| one.digest() == first));
        created(place, image.unwrap_or(root)).await
    }
}

/// The first child that is an image for some platform: all of them were made together.
fn first_image(children: &[Descriptor]) -> Option<&Digest> {
    let image = |child: &&Descriptor| {
        child.platform.as_ref().is_some_and(|platform| platform.os != "unknown")
    };
    children.iter().find(image).map(|child| &child.digest)
}

/// When an image of one platform was made: an annotation, or its configuration says so.
async fn created(place: &Place, manifest: &RawManifest) -> Option<String> {
    #[derive(Deserialize)]
    struct Config {
        created: Option<String>,
    }
    if let Some(created) = manifest.annotation(CREATED) {
        return Some(created);
    }
    let config = manifest.links().ok()?.blobs.into_iter().next()?;
    let bytes = read_config(place, &config, "reading a configuration").await.ok()?;
    serde_json::from_slice::<Config>(&bytes).ok()?.created
}

/// Reads the configuration of an image, and believes nothing that has another digest.
pub(crate) async fn read_config(
    place: &Place,
    config: &Descriptor,
    step: &str,
) -> Result<Bytes, CopyError> {
    if config.size > LARGEST_CONFIG {
        let why = Cause::TooMuch("its configuration has over 4 MiB".to_owned());
        return Err(CopyError::new(Side::Source, step, why));
    }
    let nobody = Pressure::default();
    let Place { host, repository } = place;
    let mut reader = host.read_blob(repository, &config.digest, config.size, 0, &nobody);
    let mut bytes = BytesMut::new();
    let mut verifier = Verifier::new(&config.digest);
    while let Some(chunk) = reader.chunk().await.map_err(|error| CopyError::source(step, error))? {
        verifier.update(&chunk);
        bytes.extend_from_slice(&chunk);
    }
    let wrong = |error| CopyError::new(Side::Source, step, Cause::Digest(error));
    verifier.finish().map_err(wrong)?;
    Ok(bytes.freeze())
}
