//! What does not hold.

/// Something that must hold, and does not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The name of the invariant.
    pub invariant: &'static str,
    /// What was seen instead.
    pub what: String,
}

impl Violation {
    /// An invariant by its name, and what was seen instead.
    pub fn of(invariant: &'static str, what: impl Into<String>) -> Violation {
        Violation { invariant, what: what.into() }
    }

    pub(crate) fn host_that_nothing_names(host: &str) -> Violation {
        Violation::of("no host is asked that nothing names", host)
    }

    pub(crate) fn too_many_at_once(host: &str, count: usize) -> Violation {
        Violation::of("requests stay within the concurrency", format!("{count} at {host}"))
    }

    pub(crate) fn look_that_writes(what: &str) -> Violation {
        Violation::of("who looks writes nothing", what)
    }
}
