//! One run of `apply`: a pass through what is wanted, and more of them for what waits for a limit.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use mirror_plan::config::Config;
use mirror_plan::plan::{Action, Depth, Plan, ReviewNotes, Shard};
use mirror_plan::report::{Event, Report};
use mirror_plan::want::{Want, Wants};
use tokio::time::Instant;

use crate::connections::{Connections, Errand};
use crate::event::Events;
use crate::graphs::Planned;
use crate::look::incomplete::Closely;
use crate::look::{self, Ask};
use crate::recheck::{self, Rechecked};
use crate::run as carry_out;
use crate::stop::Stop;
use crate::surroundings::Surroundings;
use crate::{prepare, tasks};

/// Shortest and longest time between two looks at a limit on pulls.
const BETWEEN: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(600));
/// A host that was given up is asked again at the end, if the pause that it wants is no longer than this.
const LONGEST_PROBE: Duration = Duration::from_secs(120);
/// How often the connections that were given up are asked again.
const MOST_PROBES: usize = 3;

/// What to do when a limit on pulls or requests is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnLimit {
    /// Leave the rest for another run, and name it.
    Defer,
    /// Wait until pulls are left again.
    Wait,
}

/// What to carry out: a tree with its configuration.
#[derive(Debug, Clone, Copy)]
pub struct Desired<'a> {
    /// The configuration of the tree.
    pub config: &'a Config,
    /// The folder that relative paths of the configuration start at.
    pub root: &'a Path,
    /// What is done here.
    pub wants: &'a Wants,
    /// What is wanted, whatever part of it is done here.
    pub whole: &'a Wants,
}

/// How to carry it out.
#[derive(Debug, Clone)]
pub struct How {
    /// Where all of it happens.
    pub surroundings: Surroundings,
    /// Which part of it.
    pub shard: Option<Shard>,
    /// What to do when a limit is reached.
    pub on_limit: OnLimit,
    /// Whether to look for late signatures of everything.
    pub refresh_referrers: bool,
    /// Whether to put back what registries have lost.
    pub repair: bool,
}

/// Plans and carries out; `saved` is a plan that is carried out instead. Connections, and what they have told, outlive
/// a pass. What happens is told to `events`, whether or not anybody listens.
///
/// # Cancellation
/// When the future is dropped, what is at the destinations stays, no tag names anything half done, and
/// [`Events::report`] says how far it came. Upload sessions that were open are ended in the background, while the
/// runtime lives.
pub async fn run(
    tree: Desired<'_>,
    how: &How,
    saved: Option<Planned>,
    stop: &Stop,
    events: &Events,
) -> Report {
    let mut wants = Arc::new(tree.wants.clone());
    let mut saved = saved.map(|mut saved| {
        if let Some(shard) = how.shard {
            saved.plan = Arc::new(shard.part(Arc::unwrap_or_clone(saved.plan)));
        }
        saved
    });
    // Told before anything is asked: whoever stops the run while it logs in gets a report too.
    events.send(beginning(&wants, saved.as_ref()));
    let share = how.shard.map_or(1, |shard| shard.of);
    let errand = Errand { writes: true, share, ..Errand::look(&how.surroundings, events) };
    let connections = tokio::select! {
        biased;
        connections = Connections::new(tree.whole, tree.config, tree.root, errand) => connections,
        () = stop.wait() => {
            events.send(Event::Stopped);
            return events.report();
        }
    };
    let run = Run { tree, how, connections: &connections, stop, events };
    let mut probes = 0;
    loop {
        // Boxed, here and below: the layouts of futures within futures are otherwise too deep for the compiler.
        Box::pin(run.pass(&wants, saved.clone())).await;
        let waiting = events.deferred(saved.is_none());
        if waiting.is_empty() || stop.is_asked() {
            break;
        }
        let goes_on = tokio::select! {
            biased;
            goes_on = run.may_go_on(waiting.len(), probes) => goes_on,
            () = stop.wait() => false,
        };
        if !goes_on {
            break;
        }
        probes += 1;
        wants = Arc::new(narrowed(Arc::unwrap_or_clone(wants), &waiting));
        saved = saved.map(|saved| of_those(saved, &waiting));
        events.send(beginning(&wants, saved.as_ref()));
    }
    if stop.is_asked() {
        events.send(Event::Stopped);
    }
    events.report()
}

/// How a pass begins.
fn beginning(wants: &Arc<Wants>, saved: Option<&Planned>) -> Event {
    match saved {
        Some(saved) => Event::Rechecking(saved.plan.clone()),
        None => Event::Looking(wants.clone()),
    }
}

/// What all passes work with.
struct Run<'a> {
    tree: Desired<'a>,
    how: &'a How,
    connections: &'a Connections,
    stop: &'a Stop,
    events: &'a Events,
}

impl Run<'_> {
    /// One time through what is wanted.
    async fn pass(&self, wants: &Wants, saved: Option<Planned>) {
        let Run { tree, how, connections, stop, events } = self;
        let looked = Instant::now();
        let found = tokio::select! {
            biased;
            found = Box::pin(self.look(wants, saved)) => Some(found),
            () = stop.wait() => None,
        };
        events.send(Event::Authenticated(connections.authenticated_sources(tree.wants)));
        let Some(Rechecked { plan, graphs, left_alone }) = found else { return };
        let (plan, refresh) = (Arc::new(plan), how.refresh_referrers);
        events.send(Event::Planned { plan: plan.clone(), refresh });
        for outcome in left_alone {
            events.send(Event::LeftAlone(Box::new(outcome)));
        }
        let prepared = prepare::prepare(&plan, connections, stop, events).await;
        let options = tasks::RunOptions {
            surroundings: &how.surroundings,
            referrers: tree.config.referrers,
            refresh,
            stop,
            wants: tree.whole,
            looked,
        };
        Box::pin(carry_out::run(&plan, &graphs, connections, &options, &prepared, events)).await;
        events.send(Event::Authenticated(connections.authenticated_sources(tree.wants)));
        events.send(Event::PassEnded);
    }

    /// Plans, or compares a saved plan with what is there now.
    async fn look(&self, wants: &Wants, saved: Option<Planned>) -> Rechecked {
        let Some(saved) = saved else {
            let depth = if self.how.refresh_referrers { Depth::All } else { Depth::Manifests };
            let closely = if self.how.repair { Closely::Everywhere } else { Closely::WhereNeeded };
            let ask = Ask { depth, review_notes: ReviewNotes::Skip, closely };
            let planned = Box::pin(look::plan(wants, self.tree.whole, self.connections, ask));
            let (plan, graphs) = planned.await;
            return Rechecked { plan, graphs, left_alone: Vec::new() };
        };
        Box::pin(recheck::look_again(saved, wants, self.connections)).await
    }

    /// Waits for what so many images wait for, or finds out whether it is over; whether to look again.
    async fn may_go_on(&self, images: usize, probes: usize) -> bool {
        match self.how.on_limit {
            OnLimit::Wait => self.wait(images).await,
            OnLimit::Defer => probes < MOST_PROBES && self.probe(images).await,
        }
    }

    /// Waits until pulls may be left again; a sliding window gives some back long before it is over.
    async fn wait(&self, images: usize) -> bool {
        let wait = self.connections.pull_window().unwrap_or(BETWEEN.1) / 20;
        let wait = wait.clamp(BETWEEN.0, BETWEEN.1);
        self.events.send(Event::Waiting { images, wait });
        tokio::time::sleep(wait).await;
        self.connections.forget_pulls();
        true
    }

    /// Finds out whether a host that was given up serves again.
    async fn probe(&self, images: usize) -> bool {
        let serving = self.connections.serving_again(LONGEST_PROBE).await;
        if serving.is_empty() {
            return false;
        }
        self.events.send(Event::ServesAgain { hosts: serving, images });
        true
    }
}

fn narrowed(wants: Wants, waiting: &[Want]) -> Wants {
    let again = wants.wants.iter().filter(|want| waiting.contains(want));
    let again: Vec<_> = again.cloned().collect();
    let repositories: BTreeSet<_> = again
        .iter()
        .map(|want| (want.target.destination.clone(), want.target.repository.clone()))
        .collect();
    let kept = wants.repositories.into_iter().filter(|repository| {
        repositories
            .contains(&(repository.at.destination.clone(), repository.at.repository.clone()))
    });
    let repositories = kept.collect();
    Wants { wants: again, repositories, collisions: Vec::new(), unwanted: Vec::new(), ..wants }
}

/// The copies of a saved plan that are tried again.
fn of_those(saved: Planned, waiting: &[Want]) -> Planned {
    let copies = Arc::unwrap_or_clone(saved.plan).actions.into_iter();
    let copies = copies
        .filter(|action| matches!(action, Action::Copy(copy) if waiting.contains(&copy.want)));
    let plan = Plan { actions: copies.collect(), ..Plan::default() };
    Planned { plan: Arc::new(plan), ..saved }
}
