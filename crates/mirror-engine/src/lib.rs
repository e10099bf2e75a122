//! The engine: looks at sources and destinations, plans, checks a saved plan again, prepares destinations and carries out.
//!
//! Values in, values and events out: it prints nothing, knows no exit code, and reads no environment. [`Connections`] is
//! everything that a run talks to; [`look::plan`] makes a plan, [`passes::run`] carries one out and gives the report.

pub mod address;
pub mod connections;
mod control;
mod event;
pub mod graphs;
pub mod login;
pub mod look;
mod memory;
pub mod passes;
mod prepare;
mod recheck;
mod run;
pub mod stop;
mod surroundings;
mod tasks;
pub mod verify;

pub use connections::{Connections, Errand};
pub use event::Events;
pub use graphs::Planned;
pub use mirror_plan::report::Event;
pub use stop::{Stop, Stopper};
pub use surroundings::Surroundings;
