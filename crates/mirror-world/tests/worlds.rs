//! Several hundred worlds, and the same world twice.
#![expect(clippy::unwrap_used, reason = "tests may panic")]

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use mirror_testkit::world::Story;
use mirror_world::{KNOWN, attempt};

/// Enough to meet every quirk a few times; `scripts/world` plays more.
const SEEDS: u64 = 400;

/// Does something with each seed, on as many threads as there are cores.
fn each(seeds: &[u64], work: impl Fn(u64) -> Option<String> + Sync) -> Vec<String> {
    let (next, found) = (AtomicU64::new(0), Mutex::new(Vec::new()));
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let number = || usize::try_from(next.fetch_add(1, Ordering::Relaxed)).ok();
                while let Some(seed) = number().and_then(|number| seeds.get(number)) {
                    let broken =
                        work(*seed).map(|what| format!("scripts/world --seed {seed}: {what}"));
                    found.lock().unwrap().extend(broken);
                }
            });
        }
    });
    found.into_inner().unwrap()
}

#[test]
fn all_invariants_hold() {
    let known = KNOWN.iter().map(|(seed, _)| *seed);
    let seeds: Vec<u64> = known.chain(0..SEEDS).collect();
    let broken = each(&seeds, |seed| {
        let violation = attempt(&Story::draw(seed)).violations.into_iter().next()?;
        Some(format!("{}: {}", violation.invariant, violation.what))
    });
    assert!(broken.is_empty(), "{broken:#?}");
}

#[test]
fn the_same_seed_is_the_same_story_to_the_byte() {
    let seeds: Vec<u64> = (1000..1040).collect();
    let broken = each(&seeds, |seed| {
        let story = Story::draw(seed);
        let (one, other) = (attempt(&story), attempt(&Story::draw(seed)));
        let differs = one.log.iter().zip(&other.log).find(|(one, other)| one != other);
        let same =
            one.log == other.log && format!("{story:?}") == format!("{:?}", Story::draw(seed));
        (!same).then(|| format!("{differs:?}, {} and {} lines", one.log.len(), other.log.len()))
    });
    assert!(broken.is_empty(), "{broken:#?}");
}
