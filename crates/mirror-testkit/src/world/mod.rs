//! A world to run in: registries, Amazon ECR, the ways to them, a company and an upstream that act meanwhile, all drawn from
//! one seed, in one process, on tokio's clock. Whoever runs something in it asks [`World::answer`] and [`World::call_aws`]
//! instead of the network.
//!
//! `WORLD.md` beside this crate says how to add a quirk, an invariant, a step, and how to replay a seed.

mod acts;
mod dice;
mod draw;
mod faults;
mod inside;
mod invariants;
mod link;
mod machine;
mod place;
mod quirks;
mod script;
mod simpler;
mod story;
mod upstream;
mod violation;
mod whole;

pub use acts::Act;
pub use dice::Dice;
pub use faults::{AwsTrouble, FaultKind, Trouble, Victim};
pub use inside::World;
pub use link::{Broken, Carried, Link};
pub use machine::Machine;
pub use quirks::REGION;
pub use script::{End, Run, Step};
pub use story::{EntryStory, HostStory, ImageStory, MachineStory, Role, Signature, Story};
pub use upstream::publish;
pub use violation::Violation;
pub use whole::NoAnswer;
