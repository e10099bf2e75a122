//! How many requests of a kind a registry takes in a second, where it says so.

use std::time::Duration;

use http::Method;
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::host::capabilities::RequestRates;

/// The rates of one registry.
#[derive(Debug, Default)]
pub(crate) struct Rates {
    pulls: Option<Rate>,
    manifests: Option<Rate>,
    uploads: Option<Rate>,
    blobs: Option<Rate>,
}

/// One rate: so many at once, and then one after the other.
#[derive(Debug)]
struct Rate {
    interval: Duration,
    burst: u32,
    /// When the next one would go out if none was saved up.
    next: Mutex<Option<Instant>>,
}

impl Rates {
    /// What is over a rate is refused, and costs more than waiting.
    pub(crate) fn of(rates: RequestRates) -> Rates {
        Rates {
            pulls: rates.pulls.map(Rate::per_second),
            manifests: rates.manifests.map(Rate::per_second),
            uploads: rates.uploads.map(Rate::per_second),
            blobs: rates.blobs.map(Rate::per_second),
        }
    }

    /// Waits for the time slot of a request.
    pub(crate) async fn wait(&self, method: &Method, path: &str) {
        let rate = match *method {
            Method::GET if path.contains("/manifests/") => &self.pulls,
            Method::PUT if path.contains("/manifests/") => &self.manifests,
            Method::PUT => &self.blobs,
            Method::POST => &self.uploads,
            _ => &None,
        };
        if let Some(rate) = rate {
            rate.wait().await;
        }
    }
}

impl Rate {
    fn per_second(number: u32) -> Rate {
        Rate { interval: Duration::from_secs(1) / number, burst: number, next: Mutex::new(None) }
    }

    async fn wait(&self) {
        let now = Instant::now();
        let saved = self.interval * (self.burst - 1);
        let slot = {
            let mut next = self.next.lock().await;
            // What was not used is saved up, for a second at most.
            let slot = next.unwrap_or_else(|| now.checked_sub(saved).unwrap_or(now));
            let slot = slot.max(now.checked_sub(saved).unwrap_or(now));
            *next = Some(slot + self.interval);
            slot
        };
        tokio::time::sleep_until(slot).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_burst_and_then_one_after_the_other() {
        let rate = Rate::per_second(100);
        let started = Instant::now();
        for _ in 0..120 {
            rate.wait().await;
        }
        assert!(started.elapsed() >= Duration::from_millis(190), "{:?}", started.elapsed());
    }
}
