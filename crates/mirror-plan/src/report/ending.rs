//! How a plan or a run ends: what becomes an exit code, and the state of a commit.

/// How a plan or a run ends; of several that fit, the first counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ending {
    /// Somebody has stopped it.
    Interrupted,
    /// Something could not be looked up, or could not be done.
    Failed,
    /// A destination has moved since it was planned.
    Stale,
    /// Wants exclude each other, or can't be at their destination.
    Conflict,
    /// Something waits for a limit on pulls or requests.
    Deferred,
    /// Something is to be done.
    Pending,
    /// All is as it should be.
    Done,
}

impl Ending {
    /// The first that is so.
    pub(crate) fn first(so: impl IntoIterator<Item = (bool, Ending)>) -> Ending {
        let so = so.into_iter().filter(|(is_so, _)| *is_so);
        so.map(|(_, ending)| ending).min().unwrap_or(Ending::Done)
    }
}
