//! Whoever is told what happens below.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use mirror_oci::Registry;

/// Is told what happens, right where it happens; so it must be quick. By default nobody is.
pub struct Listener<T>(Option<Arc<dyn Fn(T) + Send + Sync>>);

/// What a host has shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostEvent {
    /// The host that has shown something.
    pub host: Registry,
    /// What it has shown.
    pub news: HostNews,
}

/// What a host can show.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HostNews {
    /// It asks for a pause, and gets it: nothing is sent there for so long.
    Paused {
        /// How long, from now on.
        wait: Duration,
        /// What it answered, such as `429 TOOMANYREQUESTS`.
        why: String,
    },
    /// A place where credentials for it may be kept could not be used; others were asked.
    CredentialSourceFailed {
        /// Which place, and why.
        why: String,
    },
    /// It does something beyond the protocol, or doesn't, which nobody knew before.
    Learned {
        /// What, in a few words: `mounts from itself`.
        capability: &'static str,
        /// Whether, or how far, it does.
        value: String,
    },
}

impl<T> Listener<T> {
    /// A listener that calls `listen` with each event.
    pub fn new(listen: impl Fn(T) + Send + Sync + 'static) -> Listener<T> {
        Listener(Some(Arc::new(listen)))
    }

    /// Passes an event to whoever listens.
    pub fn tell(&self, event: T) {
        if let Some(listen) = &self.0 {
            listen(event);
        }
    }
}

impl<T> Default for Listener<T> {
    fn default() -> Listener<T> {
        Listener(None)
    }
}

impl<T> Clone for Listener<T> {
    fn clone(&self) -> Listener<T> {
        Listener(self.0.clone())
    }
}

impl<T> fmt::Debug for Listener<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Listener(..)" } else { "Listener(nobody)" })
    }
}
