//! How long to wait for what, and before what is tried again: one policy for registries, clouds and forges.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};

/// How long to wait for what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryPolicy {
    /// A connection over which nothing is heard for so long is given up. There is no limit on the whole of a
    /// transfer.
    pub idle: Duration,
    /// The pause before the second attempt, about; each further one is twice as long, up to 20 times this; chance adds as much again at most.
    pub first_pause: Duration,
}

impl Default for RetryPolicy {
    fn default() -> RetryPolicy {
        RetryPolicy { idle: Duration::from_secs(30), first_pause: Duration::from_millis(250) }
    }
}

/// The pauses that are left before an attempt is the last one.
pub type Delays = backon::ExponentialBackoff;

impl RetryPolicy {
    /// So many pauses, each twice as long, jittered so that concurrent requests don't return together; the same ones for
    /// the same `seed`.
    ///
    /// ```
    /// use std::time::Duration;
    /// use mirror_failure::RetryPolicy;
    ///
    /// let policy = RetryPolicy { first_pause: Duration::from_secs(1), ..RetryPolicy::default() };
    /// let pauses: Vec<Duration> = policy.delays(3, 7).collect();
    /// assert_eq!(pauses.len(), 3);
    /// assert!(pauses.iter().zip([1, 2, 4]).all(|(pause, least)| pause.as_secs() >= least));
    /// assert_eq!(pauses, policy.delays(3, 7).collect::<Vec<_>>());
    /// ```
    pub fn delays(&self, times: usize, seed: u64) -> Delays {
        ExponentialBuilder::default()
            .with_min_delay(self.first_pause)
            .with_max_delay(self.first_pause * 20)
            .with_factor(2.0)
            .with_max_times(times)
            .with_jitter()
            .with_jitter_seed(seed)
            .build()
    }
}
