//! What is remembered of a repository.

use std::sync::atomic::AtomicBool;

use tokio::sync::{Mutex, OnceCell};

/// What is remembered of a repository.
#[derive(Debug, Default)]
pub(crate) struct Knowledge {
    /// That it has no list of referrers; others of the same host may have one.
    pub(crate) lists_no_referrers: AtomicBool,
    /// That it has one.
    pub(crate) has_listed: AtomicBool,
    /// Until the first answer nobody knows whether there is a list at all; the others wait for that.
    pub(crate) asking_referrers: Mutex<()>,
    /// With which status it refuses to say that a tag is missing, if it does.
    pub(crate) refuses_missing: OnceCell<Option<u16>>,
}
