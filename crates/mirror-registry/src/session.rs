//! Upload sessions of one host: how many there may be, and which are open. Registries keep a session for minutes when
//! nobody ends it, and some have few of them, for all of their clients together.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use reqwest::header::HeaderMap;
use reqwest::{Method, Url};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::auth::Scope;
use crate::client::Reach;
use crate::host::{Call, Host};
use crate::options::Kind;

/// A session that waits longer for its bytes is given back, and another one is opened when they are here.
pub(crate) const FRESH: Duration = Duration::from_secs(1);

/// How long giving sessions back may take, all of them together.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// The upload sessions of one host.
#[derive(Debug)]
pub(crate) struct Sessions {
    state: Mutex<State>,
    freed: Notify,
}

#[derive(Debug)]
struct State {
    most: usize,
    limit: usize,
    used: usize,
    /// Sessions that have ended well since the limit was last changed.
    ended: usize,
    next: u64,
    open: HashMap<u64, (Url, Scope)>,
}

/// The right to have one session open.
#[derive(Debug)]
pub(crate) struct Permit(Arc<Sessions>);

/// An open session. Whoever doesn't end it leaves it to [`Host::end_sessions`].
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) url: Url,
    pub(crate) reach: Reach,
    opened: Instant,
    number: u64,
}

impl Sessions {
    pub(crate) fn new(most: usize) -> Arc<Sessions> {
        let state = State { most, limit: most, used: 0, ended: 0, next: 0, open: HashMap::new() };
        Arc::new(Sessions { state: Mutex::new(state), freed: Notify::new() })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
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

    pub(crate) fn opened(&self, url: Url, reach: Reach, scope: &Scope) -> Session {
        let mut state = self.lock();
        state.next += 1;
        let number = state.next;
        state.open.insert(number, (url.clone(), scope.clone()));
        Session { url, reach, opened: Instant::now(), number }
    }

    /// A session has become a blob, or is gone.
    pub(crate) fn ended(&self, session: &Session) {
        let mut state = self.lock();
        state.open.remove(&session.number);
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

impl Session {
    /// Whether it has waited so long that the registry may have forgotten it.
    pub(crate) fn is_old(&self) -> bool {
        self.opened.elapsed() > FRESH
    }
}

impl Host {
    /// Gives a session back that nothing will be sent to.
    pub(crate) async fn give_back(&self, session: Session) {
        let open = self.sessions().lock().open.remove(&session.number);
        if let Some((url, scope)) = open {
            let _ = tokio::time::timeout(LAST_WORDS, self.delete_session(url, scope)).await;
        }
    }

    /// Gives back the sessions that were left open by uploads which ended in the middle; in seconds, or not at all.
    pub async fn end_sessions(&self) {
        let open = std::mem::take(&mut self.sessions().lock().open);
        let ends = open.into_values().map(|(url, scope)| self.delete_session(url, scope));
        let _ = tokio::time::timeout(LAST_WORDS, join_all(ends)).await;
    }

    /// <https://github.com/opencontainers/distribution-spec/blob/main/spec.md#canceling-a-blob-upload>. One attempt: what
    /// remains ends by itself.
    async fn delete_session(&self, url: Url, scope: Scope) {
        // ECR has no request for that: its sessions cost nobody anything.
        if self.kind() == Kind::Ecr || !self.is_home(&url) {
            return;
        }
        let call = Call {
            method: Method::DELETE,
            url,
            scope,
            headers: HeaderMap::new(),
            body: Bytes::new(),
        };
        if let Err(error) = self.send(&call).await {
            tracing::debug!(%error, "an upload session was not given back");
        }
    }
}

#[cfg(test)]
mod tests {
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
        let url: Url = "http://127.0.0.1/x".parse().unwrap();
        for _ in 0..5 {
            let session = sessions.opened(url.clone(), Reach::Anywhere, &Scope::nothing());
            sessions.ended(&session);
        }
        assert_eq!(sessions.lock().limit, 5);
        assert!(sessions.lock().open.is_empty());
    }
}
