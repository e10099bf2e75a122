//! The report as a fold of events. It can be asked for at any time, so a run that is stopped anywhere has its report.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use mirror_oci::Registry;

use crate::plan::model::{Conflict, Plan};
use crate::plan::shard::Shard;
use crate::report::event::Event;
use crate::report::model::{Outcome, Report, Status, Transfer};
use crate::want::model::{Want, Wants};
use crate::want::resource::RepositoryOutcome;

/// What is known of a run so far.
///
/// ```
/// use std::{sync::Arc, time::Duration};
/// use mirror_plan::report::{Ending, Event, ReportFold};
///
/// let mut fold = ReportFold::new(None);
/// fold.add(&Event::Looking(Arc::default()));
/// fold.add(&Event::Stopped);
/// assert_eq!(fold.report(Duration::ZERO).ending(), Ending::Interrupted);
/// assert!(fold.deferred(true).is_empty());
/// ```
#[derive(Debug, Default)]
pub struct ReportFold {
    shard: Option<Shard>,
    /// What earlier passes came to.
    earlier: Option<Report>,
    /// What was unchanged in them; a later pass may look at it again.
    unchanged: BTreeSet<Want>,
    pass: Pass,
    stopped: bool,
    authenticated: BTreeSet<Registry>,
}

/// One time through what is wanted.
#[derive(Debug, Default)]
struct Pass {
    asked: Asked,
    planned: Option<CurrentPlan>,
    left_alone: Vec<Outcome>,
    repositories: Vec<RepositoryOutcome>,
    outcomes: BTreeMap<usize, Outcome>,
    moved: BTreeMap<usize, Transfer>,
}

/// What a pass is about.
#[derive(Debug, Default)]
enum Asked {
    #[default]
    Nothing,
    /// What is in its plan.
    Known,
    Wants(Arc<Wants>),
    Saved(Arc<Plan>),
}

#[derive(Debug)]
struct CurrentPlan {
    plan: Arc<Plan>,
    refresh: bool,
}

impl ReportFold {
    /// Of a run that does all, or one part of it.
    pub fn new(shard: Option<Shard>) -> ReportFold {
        ReportFold { shard, ..ReportFold::default() }
    }

    /// Takes an event in.
    pub fn add(&mut self, event: &Event) {
        let pass = &mut self.pass;
        match event {
            Event::Looking(wants) => self.begin(Asked::Wants(wants.clone())),
            Event::Rechecking(plan) => self.begin(Asked::Saved(plan.clone())),
            Event::Planned { plan, refresh } => {
                pass.planned = Some(CurrentPlan { plan: plan.clone(), refresh: *refresh });
                if let Asked::Saved(_) = pass.asked {
                    // All of it is in this plan, or left alone.
                    pass.asked = Asked::Known;
                }
            }
            Event::LeftAlone(outcome) => pass.left_alone.push((**outcome).clone()),
            Event::Prepared(outcome) => pass.repositories.push((**outcome).clone()),
            Event::Moved { image, transfer, .. } => {
                *pass.moved.entry(*image).or_default() += *transfer;
            }
            Event::Finished(image, outcome) => {
                pass.outcomes.insert(*image, (**outcome).clone());
            }
            Event::Authenticated(registries) => self.authenticated.extend(registries.clone()),
            Event::Stopped => self.stopped = true,
            Event::Started(_)
            | Event::PassEnded
            | Event::Waiting { .. }
            | Event::ServesAgain { .. }
            | Event::Paused { .. }
            | Event::CredentialSourceFailed { .. }
            | Event::Learned { .. } => {}
        }
    }

    fn begin(&mut self, asked: Asked) {
        if !matches!(self.pass.asked, Asked::Nothing) {
            self.earlier = Some(self.so_far());
            let about = self.pass.wants();
            self.unchanged.retain(|want| !about.contains(want));
            let plan = self.pass.planned.iter().map(|planned| &planned.plan);
            let unchanged = plan.flat_map(|plan| &plan.unchanged);
            self.unchanged.extend(unchanged.map(|item| item.want.clone()));
        }
        self.pass = Pass { asked, ..Pass::default() };
    }

    /// What the run has come to after `elapsed`: what is not finished by now counts as cancelled.
    pub fn report(&self, elapsed: Duration) -> Report {
        let mut report = self.so_far();
        report.shard = self.shard.map(|shard| shard.to_string());
        report.interrupted = self.stopped;
        report.totals.milliseconds = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
        report.authenticated_sources = self.authenticated.iter().cloned().collect();
        report
    }

    /// What ended this pass waiting for a limit; `with_failures`, if what could not be looked up counts too. Nothing else
    /// waits after an earlier pass.
    pub fn deferred(&self, with_failures: bool) -> Vec<Want> {
        let outcomes = self.pass.outcomes.values().chain(&self.pass.left_alone);
        let waits = |outcome: &&Outcome| matches!(&outcome.status, Status::Failed { failure } if failure.is_deferred());
        let outcomes = outcomes.filter(waits).map(|outcome| &outcome.want);
        let planned = self.pass.planned.iter().filter(|_| with_failures);
        let failures = planned.flat_map(|planned| &planned.plan.failures);
        let failures = failures.filter(|failed| failed.failure.is_deferred());
        outcomes.chain(failures.map(|failed| &failed.want)).cloned().collect()
    }

    /// What this pass came to, after those before it.
    fn so_far(&self) -> Report {
        let Some(mut earlier) = self.earlier.clone() else { return self.pass.report() };
        // Of what waits, nobody knows more than before.
        if self.pass.planned.is_none() {
            return earlier;
        }
        let again = self.pass.wants();
        let twice = again.iter().filter(|want| self.unchanged.contains(want)).count();
        earlier.totals.unchanged = earlier.totals.unchanged.saturating_sub(twice);
        earlier.continued(&again, self.pass.report())
    }
}

impl Asked {
    /// What is asked for.
    fn wants(&self) -> Vec<Want> {
        match self {
            Asked::Nothing | Asked::Known => Vec::new(),
            Asked::Wants(wants) => wants.wants.clone(),
            Asked::Saved(plan) => plan.carried_out(false).map(|(want, _)| want.clone()).collect(),
        }
    }
}

impl Pass {
    /// What it is about, once there is a plan.
    fn wants(&self) -> BTreeSet<Want> {
        let plan = self.planned.iter().map(|planned| &planned.plan);
        let planned = plan.flat_map(|plan| {
            let copies = plan.copies().map(|copy| &copy.want);
            let unchanged = plan.unchanged.iter().map(|item| &item.want);
            copies.chain(unchanged).chain(plan.failures.iter().map(|failed| &failed.want))
        });
        let left_alone = self.left_alone.iter().map(|outcome| &outcome.want);
        // One that turned out to be blocked is in no list by itself.
        planned.chain(left_alone).cloned().chain(self.asked.wants()).collect()
    }

    fn report(&self) -> Report {
        match (&self.planned, &self.asked) {
            (Some(planned), _) => self.report_of(planned),
            (None, Asked::Nothing | Asked::Known) => Report::of_lists(Report::default(), 0),
            (None, Asked::Wants(wants)) => {
                let conflicts = wants.collisions.iter().map(Conflict::from).collect();
                let unreached = wants.wants.clone();
                Report::of_lists(Report { unreached, conflicts, ..Report::default() }, 0)
            }
            (None, Asked::Saved(plan)) => {
                let Plan { mut unchanged, conflicts, failures, .. } = Plan::clone(plan);
                unchanged.retain(|item| !item.signatures_owed);
                let (unreached, known) = (self.asked.wants(), unchanged.len());
                let lists =
                    Report { unreached, unchanged, conflicts, failures, ..Report::default() };
                Report::of_lists(lists, known)
            }
        }
    }

    fn report_of(&self, CurrentPlan { plan, refresh }: &CurrentPlan) -> Report {
        let images = plan.carried_out(*refresh).enumerate().map(|(number, (want, digest))| {
            let transfer = self.moved.get(&number).copied().unwrap_or_default();
            match self.outcomes.get(&number) {
                Some(outcome) => Outcome { transfer, ..outcome.clone() },
                None => Outcome { transfer, ..Outcome::of(want, digest, Status::Cancelled) },
            }
        });
        let outcomes = images.chain(self.left_alone.iter().cloned()).collect();
        let mut repositories = self.repositories.clone();
        // They are prepared in the order of the plan.
        let left = plan.repositories().skip(repositories.len());
        repositories.extend(left.map(|(create, action)| RepositoryOutcome {
            at: action.at.clone(),
            create,
            problems: Vec::new(),
            cancelled: true,
        }));
        Report::new(plan, repositories, outcomes)
    }
}
