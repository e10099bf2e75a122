//! One run of `apply`: a pass through what is wanted, and more of them for what waits for a limit.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use mirror_oci::Registry;
use mirror_plan::plan::{Action, Fit, Plan, Shard};
use mirror_plan::report::{Report, Status};
use mirror_plan::want::{Want, Wants};

use crate::args::{OnLimit, Progress};
use crate::environment::Interruption;
use crate::hosts::{Errand, Hosts};
use crate::incomplete::Closely;
use crate::load::Loaded;
use crate::observe::{self, Depth, Questions, Remarks};
use crate::progress::Display;
use crate::saved::{self, Again};
use crate::{environment, print, repositories, run as carry_out, tasks};

/// Shortest and longest time between two looks at a limit on pulls.
const BETWEEN: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(600));
/// A host that was given up is asked again at the end, if the pause that it wants is no longer than this.
const LONGEST_PROBE: Duration = Duration::from_secs(120);
/// How often the hosts that were given up are asked again.
const MOST_PROBES: usize = 3;

/// How to carry out a tree, as it was said on the command line.
pub(crate) struct How {
    /// Which part of it.
    pub(crate) shard: Option<Shard>,
    /// What to do when a limit is reached.
    pub(crate) on_limit: OnLimit,
    /// Whether to look for late signatures of everything.
    pub(crate) refresh_referrers: bool,
    /// Whether to put back what registries have lost.
    pub(crate) repair: bool,
    /// Where layers on their way are kept.
    pub(crate) spool: Option<PathBuf>,
    /// How progress is shown.
    pub(crate) progress: Progress,
}

/// Plans and carries out. `whole` is what is wanted, whatever part of it is done here. Hosts, and what they have told, outlive a pass.
pub(crate) async fn run(
    loaded: &Loaded,
    whole: &Wants,
    how: &How,
    fit: Option<Fit>,
    interruption: &Interruption,
) -> Result<Report, mirror_failure::RequestError> {
    let started = Instant::now();
    let spool = how.spool.clone().unwrap_or_else(environment::spool);
    let share = how.shard.map_or(1, |shard| shard.of);
    let errand = Errand { writes: true, share, spool: &spool, base: None };
    let hosts = Hosts::new(whole, &loaded.config, &loaded.root, errand).await?;
    let with = With { loaded, whole, how, hosts: &hosts, errand, interruption };
    let mut wants = loaded.wants.clone();
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
        let go_on = async {
            match how.on_limit {
                OnLimit::Wait => with.wait(waiting.len()).await,
                OnLimit::Defer => probes < MOST_PROBES && with.probe(waiting.len()).await,
            }
        };
        let go_on = tokio::select! {
            go_on = go_on => go_on,
            () = interruption.wait() => {
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
    report.authenticated_sources = hosts.authenticated_sources(&loaded.wants);
    Ok(report)
}

/// What all passes work with.
struct With<'a> {
    loaded: &'a Loaded,
    /// What is wanted, whatever part of it is done here.
    whole: &'a Wants,
    how: &'a How,
    hosts: &'a Hosts,
    errand: Errand<'a>,
    interruption: &'a Interruption,
}

/// One time through what is wanted; nothing is in the report when it was stopped while looking.
async fn pass(with: &With<'_>, wants: &Wants, fit: Option<Fit>) -> Report {
    let With { loaded, whole, how, hosts, errand, interruption } = with;
    let looked = Instant::now();
    let depth = if how.refresh_referrers { Depth::All } else { Depth::Manifests };
    let looking = async {
        match fit {
            None => {
                let closely = if how.repair { Closely::Everywhere } else { Closely::WhereNeeded };
                let ask = Questions { depth, remarks: Remarks::Leave, closely };
                let (plan, graphs) = observe::plan(wants, whole, hosts, ask).await;
                Again { plan, graphs, outcomes: Vec::new() }
            }
            Some(fit) => saved::look_again(fit, wants, hosts).await,
        }
    };
    let Again { plan, graphs, outcomes: left_alone } = tokio::select! {
        found = looking => found,
        () = interruption.wait() => {
            return Report { format_version: 1, interrupted: true, ..Report::default() };
        }
    };
    let prepared = repositories::prepare(&plan, hosts, interruption).await;
    let display = Display::new(how.progress, &plan);
    let manner = tasks::Manner {
        spool: errand.spool,
        referrers: loaded.config.referrers,
        refresh: how.refresh_referrers,
        interruption,
        wants: whole,
        looked,
    };
    let mut outcomes = carry_out::run(&plan, &graphs, hosts, &manner, &prepared, display).await;
    outcomes.extend(left_alone);
    let report = Report::new(&plan, prepared.outcomes, outcomes, 0);
    Report { interrupted: interruption.is_heard(), ..report }
}

impl With<'_> {
    /// Waits until pulls may be left again; a sliding window gives some back long before it is over.
    async fn wait(&self, images: usize) -> bool {
        let wait = self.hosts.pull_window().unwrap_or(BETWEEN.1) / 20;
        let wait = wait.clamp(BETWEEN.0, BETWEEN.1);
        let images = mirror_failure::count(images as u64, "image");
        print::message(&format!(
            "{images} wait for a limit on pulls or requests; looking again in {} s",
            wait.as_secs()
        ));
        tokio::time::sleep(wait).await;
        self.hosts.forget_pulls();
        true
    }

    /// Finds out whether a host that was given up serves again.
    async fn probe(&self, images: usize) -> bool {
        let serving = self.hosts.serving_again(LONGEST_PROBE).await;
        if serving.is_empty() {
            return false;
        }
        let names: Vec<&str> = serving.iter().map(Registry::as_str).collect();
        let images = mirror_failure::count(images as u64, "deferred image");
        print::message(&format!("{} serves again: looking at {images} again", names.join(" and ")));
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
