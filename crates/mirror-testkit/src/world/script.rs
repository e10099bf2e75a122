//! What is run in a world, and how runs end.

use std::time::Duration;

use crate::world::dice::Dice;

/// One step of a script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Looks, and writes nothing.
    Plan,
    /// Plans, and keeps the plan.
    Save,
    /// Plans and carries out.
    Apply(Run),
    /// Carries out the plan that was kept, if there is one.
    ApplySaved(Run),
    /// Plans and carries out on so many machines side by side.
    Shards(u32, Run),
    /// Looks at what is there, byte by byte or not.
    Verify(bool),
    /// Lets time pass.
    Wait(Duration),
}

/// How something is carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Run {
    /// What ends it before its time.
    pub end: Option<End>,
    /// Whether to wait for limits.
    pub waits: bool,
    /// Whether to look for late signatures of everything.
    pub refresh: bool,
    /// Whether to put back what was lost.
    pub repair: bool,
}

/// What ends a run before its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The process is killed when it has been polled so often.
    Kill(u64),
    /// The process is killed at this request of it, which is still carried out.
    KillAt(u64),
    /// It is asked to stop at this request of it.
    Stop(u64),
}

impl Run {
    fn draw(dice: &mut Dice) -> Run {
        let end = match dice.below(10) {
            0 | 1 => Some(End::Kill(dice.time(1, 3_000).as_millis() as u64)),
            2 | 3 => Some(End::KillAt(dice.time(1, 200).as_millis() as u64)),
            4 => Some(End::Stop(dice.time(1, 200).as_millis() as u64)),
            _ => None,
        };
        Run { end, waits: dice.percent(20), refresh: dice.percent(15), repair: dice.percent(15) }
    }
}

/// Draws a script. Whatever it is, the world ends it with runs without faults.
pub(crate) fn draw(dice: &mut Dice) -> Vec<Step> {
    let mut steps = Vec::new();
    for _ in 0..dice.between(1, 5) {
        let step = match dice.below(12) {
            0 => Step::Plan,
            1 | 2 => {
                steps.push(Step::Save);
                Step::ApplySaved(Run::draw(dice))
            }
            3 => Step::Shards(dice.between(2, 3) as u32, Run::draw(dice)),
            4 => Step::Verify(dice.percent(50)),
            5 => Step::Wait(dice.time(1_000, 7_200_000)),
            _ => Step::Apply(Run::draw(dice)),
        };
        steps.push(step);
    }
    steps
}
