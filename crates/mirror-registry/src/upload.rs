//! Uploads: one POST that is a mount at the same time, one PUT with the whole blob.
//!
//! Chunked PATCH is not used: ECR answers 201 and drops later chunks (aws/containers-roadmap#2831), GHCR caps a
//! PATCH at 4 MiB.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use mirror_oci::{Digest, Repository};
use reqwest::header::{self, HeaderMap, HeaderValue};
use reqwest::{Method, Response, Url};

use crate::auth::Scope;
use crate::error::{Error, ErrorKind, passing_status, transport_kind};
use crate::host::{Call, Host, IDLE, describe};
use crate::retry::Attempts;

/// A registry may take its time to hash and store a large blob after the last byte.
const COMMIT: Duration = Duration::from_secs(300);

/// The bytes of a blob, from the first one. An error ends the upload without a blob.
pub type UploadBody = Pin<Box<dyn Stream<Item = Result<Bytes, std::io::Error>> + Send>>;

/// How a blob got to be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Upload {
    /// The registry had it, here or in the repository it was mounted from.
    Reused,
    /// It was sent.
    Sent,
}

impl Host {
    /// Brings a blob of `size` bytes to `repository`. `from` is a repository of the same registry that may have
    /// it; the repository itself will do, which makes the request an existence check (201 on distribution 2.8 when
    /// the blob is there). A mount that is declined becomes the upload it opened. `body` is called for each attempt.
    ///
    /// # Errors
    /// When the registry refuses the blob for good, or `body` fails.
    pub async fn upload_blob<F, B>(
        &self,
        repository: &Repository,
        digest: &Digest,
        size: u64,
        from: &Repository,
        mut body: F,
    ) -> Result<Upload, Error>
    where
        F: FnMut() -> B,
        B: Future<Output = Result<UploadBody, std::io::Error>>,
    {
        let mut attempts = Attempts::new();
        loop {
            let Some(session) = self.start_upload(repository, digest, from).await? else {
                return Ok(Upload::Reused);
            };
            let scope = Scope::push(repository);
            let error = match body().await {
                Ok(body) => match self.send_blob(session, digest, size, &scope, body).await {
                    Ok(()) => return Ok(Upload::Sent),
                    Err(error) => error,
                },
                Err(error) => {
                    return Err(Error::new(
                        "reading the blob",
                        ErrorKind::Protocol(error.to_string()),
                    ));
                }
            };
            attempts.again(error, None).await?;
        }
    }

    /// Opens an upload session; `None` when the blob is there already.
    async fn start_upload(
        &self,
        repository: &Repository,
        digest: &Digest,
        from: &Repository,
    ) -> Result<Option<Url>, Error> {
        let mut url = self.url(repository, "blobs/uploads/");
        url.query_pairs_mut()
            .append_pair("mount", digest.as_str())
            .append_pair("from", from.as_str());
        let scope = Scope::mount(repository, from);
        let mut call = Call {
            method: Method::POST,
            url,
            scope,
            headers: HeaderMap::new(),
            body: Bytes::new(),
        };
        let mut answer = self.call(&call).await?;
        // 401 for a mount source that does not exist (harbor#17097), 403 or 404 elsewhere: a mount is a hint.
        if repository != from && matches!(answer.status(), 400 | 401 | 403 | 404 | 405) {
            drop(answer);
            call.url.set_query(None);
            call.scope = Scope::push(repository);
            answer = self.call(&call).await?;
        }
        match answer.status() {
            201 => Ok(None),
            202 => self.location(&answer).map(Some),
            _ => Err(answer.into_error().await),
        }
    }

    /// Sends the whole blob in one PUT.
    async fn send_blob(
        &self,
        mut session: Url,
        digest: &Digest,
        size: u64,
        scope: &Scope,
        body: UploadBody,
    ) -> Result<(), Error> {
        // The session's own query (`_state=…`) must come back unchanged.
        session.query_pairs_mut().append_pair("digest", digest.as_str());
        let what = describe(&Method::PUT, &session);
        let authorization = self.upload_header(&session, scope).await?;
        let _slot = self.slot().await?;
        let sent = Arc::new(AtomicU64::new(0));
        let counter = sent.clone();
        let body = body.inspect(move |piece| {
            counter.fetch_add(piece.as_ref().map_or(0, Bytes::len) as u64, Ordering::Relaxed);
        });
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(size));
        headers.extend(authorization.map(|value| (header::AUTHORIZATION, value)));
        let request =
            self.http().put(session).headers(headers).body(reqwest::Body::wrap_stream(body));
        let response = moving(&what, size, &sent, request.send()).await?;
        accepted(response, what).await
    }
}

/// Waits for an answer as long as bytes go out, and a while longer after the last.
async fn moving(
    what: &str,
    size: u64,
    sent: &AtomicU64,
    sending: impl Future<Output = Result<Response, reqwest::Error>>,
) -> Result<Response, Error> {
    let mut sending = std::pin::pin!(sending);
    let mut before = 0;
    loop {
        let limit = if sent.load(Ordering::Relaxed) >= size { COMMIT } else { IDLE };
        match tokio::time::timeout(limit, &mut sending).await {
            Ok(outcome) => {
                return outcome.map_err(|error| Error::new(what, transport_kind(&error, limit)));
            }
            Err(_) => {
                let now = sent.load(Ordering::Relaxed);
                if now == before {
                    return Err(Error::new(what, ErrorKind::TimedOut(limit)));
                }
                before = now;
            }
        }
    }
}

async fn accepted(response: Response, what: String) -> Result<(), Error> {
    let status = response.status();
    if status.is_success() {
        return Ok(());
    }
    let content_type =
        response.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let content_type = content_type.unwrap_or_default().to_owned();
    let body = crate::host::read_capped(response, &what, 64 << 10)
        .await
        .ok()
        .flatten()
        .unwrap_or_default();
    let kind = crate::error::status_kind(status.as_u16(), &content_type, &body);
    tracing::debug!(passing = passing_status(status.as_u16()), "upload refused");
    Err(Error::new(what, kind))
}
