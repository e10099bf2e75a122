//! Numbers that follow from a seed: SplitMix64, <https://prng.di.unimi.it/splitmix64.c>.

use std::time::Duration;

/// A source of numbers. Each thing that is drawn has dice of its own, so that what is drawn elsewhere changes nothing here.
#[derive(Debug, Clone)]
pub struct Dice(u64);

impl Dice {
    /// Those for one thing in the world of a seed.
    pub fn of(seed: u64, thing: &str) -> Dice {
        let mix = |state: u64, byte| (state ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        let mut dice = Dice(seed ^ thing.bytes().fold(0xcbf2_9ce4_8422_2325, mix));
        // Seeds that lie side by side are far apart from here on.
        dice.number();
        dice
    }

    /// The next number.
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `end`, which is not 0.
    pub fn below(&mut self, end: usize) -> usize {
        (self.number() % end as u64) as usize
    }

    /// A number from `start` to `end`, both included.
    pub fn between(&mut self, start: u64, end: u64) -> u64 {
        start + self.number() % (end - start + 1)
    }

    /// Whether something happens that happens so many times in a hundred.
    pub fn percent(&mut self, percent: u64) -> bool {
        self.number() % 100 < percent
    }

    /// One of several.
    pub fn one<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len())]
    }

    /// What `draw` makes, so many times in a hundred.
    pub fn perhaps<T>(&mut self, percent: u64, draw: impl FnOnce(&mut Dice) -> T) -> Option<T> {
        self.percent(percent).then(|| draw(self))
    }

    /// A time in milliseconds, from `start` to `end`; short ones are as likely as long ones, whatever their size.
    pub fn time(&mut self, start: u64, end: u64) -> Duration {
        let scale = (end.max(1) as f64 / start.max(1) as f64).ln();
        let part = self.below(1000) as f64 / 1000.0;
        Duration::from_millis((start.max(1) as f64 * (scale * part).exp()) as u64)
    }
}
