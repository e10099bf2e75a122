//! Where blobs have landed at each destination, so that the next image mounts instead of uploading.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};

use mirror_oci::{Digest, Repository};

/// Whether one repository holds a blob. Whoever holds the lock brings it there.
pub(crate) type Here = Arc<tokio::sync::Mutex<bool>>;

/// The first repository of a registry that holds a blob. Whoever holds the lock while there is none brings it there;
/// everybody else mounts from it, all at once.
pub(crate) type First = Arc<tokio::sync::Mutex<Option<Repository>>>;

/// All landings of a run.
#[derive(Debug, Default)]
pub(crate) struct Landings {
    here: Mutex<HashMap<(String, Repository, Digest), Here>>,
    first: Mutex<HashMap<(String, Digest), First>>,
    lists: Mutex<HashMap<(String, Repository, Digest), List>>,
}

/// The list of what refers to a manifest. Whoever holds the lock writes it.
pub(crate) type List = Arc<tokio::sync::Mutex<()>>;

impl Landings {
    /// The landing of a blob in one repository of a registry or layout.
    pub(crate) fn here(&self, place: &str, repository: &Repository, digest: &Digest) -> Here {
        entry(&self.here, (place.to_owned(), repository.clone(), digest.clone()))
    }

    /// The list of referrers of a manifest in one repository of a registry or layout.
    pub(crate) fn list(&self, place: &str, repository: &Repository, subject: &Digest) -> List {
        entry(&self.lists, (place.to_owned(), repository.clone(), subject.clone()))
    }

    /// The first landing of a blob anywhere at a registry or layout.
    pub(crate) fn first(&self, place: &str, digest: &Digest) -> First {
        entry(&self.first, (place.to_owned(), digest.clone()))
    }
}

fn entry<K: Eq + Hash, V: Clone + Default>(map: &Mutex<HashMap<K, V>>, key: K) -> V {
    map.lock().unwrap_or_else(PoisonError::into_inner).entry(key).or_default().clone()
}
