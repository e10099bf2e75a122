//! Uploads: one POST that is a mount at the same time, one PUT with the whole blob.
//!
//! Chunked PATCH is not used: ECR answers 201 and drops later chunks (aws/containers-roadmap#2831), GHCR caps a
//! PATCH at 4 MiB.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::Stream;
use mirror_oci::{Digest, Repository};
use reqwest::header::{self, HeaderMap, HeaderValue};
use reqwest::{Method, Response, Url};

use crate::answer::{describe, refusal};
use crate::auth::{Scope, Sent};
use crate::client::Reach;
use crate::error::{Error, ErrorKind, transport_kind};
use crate::host::{BodySlot, Call, Host};

/// A registry may take its time to hash and store a large blob after the last byte: so many idle times.
const COMMIT: u32 = 10;

/// The bytes of a blob, from the first one. An error ends the upload without a blob.
pub type UploadBody = Pin<Box<dyn Stream<Item = Result<Bytes, std::io::Error>> + Send>>;

/// How to get at the bytes.
pub enum Supply {
    /// They come by themselves, whether they are taken or not: the upload waits for the first, then for its turn.
    Stored(Opening),
    /// They come only when they are taken: the upload waits for its turn first.
    Passing(Opening),
}

/// Gives the bytes when there are some.
pub type Opening = Pin<Box<dyn Future<Output = Result<UploadBody, std::io::Error>> + Send>>;

/// Where a blob may be taken from instead of being sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mount {
    /// This repository of the same registry; the one that the blob goes to will do, which makes the request that
    /// opens the upload an existence check (201 on distribution 2.8 when the blob is there).
    From(Repository),
    /// Nowhere: send it.
    Never,
}

/// How a blob got to be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Upload {
    /// The registry had it, here or in the repository it was mounted from.
    Reused,
    /// It was sent.
    Sent,
}

impl Host {
    /// Brings a blob of `size` bytes to `repository`. A mount that is declined becomes the upload it opened. `body` is
    /// called for each attempt.
    ///
    /// # Errors
    /// When the registry refuses the blob for good, or `body` fails.
    pub async fn upload_blob(
        &self,
        repository: &Repository,
        digest: &Digest,
        size: u64,
        mount: &Mount,
        mut body: impl FnMut() -> Supply,
    ) -> Result<Upload, Error> {
        let mut attempts = self.attempts();
        let mut rejected = None;
        loop {
            let Some(session) = self.start_upload(repository, digest, mount).await? else {
                return Ok(Upload::Reused);
            };
            let scope = Scope::push(repository);
            let (body, _slot) = self.body(body(), size).await?;
            let outcome =
                self.send_blob(session, digest, size, &scope, body, rejected.as_ref()).await;
            drop(_slot);
            let Err((sent, error)) = outcome else { return Ok(Upload::Sent) };
            // A token can expire while the upload waits for its bytes: another one, and once more from the start.
            let refused = error.status() == Some(401) || error.is_expired_login();
            let expired = refused && matches!(sent, Sent::Token(_)) && rejected.is_none();
            rejected = expired.then_some(sent);
            if !expired {
                attempts.again(error).await?;
            }
        }
    }

    /// The bytes and a slot to send them in. Whoever makes bytes that wait for nobody must not wait for a slot, and
    /// whoever waits for one must not keep a download waiting, or two hosts could wait for each other.
    async fn body(&self, supply: Supply, size: u64) -> Result<(UploadBody, BodySlot), Error> {
        let unread = |error: std::io::Error| {
            Error::new("reading the blob", ErrorKind::Body(error.to_string()))
        };
        match supply {
            Supply::Stored(opening) => {
                let body = opening.await.map_err(unread)?;
                Ok((body, self.upload_slot_for(size).await?))
            }
            Supply::Passing(opening) => {
                let slot = self.upload_slot_for(size).await?;
                Ok((opening.await.map_err(unread)?, slot))
            }
        }
    }

    /// Opens an upload session; `None` when the blob is there already.
    async fn start_upload(
        &self,
        repository: &Repository,
        digest: &Digest,
        mount: &Mount,
    ) -> Result<Option<(Url, Reach)>, Error> {
        let mut url = self.url(repository, "blobs/uploads/");
        let mut scope = Scope::push(repository);
        if let Mount::From(from) = mount {
            url.query_pairs_mut()
                .append_pair("mount", digest.as_str())
                .append_pair("from", from.as_str());
            scope = Scope::mount(repository, from);
        }
        let mut call = Call {
            method: Method::POST,
            url,
            scope,
            headers: HeaderMap::new(),
            body: Bytes::new(),
        };
        let outcome = self.call(&call).await;
        // 401 for a mount source that does not exist (harbor#17097), 403 or 404 elsewhere: a mount is a hint.
        let elsewhere = matches!(mount, Mount::From(from) if from != repository);
        let refused = match &outcome {
            Ok(answer) => Some(answer.status()),
            Err(error) => error.status(),
        };
        let answer = if elsewhere && matches!(refused, Some(400 | 401 | 403 | 404 | 405)) {
            drop(outcome);
            call.url.set_query(None);
            call.scope = Scope::push(repository);
            self.call(&call).await?
        } else {
            outcome?
        };
        match answer.status() {
            201 => Ok(None),
            202 => self.location(&answer).map(Some),
            _ => Err(answer.into_error().await),
        }
    }

    /// Sends the whole blob in one PUT. With the error comes what was sent as `Authorization`.
    async fn send_blob(
        &self,
        (mut session, reach): (Url, Reach),
        digest: &Digest,
        size: u64,
        scope: &Scope,
        body: UploadBody,
        rejected: Option<&Sent>,
    ) -> Result<(), (Sent, Error)> {
        // The session's own query (`_state=…`) must come back unchanged.
        session.query_pairs_mut().append_pair("digest", digest.as_str());
        let what = describe(&Method::PUT, &session);
        let nothing = |error| (Sent::Nothing, error);
        self.rates().wait(&Method::PUT, "blobs").await;
        let entry = self.pace().enter().await;
        // A body may take its time; others need not wait to see whether it is taken.
        let entry = entry.map_err(|kind| nothing(Error::new(what.clone(), kind)))?.not_as_probe();
        let (sent, authorization) =
            self.upload_header(&session, scope, rejected).await.map_err(nothing)?;
        let flow = Arc::new(Flow::default());
        let body = Watched { body, flow: flow.clone() };
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(size));
        headers.extend(authorization.map(|value| (header::AUTHORIZATION, value)));
        let request = self
            .http()
            .within(reach)
            .put(session)
            .headers(headers)
            .body(reqwest::Body::wrap_stream(body));
        let error = match moving(&what, size, &flow, self.pace().idle(), request.send()).await {
            Ok(response) if response.status().is_success() => {
                entry.served();
                return Ok(());
            }
            Ok(response) => {
                let anonymous = !self.has_used_credentials();
                refusal(response, what, self.pace().idle()).await.anonymously(anonymous)
            }
            Err(error) => error,
        };
        entry.failed(&error);
        // Whoever makes the bytes decides whether there is another try.
        let error = match flow.failure() {
            Some(why) => Error::new("reading the blob", ErrorKind::Body(why)),
            None => error,
        };
        Err((sent, error))
    }
}

/// What happens to the bytes of an upload.
#[derive(Default)]
struct Flow {
    sent: AtomicU64,
    /// The next bytes are not there yet: it is not the destination that is silent.
    waiting: AtomicBool,
    failure: OnceLock<String>,
}

impl Flow {
    fn failure(&self) -> Option<String> {
        self.failure.get().cloned()
    }
}

/// A body that tells how it is doing.
struct Watched {
    body: UploadBody,
    flow: Arc<Flow>,
}

impl Stream for Watched {
    type Item = Result<Bytes, std::io::Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let next = self.body.as_mut().poll_next(context);
        self.flow.waiting.store(next.is_pending(), Ordering::Relaxed);
        match &next {
            Poll::Ready(Some(Ok(piece))) => {
                self.flow.sent.fetch_add(piece.len() as u64, Ordering::Relaxed);
            }
            Poll::Ready(Some(Err(error))) => {
                let _ = self.flow.failure.set(error.to_string());
            }
            _ => {}
        }
        next
    }
}

/// Waits for an answer as long as bytes go out, and a while longer after the last.
async fn moving(
    what: &str,
    size: u64,
    flow: &Flow,
    idle: Duration,
    sending: impl Future<Output = Result<Response, reqwest::Error>>,
) -> Result<Response, Error> {
    let mut sending = std::pin::pin!(sending);
    let mut before = 0;
    loop {
        let limit = if flow.sent.load(Ordering::Relaxed) >= size { idle * COMMIT } else { idle };
        match tokio::time::timeout(limit, &mut sending).await {
            Ok(outcome) => {
                return outcome.map_err(|error| Error::new(what, transport_kind(&error, limit)));
            }
            Err(_) => {
                let now = flow.sent.load(Ordering::Relaxed);
                if now == before && !flow.waiting.load(Ordering::Relaxed) {
                    return Err(Error::new(what, ErrorKind::TimedOut(limit)));
                }
                before = now;
            }
        }
    }
}
