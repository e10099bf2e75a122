//! What is wanted: entries of the tree for destinations.

pub(crate) mod base;
pub(crate) mod expand;
pub(crate) mod model;
pub(crate) mod resource;
pub(crate) mod scope;
pub(crate) mod section;
pub(crate) mod template;

pub use base::{Base, ConfigChange, config_changes};
pub use expand::expand;
pub use model::{Collision, Postponed, Source, Target, Unwanted, Want, Wants};
pub use resource::{
    Expiring, RepositoryAction, RepositoryAt, RepositoryOutcome, RepositoryProblem,
    RepositoryState, RepositoryWant,
};
pub use scope::{Changes, ImageGlob, Scope};
pub use section::Destination;
