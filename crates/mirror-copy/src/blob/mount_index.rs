//! Which blobs are where at the destinations, so that the next image mounts instead of uploading.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};

use mirror_oci::{Digest, Repository};

/// Whether one repository holds a blob. Whoever holds the lock uploads it there.
pub(crate) type IsPresent = Arc<tokio::sync::Mutex<bool>>;

/// The first repository of a registry that holds a blob. Whoever holds the lock while there is none uploads it there;
/// everybody else mounts from it, all at once.
pub(crate) type FirstRepository = Arc<tokio::sync::Mutex<Option<Repository>>>;

/// The list of what refers to a manifest. Whoever holds the lock writes it.
pub(crate) type ReferrerList = Arc<tokio::sync::Mutex<()>>;

/// Blobs that no image is known to want and that are remembered all the same: what signatures share is known only once they
/// were found.
const MOST_IDLE: usize = 4_000;

/// Which blobs are where, as long as some image of the run may still want them.
#[derive(Debug, Default)]
pub(crate) struct MountIndex {
    blobs: Mutex<HashMap<Digest, KnownBlob>>,
    idle: Mutex<VecDeque<Digest>>,
    lists: Mutex<HashMap<(String, Repository, Digest), ReferrerList>>,
}

#[derive(Debug, Default)]
struct KnownBlob {
    present: HashMap<(String, Repository), IsPresent>,
    first: HashMap<String, FirstRepository>,
}

impl MountIndex {
    /// Whether a blob is in one repository of a registry or layout.
    pub(crate) fn is_present(&self, at: &str, repository: &Repository, blob: &Digest) -> IsPresent {
        let key = (at.to_owned(), repository.clone());
        self.of(blob, |known| known.present.entry(key).or_default().clone())
    }

    /// The first repository of a registry or layout that has a blob.
    pub(crate) fn first(&self, at: &str, blob: &Digest) -> FirstRepository {
        self.of(blob, |known| known.first.entry(at.to_owned()).or_default().clone())
    }

    fn of<T>(&self, blob: &Digest, get: impl FnOnce(&mut KnownBlob) -> T) -> T {
        let mut blobs = self.blobs.lock().unwrap_or_else(PoisonError::into_inner);
        get(blobs.entry(blob.clone()).or_default())
    }

    /// No image that is known wants this blob any more. It is forgotten when that has become true of many others.
    pub(crate) fn let_go(&self, blob: &Digest) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.push_back(blob.clone());
        // To forget one that is wanted again by now costs a request.
        if idle.len() > MOST_IDLE
            && let Some(oldest) = idle.pop_front()
        {
            self.blobs.lock().unwrap_or_else(PoisonError::into_inner).remove(&oldest);
        }
    }

    /// The list of referrers of a manifest in one repository of a registry or layout.
    pub(crate) fn list(&self, at: &str, repository: &Repository, subject: &Digest) -> ReferrerList {
        entry(&self.lists, (at.to_owned(), repository.clone(), subject.clone()))
    }
}

fn entry<K: Eq + Hash, V: Clone + Default>(map: &Mutex<HashMap<K, V>>, key: K) -> V {
    map.lock().unwrap_or_else(PoisonError::into_inner).entry(key).or_default().clone()
}
