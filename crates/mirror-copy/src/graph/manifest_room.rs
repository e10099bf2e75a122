//! What the manifests of a run take in memory. Each image has its share; what large ones have beyond that is counted
//! together, so that a source full of huge indexes makes its own images fail and nobody else's. While images wait in the
//! spool, only what is known of each stays here; large ones that are loaded again wait for each other.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use mirror_oci::ByteSize;
use mirror_oci::caps::{COMMON_MANIFEST_BYTES, MAX_IMAGE_MANIFEST_BYTES, MAX_RUN_MANIFEST_BYTES};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// What all large images of a run have beyond the share that each image has.
#[derive(Debug)]
pub struct ManifestRoom {
    beyond: AtomicU64,
    /// For images that are loaded from the spool, in MiB.
    loaded: Arc<Semaphore>,
}

const MIB: u64 = 1 << 20;

impl Default for ManifestRoom {
    fn default() -> ManifestRoom {
        let most = usize::try_from(MAX_RUN_MANIFEST_BYTES / MIB).unwrap_or_default();
        ManifestRoom { beyond: AtomicU64::default(), loaded: Arc::new(Semaphore::new(most)) }
    }
}

impl ManifestRoom {
    /// Waits for room for an image of so many bytes of manifests.
    pub(crate) async fn load(self: &Arc<Self>, bytes: u64) -> HeldManifests {
        let beyond = bytes.saturating_sub(COMMON_MANIFEST_BYTES).min(MAX_IMAGE_MANIFEST_BYTES);
        let wanted = u32::try_from(beyond.div_ceil(MIB)).unwrap_or_default();
        // It is never closed.
        let mut held = HeldManifests::of(self, COMMON_MANIFEST_BYTES);
        held.loaded = self.loaded.clone().acquire_many_owned(wanted).await.ok();
        held
    }
}

/// What one image has; given back when dropped.
#[derive(Debug, Default)]
pub(crate) struct HeldManifests {
    room: Arc<ManifestRoom>,
    /// Bytes that count for nobody else.
    share: u64,
    bytes: u64,
    beyond: u64,
    loaded: Option<OwnedSemaphorePermit>,
}

impl HeldManifests {
    pub(crate) fn of(room: &Arc<ManifestRoom>, share: u64) -> HeldManifests {
        HeldManifests { room: room.clone(), share, bytes: 0, beyond: 0, loaded: None }
    }

    /// One more manifest; says what is over its limit.
    pub(crate) fn add(&mut self, bytes: usize) -> Result<(), String> {
        self.bytes = self.bytes.saturating_add(bytes as u64);
        if self.bytes > MAX_IMAGE_MANIFEST_BYTES {
            return Err(format!("its manifests have over {}", ByteSize(MAX_IMAGE_MANIFEST_BYTES)));
        }
        let more = self.bytes.saturating_sub(self.share) - self.beyond;
        let taken = self.room.beyond.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |beyond| {
            Some(beyond + more).filter(|beyond| *beyond <= MAX_RUN_MANIFEST_BYTES)
        });
        if taken.is_err() {
            return Err(format!(
                "its manifests have over {}, and this run holds {} of such manifests already",
                ByteSize(self.share),
                ByteSize(MAX_RUN_MANIFEST_BYTES)
            ));
        }
        self.beyond += more;
        Ok(())
    }
}

impl Drop for HeldManifests {
    fn drop(&mut self) {
        self.room.beyond.fetch_sub(self.beyond, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use mirror_oci::caps::COMMON_REFERRER_BYTES;

    use super::*;

    #[test]
    fn large_images_share_and_others_have_their_own() {
        let room = Arc::new(ManifestRoom::default());
        let mut held = Vec::new();
        let refused = loop {
            let mut image = HeldManifests::of(&room, COMMON_MANIFEST_BYTES);
            let outcome = (0..16).try_for_each(|_| image.add(4 << 20));
            held.push(image);
            if let Err(why) = outcome {
                break why;
            }
        };
        assert_eq!(held.len(), 5, "four images of 64 MiB have 248 MiB beyond their shares");
        assert_eq!(
            refused,
            "its manifests have over 2.0 MiB, and this run holds 256.0 MiB of such manifests already"
        );
        let signature = HeldManifests::of(&room, COMMON_REFERRER_BYTES).add(4 << 20).unwrap_err();
        assert!(signature.starts_with("its manifests have over 4.0 KiB, and"), "{signature}");
        HeldManifests::of(&room, COMMON_MANIFEST_BYTES).add(2 << 20).unwrap();
        assert_eq!(held.remove(0).add(1).unwrap_err(), "its manifests have over 64.0 MiB");
        HeldManifests::of(&room, COMMON_MANIFEST_BYTES).add(4 << 20).unwrap();
        held.clear();
        assert_eq!(room.beyond.load(Ordering::Relaxed), 0);
    }
}
