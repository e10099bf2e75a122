//! Manifests: bytes that are kept, and the links read from them.

use bytes::Bytes;
use serde::Deserialize;

use crate::caps::MAX_MANIFEST_BYTES;
use crate::descriptor::Descriptor;
use crate::digest::{Algorithm, Digest, DigestMismatch, Verifier};
use crate::media_type;

/// A manifest as the registry sent it. There is no way to build one from parts: what goes out is what came in, so
/// digests and signatures stay valid.
///
/// ```
/// use mirror_oci::{RawManifest, media_type};
///
/// let index = r#"{
///   "manifests": [],
///   "annotations": {"org.opencontainers.image.source": "https://example.com/app"}
/// }"#;
/// let manifest = RawManifest::digested(index.into(), media_type::OCI_INDEX)?;
/// assert_eq!(manifest.media_type(), media_type::OCI_INDEX);
/// assert_eq!(manifest.bytes(), index);
/// let source = manifest.annotation("org.opencontainers.image.source");
/// assert_eq!(source.as_deref(), Some("https://example.com/app"));
/// assert!(manifest.links()?.manifests.is_empty());
///
/// let again = RawManifest::verified(index.into(), media_type::OCI_INDEX, manifest.digest());
/// assert_eq!(again?, manifest);
/// let other = "sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824".parse()?;
/// assert!(RawManifest::verified(index.into(), media_type::OCI_INDEX, &other).is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawManifest {
    bytes: Bytes,
    media_type: String,
    digest: Digest,
}

impl RawManifest {
    /// Takes bytes that were asked for by digest.
    ///
    /// # Errors
    /// When they hash to something else, are no JSON object, are schema 1, or when the `Content-Type` they came
    /// with contradicts the type they give themselves (CVE-2021-41190).
    pub fn verified(
        bytes: Bytes,
        content_type: &str,
        expected: &Digest,
    ) -> Result<RawManifest, ManifestError> {
        let mut verifier = Verifier::new(expected);
        verifier.update(&bytes);
        verifier.finish()?;
        Self::checked(bytes, content_type, expected.clone())
    }

    /// Takes bytes that were asked for by tag, and computes their digest.
    ///
    /// # Errors
    /// As [`RawManifest::verified`], without the digest.
    pub fn digested(bytes: Bytes, content_type: &str) -> Result<RawManifest, ManifestError> {
        let digest = Digest::of(Algorithm::Sha256, &bytes);
        Self::checked(bytes, content_type, digest)
    }

    fn checked(
        bytes: Bytes,
        content_type: &str,
        digest: Digest,
    ) -> Result<RawManifest, ManifestError> {
        if bytes.len() > MAX_MANIFEST_BYTES {
            return Err(ManifestError::TooLarge);
        }
        let document = Document::read(&bytes)?;
        let media_type = document.media_type(media_type::essence(content_type))?;
        Ok(RawManifest { bytes, media_type, digest })
    }

    /// The bytes, as they came.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// What to send as `Content-Type`.
    pub fn media_type(&self) -> &str {
        &self.media_type
    }

    /// The hash of the bytes.
    pub fn digest(&self) -> &Digest {
        &self.digest
    }

    /// An annotation of the document: <https://github.com/opencontainers/image-spec/blob/main/annotations.md>.
    pub fn annotation(&self, key: &str) -> Option<String> {
        #[derive(Deserialize)]
        struct Annotated {
            annotations: serde_json::Map<String, serde_json::Value>,
        }
        let document: Annotated = serde_json::from_slice(&self.bytes).ok()?;
        document.annotations.get(key)?.as_str().map(str::to_owned)
    }

    /// Everything this manifest points to.
    ///
    /// # Errors
    /// When the document isn't what its type promises.
    pub fn links(&self) -> Result<Links, ManifestError> {
        let document = Document::read(&self.bytes)?;
        if media_type::is_index(&self.media_type) && document.manifests.is_none() {
            return Err(ManifestError::Missing("manifests"));
        }
        if matches!(
            self.media_type.as_str(),
            media_type::OCI_MANIFEST | media_type::DOCKER_MANIFEST
        ) {
            document.config.as_ref().ok_or(ManifestError::Missing("config"))?;
            document.layers.as_ref().ok_or(ManifestError::Missing("layers"))?;
        }
        let blobs = document.config.into_iter();
        let blobs = blobs
            .chain(document.layers.unwrap_or_default())
            .chain(document.blobs.unwrap_or_default());
        let foreign = |blob: &Descriptor| {
            media_type::is_foreign_layer(&blob.media_type) && !blob.urls.is_empty()
        };
        // BuildKit keeps its cache in indexes of layers: containers/image#2210.
        let children = document.manifests.unwrap_or_default().into_iter();
        let (layers, manifests): (Vec<_>, Vec<_>) =
            children.partition(|child| media_type::is_blob(&child.media_type));
        let (foreign, blobs) = blobs.chain(layers).partition(foreign);
        Ok(Links { manifests, blobs, foreign, subject: document.subject })
    }
}

/// What a manifest points to, in the order of the document.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Links {
    /// Child manifests of an index.
    pub manifests: Vec<Descriptor>,
    /// Config and layers, or the blobs of an artifact.
    pub blobs: Vec<Descriptor>,
    /// Layers that may not be redistributed and say where else they are; they are not copied.
    pub foreign: Vec<Descriptor>,
    /// What this manifest is about, if it is a referrer.
    pub subject: Option<Descriptor>,
}

/// Why bytes are not a manifest that can be mirrored.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    /// The manifest has over [`MAX_MANIFEST_BYTES`].
    #[error("the manifest is larger than 4 MiB, the limit of the distribution specification")]
    TooLarge,
    /// Another digest than asked for.
    #[error(transparent)]
    Digest(#[from] DigestMismatch),
    /// Not JSON, or not the JSON of a manifest.
    #[error("the manifest is not valid JSON of a manifest: {0}")]
    Json(String),
    /// The manifest is of Docker's schema 1, which can't be copied by digest.
    #[error(
        "this is a Docker schema 1 manifest, a format from before 2016 that cannot be mirrored byte for byte"
    )]
    Schema1,
    /// The header says one type, the document another.
    #[error(
        "the registry sent the manifest as `{header}`, but the document says it is `{document}`"
    )]
    Contradiction {
        /// What `Content-Type` says.
        header: String,
        /// What `mediaType` in the manifest says.
        document: String,
    },
    /// No type anywhere and no shape to tell it by.
    #[error(
        "the document is not a manifest: it has neither a known media type nor config, layers or manifests"
    )]
    Unknown,
    /// A part is missing.
    #[error("the manifest has no `{0}`")]
    Missing(&'static str),
}

/// Only what is needed of a manifest, whatever its type. A key that stands twice is an error, since readers
/// disagree on which one counts.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    schema_version: Option<u64>,
    media_type: Option<String>,
    config: Option<Descriptor>,
    #[serde(default, deserialize_with = "null_is_empty")]
    layers: Option<Vec<Descriptor>>,
    #[serde(default, deserialize_with = "null_is_empty")]
    manifests: Option<Vec<Descriptor>>,
    blobs: Option<Vec<Descriptor>>,
    subject: Option<Descriptor>,
    fs_layers: Option<serde::de::IgnoredAny>,
}

/// Go writes an empty list as `null`.
fn null_is_empty<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Vec<Descriptor>>, D::Error> {
    Ok(Some(Option::deserialize(deserializer)?.unwrap_or_default()))
}

impl Document {
    fn read(bytes: &[u8]) -> Result<Document, ManifestError> {
        let document: Document = serde_json::from_slice(bytes)
            .map_err(|error| ManifestError::Json(error.to_string()))?;
        let named = document.media_type.as_deref().is_some_and(media_type::is_schema1);
        if document.schema_version == Some(1) || document.fs_layers.is_some() || named {
            return Err(ManifestError::Schema1);
        }
        Ok(document)
    }

    /// The type to forward: the header's, unless it says nothing; then the document's own, then its shape.
    fn media_type(&self, header: &str) -> Result<String, ManifestError> {
        if media_type::is_schema1(header) {
            return Err(ManifestError::Schema1);
        }
        if self.manifests.is_some() && (self.layers.is_some() || self.config.is_some()) {
            return Err(ManifestError::Json(
                "it claims to be an index and an image at once".to_owned(),
            ));
        }
        let own = self.media_type.as_deref().filter(|own| !own.is_empty());
        let found = match (media_type::known(header), own) {
            (None, Some(own)) => media_type::known(own).unwrap_or(own),
            (Some(header), Some(own)) if !own.eq_ignore_ascii_case(header) => {
                return Err(ManifestError::Contradiction {
                    header: header.to_owned(),
                    document: own.to_owned(),
                });
            }
            (Some(header), _) => header,
            (None, None) if self.manifests.is_some() => media_type::OCI_INDEX,
            (None, None) if self.config.is_some() && self.layers.is_some() => {
                media_type::OCI_MANIFEST
            }
            (None, None) => return Err(ManifestError::Unknown),
        };
        Ok(found.to_owned())
    }
}

#[cfg(test)]
#[path = "manifest_tests.rs"]
mod tests;
