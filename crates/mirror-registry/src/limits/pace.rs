//! The pace of one host: the pauses that it asks for, and when it makes no sense to ask it for now.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use mirror_failure::{Delays, ErrorKind, LONGEST_PAUSE, RequestError, RetryPolicy, printable};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::listener::{HostNews, Listener};
use crate::world::{Chance, Clock, World};

/// After so many pauses in a row without anything served, a host is given up.
const MOST_PAUSES: u32 = 4;
/// A host that nobody reached is asked again after so long, by a single request; one that refused, after one more pause.
const PROBE_AFTER: Duration = Duration::from_secs(30);

/// The pace of one host, shared by all its requests.
///
/// A refusal pauses the host, not the request. When the pause is over, one request goes ahead; the others wait for what
/// becomes of it, so that a host which still refuses is asked once and not sixty times.
#[derive(Debug)]
pub(crate) struct Pace {
    retry_policy: RetryPolicy,
    chance: Chance,
    clock: Clock,
    listener: Listener<HostNews>,
    state: Mutex<PaceState>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct PaceState {
    /// Requests that were served at all.
    served: u64,
    /// Pauses since something was served.
    pauses: u32,
    /// Which pause this is; refusals of requests that went out before it began don't prolong it.
    pause: u64,
    until: Option<Instant>,
    /// Whether a request is on its way that shows if the pause has helped.
    probing: bool,
    given_up: Option<GivenUp>,
}

/// Why it makes no sense to ask a host, and until when.
#[derive(Debug, Clone)]
struct GivenUp {
    kind: ErrorKind,
    until: Instant,
}

/// The right to make one request. Whoever drops it without telling what came of it leaves things as they were.
#[derive(Debug)]
pub(crate) struct Permit<'a> {
    pace: &'a Pace,
    pause: u64,
    probe: bool,
}

impl Pace {
    pub(crate) fn new(
        retry_policy: RetryPolicy,
        world: &World,
        listener: Listener<HostNews>,
    ) -> Pace {
        let World { chance, clock, .. } = world.clone();
        let (state, changed) = (Mutex::default(), Notify::new());
        Pace { retry_policy, chance, clock, listener, state, changed }
    }

    /// The time of day.
    pub(crate) fn clock(&self) -> Clock {
        self.clock
    }

    /// Pauses between attempts, each twice as long.
    pub(crate) fn delays(&self, times: usize) -> Delays {
        self.retry_policy.delays(times, self.chance.number())
    }

    /// How long a silent connection is waited for.
    pub(crate) fn idle(&self) -> Duration {
        self.retry_policy.idle
    }

    /// The pause before the second attempt of a request.
    pub(crate) fn first_pause(&self) -> Duration {
        self.retry_policy.first_pause
    }

    /// Waits until the host wants to hear from us again.
    ///
    /// # Errors
    /// Why the host was given up.
    pub(crate) async fn enter(&self) -> Result<Permit<'_>, ErrorKind> {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            // What changes from here on is not missed.
            changed.as_mut().enable();
            let wait = {
                let mut state = self.lock();
                let now = Instant::now();
                if let Some(given_up) = &state.given_up
                    && (now < given_up.until || state.probing)
                {
                    return Err(given_up.kind.clone());
                }
                let paused = state.until.is_some() || state.given_up.is_some();
                match state.until {
                    _ if !paused => {
                        return Ok(Permit { pace: self, pause: state.pause, probe: false });
                    }
                    Some(until) if until > now => Some(until),
                    _ if state.probing => None,
                    _ => {
                        state.probing = true;
                        return Ok(Permit { pace: self, pause: state.pause, probe: true });
                    }
                }
            };
            match wait {
                Some(until) => tokio::select! {
                    biased;
                    () = tokio::time::sleep_until(until) => {}
                    () = changed => {}
                },
                None => changed.await,
            }
        }
    }

    /// When the next request could show whether a host that was given up serves again.
    pub(crate) fn probe_at(&self) -> Option<Instant> {
        self.lock().given_up.as_ref().map(|given_up| given_up.until)
    }

    /// Whether it makes no sense to ask this host.
    pub(crate) fn is_given_up(&self) -> bool {
        self.lock().given_up.is_some()
    }

    /// A request has used up its attempts and nobody was reached: where nobody ever was, a tree of thousands of images
    /// would wait for each of them.
    pub(crate) fn give_up(&self, error: &RequestError) {
        let mut state = self.lock();
        if error.is_unreachable() && state.served == 0 {
            let until = Instant::now() + PROBE_AFTER;
            state.given_up = Some(GivenUp { kind: error.kind().clone(), until });
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, PaceState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Permit<'_> {
    /// The host has answered, whatever it said: it can be reached.
    pub(crate) fn reached(&self) {
        self.pace.lock().served += 1;
    }

    /// Leaves it to others to find out whether a pause has helped: what follows takes its time.
    pub(crate) fn not_as_probe(mut self) -> Self {
        if std::mem::take(&mut self.probe) {
            self.pace.lock().probing = false;
            self.pace.changed.notify_waiters();
        }
        self
    }

    /// Tells what a request failed with.
    pub(crate) fn failed(self, error: &RequestError) {
        match (error.pause(), error.status()) {
            (Some(asked), _) => self.refused(asked, error),
            (None, Some(500..)) => self.reached(),
            (None, Some(_)) => self.served(),
            (None, None) if matches!(error.kind(), ErrorKind::PullLimit { .. }) => self.served(),
            (None, None) => {}
        }
    }

    /// The host has answered with something else than "not now".
    pub(crate) fn served(mut self) {
        let mut state = self.pace.lock();
        state.served += 1;
        state.pauses = 0;
        if std::mem::take(&mut self.probe) {
            (state.until, state.given_up, state.probing) = (None, None, false);
            self.pace.changed.notify_waiters();
        }
    }

    /// The host asks for a pause, perhaps of a certain length.
    fn refused(mut self, asked: Option<Duration>, error: &RequestError) {
        let mut state = self.pace.lock();
        let probe = std::mem::take(&mut self.probe);
        if probe {
            state.probing = false;
        } else if self.pause != state.pause {
            // It went out before the pause began that is on already; more than it was told is still honoured.
            let until =
                asked.filter(|asked| *asked <= LONGEST_PAUSE).map(|asked| Instant::now() + asked);
            state.until = state.until.max(state.until.and(until));
            return;
        }
        state.pause += 1;
        state.pauses += 1;
        let mut own = self.pace.delays(MOST_PAUSES as usize + 1);
        let own = own.nth(state.pauses as usize - 1).unwrap_or_default();
        let wait = own.max(asked.unwrap_or_default());
        let now = Instant::now();
        if wait > LONGEST_PAUSE || state.pauses > MOST_PAUSES {
            let until = now + wait;
            let pauses = (state.pauses > MOST_PAUSES).then_some(MOST_PAUSES);
            let kind = ErrorKind::Throttled { wait: asked, pauses };
            state.given_up = Some(GivenUp { kind, until });
            state.until = None;
        } else {
            state.until = Some(now + wait);
        }
        tracing::debug!(?wait, pauses = state.pauses, "the host asks for a pause");
        let is_paused = state.until.is_some();
        drop(state);
        self.pace.changed.notify_waiters();
        if is_paused {
            let status = error.status().map(|status| status.to_string());
            let why: Vec<String> = status.into_iter().chain(error.code().map(printable)).collect();
            self.pace.listener.tell(HostNews::Paused { wait, why: why.join(" ") });
        }
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        if self.probe {
            self.pace.lock().probing = false;
            // Somebody else finds out.
            self.pace.changed.notify_waiters();
        }
    }
}
