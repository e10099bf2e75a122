//! One run of `apply`: a pass through what is wanted, and more of them for what waits for a limit.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use mirror_plan::config::Config;
use mirror_plan::plan::{Action, Depth, Fit, Plan, Remarks, Shard};
use mirror_plan::report::{Report, Status};
use mirror_plan::want::{Want, Wants};
use tokio::time::Instant;

use crate::connections::{Connections, Errand};
use crate::event::{Event, Events};
use crate::look::incomplete::Closely;
use crate::look::{self, Ask};
use crate::recheck::{self, Again};
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
pub struct Tree<'a> {
    /// The configuration.
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

/// Plans and carries out; `fit` is a saved plan that is carried out instead. Connections, and what they have told, outlive
/// a pass. What happens is told to `events`, whether or not anybody listens.
pub async fn run(
    tree: Tree<'_>,
    how: &How,
    fit: Option<Fit>,
    stop: &Stop,
    events: &Events,
) -> Report {
    let started = Instant::now();
    let share = how.shard.map_or(1, |shard| shard.of);
    let errand = Errand { writes: true, share, surroundings: &how.surroundings, base: None };
    let connections = Connections::new(tree.whole, tree.config, tree.root, errand).await;
    let with = With { tree, how, connections: &connections, stop, events };
    let mut wants = tree.wants.clone();
    let mut fit = fit.map(|mut fit| {
        if let Some(shard) = how.shard {
            fit.plan = shard.part(fit.plan);
        }
        fit
    });
    let mut report = Box::pin(pass(&with, &wants, fit.clone())).await;
    let mut probes = 0;
    loop {
        let waiting = waiting(&report, fit.as_ref());
        if waiting.is_empty() || report.interrupted {
            break;
        }
        let go_on = tokio::select! {
            biased;
            go_on = with.may_go_on(waiting.len(), probes) => go_on,
            () = stop.wait() => {
                report.interrupted = true;
                break;
            }
        };
        if !go_on {
            break;
        }
        probes += 1;
        wants = narrowed(wants, &waiting);
        fit = fit.map(|fit| of_those(fit, &waiting));
        let next = Box::pin(pass(&with, &wants, fit.clone())).await;
        if next.outcomes.is_empty() && next.interrupted {
            report.interrupted = true;
            break;
        }
        report = report.continued(&waiting, next);
    }
    report.shard = how.shard.map(|shard| shard.to_string());
    report.totals.milliseconds = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    report.authenticated_sources = connections.authenticated_sources(tree.wants);
    report
}

/// What all passes work with.
struct With<'a> {
    tree: Tree<'a>,
    how: &'a How,
    connections: &'a Connections,
    stop: &'a Stop,
    events: &'a Events,
}

/// One time through what is wanted; nothing is in the report when it was stopped while looking.
async fn pass(with: &With<'_>, wants: &Wants, fit: Option<Fit>) -> Report {
    let With { tree, how, connections, stop, events } = with;
    let looked = Instant::now();
    let depth = if how.refresh_referrers { Depth::All } else { Depth::Manifests };
    let saved = fit.as_ref().map(|fit| fit.plan.clone());
    let looking = async {
        match fit {
            None => {
                let closely = if how.repair { Closely::Everywhere } else { Closely::WhereNeeded };
                let ask = Ask { depth, remarks: Remarks::Leave, closely };
                // Boxed, here and below: the layouts of futures within futures are otherwise too deep for the compiler.
                let planned = Box::pin(look::plan(wants, tree.whole, connections, ask));
                let (plan, graphs) = planned.await;
                Again { plan, graphs, outcomes: Vec::new() }
            }
            Some(fit) => Box::pin(recheck::look_again(fit, wants, connections)).await,
        }
    };
    let Again { plan, graphs, outcomes: left_alone } = tokio::select! {
        biased;
        found = looking => found,
        () = stop.wait() => {
            return saved.map_or_else(|| Report::unreached(wants), Report::unreached_of);
        }
    };
    let prepared = prepare::prepare(&plan, connections, stop).await;
    let _ = events.send(Event::Planned(Box::new(plan.clone())));
    let manner = tasks::Manner {
        surroundings: &how.surroundings,
        referrers: tree.config.referrers,
        refresh: how.refresh_referrers,
        stop,
        wants: tree.whole,
        looked,
    };
    let mut outcomes =
        Box::pin(carry_out::run(&plan, &graphs, connections, &manner, &prepared, events)).await;
    let _ = events.send(Event::Ended);
    outcomes.extend(left_alone);
    let report = Report::new(&plan, prepared.outcomes, outcomes, 0);
    Report { interrupted: stop.is_asked(), ..report }
}

impl With<'_> {
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
        let _ = self.events.send(Event::Waiting(images, wait));
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
        let _ = self.events.send(Event::ServesAgain(serving, images));
        true
    }
}

/// What waits for a limit, and can be tried again. What a saved plan could not look up, it has no manifests of.
fn waiting(report: &Report, fit: Option<&Fit>) -> Vec<Want> {
    let deferred = |outcome: &&mirror_plan::report::Outcome| matches!(&outcome.status, Status::Failed { failure } if failure.is_deferred());
    let outcomes = report.outcomes.iter().filter(deferred).map(|outcome| &outcome.want);
    let failures =
        report.failures.iter().filter(|failed| failed.failure.is_deferred() && fit.is_none());
    outcomes.chain(failures.map(|failed| &failed.want)).cloned().collect()
}

fn narrowed(wants: Wants, waiting: &[Want]) -> Wants {
    let again = wants.wants.iter().filter(|want| waiting.contains(want));
    let again: Vec<_> = again.cloned().collect();
    let places: BTreeSet<_> = again
        .iter()
        .map(|want| (want.target.destination.clone(), want.target.repository.clone()))
        .collect();
    let kept = wants.repositories.into_iter().filter(|repository| {
        places.contains(&(repository.at.destination.clone(), repository.at.repository.clone()))
    });
    let repositories = kept.collect();
    Wants { wants: again, repositories, collisions: Vec::new(), unwanted: Vec::new(), ..wants }
}

/// The copies of a saved plan that are tried again.
fn of_those(fit: Fit, waiting: &[Want]) -> Fit {
    let copies = fit.plan.actions.into_iter();
    let copies = copies
        .filter(|action| matches!(action, Action::Copy(copy) if waiting.contains(&copy.want)));
    Fit { plan: Plan { actions: copies.collect(), ..Plan::default() }, ..fit }
}
