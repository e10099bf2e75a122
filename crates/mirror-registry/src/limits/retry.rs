//! When to try again: the only module that decides it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::header::{HeaderMap, RETRY_AFTER};
use mirror_failure::{Delays, LONGEST_TOLD, RequestError};
use tokio::time::Instant;

use crate::limits::pace::Pace;

/// Attempts after the first that make no progress.
const MOST_RETRIES: usize = 4;
/// A host that says "not now" to a request while it serves others is asked again, but not for ever.
const MOST_REFUSALS: u32 = 200;
/// Seconds from here on are a date: Docker Hub has sent the end of a pause like that (docker/hub-feedback#2459).
const UNIX_TIME: u64 = 1_000_000_000;

/// Counts the attempts of one request that made no progress, and says how long to wait before the next.
pub(crate) struct Attempts<'a> {
    pace: &'a Pace,
    started: Instant,
    made: u32,
    delays: Delays,
}

impl<'a> Attempts<'a> {
    pub(crate) fn new(pace: &'a Pace) -> Attempts<'a> {
        let delays = pace.delays(MOST_RETRIES);
        Attempts { pace, started: Instant::now(), made: 0, delays }
    }

    /// Progress was made: the budget starts anew.
    pub(crate) fn progress(&mut self) {
        self.delays = self.pace.delays(MOST_RETRIES);
    }

    /// Waits for the next attempt after `error`, or gives the error back when there is none.
    ///
    /// A refusal for now makes the whole host pause, and is no failure of the request: it goes out again when the pause
    /// is over, until the host is given up.
    pub(crate) async fn wait(&mut self, error: RequestError) -> Result<(), RequestError> {
        self.made += 1;
        let hopeless = self.pace.is_given_up();
        if error.pause().is_some() && !hopeless && self.made < MOST_REFUSALS {
            self.progress();
            return Ok(());
        }
        let delay = if error.is_passing() && !hopeless { self.delays.next() } else { None };
        let Some(wait) = delay.filter(|_| error.pause().is_none()) else {
            self.pace.give_up(&error);
            return Err(error.after(self.made, self.started.elapsed()));
        };
        tracing::debug!(%error, ?wait, "trying again");
        tokio::time::sleep(wait).await;
        Ok(())
    }
}

/// Asks a question at the pace of a host, and again where that may help. `what` is said of a host that was given up.
///
/// # Errors
/// What `question` failed with for good.
pub(crate) async fn retrying<T, F: Future<Output = Result<T, RequestError>>>(
    pace: &Pace,
    what: &str,
    question: impl Fn() -> F,
) -> Result<T, RequestError> {
    let mut attempts = Attempts::new(pace);
    loop {
        let entry = pace.enter().await.map_err(|kind| RequestError::new(what, kind))?;
        match question().await {
            Ok(response) => {
                entry.served();
                return Ok(response);
            }
            Err(error) => {
                entry.failed(&error);
                attempts.wait(error).await?;
            }
        }
    }
}

/// `Retry-After`, in seconds or as a date: <https://www.rfc-editor.org/rfc/rfc9110#field.retry-after>.
pub(crate) fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    told(headers, now).map(|wait| wait.min(LONGEST_TOLD))
}

fn told(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        let said = Duration::from_secs(seconds);
        let today = now.duration_since(UNIX_EPOCH).unwrap_or_default();
        return Some(if seconds < UNIX_TIME { said } else { said.saturating_sub(today) });
    }
    let date = httpdate::parse_http_date(text).ok()?;
    Some(date.duration_since(now).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What `value` says at 1700000000, in seconds.
    fn seconds(value: &str) -> Option<u64> {
        let value = value.parse().unwrap();
        let now = UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        retry_after(&HeaderMap::from_iter([(RETRY_AFTER, value)]), now).map(|wait| wait.as_secs())
    }

    #[test]
    fn retry_after_in_both_forms() {
        assert_eq!(seconds("7"), Some(7));
        assert_eq!(seconds(" 0 "), Some(0));
        assert_eq!(seconds("1700000030"), Some(30));
        assert_eq!(seconds("1646136938"), Some(0));
        assert_eq!(seconds("18446744073709551615"), Some(LONGEST_TOLD.as_secs()));
        assert_eq!(seconds("Fri, 31 Dec 9999 23:59:59 GMT"), Some(LONGEST_TOLD.as_secs()));
        assert_eq!(seconds("soon"), None);
        assert_eq!(seconds("-1"), None);
        assert_eq!(seconds("Wed, 21 Oct 2015 07:28:00 GMT"), Some(0));
        assert_eq!(seconds("Tue, 14 Nov 2023 22:13:50 GMT"), Some(30));
    }
}
