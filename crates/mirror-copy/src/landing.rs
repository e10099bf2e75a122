//! Where blobs have landed at each destination, so that the next image mounts instead of uploading.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use mirror_oci::{Digest, Repository};

/// Repositories of one place that hold a blob. Whoever holds the lock brings the blob to one more.
pub(crate) type Landing = Arc<tokio::sync::Mutex<Vec<Repository>>>;

/// All landings of a run.
#[derive(Debug, Default)]
pub(crate) struct Landings(Mutex<HashMap<(String, Digest), Landing>>);

impl Landings {
    /// The landing of a blob at a registry or layout.
    pub(crate) fn get(&self, place: &str, digest: &Digest) -> Landing {
        let mut landings = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        landings.entry((place.to_owned(), digest.clone())).or_default().clone()
    }
}
