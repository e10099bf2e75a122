//! A config or layer, and the way it takes: fetched once, spooled, sent or mounted.

pub(crate) mod download;
pub(crate) mod fetch;
pub(crate) mod mount_index;
pub(crate) mod spool;
pub(crate) mod state;
pub(crate) mod storage;
pub(crate) mod tail_buffer;
pub(crate) mod upload;

use std::fmt;
use std::io::{self, Read};

use bytes::Bytes;
use mirror_oci::{ByteSize, Descriptor, Digest, Verifier};

/// Written and read in pieces of this size.
pub(crate) const PIECE: usize = 256 << 10;

/// Hashes what is left to be read; says how much that was.
pub(crate) fn hash(from: &mut impl Read, verifier: &mut Verifier) -> io::Result<u64> {
    let mut buffer = vec![0; PIECE];
    let mut hashed = 0;
    loop {
        let read = from.read(&mut buffer)?;
        if read == 0 {
            return Ok(hashed);
        }
        hashed += read as u64;
        verifier.update(buffer.get(..read).unwrap_or_default());
    }
}

/// A config or layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blob {
    /// The digest of its bytes.
    pub digest: Digest,
    /// Its size in bytes.
    pub size: u64,
    /// Its bytes, where a manifest carries them along.
    pub data: Option<Bytes>,
}

impl Blob {
    /// What a descriptor describes.
    pub(crate) fn of(descriptor: &Descriptor) -> Blob {
        let Descriptor { digest, size, .. } = descriptor;
        Blob { digest: digest.clone(), size: *size, data: descriptor.inline() }
    }
}

impl fmt::Display for Blob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "blob {} ({})", self.digest.short(), ByteSize(self.size))
    }
}
