//! What the test registry holds.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use bytes::Bytes;
use mirror_oci::{Algorithm, Digest, RawManifest};
use tokio::time::Instant;

use crate::ecr_state::Region;
use crate::image::{Image, StoredManifest};
use crate::profile::Profile;

/// Blobs by digest; repositories with what they may see of them.
#[derive(Debug, Default)]
pub(crate) struct Store {
    pub(crate) blobs: HashMap<String, Bytes>,
    pub(crate) repositories: BTreeMap<String, Repository>,
    pub(crate) sessions: u64,
    /// Those that wait for their bytes, and since when.
    pub(crate) open_sessions: BTreeMap<u64, Instant>,
    /// Bytes that came before the request that ends a session.
    pub(crate) patched: HashMap<u64, Bytes>,
    pub(crate) ecr: Region,
}

#[derive(Debug, Default)]
pub(crate) struct Repository {
    pub(crate) blobs: BTreeSet<String>,
    pub(crate) manifests: BTreeMap<String, StoredManifest>,
    pub(crate) tags: BTreeMap<String, String>,
    /// When blobs, manifests and tags were written.
    written: BTreeMap<String, Instant>,
}

impl Repository {
    pub(crate) fn wrote(&mut self, what: &str) {
        self.written.insert(what.to_owned(), Instant::now());
    }

    /// Whether it has been there for so long.
    pub(crate) fn settled(&self, what: &str, after: Duration) -> bool {
        self.written.get(what).is_none_or(|written| written.elapsed() >= after)
    }
}

/// Why a manifest is not stored.
pub(crate) enum Unfit {
    /// It is none.
    NoManifest,
    /// It is another one.
    WrongDigest,
    /// This is missing of what it points to.
    Lacks(String),
}

impl Store {
    pub(crate) fn repository(&mut self, name: &str) -> &mut Repository {
        self.repositories.entry(name.to_owned()).or_default()
    }

    pub(crate) fn has_blob(&self, repository: &str, digest: &str) -> bool {
        self.repositories
            .get(repository)
            .is_some_and(|repository| repository.blobs.contains(digest))
    }

    pub(crate) fn put_blob(&mut self, repository: &str, digest: &str, bytes: Bytes) {
        self.blobs.insert(digest.to_owned(), bytes);
        let repository = self.repository(repository);
        repository.blobs.insert(digest.to_owned());
        repository.wrote(digest);
    }

    pub(crate) fn add(&mut self, repository: &str, tag: Option<&str>, image: &Image) {
        for (digest, bytes) in &image.blobs {
            self.put_blob(repository, digest.as_str(), bytes.clone());
        }
        let repository = self.repository(repository);
        for manifest in &image.manifests {
            repository.manifests.insert(manifest.digest.to_string(), manifest.clone());
        }
        repository.tags.extend(tag.map(|tag| (tag.to_owned(), image.digest().to_string())));
    }

    /// Removes a blob from a repository; whether it was there.
    pub(crate) fn delete_blob(&mut self, repository: &str, digest: &str) -> bool {
        self.repository(repository).blobs.remove(digest)
    }

    /// Removes a tag, or a manifest with the tags that name it; whether it was there.
    pub(crate) fn delete_manifest(&mut self, repository: &str, reference: &str) -> bool {
        let repository = self.repository(repository);
        if repository.tags.remove(reference).is_some() {
            return true;
        }
        repository.tags.retain(|_, digest| digest != reference);
        repository.manifests.remove(reference).is_some()
    }

    /// A manifest by tag or digest.
    pub(crate) fn manifest(&self, repository: &str, reference: &str) -> Option<&StoredManifest> {
        let repository = self.repositories.get(repository)?;
        let digest = repository.tags.get(reference).map_or(reference, String::as_str);
        repository.manifests.get(digest)
    }

    /// Stores a manifest as distribution does: everything it points to must be there.
    pub(crate) fn put_manifest(
        &mut self,
        repository: &str,
        reference: &str,
        media_type: &str,
        bytes: Bytes,
        profile: &Profile,
    ) -> Result<Digest, Unfit> {
        let manifest =
            RawManifest::digested(bytes.clone(), media_type).map_err(|_| Unfit::NoManifest)?;
        let links = manifest.links().map_err(|_| Unfit::NoManifest)?;
        let own = self.repository(repository);
        let Profile { sparse, unchecked, settles, .. } = *profile;
        let settled = |digest: &Digest| own.settled(digest.as_str(), settles);
        for child in links.manifests.iter().filter(|_| !unchecked && !sparse) {
            if !(own.manifests.contains_key(child.digest.as_str()) && settled(&child.digest)) {
                return Err(Unfit::Lacks(child.digest.to_string()));
            }
        }
        for blob in links.blobs.iter().filter(|_| !unchecked) {
            if !(own.blobs.contains(blob.digest.as_str()) && settled(&blob.digest)) {
                return Err(Unfit::Lacks(blob.digest.to_string()));
            }
        }
        let digest = match reference.parse::<Digest>() {
            Ok(digest) if Digest::of(digest.algorithm(), &bytes) != digest => {
                return Err(Unfit::WrongDigest);
            }
            Ok(digest) => digest,
            Err(_) => Digest::of(Algorithm::Sha256, &bytes),
        };
        let stored =
            StoredManifest { digest: digest.clone(), media_type: media_type.to_owned(), bytes };
        own.manifests.insert(digest.to_string(), stored);
        own.wrote(digest.as_str());
        if reference.parse::<Digest>().is_err() {
            own.tags.insert(reference.to_owned(), digest.to_string());
            own.wrote(reference);
        }
        Ok(digest)
    }
}
