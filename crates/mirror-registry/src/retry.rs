//! When to try again: the only place that decides it.

use std::time::{Duration, Instant};

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};

use crate::error::Error;

/// Longest wait that a `Retry-After` header can impose before the request counts as failed.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// Counts the attempts of one request that brought nothing, and says how long to wait before the next.
pub(crate) struct Attempts {
    started: Instant,
    made: u32,
    delays: ExponentialBackoff,
}

impl Attempts {
    pub(crate) fn new() -> Attempts {
        Attempts { started: Instant::now(), made: 0, delays: delays() }
    }

    /// Progress was made: the budget starts anew.
    pub(crate) fn progress(&mut self) {
        self.delays = delays();
    }

    /// Waits for the next attempt after `error`, or gives the error back when there is none.
    pub(crate) async fn again(
        &mut self,
        error: Error,
        retry_after: Option<Duration>,
    ) -> Result<(), Error> {
        self.made += 1;
        let delay = if error.is_passing() { self.delays.next() } else { None };
        let wait = delay.map(|delay| delay.max(retry_after.unwrap_or_default()));
        match wait {
            Some(wait) if wait <= LONGEST_WAIT => {
                tracing::debug!(%error, ?wait, "trying again");
                tokio::time::sleep(wait).await;
                Ok(())
            }
            _ => Err(error.after(self.made, self.started.elapsed())),
        }
    }
}

/// Up to four more attempts, 0.25 s to 5 s apart, jittered so that concurrent requests don't return together.
fn delays() -> ExponentialBackoff {
    ExponentialBuilder::default()
        .with_min_delay(Duration::from_millis(250))
        .with_max_delay(Duration::from_secs(5))
        .with_factor(2.0)
        .with_max_times(4)
        .with_jitter()
        .build()
}
