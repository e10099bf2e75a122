//! How far a download is, told to everybody who follows it, in the order in which they came.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::error::CopyError;

/// How far a download is.
#[derive(Debug, Clone)]
pub(crate) enum State {
    /// So many bytes can be read. The round grows when wrong bytes are thrown away: who has read some must start
    /// over.
    Running {
        round: u32,
        written: u64,
    },
    /// All bytes are here and hash to the digest.
    Done {
        round: u32,
    },
    Failed(CopyError),
}

/// The one who downloads.
#[derive(Debug)]
pub(crate) struct Teller(Arc<Shared>);

/// One who follows.
#[derive(Debug)]
pub(crate) struct Told(Arc<Shared>);

/// Tokio's `watch` wakes those who wait in an order of its own, another one each time; this one is the same in every run.
#[derive(Debug)]
struct Shared {
    /// And whether nobody tells any more.
    state: Mutex<(State, bool)>,
    changed: Notify,
}

/// Nothing has come yet.
pub(crate) fn beginning() -> (Teller, Told) {
    let state = Mutex::new((State::Running { round: 0, written: 0 }, false));
    let shared = Arc::new(Shared { state, changed: Notify::new() });
    (Teller(shared.clone()), Told(shared))
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, (State, bool)> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Teller {
    pub(crate) fn tell(&self, state: State) {
        self.0.lock().0 = state;
        self.0.changed.notify_waiters();
    }

    pub(crate) fn round(&self) -> u32 {
        match &self.0.lock().0 {
            State::Running { round, .. } | State::Done { round } => *round,
            State::Failed(_) => 0,
        }
    }
}

impl Drop for Teller {
    fn drop(&mut self) {
        self.0.lock().1 = true;
        self.0.changed.notify_waiters();
    }
}

impl Told {
    pub(crate) fn now(&self) -> State {
        self.0.lock().0.clone()
    }

    /// Waits until `ready` gives something; nothing, when nobody tells any more.
    pub(crate) async fn until<T>(&self, ready: impl Fn(&State) -> Option<T>) -> Option<T> {
        loop {
            let changed = self.0.changed.notified();
            tokio::pin!(changed);
            // What changes from here on is not missed.
            changed.as_mut().enable();
            {
                let now = self.0.lock();
                if let Some(found) = ready(&now.0) {
                    return Some(found);
                }
                if now.1 {
                    return None;
                }
            }
            changed.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn whoever_follows_is_told_and_left_alone_by_nobody() {
        let (teller, told) = beginning();
        let written = |state: &State| match state {
            State::Running { written, .. } => (*written > 5).then_some(*written),
            _ => None,
        };
        let (found, ()) = tokio::join!(told.until(written), async {
            teller.tell(State::Running { round: 0, written: 3 });
            tokio::task::yield_now().await;
            teller.tell(State::Running { round: 0, written: 7 });
        });
        assert_eq!(found, Some(7));
        drop(teller);
        assert_eq!(
            told.until(|state| matches!(state, State::Done { .. }).then_some(())).await,
            None
        );
        assert_eq!(told.until(written).await, Some(7), "what was told counts");
    }
}
