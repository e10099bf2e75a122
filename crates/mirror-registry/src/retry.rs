//! When to try again: the only place that decides it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use reqwest::header::{HeaderMap, RETRY_AFTER};
use tokio::time::Instant;

use crate::error::{Error, ErrorKind};

/// Longest wait that a `Retry-After` header can impose before the request counts as failed.
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// A host that says "too many requests" while it serves others is asked again, but not for ever.
const MOST_THROTTLED: u32 = 200;

/// How long to wait for what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// A connection over which nothing is heard for so long is given up. There is no limit on the whole of a
    /// transfer.
    pub idle: Duration,
    /// The pause before the second attempt, about; each further one is twice as long, 20 times this at most.
    pub first_pause: Duration,
}

impl Default for Patience {
    fn default() -> Patience {
        Patience { idle: Duration::from_secs(30), first_pause: Duration::from_millis(250) }
    }
}

/// The pace of one host, shared by all its requests: a pause that it asked for, and what it served.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    patience: Patience,
    until: Mutex<Option<Instant>>,
    served: AtomicU64,
    /// Why a host that never answered was given up.
    given_up: Mutex<Option<ErrorKind>>,
}

impl Pace {
    pub(crate) fn new(patience: Patience) -> Pace {
        Pace { patience, ..Pace::default() }
    }

    /// How long a silent connection is waited for.
    pub(crate) fn idle(&self) -> Duration {
        self.patience.idle
    }

    /// Waits until the host wants to hear from us again.
    pub(crate) async fn wait(&self) {
        loop {
            let until = *self.until.lock().unwrap_or_else(PoisonError::into_inner);
            match until.filter(|until| *until > Instant::now()) {
                Some(until) => tokio::time::sleep_until(until).await,
                None => return,
            }
        }
    }

    /// A request was answered.
    pub(crate) fn served(&self) {
        self.served.fetch_add(1, Ordering::Relaxed);
    }

    /// Why it makes no sense to ask this host: a request has used up its attempts, and nobody ever answered. A tree of
    /// thousands of images would wait for each of them.
    pub(crate) fn given_up(&self) -> Option<ErrorKind> {
        if self.served.load(Ordering::Relaxed) > 0 {
            return None;
        }
        self.given_up.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn give_up(&self, error: &Error) {
        if error.is_unreachable() && self.served.load(Ordering::Relaxed) == 0 {
            *self.given_up.lock().unwrap_or_else(PoisonError::into_inner) =
                Some(error.kind().clone());
        }
    }

    fn pause(&self, wait: Duration) {
        let mut until = self.until.lock().unwrap_or_else(PoisonError::into_inner);
        let end = Instant::now() + wait;
        *until = Some(until.map_or(end, |until| until.max(end)));
    }
}

/// Counts the attempts of one request that brought nothing, and says how long to wait before the next.
pub(crate) struct Attempts<'a> {
    pace: &'a Pace,
    started: Instant,
    made: u32,
    served: u64,
    delays: ExponentialBackoff,
}

impl<'a> Attempts<'a> {
    pub(crate) fn new(pace: &'a Pace) -> Attempts<'a> {
        let served = pace.served.load(Ordering::Relaxed);
        let delays = delays(pace.patience.first_pause);
        Attempts { pace, started: Instant::now(), made: 0, served, delays }
    }

    /// Progress was made: the budget starts anew.
    pub(crate) fn progress(&mut self) {
        self.delays = delays(self.pace.patience.first_pause);
    }

    /// Waits for the next attempt after `error`, or gives the error back when there is none.
    ///
    /// A throttled request makes the whole host pause. It is no failure as long as the host serves others: the
    /// budget only counts when nothing was served since the last attempt.
    pub(crate) async fn again(&mut self, error: Error) -> Result<(), Error> {
        self.made += 1;
        let served = self.pace.served.load(Ordering::Relaxed);
        let throttled = error.status() == Some(429);
        if throttled && served != self.served && self.made < MOST_THROTTLED {
            self.progress();
        }
        self.served = served;
        let hopeless = self.pace.given_up().is_some();
        let delay = if error.is_passing() && !hopeless { self.delays.next() } else { None };
        let wait = delay.map(|delay| delay.max(error.retry_after().unwrap_or_default()));
        match wait {
            Some(wait) if wait <= LONGEST_WAIT => {
                tracing::debug!(%error, ?wait, "trying again");
                if throttled {
                    self.pace.pause(wait);
                }
                tokio::time::sleep(wait).await;
                Ok(())
            }
            _ => {
                self.pace.give_up(&error);
                Err(error.after(self.made, self.started.elapsed()))
            }
        }
    }
}

/// Up to four more attempts, jittered so that concurrent requests don't return together.
fn delays(first: Duration) -> ExponentialBackoff {
    ExponentialBuilder::default()
        .with_min_delay(first)
        .with_max_delay(first * 20)
        .with_factor(2.0)
        .with_max_times(4)
        .with_jitter()
        .build()
}

/// `Retry-After`, in seconds or as a date: <https://www.rfc-editor.org/rfc/rfc9110#field.retry-after>.
pub(crate) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = httpdate::parse_http_date(text).ok()?;
    Some(date.duration_since(SystemTime::now()).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(value: &str) -> Option<u64> {
        let value = value.parse().unwrap();
        retry_after(&HeaderMap::from_iter([(RETRY_AFTER, value)])).map(|wait| wait.as_secs())
    }

    #[test]
    fn retry_after_in_both_forms() {
        assert_eq!(seconds("7"), Some(7));
        assert_eq!(seconds(" 0 "), Some(0));
        assert_eq!(seconds("soon"), None);
        assert_eq!(seconds("-1"), None);
        assert_eq!(seconds("Wed, 21 Oct 2015 07:28:00 GMT"), Some(0));
        let later = httpdate::fmt_http_date(SystemTime::now() + Duration::from_secs(30));
        assert!(seconds(&later).is_some_and(|wait| (28..=30).contains(&wait)), "{later}");
    }
}
