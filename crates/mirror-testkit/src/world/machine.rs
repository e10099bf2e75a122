//! A machine that something runs on: what it asked, what it holds, and whether it was switched off.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tokio::sync::Notify;

/// A machine that something runs on, from its start to its end.
#[derive(Debug, Clone)]
pub struct Machine(Arc<State>);

#[derive(Debug)]
struct State {
    name: String,
    /// Whether it may write at destinations.
    writes: bool,
    asked: AtomicU64,
    /// The request at which it is told.
    at: Option<u64>,
    reached: AtomicBool,
    reaching: Notify,
    off: AtomicBool,
    held: Arc<AtomicU64>,
    most_held: AtomicU64,
}

impl Machine {
    /// One that is called `name` in the log. When request number `at` of it was carried out,
    /// and before it hears of that, [`Machine::reached`] returns.
    pub fn new(name: &str, writes: bool, at: Option<u64>) -> Machine {
        Machine(Arc::new(State {
            name: name.to_owned(),
            writes,
            asked: AtomicU64::new(0),
            at,
            reached: AtomicBool::new(false),
            reaching: Notify::new(),
            off: AtomicBool::new(false),
            held: Arc::default(),
            most_held: AtomicU64::new(0),
        }))
    }

    /// Waits for the request that it was to be told of.
    pub async fn reached(&self) {
        if !self.0.reached.load(Ordering::Relaxed) {
            self.0.reaching.notified().await;
        }
    }

    /// Switches it off: nothing that is left of it reaches anybody.
    pub fn switch_off(&self) {
        self.0.off.store(true, Ordering::Relaxed);
    }

    /// How many requests it has made.
    pub fn asked(&self) -> u64 {
        self.0.asked.load(Ordering::Relaxed)
    }

    /// The most bytes of responses that it has held at once.
    pub fn most_held(&self) -> u64 {
        self.0.most_held.load(Ordering::Relaxed)
    }

    pub(crate) fn name(&self) -> &str {
        &self.0.name
    }

    pub(crate) fn may_write(&self) -> bool {
        self.0.writes
    }

    pub(crate) fn is_off(&self) -> bool {
        self.0.off.load(Ordering::Relaxed)
    }

    pub(crate) fn held(&self) -> Arc<AtomicU64> {
        self.0.held.clone()
    }

    /// One more request that was carried out, whether or not its answer arrives.
    pub(crate) fn has_asked(&self) {
        let number = self.0.asked.fetch_add(1, Ordering::Relaxed) + 1;
        self.0.most_held.fetch_max(self.0.held.load(Ordering::Relaxed), Ordering::Relaxed);
        if self.0.at == Some(number) {
            self.0.reached.store(true, Ordering::Relaxed);
            self.0.reaching.notify_one();
        }
    }
}
