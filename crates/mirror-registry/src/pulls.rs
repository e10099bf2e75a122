//! How many manifests may still be pulled, as Docker Hub tells in headers:
//! <https://docs.docker.com/docker-hub/usage/pulls/#view-pull-rate-and-limit>.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use reqwest::header::HeaderMap;

/// What is left of a limit on pulls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PullBudget {
    /// Manifests that can still be read.
    pub left: u64,
    /// The time that the limit is counted over.
    pub window: Duration,
}

/// The budget of one host: none until the host speaks of one.
#[derive(Debug)]
pub(crate) struct Pulls {
    budget: Mutex<Option<PullBudget>>,
    share: u64,
}

impl Pulls {
    /// For `share` machines that live on one budget.
    pub(crate) fn shared(share: u32) -> Pulls {
        Pulls { budget: Mutex::new(None), share: u64::from(share.max(1)) }
    }

    /// Reads the headers of an answer. What was reserved since may not be in them yet, so a budget only shrinks.
    pub(crate) fn hear(&self, headers: &HeaderMap) {
        let Some(told) =
            headers.get("ratelimit-remaining").and_then(|value| parse(value.to_str().ok()?))
        else {
            return;
        };
        let mut budget = self.budget.lock().unwrap_or_else(PoisonError::into_inner);
        let mine = told.left / self.share;
        let left = budget.map_or(mine, |known| known.left.min(mine));
        *budget = Some(PullBudget { left, window: told.window });
    }

    /// Takes from the budget; false, and nothing taken, when there is not enough.
    pub(crate) fn reserve(&self, pulls: u64) -> bool {
        match self.budget.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
            None => true,
            Some(budget) if budget.left >= pulls => {
                budget.left -= pulls;
                true
            }
            Some(_) => false,
        }
    }

    pub(crate) fn budget(&self) -> Option<PullBudget> {
        *self.budget.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// `87;w=21600`
fn parse(text: &str) -> Option<PullBudget> {
    let (left, rest) = text.split_once(';').unwrap_or((text, ""));
    let seconds =
        rest.trim().strip_prefix("w=").and_then(|window| window.parse().ok()).unwrap_or(21_600);
    Some(PullBudget { left: left.trim().parse().ok()?, window: Duration::from_secs(seconds) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(pulls: &Pulls, value: &'static str) -> Option<u64> {
        let name = "ratelimit-remaining".parse().unwrap();
        pulls.hear(&HeaderMap::from_iter([(name, value.parse().unwrap())]));
        pulls.budget().map(|budget| budget.left)
    }

    #[test]
    fn budgets() {
        let pulls = Pulls::shared(1);
        assert!(pulls.reserve(1_000_000), "no header, no limit");
        assert_eq!(heard(&pulls, "nonsense"), None);
        assert_eq!(heard(&pulls, "10;w=21600"), Some(10));
        assert!(pulls.reserve(7) && !pulls.reserve(4) && pulls.reserve(3));
        assert_eq!(heard(&pulls, "9;w=60"), Some(0), "the answer is older than the reservation");
        assert_eq!(pulls.budget().unwrap().window, Duration::from_secs(60));
        assert_eq!(heard(&Pulls::shared(4), "87;w=60"), Some(21), "a quarter of it");
    }
}
