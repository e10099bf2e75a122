//! Versions in tags: what a person reads, what the bots read, what comes next, and what is kept.
//!
//! A tag is no version. `v1.34.4-1753677767-266d5a01` has one, behind a letter, in front of a build and a commit;
//! `16.3-alpine3.20` has a second one, which goes out of use upstream; `ltsc2022` has none, whatever number is in it.
//! [`Reading`] takes a tag apart, [`successors`] finds the next one, [`Keep`] says how far it may go.

mod dependabot;
mod keep;
mod number;
mod pattern;
mod reading;
mod renovate;
mod renovate_scheme;
mod successor;
mod update;
mod variant;
mod words;

pub use dependabot::DependabotTag;
pub use keep::{Keep, KeepError, KeptNumbers, KeptPattern};
pub use number::Number;
pub use reading::Reading;
pub use renovate::RenovateTag;
pub use successor::{Incomparable, Successors, is_step_back, successors};
pub use update::Update;
pub use variant::{samples, variant, variant_names};
