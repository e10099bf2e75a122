//! How much a registry can make us take. All caps stand here, so that no sum of them is overlooked: whatever a registry
//! says, an image that is over one of them fails alone.

/// Largest manifest or list that is read, the limit that registries themselves set:
/// <https://github.com/opencontainers/distribution-spec/blob/main/spec.md#pushing-manifests>.
pub const MAX_MANIFEST_BYTES: usize = 4 << 20;

/// Levels of manifests below the root of an image. Indexes of indexes are legal.
pub const MAX_DEPTH: usize = 8;

/// Manifests of one image, the root among them.
pub const MAX_MANIFESTS: usize = 2000;

/// Bytes of all manifests of one image.
pub const MAX_IMAGE_MANIFEST_BYTES: u64 = 64 << 20;

/// Bytes of manifests that every image of a run may have, whatever others have. Large official images have 50 KiB.
pub const COMMON_MANIFEST_BYTES: u64 = 2 << 20;

/// Bytes of the manifests of one referrer that it may have, whatever others have. A signature has 1 KiB, and an image up
/// to [`MAX_IMAGE_REFERRERS`] of them.
pub const COMMON_REFERRER_BYTES: u64 = 4 << 10;

/// Bytes of manifests beyond [`COMMON_MANIFEST_BYTES`] and [`COMMON_REFERRER_BYTES`] that all of a run may have together.
pub const MAX_RUN_MANIFEST_BYTES: u64 = 256 << 20;

/// Referrers of one manifest.
pub const MAX_REFERRERS: usize = 200;

/// Referrers of all manifests of an image.
pub const MAX_IMAGE_REFERRERS: usize = 1000;

/// Pages of one list of referrers. Each has an entry at least, or nobody would page.
pub const MAX_REFERRER_PAGES: usize = 64;
