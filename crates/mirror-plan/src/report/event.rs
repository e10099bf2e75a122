//! What happens in a run. Everything that is told of it is a fold of these events: bars, lines, JSON lines, the report.

use std::sync::Arc;
use std::time::Duration;

use mirror_oci::Registry;

use crate::plan::model::Plan;
use crate::report::model::{Outcome, Transfer};
use crate::want::model::Wants;
use crate::want::resource::RepositoryOutcome;

/// Something that happened. A run has one pass or several; in each, images are numbered as [`Plan::carried_out`] gives them.
#[derive(Debug, Clone)]
pub enum Event {
    /// A pass begins: sources and destinations are looked at. A later pass is about what had to wait in the earlier ones.
    Looking(Arc<Wants>),
    /// A pass begins: a saved plan is compared with what is there now.
    Rechecking(Arc<Plan>),
    /// The plan of this pass is carried out from here on.
    Planned {
        /// The plan, shared with whoever carries it out.
        plan: Arc<Plan>,
        /// Whether signatures of all unchanged images are looked for.
        refresh: bool,
    },
    /// A copy of a saved plan is not made: the destination has moved, or can't be looked at.
    LeftAlone(Box<Outcome>),
    /// A repository was made or changed, or could not be.
    Prepared(Box<RepositoryOutcome>),
    /// The copy of an image begins.
    Started(usize),
    /// Bytes or blobs moved for an image.
    Moved {
        /// The number of the image.
        image: usize,
        /// What moved since the last time.
        transfer: Transfer,
        /// Bytes of the blobs that the destination had already.
        reused_bytes: u64,
    },
    /// An image has ended. What moved for it is in the events before.
    Finished(usize, Box<Outcome>),
    /// All images of this pass have ended, or were stopped.
    PassEnded,
    /// Images wait for a limit on pulls or requests; it is looked at again after this time.
    Waiting {
        /// How many images wait.
        images: usize,
        /// How long until the next look.
        wait: Duration,
    },
    /// Hosts serve again, and images that were deferred are looked at again.
    ServesAgain {
        /// The hosts that serve again.
        hosts: Vec<Registry>,
        /// How many images are looked at again.
        images: usize,
    },
    /// A host asked for a pause. Nothing is sent there for so long.
    Paused {
        /// The host that asked.
        host: Registry,
        /// How long, from now on.
        wait: Duration,
        /// What it answered, such as `429 TOOMANYREQUESTS`.
        why: String,
    },
    /// A place where credentials for a host may be kept could not be used; others were asked.
    CredentialSourceFailed {
        /// The host that they would be for.
        host: Registry,
        /// Which place, and why.
        why: String,
    },
    /// A host has shown what it does beyond the protocol. That holds for all passes.
    Learned {
        /// The host that has shown it.
        host: Registry,
        /// What it is about, such as `mounts`.
        capability: &'static str,
        /// Whether, or how far, it does that.
        value: String,
    },
    /// Images were read from these registries with credentials.
    Authenticated(Vec<Registry>),
    /// Somebody has asked the run to stop.
    Stopped,
}
