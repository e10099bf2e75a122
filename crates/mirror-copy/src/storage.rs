//! Where the bytes of a download are, and how far it is.

use std::fs::File;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;

use crate::error::CopyError;
use crate::spool::Room;
use crate::window::Window;

/// Written and read in pieces of this size.
pub(crate) const PIECE: usize = 256 << 10;

#[derive(Debug, Clone)]
pub(crate) enum State {
    /// So many bytes can be read. The round grows when wrong bytes are thrown away: who has read some must start
    /// over.
    Running {
        round: u32,
        written: u64,
    },
    /// All bytes are here and hash to the digest.
    Done {
        round: u32,
    },
    Failed(CopyError),
}

#[derive(Debug)]
pub(crate) enum Storage {
    Memory(OnceLock<Bytes>),
    /// Set when there is room; removed when dropped, unless somebody may come back for it.
    File(OnceLock<SpoolFile>, AtomicBool, Window),
    /// All of it, until it is sent.
    Held(Window),
    /// Nowhere: it is fetched as fast as the one who asked for it sends it. Nobody else can share it.
    Passing(Window),
}

/// A file of the spool with its room; the handle holds the lock.
#[derive(Debug)]
pub(crate) struct SpoolFile {
    pub(crate) path: PathBuf,
    pub(crate) file: File,
    pub(crate) room: Room,
}

impl Storage {
    /// Nobody will come back for the file.
    pub(crate) fn forget(&self) {
        if let Storage::File(_, keep, _) = self {
            keep.store(false, Ordering::Relaxed);
        }
    }
}

impl Drop for Storage {
    fn drop(&mut self) {
        if let Storage::File(place, keep, _) = self
            && !keep.load(Ordering::Relaxed)
            && let Some(SpoolFile { path, .. }) = place.get()
        {
            let _ = std::fs::remove_file(path);
        }
    }
}
