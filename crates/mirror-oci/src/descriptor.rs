//! Descriptors: what one document says about another.

use serde::Deserialize;

use crate::digest::Digest;
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
