//! A blob as it comes from a store.

use std::sync::Arc;

use bytes::Bytes;
use mirror_failure::Cause;
use mirror_oci::Digest;
use mirror_registry::{BlobReader, Pressure};

use crate::store::layout::Layout;
use crate::store::{InLayout, Store};

/// A blob on its way. Nothing is checked here: whoever reads hashes.
pub(crate) enum Reader<'a> {
    /// From a file, so far.
    Layout {
        layout: &'a Arc<Layout>,
        digest: &'a Digest,
        at: u64,
    },
    Registry(Box<BlobReader<'a>>),
}

impl Store {
    /// Reads a blob of this size from the byte `at` on.
    pub(crate) fn reader<'a>(
        &'a self,
        digest: &'a Digest,
        size: u64,
        at: u64,
        pressure: &'a Pressure,
    ) -> Reader<'a> {
        match self {
            Store::Layout(InLayout { layout, .. }) => Reader::Layout { layout, digest, at },
            Store::Remote(remote) => {
                Reader::Registry(Box::new(remote.read_blob(digest, size, at, pressure)))
            }
        }
    }
}

impl Reader<'_> {
    /// The next bytes; nothing after the last.
    pub(crate) async fn chunk(&mut self) -> Result<Option<Bytes>, Cause> {
        match self {
            Reader::Registry(reader) => reader.chunk().await.map_err(Cause::Request),
            Reader::Layout { layout, digest, at } => {
                let piece = layout.piece(digest, *at).await.map_err(|error| {
                    let path = layout.path(digest);
                    Cause::Io(error.kind(), format!("{}: {error}", path.display()))
                })?;
                *at += piece.len() as u64;
                Ok((!piece.is_empty()).then_some(piece))
            }
        }
    }
}
