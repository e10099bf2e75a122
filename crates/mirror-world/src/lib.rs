//! For tests: the engine in a simulated world.
//!
//! [`play`] runs the script of a [`Story`](mirror_testkit::world::Story): plans, runs that are killed anywhere, runs on
//! several machines. The world holds what must hold at every write; this crate holds what reports and exit codes must say.
#![recursion_limit = "256"]
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a simulation that can't go on should stop right there, loudly"
)]

mod judge;
mod known;
mod play;
mod shrink;
mod surroundings;
mod tree;

pub use known::KNOWN;
pub use play::{Played, attempt, play, run_once};
pub use shrink::shrink;
