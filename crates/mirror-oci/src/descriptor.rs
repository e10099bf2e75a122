//! Descriptors: what one document says about another.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::Deserialize;

use crate::digest::{Digest, Verifier};
use crate::platform::Platform;

/// Points to a manifest or a blob: <https://github.com/opencontainers/image-spec/blob/main/descriptor.md>.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    /// The media type of what it describes.
    #[serde(default)]
    pub media_type: String,
    /// Which bytes it is.
    pub digest: Digest,
    /// How many bytes it is.
    pub size: u64,
    /// Where else it can be had, for layers that registries don't hold.
    #[serde(default, deserialize_with = "lenient_urls")]
    pub urls: Vec<String>,
    /// What it runs on, for the manifests of an index.
    #[serde(default, deserialize_with = "lenient_platform")]
    pub platform: Option<Platform>,
    /// What it describes, in base64, where that is so small that it is carried along.
    #[serde(default, deserialize_with = "lenient_data")]
    data: Option<String>,
}

impl Descriptor {
    /// What it describes, where that is carried along: <https://github.com/opencontainers/image-spec/blob/main/descriptor.md#embedded-content>.
    /// Bytes that are not what the digest and the size say are not given.
    ///
    /// ```
    /// use mirror_oci::{RawManifest, media_type};
    ///
    /// let manifest = r#"{"layers":[],"config":{
    ///   "mediaType":"application/vnd.oci.empty.v1+json","size":2,"data":"e30=",
    ///   "digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"}}"#;
    /// let links = RawManifest::digested(manifest.into(), media_type::OCI_MANIFEST)?.links()?;
    /// assert_eq!(links.blobs.first().and_then(|config| config.inline()).as_deref(), Some(&b"{}"[..]));
    /// # Ok::<(), mirror_oci::ManifestError>(())
    /// ```
    pub fn inline(&self) -> Option<Bytes> {
        let bytes = STANDARD.decode(self.data.as_deref()?).ok()?;
        let mut verifier = Verifier::new(&self.digest);
        verifier.update(&bytes);
        let sound = bytes.len() as u64 == self.size && verifier.finish().is_ok();
        sound.then(|| bytes.into())
    }
}

/// Takes anything but text for nothing.
fn lenient_data<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<String>, D::Error> {
    let value = serde_json::Value::deserialize(deserializer)?;
    Ok(value.as_str().filter(|data| !data.is_empty()).map(str::to_owned))
}

/// Takes `null` for an empty list.
fn lenient_urls<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<Vec<String>, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// Indexes hold platforms with fields we don't use, and attestations with `unknown/unknown`; none of that is an error.
fn lenient_platform<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Platform>, D::Error> {
    #[derive(Deserialize)]
    struct Fields {
        os: Option<String>,
        architecture: Option<String>,
        variant: Option<String>,
    }
    let fields = Option::<Fields>::deserialize(deserializer)?;
    Ok(fields.and_then(|fields| {
        let variant = fields.variant.filter(|variant| !variant.is_empty());
        let text = [fields.os, fields.architecture]
            .into_iter()
            .chain(variant.map(Some))
            .collect::<Option<Vec<_>>>()?;
        text.join("/").parse().ok()
    }))
}
