//! Upload sessions of one host: how many there may be, and which are open. Registries keep a session for minutes when
//! nobody ends it, and some have few of them, for all of their clients together.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::Method;
use http::header::HeaderMap;
use mirror_failure::{ErrorKind, RequestError};
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use url::Url;

use crate::auth::challenges::Asked;
use crate::auth::scope::TokenScope;
use crate::host::Host;
use crate::host::answer::HostResponse;
use crate::host::call::Call;
use crate::wire::Reach;

/// A session that waits longer for its bytes is given back, and another one is opened when they are here.
pub(crate) const FRESH: Duration = Duration::from_secs(1);

/// How long giving sessions back may take, all of them together.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// An open session. It is given back when it is dropped, unless it has ended.
pub(crate) struct Session {
    pub(crate) url: Url,
    pub(crate) reach: Reach,
    /// The challenge that it was opened with an answer to; its bytes go with the same.
    pub(crate) asked: Option<Box<Asked>>,
    opened: Instant,
    number: u64,
    host: Arc<Host>,
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
        let (url, scope) = self.host.sessions().take(self.number)?;
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
    HostResponse(Box<HostResponse>),
}

impl Host {
    /// Sends the request that opens a session. Whoever stops waiting for the response leaves no session behind.
    pub(crate) async fn open_session(
        self: &Arc<Self>,
        call: &Call,
        scope: &TokenScope,
    ) -> Result<Reply, RequestError> {
        let (host, call, scope) = (self.clone(), call.clone(), scope.clone());
        let unsettled = self.sessions().unsettled();
        let sent = tokio::spawn(async move {
            let _unsettled = unsettled;
            let response = host.send(&call).await?;
            // A 201 is for a blob that was mounted, unless it names an upload.
            let location = response.header("location").unwrap_or_default();
            let opened = response.status() == 202
                || response.status() == 201 && location.contains("/blobs/uploads/");
            if !opened {
                return Ok(Reply::HostResponse(Box::new(response)));
            }
            let (url, reach) = host.location(&response)?;
            let asked = response.authorization.asked.clone();
            Ok(Reply::Session(host.opened(url, reach, asked, scope)))
        });
        let ended = |error: tokio::task::JoinError| {
            Err(RequestError::new("opening an upload", ErrorKind::Broken(error.to_string())))
        };
        // Where nobody waits any more, the session is dropped with the response.
        sent.await.unwrap_or_else(ended)
    }

    fn opened(
        self: &Arc<Self>,
        url: Url,
        reach: Reach,
        asked: Option<Asked>,
        scope: TokenScope,
    ) -> Session {
        let number = self.sessions().opened(url.clone(), scope);
        let asked = asked.map(Box::new);
        Session { url, reach, asked, opened: Instant::now(), number, host: self.clone() }
    }

    /// Gives a session back that nothing will be sent to.
    pub(crate) async fn give_back(&self, session: Session) {
        if let Some(ending) = session.end() {
            let _ = ending.await;
        }
    }

    /// Waits until all sessions have ended that uploads left in the middle; for seconds, no longer.
    pub async fn end_sessions(&self) {
        let _ = tokio::time::timeout(LAST_WORDS, self.sessions().settled()).await;
    }

    /// <https://github.com/opencontainers/distribution-spec/blob/main/spec.md#canceling-a-blob-upload>. One attempt: what
    /// remains ends by itself.
    async fn delete_session(&self, url: Url, scope: TokenScope) {
        if !self.capabilities().ends_sessions().value || !self.is_home(&url) {
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
