//! Making and keeping repositories, before images are copied there.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::{StreamExt, stream};
use mirror_failure::{Failure, Side};
use mirror_oci::{Digest, Registry, Repository};
use mirror_plan::config::Location;
use mirror_plan::plan::Plan;
use mirror_plan::provider::{Provider, Settings};
use mirror_plan::report::Event;
use mirror_plan::want::{RepositoryAction, RepositoryOutcome, RepositoryProblem, Target};

use crate::connections::Connections;
use crate::control::ControlPlane;
use crate::event::Events;
use crate::stop::Stop;

/// Repositories at once. Making one has a rate of its own, which AWS does not tell.
const AT_ONCE: usize = 8;

/// Repositories as they are now.
#[derive(Debug, Default)]
pub(crate) struct Prepared {
    /// Those that could not be made, and why.
    missing: BTreeMap<(Registry, Repository), Failure>,
    /// Those that were made just now, and are empty.
    new: BTreeSet<(Registry, Repository)>,
}

/// Carries out what the plan says of repositories, and tells what became of each. When it is asked to stop, the rest is
/// left; what was on its way may have been done or not.
pub(crate) async fn prepare(
    plan: &Plan,
    connections: &Connections,
    stop: &Stop,
    events: &Events,
) -> Prepared {
    let mut prepared = Prepared::default();
    let mut work = stream::iter(plan.repositories())
        .map(|(create, action)| one(create, action, connections))
        .buffered(AT_ONCE);
    loop {
        tokio::select! {
            biased;
            next = work.next() => match next {
                Some((outcome, made)) => {
                    prepared.add(&outcome, made);
                    events.send(Event::Prepared(Box::new(outcome)));
                }
                None => break,
            },
            () = stop.wait() => return prepared,
        }
    }
    let copied: BTreeSet<&Registry> = plan
        .copies()
        .filter_map(|copy| match &copy.want.target.location {
            Location::Registry(registry) => Some(registry),
            Location::Layout(_) => None,
        })
        .collect();
    for plane in copied.into_iter().filter_map(|registry| connections.control_plane(registry)) {
        tokio::select! {
            biased;
            () = stop.wait() => return prepared,
            () = plane.learn_capabilities() => {}
        }
    }
    prepared
}

impl Prepared {
    fn add(&mut self, outcome: &RepositoryOutcome, made: bool) {
        let key = (outcome.at.registry.clone(), outcome.at.repository.clone());
        let fatal = outcome.problems.iter().find(|problem| problem.setting.is_none());
        if let Some(problem) = fatal.filter(|_| outcome.create) {
            self.missing.insert(key, problem.failure.clone());
        } else if made {
            self.new.insert(key);
        }
    }

    /// Why nothing can be copied to this target.
    pub(crate) fn blocked(&self, target: &Target) -> Option<Failure> {
        let Location::Registry(registry) = &target.location else { return None };
        let failure = self.missing.get(&(registry.clone(), target.repository.clone()))?;
        let message = format!("its repository could not be made: {}", failure.message);
        Some(failure.clone().saying(&message))
    }

    /// Which of these blobs the target has, where that is asked in bulk. Not to know costs uploads, nothing else.
    pub(crate) async fn blobs_there(
        &self,
        target: &Target,
        blobs: Vec<Digest>,
        connections: &Connections,
    ) -> Option<BTreeSet<Digest>> {
        let Location::Registry(registry) = &target.location else { return None };
        let plane = connections.control_plane(registry)?;
        if self.new.contains(&(registry.clone(), target.repository.clone())) {
            return Some(BTreeSet::new());
        }
        let present = plane.present_blobs(&target.repository, &blobs).await;
        present.unwrap_or_else(|error| {
            tracing::debug!(%error, "which blobs are there is unknown");
            None
        })
    }
}

/// What became of one repository, and whether it was made just now.
async fn one(
    create: bool,
    action: &RepositoryAction,
    connections: &Connections,
) -> (RepositoryOutcome, bool) {
    let at = action.at.clone();
    let mut outcome = RepositoryOutcome { at, create, problems: Vec::new(), cancelled: false };
    let Some(plane) = connections.control_plane(&action.at.registry) else {
        let message = format!("{} was not prepared", action.at.registry);
        let failure = Failure::other(Side::Destination, message);
        outcome.problems.push(RepositoryProblem { setting: None, failure });
        return (outcome, false);
    };
    let mut settings: Settings =
        action.settings.iter().map(|change| (change.setting, change.to.clone())).collect();
    let mut made = false;
    if create {
        match plane.create(&action.at.repository, &settings).await {
            Ok(new) => {
                made = new;
                // What was given with its making is made; another run may have had other wishes.
                let provider = Provider::of(&action.at.registry);
                settings.retain(|setting, _| {
                    let row = provider.setting(*setting);
                    row.is_some_and(|row| !row.at_creation || (!new && !row.is_fixed))
                });
            }
            Err(error) => {
                let failure = Failure::new(Side::Destination, "", &error.into());
                outcome.problems.push(RepositoryProblem { setting: None, failure });
                return (outcome, false);
            }
        }
    }
    outcome.problems.extend(set_all(plane, &action.at.repository, &settings).await);
    (outcome, made)
}

async fn set_all(
    plane: &ControlPlane,
    repository: &Repository,
    settings: &Settings,
) -> Vec<RepositoryProblem> {
    let mut problems = Vec::new();
    for (setting, value) in settings {
        if let Err(error) = plane.set(repository, *setting, value).await {
            let failure = Failure::new(Side::Destination, "", &error.into());
            problems.push(RepositoryProblem { setting: Some(*setting), failure });
        }
    }
    problems
}
