//! Where the bytes of a download are.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use bytes::Bytes;

use crate::blob::spool::Room;
use crate::blob::spool::files::{BlobFile, remove};
use crate::blob::tail_buffer::TailBuffer;

#[derive(Debug)]
pub(crate) enum Storage {
    Memory(OnceLock<Bytes>),
    /// Set when there is room; removed when dropped, unless somebody may come back for it.
    File(OnceLock<SpoolFile>, AtomicBool, TailBuffer),
    /// All of it, until it is sent.
    Held(TailBuffer),
    /// Nowhere: it is fetched as fast as the one who asked for it sends it. Nobody else can share it.
    Passing(TailBuffer),
}

/// Memory that downloads of one kind may take together.
#[derive(Debug)]
pub(crate) struct Allowance {
    most: u64,
    used: Arc<AtomicU64>,
}

/// A part of that; given back when dropped.
#[derive(Debug)]
pub(crate) struct Share {
    bytes: u64,
    used: Arc<AtomicU64>,
}

impl Allowance {
    pub(crate) fn of(most: u64) -> Allowance {
        Allowance { most, used: Arc::default() }
    }

    /// So many bytes, if they are left.
    pub(crate) fn take(&self, bytes: u64) -> Option<Share> {
        let taken = self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
            used.checked_add(bytes).filter(|used| *used <= self.most)
        });
        taken.ok().map(|_| Share { bytes, used: self.used.clone() })
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.used.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// A file of the spool with its room; the handle holds the lock.
#[derive(Debug)]
pub(crate) struct SpoolFile {
    pub(crate) path: PathBuf,
    pub(crate) file: BlobFile,
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
        if let Storage::File(file, keep, _) = self
            && let Some(SpoolFile { path, room, .. }) = file.get()
        {
            match keep.load(Ordering::Relaxed) {
                true => room.leave(path),
                false => remove(path),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_given_back() {
        let memory = Allowance::of(10);
        let one = memory.take(7);
        assert!(one.is_some() && memory.take(4).is_none() && memory.take(u64::MAX).is_none());
        let other = memory.take(3);
        drop(one);
        assert!(memory.take(8).is_none() && memory.take(7).is_some());
        drop(other);
        assert!(memory.take(10).is_some());
    }
}
