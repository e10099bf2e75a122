//! Images put into the folder of Debian's `docker-registry` without a request: a thousand of them take a second.

use std::fs;
use std::path::Path;

use mirror_oci::Digest;

use crate::image::Image;

impl Image {
    /// Writes the image into the storage folder of a `docker-registry`
    /// (<https://github.com/distribution/distribution/blob/v2.8.2/registry/storage/paths.go>).
    pub fn write_storage(&self, root: &Path, repository: &str, tag: &str) {
        let base = root.join("docker/registry/v2");
        let own = base.join("repositories").join(repository);
        for (digest, bytes) in &self.blobs {
            write_blob(&base, digest, bytes);
            write_link(&own.join("_layers"), digest);
        }
        for manifest in &self.manifests {
            write_blob(&base, &manifest.digest, &manifest.bytes);
            write_link(&own.join("_manifests/revisions"), &manifest.digest);
        }
        let tags = own.join("_manifests/tags").join(tag);
        write_link(&tags.join("index"), self.digest());
        fs::create_dir_all(tags.join("current")).unwrap();
        fs::write(tags.join("current/link"), self.digest().as_str()).unwrap();
    }
}

fn write_blob(base: &Path, digest: &Digest, bytes: &[u8]) {
    let hex = digest.hex();
    let folder = base.join("blobs").join(digest.algorithm().name()).join(&hex[..2]).join(hex);
    if !folder.exists() {
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("data"), bytes).unwrap();
    }
}

fn write_link(folder: &Path, digest: &Digest) {
    let folder = folder.join(digest.algorithm().name()).join(digest.hex());
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("link"), digest.as_str()).unwrap();
}
