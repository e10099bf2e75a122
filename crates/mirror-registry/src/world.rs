//! What a run reaches outside of itself for: hosts, the time of day, chance. All of it can be another one, so that a run
//! can be repeated to the last request.

use std::hash::BuildHasher;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use crate::wire::{Network, Wire};

/// What a run reaches outside of itself for.
#[derive(Debug, Clone)]
pub struct World {
    /// The wire that requests go through.
    pub wire: Wire,
    /// What time it is.
    pub clock: Clock,
    /// Where chance comes from.
    pub chance: Chance,
    /// Where work is done that takes its time: hashing, files.
    pub threads: Threads,
    /// How much fits where blobs are kept.
    pub space: Space,
}

/// How much fits where blobs are kept on their way, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Space {
    /// Blobs up to this size stay in memory: most are configs, and a file costs more than it saves.
    pub small: u64,
    /// What small blobs may take together; what doesn't fit goes through a file.
    pub memory: u64,
    /// Blobs below this size don't go through a file when nobody else wants them: writing costs more than fetching the
    /// rare one again whose upload failed, or which an interrupted run was at.
    pub passing: u64,
    /// What blobs between `small` and `passing` may take together until they are sent: one whose upload session is lost in
    /// the middle is sent again without being fetched again. What doesn't fit passes by.
    pub held: u64,
    /// What is read and written at once.
    pub piece: usize,
    /// What is kept of each blob for whoever follows its download.
    pub tail: u64,
    /// The size of the disk, if it is not the one of this machine: each folder has as much to itself.
    pub disk: Option<u64>,
}

impl Default for Space {
    fn default() -> Space {
        Space {
            small: 1 << 20,
            memory: 16 << 20,
            passing: 32 << 20,
            held: 48 << 20,
            piece: 256 << 10,
            tail: 2 << 20,
            disk: None,
        }
    }
}

impl World {
    /// The real one, without proxies and certificates of its own.
    pub fn real() -> World {
        World::in_network(Network::default())
    }

    /// The real one, as the network of this machine is.
    pub fn in_network(network: Network) -> World {
        let chance = Chance::of(std::hash::RandomState::new().hash_one(std::process::id()));
        let (wire, clock) = (Wire::internet(network), Clock::system());
        World { wire, clock, chance, threads: Threads::Apart, space: Space::default() }
    }

    /// One that is the same each time: requests go to `wire`, it is `start` now, chance follows from `seed`. Time goes on
    /// as tokio's does, which may be paused. Nothing runs beside anything else, so the runtime must have one thread.
    pub fn simulated(wire: Wire, start: SystemTime, seed: u64) -> World {
        let (clock, chance) = (Clock::starting(start), Chance::of(seed));
        World { wire, clock, chance, threads: Threads::Here, space: Space::default() }
    }
}

/// Where work is done that waits for nobody, and takes its time: hashing, files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Threads {
    /// On threads of its own, so that two transfers use two cores and nobody waits for a disk.
    Apart,
    /// Right here, one piece after the other: the order is the same each time.
    Here,
    /// The same, where each piece of work takes so long on tokio's clock.
    Slow(Duration),
}

impl Threads {
    /// Does `work`.
    ///
    /// # Errors
    /// When it panics, or the runtime ends.
    ///
    /// # Cancellation
    /// With [`Threads::Apart`], `work` goes on to its end when the future is dropped; only its result is lost.
    pub async fn run<T: Send + 'static>(
        self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> io::Result<T> {
        match self {
            Threads::Apart => Ok(tokio::task::spawn_blocking(work).await?),
            Threads::Here => Ok(work()),
            Threads::Slow(time) => {
                tokio::time::sleep(time).await;
                Ok(work())
            }
        }
    }
}

/// The time of day. Durations are measured by tokio's clock.
#[derive(Debug, Clone, Copy)]
pub struct Clock(Option<(SystemTime, Instant)>);

impl Clock {
    /// The one of this machine.
    pub fn system() -> Clock {
        Clock(None)
    }

    /// One that says `start` now, and goes on as tokio's clock does.
    pub fn starting(start: SystemTime) -> Clock {
        Clock(Some((start, Instant::now())))
    }

    /// What time it is.
    pub fn now(&self) -> SystemTime {
        match self.0 {
            None => SystemTime::now(),
            Some((start, since)) => start + since.elapsed(),
        }
    }
}

/// Numbers that nobody can guess, or the same ones for the same seed.
#[derive(Debug, Clone)]
pub struct Chance(Arc<AtomicU64>);

impl Chance {
    /// Numbers that follow from `seed`.
    pub fn of(seed: u64) -> Chance {
        Chance(Arc::new(AtomicU64::new(seed)))
    }

    /// The next number: SplitMix64, <https://prng.di.unimi.it/splitmix64.c>.
    pub fn number(&self) -> u64 {
        const STEP: u64 = 0x9e37_79b9_7f4a_7c15;
        let mut z = self.0.fetch_add(STEP, Ordering::Relaxed).wrapping_add(STEP);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_numbers() {
        let numbers = |seed| {
            let chance = Chance::of(seed);
            [chance.number(), chance.number(), chance.clone().number()]
        };
        // The first numbers of the reference for the seed 1234567.
        let known = [6457827717110365317, 3203168211198807973, 9817491932198370423];
        assert_eq!(numbers(1_234_567), known);
        assert_ne!(numbers(1), numbers(2));
    }

    #[tokio::test(start_paused = true)]
    async fn a_clock_goes_on_as_time_does() {
        let clock = Clock::starting(SystemTime::UNIX_EPOCH);
        tokio::time::sleep(Duration::from_secs(90)).await;
        assert_eq!(clock.now(), SystemTime::UNIX_EPOCH + Duration::from_secs(90));
    }
}
