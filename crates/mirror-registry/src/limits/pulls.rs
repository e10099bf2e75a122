//! How many manifests may still be pulled, as Docker Hub tells in headers:
//! <https://docs.docker.com/docker-hub/usage/pulls/#view-pull-rate-and-limit>.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use http::header::HeaderMap;
use mirror_failure::LONGEST_TOLD;
use tokio::sync::OwnedMutexGuard;

use crate::world::Clock;

const REMAINING: &str = "ratelimit-remaining";
const LIMIT: &str = "ratelimit-limit";
const MOST_SILENT: u32 = 3;

/// What is left of a limit on pulls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PullBudget {
    /// Manifests that can still be read.
    pub left: u64,
    /// Manifests that were read since the host was first asked.
    pub made: u64,
    /// Manifests that can be read in that time, if the host has said so.
    pub most: Option<u64>,
    /// The time that the limit is counted over, if the host has said so.
    pub window: Option<Duration>,
}

/// The budget of one host.
#[derive(Debug)]
pub(crate) struct PullCounter {
    state: Mutex<PullState>,
    share: u64,
    clock: Clock,
    lock: Arc<tokio::sync::Mutex<()>>,
}

#[derive(Debug, Default)]
struct PullState {
    limit: Limit,
    /// Pulls that are set aside and not made yet.
    reserved: u64,
    /// Pulls that were made.
    made: u64,
    window: Option<Duration>,
    /// What there is in all, in one window.
    most: Option<u64>,
    /// When the last of the pulls that are used up come back, at the latest.
    ends: Option<SystemTime>,
    /// Answers that told nothing of a limit, and were none of those that do.
    silent: u32,
}

/// What the host has told of a limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Limit {
    /// Nothing yet. That is not the same as none.
    #[default]
    Unknown,
    /// The host does not limit pulls.
    None,
    /// So many were left for us when it last answered.
    Left(u64),
}

/// Pulls that were set aside. Those that are not made are given back when it is dropped.
#[derive(Debug)]
pub struct Reservation<'a> {
    pulls: &'a PullCounter,
    left: Mutex<u64>,
}

/// The right to read an image from a host whose pulls may be limited.
#[derive(Debug)]
pub struct PullLock {
    guard: Option<OwnedMutexGuard<()>>,
}

/// Why pulls could not be set aside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Exhausted {
    pub(crate) left: u64,
    pub(crate) ends: Option<SystemTime>,
}

impl PullCounter {
    /// For `share` machines that live on one budget.
    pub(crate) fn shared(share: u32, clock: Clock) -> PullCounter {
        let share = u64::from(share.max(1));
        PullCounter { state: Mutex::default(), share, clock, lock: Arc::default() }
    }

    /// Waits for the lock to read an image. Where pulls are limited, and as long as nobody knows whether they are, images
    /// are read one after the other, so that the last pulls make whole images.
    pub(crate) async fn lock(&self) -> PullLock {
        if self.are_unlimited() {
            return PullLock { guard: None };
        }
        let guard = self.lock.clone().lock_owned().await;
        PullLock { guard: Some(guard) }.unless(self.are_unlimited())
    }

    /// Whether locks are of any use, by now.
    pub(crate) fn are_unlimited(&self) -> bool {
        self.state().limit == Limit::None
    }

    /// Whether nothing is known yet, or any more.
    pub(crate) fn are_unknown(&self) -> bool {
        self.state().limit == Limit::Unknown
    }

    /// Sets pulls aside.
    ///
    /// # Errors
    /// When the host has told that fewer are left; then nothing is set aside.
    pub(crate) fn reserve(&self, pulls: u64) -> Result<Reservation<'_>, Exhausted> {
        let mut state = self.state();
        if let Some(left) = state.left()
            && left < pulls
        {
            let ends = || Some(self.clock.now() + state.window?);
            return Err(Exhausted { left, ends: state.ends.or_else(ends) });
        }
        state.reserved += pulls;
        Ok(Reservation { pulls: self, left: Mutex::new(pulls) })
    }

    /// Reads the headers of a response about a manifest that is neither a refusal nor an error. What is set aside may not
    /// be counted in them yet, and an older response may come later, so what is left only shrinks.
    pub(crate) fn hear(&self, headers: &HeaderMap) {
        let mut state = self.state();
        match told(headers) {
            None if state.limit == Limit::Unknown => state.limit = Limit::None,
            None => {}
            Some((left, window)) => {
                // Where there are more machines than pulls, some of those are refused, and the last image is copied all the same.
                let mine = if left == 0 { 0 } else { (left / self.share).max(1) };
                state.limit = match state.limit {
                    Limit::Left(known) => Limit::Left(known.min(mine)),
                    Limit::Unknown | Limit::None => Limit::Left(mine),
                };
                state.window = Some(window);
                state.most = number(headers, LIMIT).map(|(most, _)| (most / self.share).max(1));
                if left == 0 {
                    state.ends.get_or_insert(self.clock.now() + window);
                }
            }
        }
    }

    /// A pull has failed and nothing was told of a limit. After a few of those nobody waits for it any longer: a registry
    /// that is ill would have its images looked at one after the other.
    pub(crate) fn heard_nothing(&self) {
        let mut state = self.state();
        state.silent += 1;
        if state.limit == Limit::Unknown && state.silent >= MOST_SILENT {
            state.limit = Limit::None;
        }
    }

    /// The host has refused a pull because of its limit, perhaps saying when to come back.
    pub(crate) fn refused(&self, headers: Option<(u64, Duration)>, wait: Option<Duration>) {
        let mut state = self.state();
        state.limit = Limit::Left(0);
        state.window = headers.map(|(_, window)| window).or(state.window);
        let ends = wait.or(state.window).map(|wait| self.clock.now() + wait);
        state.ends = state.ends.or(ends);
    }

    /// Time has passed: what was left is to be asked again.
    pub(crate) fn forget(&self) {
        let mut state = self.state();
        if matches!(state.limit, Limit::Left(_)) {
            state.limit = Limit::Unknown;
        }
        state.ends = None;
    }

    pub(crate) fn budget(&self) -> Option<PullBudget> {
        let state = self.state();
        let PullState { made, most, window, .. } = *state;
        Some(PullBudget { left: state.left()?, made, most, window })
    }

    fn state(&self) -> MutexGuard<'_, PullState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl PullState {
    fn left(&self) -> Option<u64> {
        match self.limit {
            Limit::Left(left) => Some(left.saturating_sub(self.reserved)),
            Limit::Unknown | Limit::None => None,
        }
    }
}

impl Reservation<'_> {
    /// One of the pulls was made, and answered with these headers.
    pub(crate) fn made(&self, headers: &HeaderMap) {
        let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        let mut state = self.pulls.state();
        if *left > 0 {
            *left -= 1;
            state.reserved = state.reserved.saturating_sub(1);
        }
        state.made += 1;
        // Where the response says what is left, this pull is counted in it.
        if let (Limit::Left(left), None) = (&mut state.limit, told(headers)) {
            *left = left.saturating_sub(1);
        }
    }
}

impl Drop for Reservation<'_> {
    fn drop(&mut self) {
        let left = *self.left.lock().unwrap_or_else(PoisonError::into_inner);
        let mut state = self.pulls.state();
        state.reserved = state.reserved.saturating_sub(left);
    }
}

impl PullLock {
    /// Gives the lock to others, if it turns out to be `useless`.
    pub fn unless(self, useless: bool) -> PullLock {
        PullLock { guard: self.guard.filter(|_| !useless) }
    }
}

/// `ratelimit-remaining: 87;w=21600`. The same name without a window means something else, requests for one
/// (<https://datatracker.ietf.org/doc/draft-ietf-httpapi-ratelimit-headers/>).
pub(crate) fn told(headers: &HeaderMap) -> Option<(u64, Duration)> {
    number(headers, REMAINING)
}

/// `100;w=21600`.
fn number(headers: &HeaderMap, name: &str) -> Option<(u64, Duration)> {
    let (number, rest) = headers.get(name)?.to_str().ok()?.split_once(';')?;
    let window = rest.trim().strip_prefix("w=")?.trim().parse().ok()?;
    Some((number.trim().parse().ok()?, Duration::from_secs(window).min(LONGEST_TOLD)))
}

#[cfg(test)]
mod tests {
    use mirror_failure::ErrorKind;

    use super::*;

    fn headers(value: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(REMAINING.parse().unwrap(), value.parse().unwrap())])
    }

    fn hear(pulls: &PullCounter, value: &'static str) -> Option<u64> {
        pulls.hear(&headers(value));
        pulls.budget().map(|budget| budget.left)
    }

    #[test]
    fn more_machines_than_pulls() {
        let pulls = PullCounter::shared(16, Clock::system());
        assert_eq!(hear(&pulls, "10;w=3600"), Some(1));
        assert_eq!(hear(&pulls, "0;w=3600"), Some(0));
    }

    #[test]
    fn a_window_without_end() {
        let pulls = PullCounter::shared(1, Clock::system());
        assert_eq!(hear(&pulls, "0;w=18446744073709551615"), Some(0));
        let ends = pulls.reserve(1).unwrap_err().ends;
        let kind = ErrorKind::PullLimit { message: String::new(), ends };
        assert!(kind.to_string().ends_with("GMT at the latest"), "{kind}");
    }

    #[test]
    fn budgets() {
        let pulls = PullCounter::shared(1, Clock::system());
        let first = pulls.reserve(1).unwrap();
        first.made(&HeaderMap::new());
        assert_eq!(hear(&pulls, "99;w=21600"), Some(99));
        let level = pulls.reserve(9).unwrap();
        assert_eq!(pulls.budget().unwrap().left, 90, "what is set aside is not left");
        level.made(&headers("98;w=21600"));
        assert_eq!(hear(&pulls, "98;w=21600"), Some(90));
        assert!(pulls.reserve(91).is_err());
        drop(level);
        assert_eq!(pulls.budget().unwrap().left, 98, "what was not used is given back");
        assert_eq!(hear(&pulls, "97;w=60"), Some(97));
        assert_eq!(hear(&pulls, "98;w=60"), Some(97), "an older response that comes late");
        let budget = pulls.budget().unwrap();
        assert_eq!((budget.made, budget.window), (2, Some(Duration::from_secs(60))));
        assert_eq!(
            hear(&PullCounter::shared(4, Clock::system()), "87;w=60"),
            Some(21),
            "a quarter of it"
        );
    }

    #[test]
    fn what_was_set_aside_before_the_first_header_counts() {
        let pulls = PullCounter::shared(1, Clock::system());
        let early = pulls.reserve(30).unwrap();
        assert_eq!(hear(&pulls, "40;w=60"), Some(10));
        drop(early);
        assert_eq!(pulls.budget().unwrap().left, 40);
    }

    #[test]
    fn headers_of_another_kind_are_no_limit() {
        for value in ["60", "nonsense", "60;q=5", "60, 30;w=60", ";w=60"] {
            let pulls = PullCounter::shared(1, Clock::system());
            assert_eq!(hear(&pulls, value), None, "{value}");
            assert!(pulls.are_unlimited() && pulls.reserve(1_000_000).is_ok());
        }
    }

    #[test]
    fn a_refusal_stops_further_pulls_until_time_has_passed() {
        let pulls = PullCounter::shared(1, Clock::system());
        pulls.refused(None, Some(Duration::from_secs(3600)));
        let refused = pulls.reserve(1).unwrap_err();
        assert_eq!(refused.left, 0);
        assert!(refused.ends.is_some_and(|ends| ends > SystemTime::now()));
        pulls.forget();
        assert!(pulls.reserve(1).is_ok() && !pulls.are_unlimited());
    }

    #[tokio::test]
    async fn unknown_means_one_after_the_other() {
        let pulls = PullCounter::shared(1, Clock::system());
        let first = pulls.lock().await;
        assert!(tokio::time::timeout(Duration::from_millis(20), pulls.lock()).await.is_err());
        pulls.hear(&HeaderMap::new());
        drop(first.unless(pulls.are_unlimited()));
        let locks = (pulls.lock().await, pulls.lock().await);
        assert!(locks.0.guard.is_none() && locks.1.guard.is_none());
    }
}
