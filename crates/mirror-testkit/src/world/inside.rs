//! What a world consists of, and what it remembers.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use mirror_oci::Digest;
use tokio::time::Instant;

use crate::ecr::FakeEcr;
use crate::registry::Registry;
use crate::world::acts::Act;
use crate::world::place::Place;
use crate::world::story::{HostStory, ImageStory, Story};
use crate::world::violation::Violation;

/// Everything that is not the program.
pub struct World {
    /// What it was drawn as.
    pub story: Story,
    pub(crate) places: BTreeMap<String, Place>,
    pub(crate) account: FakeEcr,
    pub(crate) calm: Arc<AtomicBool>,
    pub(crate) began: Instant,
    pub(crate) kept: Mutex<Kept>,
    pub(crate) busy: Mutex<BTreeMap<String, usize>>,
    pub(crate) writes: AtomicUsize,
}

/// What the world remembers.
#[derive(Default)]
pub(crate) struct Kept {
    pub(crate) log: Vec<String>,
    pub(crate) acts: Vec<(u64, Act)>,
    pub(crate) requests: u64,
    pub(crate) violations: Vec<Violation>,
    /// What the company put at destinations: host, repository, tag, digest.
    pub(crate) theirs: Vec<(String, String, String, Digest)>,
    /// What destinations have lost: host, repository, digest.
    pub(crate) lost: BTreeSet<(String, String, String)>,
    /// Images that upstream moves tags to.
    pub(crate) moved: BTreeMap<usize, ImageStory>,
    /// Images that upstream has deleted.
    pub(crate) deleted: BTreeSet<usize>,
}

impl World {
    /// Whether faults have ceased.
    pub fn is_calm(&self) -> bool {
        self.calm.load(Ordering::Relaxed)
    }

    /// What is broken so far.
    pub fn violations(&self) -> Vec<Violation> {
        self.lock().violations.clone()
    }

    /// Something does not hold.
    pub fn violated(&self, violation: Violation) {
        let mut kept = self.lock();
        if !kept.violations.contains(&violation) {
            let line = format!("!! {}: {}", violation.invariant, violation.what);
            kept.log.push(line);
            kept.violations.push(violation);
        }
    }

    /// Everything that was asked, said and done, in its order.
    pub fn log(&self) -> Vec<String> {
        self.lock().log.clone()
    }

    /// Adds a line to the log.
    pub fn note(&self, text: &str) {
        let line = format!("{:>9} {text}", self.began.elapsed().as_millis());
        self.lock().log.push(line);
    }

    /// How often anything was written at a destination.
    pub fn writes(&self) -> usize {
        self.writes.load(Ordering::Relaxed)
    }

    /// The registry that is asked at this authority.
    pub fn registry(&self, authority: &str) -> Option<&Registry> {
        self.places.get(authority).map(|place| place.registry(&self.account))
    }

    /// The registry of a host in the story.
    pub fn registry_of(&self, host: &HostStory) -> &Registry {
        self.places[&host.authority].registry(&self.account)
    }

    /// The account at AWS.
    pub fn account(&self) -> &FakeEcr {
        &self.account
    }

    /// What the source has under the tag of an image by now, if anything.
    pub fn upstream(&self, image: usize) -> Option<ImageStory> {
        let kept = self.lock();
        if kept.deleted.contains(&image) {
            return None;
        }
        Some(kept.moved.get(&image).unwrap_or(&self.story.images[image]).clone())
    }

    /// Whether upstream has done anything to an image.
    pub fn upstream_acted(&self, image: usize) -> bool {
        let kept = self.lock();
        kept.deleted.contains(&image) || kept.moved.contains_key(&image)
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap()
    }
}
