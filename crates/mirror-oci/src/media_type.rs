//! Media types of manifests.
//!
//! OCI: <https://github.com/opencontainers/image-spec/blob/main/media-types.md>. Docker:
//! <https://distribution.github.io/distribution/spec/manifest-v2-2/>.

/// OCI image manifest.
pub const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// OCI image index.
pub const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// Docker image manifest, schema 2.
pub const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
/// Docker manifest list.
pub const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
/// OCI artifact manifest, withdrawn before 1.1 but still in registries.
pub const OCI_ARTIFACT: &str = "application/vnd.oci.artifact.manifest.v1+json";

/// What to send as `Accept` when asking for a manifest. A bare `*/*` makes distribution 2.8 answer 404 for an
/// OCI index, so the known types come first.
pub const ACCEPT: &str = concat!(
    "application/vnd.oci.image.index.v1+json, ",
    "application/vnd.oci.image.manifest.v1+json, ",
    "application/vnd.docker.distribution.manifest.list.v2+json, ",
    "application/vnd.docker.distribution.manifest.v2+json, ",
    "application/vnd.oci.artifact.manifest.v1+json, ",
    "*/*;q=0.1"
);

/// The media type without parameters and surrounding space, `application/json; charset=utf-8` → `application/json`.
///
/// ```
/// use mirror_oci::media_type::essence;
///
/// assert_eq!(essence("application/json; charset=utf-8"), "application/json");
/// ```
pub fn essence(header: &str) -> &str {
    header.split(';').next().unwrap_or(header).trim()
}

/// Whether it is one of Docker's schema 1 types, which carry signatures over re-serialised JSON and can't be mirrored.
///
/// ```
/// use mirror_oci::media_type::is_schema1;
///
/// assert!(is_schema1("application/vnd.docker.distribution.manifest.v1+prettyjws"));
/// ```
pub fn is_schema1(media_type: &str) -> bool {
    starts_with(media_type, "application/vnd.docker.distribution.manifest.v1+")
}

/// Whether it names an index or list of manifests.
///
/// ```
/// use mirror_oci::media_type::{DOCKER_LIST, OCI_MANIFEST, is_index};
///
/// assert!(is_index(DOCKER_LIST) && !is_index(OCI_MANIFEST));
/// ```
pub fn is_index(media_type: &str) -> bool {
    matches!(known(media_type), Some(OCI_INDEX | DOCKER_LIST))
}

/// Whether it is the type of a layer or a configuration, which no manifest has.
pub(crate) fn is_blob(media_type: &str) -> bool {
    let starts = [
        "application/vnd.oci.image.layer.",
        "application/vnd.oci.image.config.",
        "application/vnd.docker.image.rootfs.",
        "application/vnd.docker.container.image.",
        "application/vnd.buildkit.cacheconfig.",
    ];
    starts.iter().any(|start| starts_with(media_type, start))
}

/// Layers that may not be redistributed. Where they have `urls`, registries don't hold them; those are never followed.
///
/// ```
/// use mirror_oci::media_type::is_foreign_layer;
///
/// assert!(is_foreign_layer("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"));
/// assert!(!is_foreign_layer("application/vnd.oci.image.layer.v1.tar+gzip"));
/// ```
pub fn is_foreign_layer(media_type: &str) -> bool {
    starts_with(media_type, "application/vnd.docker.image.rootfs.foreign.")
        || starts_with(media_type, "application/vnd.oci.image.layer.nondistributable.")
}

/// The type of a manifest as it is written here, whatever its case (<https://www.rfc-editor.org/rfc/rfc6838#section-4.2>);
/// nothing for types that servers send when they don't know better, such as `binary/octet-stream` (containers/image#58):
/// the document itself decides then.
pub(crate) fn known(media_type: &str) -> Option<&'static str> {
    let all = [OCI_MANIFEST, OCI_INDEX, DOCKER_MANIFEST, DOCKER_LIST, OCI_ARTIFACT];
    all.into_iter().find(|known| known.eq_ignore_ascii_case(media_type))
}

fn starts_with(media_type: &str, start: &str) -> bool {
    media_type.get(..start.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(start))
}
