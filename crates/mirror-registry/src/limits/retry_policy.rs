//! How long to wait for what.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};

/// How long to wait for what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryPolicy {
    /// A connection over which nothing is heard for so long is given up. There is no limit on the whole of a
    /// transfer.
    pub idle: Duration,
    /// The pause before the second attempt, about; each further one is twice as long, 20 times this at most.
    pub first_pause: Duration,
}

impl Default for RetryPolicy {
    fn default() -> RetryPolicy {
        RetryPolicy { idle: Duration::from_secs(30), first_pause: Duration::from_millis(250) }
    }
}

/// Waits, each twice as long, jittered so that concurrent requests don't return together.
pub(crate) fn delays(first: Duration, times: usize, seed: u64) -> ExponentialBackoff {
    ExponentialBuilder::default()
        .with_min_delay(first)
        .with_max_delay(first * 20)
        .with_factor(2.0)
        .with_max_times(times)
        .with_jitter()
        .with_jitter_seed(seed)
        .build()
}
