//! The one channel of a run: what happens is sent once, goes into the report, and to whoever listens.

use std::sync::{Arc, Mutex, PoisonError};

use mirror_copy::{Moved, Traffic};
use mirror_plan::plan::Shard;
use mirror_plan::report::{Event, Report, ReportFold, Transfer};
use mirror_plan::want::Want;
use mirror_registry::{HostEvent, HostNews, Listener};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::time::Instant;

/// The one channel of a run.
#[derive(Debug, Clone)]
pub struct Events(Arc<Channel>);

#[derive(Debug)]
struct Channel {
    began: Instant,
    fold: Mutex<ReportFold>,
    listener: Mutex<Option<Listener<Event>>>,
}

impl Events {
    /// The channel of a run that does all, or one part of it, and what comes out of it. Nobody need listen.
    pub fn new(shard: Option<Shard>) -> (Events, UnboundedReceiver<Event>) {
        let (sender, receiver) = unbounded_channel();
        // Nobody need listen.
        let queue = Listener::new(move |event| drop(sender.send(event)));
        (Events::of(shard, queue), receiver)
    }

    /// The channel of a run that copies nothing: `listener` is told right where something happens.
    pub fn telling(listener: Listener<Event>) -> Events {
        Events::of(None, listener)
    }

    fn of(shard: Option<Shard>, listener: Listener<Event>) -> Events {
        let fold = Mutex::new(ReportFold::new(shard));
        let listener = Mutex::new(Some(listener));
        Events(Arc::new(Channel { began: Instant::now(), fold, listener }))
    }

    /// What the run has come to, so far: it may be asked for at any time.
    pub fn report(&self) -> Report {
        lock(&self.0.fold).report(self.0.began.elapsed())
    }

    /// What waits for a limit, and can be tried again.
    pub(crate) fn deferred(&self, with_failures: bool) -> Vec<Want> {
        lock(&self.0.fold).deferred(with_failures)
    }

    /// Nobody is told anything from here on, so that whoever listens comes to an end.
    pub fn close(&self) {
        lock(&self.0.listener).take();
    }

    /// The run was stopped by whoever drops it.
    pub fn stopped(&self) {
        self.send(Event::Stopped);
    }

    pub(crate) fn send(&self, event: Event) {
        lock(&self.0.fold).add(&event);
        if let Some(listener) = &*lock(&self.0.listener) {
            listener.tell(event);
        }
    }

    /// Tells what the copier moves.
    pub(crate) fn traffic(&self) -> Listener<Traffic> {
        let events = self.clone();
        Listener::new(move |Traffic { job, moved }| {
            let nothing = Transfer::default();
            let (transfer, reused_bytes) = match moved {
                Moved::Fetched(bytes) => (Transfer { fetched_bytes: bytes, ..nothing }, 0),
                Moved::Pushed(bytes) => (Transfer { pushed_bytes: bytes, ..nothing }, 0),
                Moved::Reused(bytes) => (Transfer { reused_blobs: 1, ..nothing }, bytes),
            };
            events.send(Event::Moved { image: job, transfer, reused_bytes });
        })
    }

    /// Tells what hosts show.
    pub(crate) fn hosts(&self) -> Listener<HostEvent> {
        let events = self.clone();
        Listener::new(move |HostEvent { host, news }| {
            events.send(match news {
                HostNews::Paused { wait, why } => Event::Paused { host, wait, why },
                HostNews::CredentialSourceFailed { why } => {
                    Event::CredentialSourceFailed { host, why }
                }
                HostNews::Learned { capability, value } => {
                    Event::Learned { host, capability, value }
                }
            });
        })
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
