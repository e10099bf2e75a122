//! Answers: waited for as long as something is heard, and read up to a limit.

use std::io::Read;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::Method;
use http::header::{self, HeaderMap};
use mirror_failure::{ErrorKind, RequestError};
use tokio::time::Instant;
use url::Url;

use crate::limits::pulls;
use crate::limits::retry::retry_after;
use crate::redact::redacted;
use crate::sorting::{is_page, status_kind};
use crate::wire::Response;
use crate::world::Clock;

const LARGEST_ERROR: usize = 64 << 10;

/// What a response with an unwelcome status says.
pub(crate) async fn refusal(
    mut response: Response,
    request: String,
    idle: Duration,
    clock: Clock,
) -> RequestError {
    let now = clock.now();
    let status = response.status().as_u16();
    let called_page = response.is_called_page();
    let wait = retry_after(response.headers(), now);
    let left = pulls::told(response.headers());
    let body = read_capped(&mut response, &request, LARGEST_ERROR, idle)
        .await
        .ok()
        .flatten()
        .unwrap_or_default();
    let body = unpacked(response.headers(), body, LARGEST_ERROR);
    let kind = match status_kind(status, called_page, &body, response.secrets()) {
        // The response to a HEAD has no body that could say it.
        ErrorKind::Status { status: 429, .. } if left.is_some_and(|(left, _)| left == 0) => {
            ErrorKind::PullLimit { message: "no pulls are left".to_owned(), ends: None }
        }
        kind => perhaps_of_proxy(kind, &response.through()),
    };
    RequestError::new(request, kind.ending(now, left.map(|(_, window)| window), wait))
        .with_retry_after(wait)
}

/// A page instead of the answer to something that was written means that nothing was: it is that of a login, or of a web site.
/// Whoever says what was stored, or where, is believed, and so is an empty body, whatever it is called.
pub(crate) async fn refuse_page(
    response: &mut Response,
    request: &str,
    idle: Duration,
) -> Result<(), RequestError> {
    if !response.is_called_page() || response.headers().contains_key("docker-content-digest") {
        return Ok(());
    }
    let status = response.status();
    let body = read_capped(response, request, LARGEST_ERROR, idle).await?;
    let page = body.is_none_or(|body| {
        let text = String::from_utf8_lossy(&body);
        !text.trim().is_empty() && is_page(true, &text)
    });
    match page {
        true => Err(page_instead(response, request, &format!("it answers {}", status.as_u16()))),
        false => Ok(()),
    }
}

/// What asked for something of a registry got a page.
pub(crate) fn page_instead(response: &Response, request: &str, answers: &str) -> RequestError {
    let why = format!("{answers} with an HTML page{}", response.through());
    RequestError::new(request, ErrorKind::NotARegistry(why))
}

/// Names the proxy on the way where it may have answered instead of the registry: with a page, or a failure in no words of a
/// registry.
fn perhaps_of_proxy(kind: ErrorKind, through: &str) -> ErrorKind {
    match kind {
        ErrorKind::NotARegistry(why) => ErrorKind::NotARegistry(why + through),
        ErrorKind::Status { status, code: None, message, page }
            if !through.is_empty() && (page || status >= 500) =>
        {
            let message = message.unwrap_or_default() + through;
            let message = Some(message.trim_start_matches(", ").to_owned());
            ErrorKind::Status { status, code: None, message, page }
        }
        kind => kind,
    }
}

/// `GET https://…`, without secrets.
pub(crate) fn describe(method: &Method, url: &Url) -> String {
    format!("{method} {}", redacted(url))
}

/// Waits for a response, but not for ever.
pub(crate) async fn within_idle(
    what: &str,
    idle: Duration,
    sending: impl Future<Output = Result<Response, ErrorKind>>,
) -> Result<Response, RequestError> {
    match tokio::time::timeout(idle, sending).await {
        Ok(Ok(response)) => Ok(response),
        Ok(Err(kind)) => Err(RequestError::new(what, kind)),
        Err(_) => Err(RequestError::new(what, ErrorKind::TimedOut(idle))),
    }
}

/// Fewer bytes than this in the idle time are not worth waiting for: a server that sends a byte now and then would
/// hold on to us for ever.
pub(crate) const LEAST: u64 = 16 << 10;

/// Watches that a body keeps coming. Only time spent waiting counts.
#[derive(Debug)]
pub(crate) struct StallGuard {
    pub(crate) idle: Duration,
    waited: Duration,
    heard: u64,
}

impl StallGuard {
    pub(crate) fn new(idle: Duration) -> StallGuard {
        StallGuard { idle, waited: Duration::ZERO, heard: 0 }
    }

    /// The next piece of a body.
    pub(crate) async fn chunk(
        &mut self,
        response: &mut Response,
    ) -> Result<Option<Bytes>, ErrorKind> {
        let started = Instant::now();
        let left = self.idle.saturating_sub(self.waited);
        let chunk = tokio::time::timeout(left, response.chunk()).await;
        let chunk = chunk.map_err(|_| ErrorKind::TimedOut(self.idle))?;
        self.waited += started.elapsed();
        self.heard += chunk.as_ref().ok().and_then(Option::as_ref).map_or(0, Bytes::len) as u64;
        if self.heard >= LEAST {
            *self = StallGuard::new(self.idle);
        }
        chunk
    }
}

/// The body, or `None` when it is longer than `cap` bytes.
pub(crate) async fn read_capped(
    response: &mut Response,
    what: &str,
    cap: usize,
    idle: Duration,
) -> Result<Option<Bytes>, RequestError> {
    let mut body = BytesMut::new();
    let mut stall_guard = StallGuard::new(idle);
    loop {
        let chunk = stall_guard.chunk(response).await;
        match chunk.map_err(|kind| RequestError::new(what, kind))? {
            None => return Ok(Some(body.freeze())),
            Some(chunk) if body.len() + chunk.len() > cap => return Ok(None),
            Some(chunk) => body.extend_from_slice(&chunk),
        }
    }
}

/// The bytes of a body without the encoding that somebody on the way has packed them in, though they were asked for as they
/// are (quay/quay#1310, oras-project/oras-go#1176); as they came, where they are no such thing or too many.
pub(crate) fn unpacked(headers: &HeaderMap, body: Bytes, cap: usize) -> Bytes {
    let encoding = headers.get(header::CONTENT_ENCODING).and_then(|value| value.to_str().ok());
    let encodings = encoding.into_iter().flat_map(|text| text.split(',')).map(str::trim);
    let mut bytes = body.clone();
    // The last one was put on top.
    for encoding in encodings.rev() {
        let unpacked = match encoding.to_ascii_lowercase().as_str() {
            // <https://www.rfc-editor.org/rfc/rfc9110#section-8.4.1>
            "gzip" | "x-gzip" => read_all(flate2::read::MultiGzDecoder::new(&*bytes), cap),
            // Some leave out the frame around it.
            "deflate" => read_all(flate2::read::ZlibDecoder::new(&*bytes), cap)
                .or_else(|| read_all(flate2::read::DeflateDecoder::new(&*bytes), cap)),
            "identity" | "" => continue,
            _ => None,
        };
        match unpacked {
            Some(unpacked) => bytes = unpacked,
            None => return body,
        }
    }
    bytes
}

fn read_all(packed: impl Read, cap: usize) -> Option<Bytes> {
    let mut bytes = Vec::new();
    let most = u64::try_from(cap).ok()?.checked_add(1)?;
    packed.take(most).read_to_end(&mut bytes).ok()?;
    (bytes.len() <= cap).then(|| bytes.into())
}
