//! Upload sessions of one host: how many there may be, and which are open. Registries keep a session for minutes when
//! nobody ends it, and some have few of them, for all of their clients together.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use mirror_failure::{ErrorKind, RequestError};
use reqwest::header::HeaderMap;
use reqwest::{Method, Url};
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::answer::Answer;
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
    settled: Notify,
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
    /// Requests on their way that open a session or end one, whether or not somebody waits for them.
    unsettled: usize,
}

/// The right to have one session open.
#[derive(Debug)]
pub(crate) struct Permit(Arc<Sessions>);

/// An open session. It is given back when it is dropped, unless it has ended.
pub(crate) struct Session {
    pub(crate) url: Url,
    pub(crate) reach: Reach,
    opened: Instant,
    number: u64,
    host: Arc<Host>,
}

/// A request on its way, until this is dropped.
struct Unsettled(Arc<Sessions>);

impl Drop for Unsettled {
    fn drop(&mut self) {
        self.0.lock().unsettled -= 1;
        self.0.settled.notify_waiters();
    }
}

impl Sessions {
    pub(crate) fn new(most: usize) -> Arc<Sessions> {
        let state = State {
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

    fn unsettled(self: &Arc<Self>) -> Unsettled {
        self.lock().unsettled += 1;
        Unsettled(self.clone())
    }

    /// A session has become a blob, or is gone.
    fn ended(&self, number: u64) {
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

impl Session {
    /// It has become a blob, or the registry knows it no more.
    pub(crate) fn ended(self) {
        self.host.sessions().ended(self.number);
    }

    /// Whether it has waited so long that the registry may have forgotten it.
    pub(crate) fn is_old(&self) -> bool {
        self.opened.elapsed() > FRESH
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let _ = self.end();
    }
}

impl Session {
    /// Gives it back, if it has not ended: goes on whether or not somebody waits for that.
    fn end(&self) -> Option<JoinHandle<()>> {
        let (url, scope) = self.host.sessions().lock().open.remove(&self.number)?;
        let (host, runtime) = (self.host.clone(), Handle::try_current().ok()?);
        let unsettled = host.sessions().unsettled();
        Some(runtime.spawn(async move {
            let _unsettled = unsettled;
            let _ = tokio::time::timeout(LAST_WORDS, host.delete_session(url, scope)).await;
        }))
    }
}

/// What came of a request for a session.
pub(crate) enum Reply {
    Session(Session),
    Answer(Answer),
}

impl Host {
    /// Sends the request that opens a session. Whoever stops waiting for the answer leaves no session behind.
    pub(crate) async fn open_session(
        self: &Arc<Self>,
        call: &Call,
        scope: &Scope,
    ) -> Result<Reply, RequestError> {
        let (host, call, scope) = (self.clone(), call.clone(), scope.clone());
        let unsettled = self.sessions().unsettled();
        let sent = tokio::spawn(async move {
            let _unsettled = unsettled;
            let answer = host.send(&call).await?;
            if answer.status() != 202 {
                return Ok(Reply::Answer(answer));
            }
            let (url, reach) = host.location(&answer)?;
            Ok(Reply::Session(host.opened(url, reach, scope)))
        });
        let ended = |error: tokio::task::JoinError| {
            Err(RequestError::new("opening an upload", ErrorKind::Broken(error.to_string())))
        };
        // Where nobody waits any more, the session is dropped with the answer.
        sent.await.unwrap_or_else(ended)
    }

    fn opened(self: &Arc<Self>, url: Url, reach: Reach, scope: Scope) -> Session {
        let mut state = self.sessions().lock();
        state.next += 1;
        let number = state.next;
        state.open.insert(number, (url.clone(), scope));
        drop(state);
        Session { url, reach, opened: Instant::now(), number, host: self.clone() }
    }

    /// Gives a session back that nothing will be sent to.
    pub(crate) async fn give_back(&self, session: Session) {
        if let Some(ending) = session.end() {
            let _ = ending.await;
        }
    }

    /// Waits until all sessions have ended that uploads left in the middle; for seconds, no longer.
    pub async fn end_sessions(&self) {
        let sessions = self.sessions();
        let all = async {
            loop {
                let settled = sessions.settled.notified();
                tokio::pin!(settled);
                settled.as_mut().enable();
                if sessions.lock().unsettled == 0 {
                    return;
                }
                settled.await;
            }
        };
        let _ = tokio::time::timeout(LAST_WORDS, all).await;
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
        for number in 0..5 {
            sessions.ended(number);
        }
        assert_eq!(sessions.lock().limit, 5);
        assert!(sessions.lock().open.is_empty());
    }
}
