//! Being asked to stop.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Notify;

/// Whether somebody has asked the engine to stop; cloned for whoever has to know.
#[derive(Debug, Clone)]
pub struct Stop(Arc<StopFlag>);

/// Asks the engine to stop.
#[derive(Debug)]
pub struct Stopper(Arc<StopFlag>);

#[derive(Debug, Default)]
struct StopFlag {
    asked: AtomicBool,
    changed: Notify,
}

impl Stop {
    /// One that is asked by the [`Stopper`]. When that is dropped, nobody asks any more.
    pub fn new() -> (Stopper, Stop) {
        let shared = Arc::<StopFlag>::default();
        (Stopper(shared.clone()), Stop(shared))
    }

    /// Whether it was asked for.
    pub fn is_asked(&self) -> bool {
        self.0.asked.load(Ordering::Acquire)
    }

    /// Waits until it is asked for; at once, if it was already.
    pub async fn wait(&self) {
        let changed = self.0.changed.notified();
        tokio::pin!(changed);
        // What is asked from here on is not missed.
        changed.as_mut().enable();
        if !self.is_asked() {
            changed.await;
        }
    }
}

impl Stopper {
    /// Stops: what is done stays, what is not finished is cancelled, and there is a report.
    pub fn stop(&self) {
        self.0.asked.store(true, Ordering::Release);
        self.0.changed.notify_waiters();
    }
}
