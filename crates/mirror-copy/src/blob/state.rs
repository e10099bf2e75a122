//! How far a download is, told to everybody who follows it, in the order in which they came.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::error::CopyError;

/// How far a download is.
#[derive(Debug, Clone)]
pub(crate) enum FetchState {
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
pub(crate) struct StateSender(Arc<StateChannel>);

/// Reads the state, and waits for it to change.
#[derive(Debug)]
pub(crate) struct StateReceiver(Arc<StateChannel>);

/// Tokio's `watch` wakes those who wait in an order of its own, another one each time; this one is the same in every run.
#[derive(Debug)]
struct StateChannel {
    /// And whether nobody tells any more.
    state: Mutex<(FetchState, bool)>,
    changed: Notify,
}

/// Nothing has come yet.
pub(crate) fn beginning() -> (StateSender, StateReceiver) {
    let state = Mutex::new((FetchState::Running { round: 0, written: 0 }, false));
    let shared = Arc::new(StateChannel { state, changed: Notify::new() });
    (StateSender(shared.clone()), StateReceiver(shared))
}

impl StateChannel {
    fn lock(&self) -> MutexGuard<'_, (FetchState, bool)> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl StateSender {
    pub(crate) fn tell(&self, state: FetchState) {
        self.0.lock().0 = state;
        self.0.changed.notify_waiters();
    }

    pub(crate) fn round(&self) -> u32 {
        match &self.0.lock().0 {
            FetchState::Running { round, .. } | FetchState::Done { round } => *round,
            FetchState::Failed(_) => 0,
        }
    }
}

impl Drop for StateSender {
    fn drop(&mut self) {
        self.0.lock().1 = true;
        self.0.changed.notify_waiters();
    }
}

impl StateReceiver {
    pub(crate) fn now(&self) -> FetchState {
        self.0.lock().0.clone()
    }

    /// Waits until `ready` gives something; nothing, when nobody tells any more.
    pub(crate) async fn until<T>(&self, ready: impl Fn(&FetchState) -> Option<T>) -> Option<T> {
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
        let written = |state: &FetchState| match state {
            FetchState::Running { written, .. } => (*written > 5).then_some(*written),
            _ => None,
        };
        let (found, ()) = tokio::join!(told.until(written), async {
            teller.tell(FetchState::Running { round: 0, written: 3 });
            tokio::task::yield_now().await;
            teller.tell(FetchState::Running { round: 0, written: 7 });
        });
        assert_eq!(found, Some(7));
        drop(teller);
        assert_eq!(
            told.until(|state| matches!(state, FetchState::Done { .. }).then_some(())).await,
            None
        );
        assert_eq!(told.until(written).await, Some(7), "what was told counts");
    }
}
