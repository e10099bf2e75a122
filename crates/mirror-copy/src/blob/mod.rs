//! A config or layer, and the way it takes: fetched once, spooled, sent or mounted.

pub(crate) mod download;
pub(crate) mod fetch;
pub(crate) mod landing;
pub(crate) mod spool;
pub(crate) mod state;
pub(crate) mod storage;
pub(crate) mod upload;
pub(crate) mod window;

use std::fmt;

use mirror_oci::{ByteSize, Digest};

/// Written and read in pieces of this size.
pub(crate) const PIECE: usize = 256 << 10;

/// A config or layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blob {
    /// Which bytes.
    pub digest: Digest,
    /// How many.
    pub size: u64,
}

impl fmt::Display for Blob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "blob {} ({})", self.digest.short(), ByteSize(self.size))
    }
}
