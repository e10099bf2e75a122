//! What one host makes of mounts that are asked for in the request which opens an upload.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, Ordering};

/// What a registry makes of a mount of a blob from the very repository that it goes to. Registries that look for the blob
/// answer 201 when it is there, which saves a request; the specification says nothing of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hint {
    /// Nobody knows yet.
    Unknown,
    /// It looks: where it opens an upload, the blob is not there.
    Honoured,
    /// It opens an upload whatever it has (getnora-io/nora#915), or refuses (pulp-container): it has to be asked by a
    /// request of its own.
    Useless,
}

/// So many questions are asked one by one before it is found out what hints are worth.
const MANY: u32 = 8;

/// So many refusals without a success, and mounts from other repositories are not asked for any more.
const ENOUGH: u32 = 3;

/// What is known of one host.
#[derive(Debug, Default)]
pub(crate) struct Hints {
    own: AtomicU8,
    refused: AtomicU32,
    mounted: AtomicBool,
    tried: AtomicBool,
    asked: AtomicU32,
}

impl Hints {
    pub(crate) fn own(&self) -> Hint {
        match self.own.load(Ordering::Relaxed) {
            0 => Hint::Unknown,
            1 => Hint::Honoured,
            _ => Hint::Useless,
        }
    }

    pub(crate) fn learn(&self, hint: Hint) {
        self.own.store(hint as u8, Ordering::Relaxed);
    }

    /// An upload was opened, and the blob was not there indeed: this says nothing of what else the registry does.
    pub(crate) fn agreed(&self) {
        self.asked.fetch_add(1, Ordering::Relaxed);
    }

    /// Whether it is for the one who asks to find out with a blob that is there for sure. Once is enough.
    pub(crate) fn is_mine_to_try(&self) -> bool {
        self.own() == Hint::Unknown
            && self.asked.load(Ordering::Relaxed) >= MANY
            && !self.tried.swap(true, Ordering::Relaxed)
    }

    /// Whether mounts from other repositories are worth a request.
    pub(crate) fn mounts(&self) -> bool {
        self.mounted.load(Ordering::Relaxed) || self.refused.load(Ordering::Relaxed) < ENOUGH
    }

    /// A mount from another repository has worked, or was refused with an error.
    pub(crate) fn mounted(&self, worked: bool) {
        if worked {
            self.mounted.store(true, Ordering::Relaxed);
        } else {
            self.refused.fetch_add(1, Ordering::Relaxed);
        }
    }
}
