//! Finds the shortest story that still fails.

use mirror_testkit::world::Story;

use crate::play::{Played, attempt};

/// Takes away from a story whatever it fails without, in so many tries at most.
pub fn shrink(story: &Story, played: &Played, tries: usize) -> (Story, Played) {
    let broken = |played: &Played| played.violations.first().map(|it| it.invariant);
    let wanted = broken(played);
    let (mut story, mut played) = (story.clone(), played.clone());
    let mut left = tries;
    'again: loop {
        for simpler in story.simpler() {
            if left == 0 {
                break 'again;
            }
            left -= 1;
            let outcome = attempt(&simpler);
            if broken(&outcome) == wanted {
                (story, played) = (simpler, outcome);
                continue 'again;
            }
        }
        break;
    }
    (story, played)
}
