//! How many upload sessions one host has for us, and which are open.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use url::Url;

use crate::auth::scope::TokenScope;

/// The upload sessions of one host.
#[derive(Debug)]
pub(crate) struct Sessions {
    state: Mutex<SessionState>,
    freed: Notify,
    settled: Notify,
}

#[derive(Debug)]
struct SessionState {
    most: usize,
    limit: usize,
    used: usize,
    /// Sessions that have ended well since the limit was last changed.
    ended: usize,
    next: u64,
    open: HashMap<u64, (Url, TokenScope)>,
    /// Requests on their way that open a session or end one, whether or not somebody waits for them.
    unsettled: usize,
}

/// The right to have one session open.
#[derive(Debug)]
pub(crate) struct Permit(Arc<Sessions>);

/// A request on its way, until this is dropped.
pub(crate) struct Unsettled(Arc<Sessions>);

impl Drop for Unsettled {
    fn drop(&mut self) {
        self.0.lock().unsettled -= 1;
        self.0.settled.notify_waiters();
    }
}

impl Sessions {
    pub(crate) fn new(most: usize) -> Arc<Sessions> {
        let state = SessionState {
            most,
            limit: most,
            used: 0,
            ended: 0,
            next: 0,
            open: HashMap::new(),
            unsettled: 0,
        };
        Arc::new(Sessions {
            state: Mutex::new(state),
            freed: Notify::new(),
            settled: Notify::new(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, SessionState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until there may be another session.
    pub(crate) async fn permit(self: &Arc<Self>) -> Permit {
        loop {
            let freed = self.freed.notified();
            {
                let mut state = self.lock();
                if state.used < state.limit {
                    state.used += 1;
                    return Permit(self.clone());
                }
            }
            freed.await;
        }
    }

    /// Whether there are others beside the one who asks.
    pub(crate) fn are_shared(&self) -> bool {
        self.lock().used > 1
    }

    /// The host refuses to open another one: fewer, from now on.
    pub(crate) fn fewer(&self) {
        let mut state = self.lock();
        (state.limit, state.ended) = ((state.used / 2).max(1), 0);
        tracing::debug!(limit = state.limit, "the host wants fewer upload sessions");
    }

    /// Remembers one that was opened, and numbers it.
    pub(crate) fn opened(&self, url: Url, scope: TokenScope) -> u64 {
        let mut state = self.lock();
        state.next += 1;
        let number = state.next;
        state.open.insert(number, (url, scope));
        number
    }

    /// Forgets one that is to be given back; nothing, if it has ended.
    pub(crate) fn take(&self, number: u64) -> Option<(Url, TokenScope)> {
        self.lock().open.remove(&number)
    }

    /// Waits until no request is on its way that opens a session or ends one.
    pub(crate) async fn settled(&self) {
        loop {
            let settled = self.settled.notified();
            tokio::pin!(settled);
            settled.as_mut().enable();
            if self.lock().unsettled == 0 {
                return;
            }
            settled.await;
        }
    }

    /// A request is on its way that opens a session or ends one, until what this gives is dropped.
    pub(crate) fn unsettled(self: &Arc<Self>) -> Unsettled {
        self.lock().unsettled += 1;
        Unsettled(self.clone())
    }

    /// A session has become a blob, or is gone.
    pub(crate) fn ended(&self, number: u64) {
        let mut state = self.lock();
        state.open.remove(&number);
        state.ended += 1;
        if state.ended > state.limit && state.limit < state.most {
            (state.limit, state.ended) = (state.limit + 1, 0);
            self.freed.notify_one();
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.lock().used -= 1;
        self.0.freed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn fewer_and_slowly_more_again() {
        let sessions = Sessions::new(8);
        let mut permits = Vec::new();
        for _ in 0..8 {
            permits.push(sessions.permit().await);
        }
        let waits = tokio::time::timeout(Duration::from_millis(20), sessions.permit());
        assert!(waits.await.is_err(), "eight are all");
        sessions.fewer();
        permits.truncate(4);
        let waits = tokio::time::timeout(Duration::from_millis(20), sessions.permit());
        assert!(waits.await.is_err(), "only four are left");
        permits.clear();
        assert!(!sessions.are_shared());
        for number in 0..5 {
            sessions.ended(number);
        }
        assert_eq!(sessions.lock().limit, 5);
        assert!(sessions.lock().open.is_empty());
    }
}
