//! Images made up from a seed: small, deterministic, and with JSON that shows when somebody writes it anew.

use std::path::Path;

use bytes::Bytes;
use mirror_oci::{Algorithm, Digest, media_type};

/// An image: its blobs, and its manifests with children before parents.
#[derive(Debug, Clone)]
pub struct Image {
    /// Configs and layers.
    pub blobs: Vec<(Digest, Bytes)>,
    /// Manifests; the root is the last one.
    pub manifests: Vec<StoredManifest>,
}

/// A manifest with its media type.
#[derive(Debug, Clone)]
pub struct StoredManifest {
    /// Hash of the bytes.
    pub digest: Digest,
    /// What it is.
    pub media_type: String,
    /// The bytes.
    pub bytes: Bytes,
}

impl Image {
    /// The digest of the root.
    pub fn digest(&self) -> &Digest {
        &self.manifests.last().expect("an image has a root").digest
    }

    /// Sizes of all blobs, added up.
    pub fn blob_bytes(&self) -> u64 {
        self.blobs.iter().map(|(_, bytes)| bytes.len() as u64).sum()
    }

    /// Writes an OCI image layout with this image under the name `tag`.
    pub fn write_layout(&self, folder: &Path, tag: &str) {
        let write = |digest: &Digest, bytes: &Bytes| {
            let path = folder.join("blobs").join(digest.algorithm().name());
            std::fs::create_dir_all(&path).unwrap();
            std::fs::write(path.join(digest.hex()), bytes).unwrap();
        };
        self.blobs.iter().for_each(|(digest, bytes)| write(digest, bytes));
        self.manifests.iter().for_each(|manifest| write(&manifest.digest, &manifest.bytes));
        let root = self.manifests.last().expect("an image has a root");
        let index = format!(
            r#"{{"schemaVersion":2,"manifests":[{{"mediaType":"{}","digest":"{}","size":{},"annotations":{{"org.opencontainers.image.ref.name":"{tag}"}}}}]}}"#,
            root.media_type,
            root.digest,
            root.bytes.len()
        );
        std::fs::write(folder.join("index.json"), index).unwrap();
        std::fs::write(folder.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
    }
}

/// Makes up an [`Image`].
#[derive(Debug, Clone)]
pub struct ImageBuilder {
    seed: String,
    platforms: Vec<String>,
    layers: Vec<usize>,
    shared: Option<(String, usize)>,
    per_platform: Option<(String, Vec<usize>)>,
    docker: bool,
    foreign: bool,
    created: String,
}

impl ImageBuilder {
    /// An OCI image of one platform with two small layers; everything in it follows from `seed`.
    pub fn new(seed: impl Into<String>) -> ImageBuilder {
        let layers = vec![300, 2000];
        ImageBuilder {
            seed: seed.into(),
            platforms: Vec::new(),
            layers,
            shared: None,
            per_platform: None,
            docker: false,
            foreign: false,
            created: "2020-01-01T00:00:00Z".to_owned(),
        }
    }

    /// An index over these platforms instead of a single image.
    #[must_use]
    pub fn platforms(mut self, platforms: &[&str]) -> ImageBuilder {
        self.platforms = platforms.iter().map(ToString::to_string).collect();
        self
    }

    /// When it says that it was made.
    #[must_use]
    pub fn created(mut self, created: &str) -> ImageBuilder {
        self.created = created.to_owned();
        self
    }

    /// Sizes of the layers in bytes.
    #[must_use]
    pub fn layers(mut self, sizes: &[usize]) -> ImageBuilder {
        self.layers = sizes.to_vec();
        self
    }

    /// One more layer that all images with the same `seed` share.
    #[must_use]
    pub fn shared_layer(mut self, seed: &str, size: usize) -> ImageBuilder {
        self.shared = Some((seed.to_owned(), size));
        self
    }

    /// More layers that the images of one platform share, if they have the same `seed`.
    #[must_use]
    pub fn platform_layers(mut self, seed: &str, sizes: &[usize]) -> ImageBuilder {
        self.per_platform = Some((seed.to_owned(), sizes.to_vec()));
        self
    }

    /// Docker's media types instead of OCI's.
    #[must_use]
    pub fn docker(mut self) -> ImageBuilder {
        self.docker = true;
        self
    }

    /// A layer that no registry holds.
    #[must_use]
    pub fn foreign_layer(mut self) -> ImageBuilder {
        self.foreign = true;
        self
    }

    /// Makes the image.
    pub fn build(&self) -> Image {
        let mut image = Image { blobs: Vec::new(), manifests: Vec::new() };
        if self.platforms.is_empty() {
            self.add_child(&mut image, "linux/amd64");
            return image;
        }
        for platform in &self.platforms {
            self.add_child(&mut image, platform);
        }
        let children: Vec<String> = image
            .manifests
            .iter()
            .zip(&self.platforms)
            .map(|(child, platform)| descriptor_of(child, platform))
            .collect();
        let media_type = if self.docker { media_type::DOCKER_LIST } else { media_type::OCI_INDEX };
        // Odd white space and a key nobody knows: whoever re-serialises this changes its digest.
        let json = format!(
            "{{ \"schemaVersion\":2,\n\t\"mediaType\" : \"{media_type}\",\r\n \"manifests\": [{}],\"x-odd\":  1.0 }}\n",
            children.join(" ,\n")
        );
        image.manifests.push(stored(media_type, json));
        image
    }

    fn add_child(&self, image: &mut Image, platform: &str) {
        let mut parts = platform.split('/');
        let (os, architecture) = (parts.next().unwrap(), parts.next().unwrap());
        let (config_type, layer_type, manifest_type) = if self.docker {
            (
                "application/vnd.docker.container.image.v1+json",
                "application/vnd.docker.image.rootfs.diff.tar.gzip",
                media_type::DOCKER_MANIFEST,
            )
        } else {
            (
                "application/vnd.oci.image.config.v1+json",
                "application/vnd.oci.image.layer.v1.tar+gzip",
                media_type::OCI_MANIFEST,
            )
        };
        let mut layers: Vec<Bytes> = Vec::new();
        for (number, size) in self.layers.iter().enumerate() {
            layers.push(noise(&format!("{}/{platform}/{number}", self.seed), *size));
        }
        if let Some((seed, sizes)) = &self.per_platform {
            layers.extend(
                sizes
                    .iter()
                    .enumerate()
                    .map(|(n, size)| noise(&format!("{seed}/{platform}/{n}"), *size)),
            );
        }
        layers.extend(self.shared.as_ref().map(|(seed, size)| noise(seed, *size)));
        let ids: Vec<String> =
            layers.iter().map(|layer| format!("\"{}\"", digest(layer))).collect();
        let config = format!(
            r#"{{"architecture":"{architecture}","os":"{os}","created":"{}","config":{{"Labels":{{"seed":"{}"}}}},"rootfs":{{"type":"layers","diff_ids":[{}]}},"history":[]}}"#,
            self.created,
            self.seed,
            ids.join(",")
        );
        let config = Bytes::from(config);
        let mut described: Vec<String> =
            layers.iter().map(|layer| descriptor(layer_type, layer, "")).collect();
        if self.foreign {
            let elsewhere = r#", "urls":["http://127.0.0.1:1/never"]"#;
            let foreign = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip";
            described.insert(0, descriptor(foreign, &Bytes::from_static(b"windows"), elsewhere));
        }
        let json = format!(
            "{{\n   \"schemaVersion\": 2, \"mediaType\":\"{manifest_type}\",\n   \"config\": {},\n\n   \"layers\": [ {} ]}}",
            descriptor(config_type, &config, ""),
            described.join(",  ")
        );
        for blob in layers.into_iter().chain([config]) {
            let digest = digest(&blob);
            if !image.blobs.iter().any(|(known, _)| *known == digest) {
                image.blobs.push((digest, blob));
            }
        }
        image.manifests.push(stored(manifest_type, json));
    }
}

fn digest(bytes: &[u8]) -> Digest {
    Digest::of(Algorithm::Sha256, bytes)
}

fn descriptor(media_type: &str, bytes: &Bytes, more: &str) -> String {
    format!(
        r#"{{"mediaType":"{media_type}","size":{},"digest":"{}"{more}}}"#,
        bytes.len(),
        digest(bytes)
    )
}

fn descriptor_of(child: &StoredManifest, platform: &str) -> String {
    let mut parts = platform.split('/');
    let (os, architecture) = (parts.next().unwrap(), parts.next().unwrap());
    let variant =
        parts.next().map(|variant| format!(r#","variant":"{variant}""#)).unwrap_or_default();
    let platform =
        format!(r#", "platform":{{"architecture":"{architecture}","os":"{os}"{variant}}}"#);
    descriptor(&child.media_type, &child.bytes, &platform)
}

fn stored(media_type: &str, json: String) -> StoredManifest {
    let bytes = Bytes::from(json);
    StoredManifest { digest: digest(&bytes), media_type: media_type.to_owned(), bytes }
}

/// Bytes that look random and follow from the seed (xorshift64*).
fn noise(seed: &str, size: usize) -> Bytes {
    let start = Digest::of(Algorithm::Sha256, seed.as_bytes());
    let mut state = u64::from_str_radix(&start.hex()[..16], 16).unwrap() | 1;
    let mut bytes = Vec::with_capacity(size + 8);
    while bytes.len() < size {
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        bytes.extend_from_slice(&state.wrapping_mul(0x2545_F491_4F6C_DD1D).to_le_bytes());
    }
    bytes.truncate(size);
    bytes.into()
}
