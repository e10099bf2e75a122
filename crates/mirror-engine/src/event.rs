//! What the engine tells while it works.

use std::time::Duration;

use mirror_oci::Registry;
use mirror_plan::plan::Plan;
use mirror_plan::report::Status;
use tokio::sync::mpsc::UnboundedSender;

/// Something that happened. Images are numbered as the copies of the plan that is carried out.
#[derive(Debug, Clone)]
pub enum Event {
    /// A plan is carried out from here on.
    Planned(Box<Plan>),
    /// An image has its turn.
    Started(usize),
    /// Bytes moved.
    Moved(mirror_copy::Event),
    /// An image has ended.
    Finished(usize, Status),
    /// The plan was carried out, as far as it went.
    Ended,
    /// So many images wait for a limit on pulls or requests; it is looked at again after this time.
    Waiting(usize, Duration),
    /// These hosts serve again, and so many images that were deferred are looked at again.
    ServesAgain(Vec<Registry>, usize),
}

/// Who is told. Nobody need listen.
pub type Events = UnboundedSender<Event>;
