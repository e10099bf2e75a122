//! How many requests of a kind a registry takes in a second, where it says so.

use std::time::Duration;

use http::Method;
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::host::options::Kind;

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
    /// For ECR the default quotas of a region, which can be raised but not asked for:
    /// <https://docs.aws.amazon.com/AmazonECR/latest/userguide/service-quotas.html>. What is over them is refused
    /// with 429, and costs more than waiting.
    pub(crate) fn of(kind: Kind) -> Rates {
        match kind {
            Kind::Standard => Rates::default(),
            Kind::Ecr => Rates {
                manifests: Some(Rate::per_second(10)),
                uploads: Some(Rate::per_second(100)),
                blobs: Some(Rate::per_second(100)),
                pulls: None,
            },
            // The rate of image pulls with a login; without one it is lower, and refusals make us slower:
            // <https://docs.aws.amazon.com/AmazonECR/latest/public/public-service-quotas.html>.
            Kind::EcrPublic => Rates { pulls: Some(Rate::per_second(10)), ..Rates::default() },
        }
    }

    /// Waits for the turn of a request.
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
        let turn = {
            let mut next = self.next.lock().await;
            // What was not used is saved up, for a second at most.
            let turn = next.unwrap_or_else(|| now.checked_sub(saved).unwrap_or(now));
            let turn = turn.max(now.checked_sub(saved).unwrap_or(now));
            *next = Some(turn + self.interval);
            turn
        };
        tokio::time::sleep_until(turn).await;
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
