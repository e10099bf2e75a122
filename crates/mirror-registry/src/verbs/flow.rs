//! The bytes of an upload on their way out, and when to stop waiting for them.

use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::Stream;
use mirror_failure::{ErrorKind, RequestError};
use mirror_oci::Digest;
use tokio::time::Instant;

use crate::limits::pressure::{Pressure, Speed};
use crate::wire::Response;

/// A registry may take its time to hash and store a large blob after the last byte: so many idle times.
const COMMIT: u32 = 10;

/// A blob and where it goes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted<'a> {
    pub(crate) digest: &'a Digest,
    pub(crate) size: u64,
    pub(crate) pressure: &'a Pressure,
}

/// What happens to the bytes of an upload.
#[derive(Default)]
pub(crate) struct Flow {
    sent: AtomicU64,
    /// Since when the next bytes are not there yet: it is not the destination that is silent.
    waiting: Mutex<Option<Instant>>,
    /// How long they were waited for before that.
    waited: Mutex<Duration>,
    failure: OnceLock<String>,
}

impl Flow {
    pub(crate) fn failure(&self) -> Option<String> {
        self.failure.get().cloned()
    }

    fn is_waiting(&self) -> bool {
        self.since().is_some()
    }

    fn since(&self) -> MutexGuard<'_, Option<Instant>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How long the bytes were waited for in all.
    fn waited(&self) -> Duration {
        let now = self.since().map_or(Duration::ZERO, |since| since.elapsed());
        now + *self.waited.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the next bytes are here.
    fn polled(&self, pending: bool) {
        let mut since = self.since();
        match (pending, *since) {
            (true, None) => *since = Some(Instant::now()),
            (false, Some(started)) => {
                *since = None;
                *self.waited.lock().unwrap_or_else(PoisonError::into_inner) += started.elapsed();
            }
            _ => {}
        }
    }
}

/// A body that tells how it is doing.
pub(crate) struct Watched {
    pub(crate) body: UploadBody,
    pub(crate) flow: Arc<Flow>,
}

impl Stream for Watched {
    type Item = Result<Bytes, ErrorKind>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let next = self.body.as_mut().poll_next(context);
        self.flow.polled(next.is_pending());
        match &next {
            Poll::Ready(Some(Ok(piece))) => {
                self.flow.sent.fetch_add(piece.len() as u64, Ordering::Relaxed);
            }
            Poll::Ready(Some(Err(error))) => {
                let _ = self.flow.failure.set(error.to_string());
            }
            _ => {}
        }
        next.map_err(|error| ErrorKind::Body(error.to_string()))
    }
}

/// Waits for a response as long as bytes go out, and a while longer after the last.
pub(crate) async fn moving(
    what: &str,
    size: u64,
    flow: &Flow,
    idle: Duration,
    mut speed: Speed,
    sending: impl Future<Output = Result<Response, ErrorKind>>,
) -> Result<Response, RequestError> {
    let mut sending = std::pin::pin!(sending);
    let (mut before, mut waited) = (0, Duration::ZERO);
    loop {
        let all = flow.sent.load(Ordering::Relaxed) >= size;
        let limit = if all { idle * COMMIT } else { idle };
        let started = Instant::now();
        match tokio::time::timeout(limit, &mut sending).await {
            Ok(outcome) => {
                return outcome.map_err(|kind| RequestError::new(what, kind));
            }
            Err(_) => {
                let now = flow.sent.load(Ordering::Relaxed);
                if now == before && !flow.is_waiting() {
                    return Err(RequestError::new(what, ErrorKind::TimedOut(limit)));
                }
                let waits = flow.waited();
                let spent = started.elapsed().saturating_sub(waits.saturating_sub(waited));
                let enough = if all { Ok(()) } else { speed.moved(now - before, spent) };
                enough.map_err(|kind| RequestError::new(what, kind))?;
                (before, waited) = (now, waits);
            }
        }
    }
}

/// The bytes of a blob, from the first one. An error ends the upload without a blob.
pub type UploadBody = Pin<Box<dyn Stream<Item = Result<Bytes, std::io::Error>> + Send>>;
