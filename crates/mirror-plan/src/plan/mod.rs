//! What would make the destinations match the tree.

pub(crate) mod alert;
pub(crate) mod draft;
pub(crate) mod link;
pub(crate) mod model;
pub(crate) mod observed;
pub(crate) mod questions;
pub(crate) mod repositories;
pub(crate) mod saved;
pub(crate) mod shard;
pub(crate) mod totals;

pub use draft::Draft;
pub use link::source_link;
pub use model::{
    Action, Alert, Before, Change, Conflict, Copy, Holder, LookupFailure, Note, Plan, Pulls,
    Totals, Unchanged,
};
pub use observed::{Image, Observed, Presence};
pub use questions::{Answers, Closer, Depth, Questions, Replaced, ReviewNotes};
pub(crate) use saved::SavedLine;
pub use saved::{PlanRefusal, SavedPlan, tree_digest, write_plan};
pub use shard::{MOST_SHARDS, Shard, busy_shards};
