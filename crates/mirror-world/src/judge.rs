//! What reports must say: each want has one outcome, and outcome, exit code and what is at the destination agree.

use std::collections::BTreeMap;

use mirror_oci::Digest;
use mirror_plan::config::Location;
use mirror_plan::plan::{Conflict, Plan};
use mirror_plan::report::{Ending, Report, Status, Verification};
use mirror_plan::want::{Target, Want, Wants};
use mirror_testkit::world::{End, FaultKind, Machine, Run, Trouble, Violation, World};

use crate::surroundings;

/// What targets had before a run.
pub(crate) struct Before(BTreeMap<Target, Option<Digest>>);

impl Before {
    pub(crate) fn of(world: &World, wants: &Wants) -> Before {
        let targets = wants.wants.iter().map(|want| &want.target);
        Before(targets.map(|target| (target.clone(), now(world, target))).collect())
    }
}

/// What a target of a registry has now.
fn now(world: &World, target: &Target) -> Option<Digest> {
    let Location::Registry(registry) = &target.location else { return None };
    let tag = target.tag.as_ref()?;
    let registry = world.registry(registry.as_str())?;
    registry.manifest(target.repository.as_str(), tag.as_str()).map(|manifest| manifest.digest)
}

/// Each want is in exactly one list of a report.
pub(crate) fn listed_once(world: &World, wants: &Wants, report: &Report) {
    let invariant = "every want has exactly one outcome";
    once(world, invariant, &wants.wants, &outcomes(report), &report.conflicts);
}

/// Each want is in exactly one list of a plan.
pub(crate) fn plan(world: &World, wants: &Wants, plan: &Plan) {
    let copies = plan.copies().map(|copy| &copy.want);
    let unchanged = plan.unchanged.iter().map(|item| &item.want);
    let failures = plan.failures.iter().map(|failed| &failed.want);
    let listed: Vec<&Want> = copies.chain(unchanged).chain(failures).collect();
    once(world, "every want is in one list of a plan", &wants.wants, &listed, &plan.conflicts);
}

/// Each copy of a saved plan is in exactly one list of its report.
pub(crate) fn of_plan(world: &World, plan: &Plan, report: &Report) {
    let copies: Vec<Want> = plan.copies().map(|copy| copy.want.clone()).collect();
    once(
        world,
        "every copy of a saved plan has exactly one outcome",
        &copies,
        &outcomes(report),
        &[],
    );
}

/// Wants that a report tells something of.
fn outcomes(report: &Report) -> Vec<&Want> {
    let outcomes = report.outcomes.iter().map(|outcome| &outcome.want);
    let unchanged = report.unchanged.iter().map(|item| &item.want);
    let failures = report.failures.iter().map(|failed| &failed.want);
    outcomes.chain(unchanged).chain(failures).chain(&report.unreached).collect()
}

fn once(
    world: &World,
    invariant: &'static str,
    wants: &[Want],
    listed: &[&Want],
    conflicts: &[Conflict],
) {
    for want in wants {
        let conflicts = conflicts.iter().filter(|conflict| {
            conflict.files.contains(&want.file) && conflict.destination == want.target.destination
        });
        let times = listed.iter().filter(|listed| **listed == want).count() + conflicts.count();
        if times != 1 {
            let what = format!("{times} times: {} to {}", want.file, want.target.destination);
            world.violated(Violation::of(invariant, what));
        }
    }
}

/// "Done" is there, and "failed" is not claimed of what is.
pub(crate) fn report(world: &World, before: &Before, report: &Report, run: Run) {
    let disagrees = |what: String| {
        world.violated(Violation::of("the report agrees with what is there", what));
    };
    for outcome in &report.outcomes {
        let target = &outcome.want.target;
        if !matches!(target.location, Location::Registry(_)) || target.tag.is_none() {
            continue;
        }
        let (then, now) = (before.0.get(target).cloned().flatten(), now(world, target));
        let there = now.as_ref() == Some(&outcome.digest);
        match &outcome.status {
            Status::Done | Status::Refreshed if !there => {
                disagrees(format!("{} is done, and {now:?} is there", outcome.want.file));
            }
            // A registry that forgets for a moment what it has just taken can't be asked, nor can one that lies.
            Status::Failed { failure }
                if there && then != now && tells_the_truth(world, target) =>
            {
                let message = &failure.message;
                disagrees(format!("{} has failed, and is there: {message}", outcome.want.file));
            }
            _ => {}
        }
    }
    for item in &report.unchanged {
        let target = &item.want.target;
        let here = matches!(target.location, Location::Registry(_)) && target.tag.is_some();
        let now = now(world, target);
        if here && now.as_ref() != Some(&item.digest) {
            disagrees(format!("{} is unchanged, and {now:?} is there", item.want.file));
        }
    }
    let ending = report.ending();
    let all_well = report.failures.is_empty()
        && report.conflicts.is_empty()
        && report.unreached.is_empty()
        && report
            .outcomes
            .iter()
            .all(|outcome| matches!(outcome.status, Status::Done | Status::Refreshed))
        && report.repositories.iter().all(|outcome| outcome.problems.is_empty());
    let stopped = matches!(run.end, Some(End::Stop(_)));
    if (ending == Ending::Done) != all_well && !(stopped && ending == Ending::Interrupted) {
        disagrees(format!("it ended with {ending:?}, and all is well: {all_well}"));
    }
}

fn tells_the_truth(world: &World, target: &Target) -> bool {
    let Location::Registry(registry) = &target.location else { return true };
    let host = world.story.destinations().find(|host| host.name == registry.as_str());
    let lies = |trouble: &Trouble| trouble.kind == FaultKind::WrongDigest;
    host.is_none_or(|host| host.profile.settles.is_zero() && !host.troubles.iter().any(lies))
}

/// Memory stays within its limits.
pub(crate) fn memory(world: &World, machine: &Machine) {
    let (held, most) = (machine.most_held(), surroundings::most_held(world));
    if held > most {
        let what = format!("{held} bytes of {most}");
        world.violated(Violation::of("memory stays within its limits", what));
    }
}

/// Whether a want can be fulfilled: its source has what it names.
fn is_available(world: &World, want: &Want) -> bool {
    let files = world.story.files();
    let entry = files.iter().position(|(file, _)| *file == want.file).unwrap();
    let entry = &world.story.entries[entry];
    let image = &world.story.images[entry.image];
    let registry = world.registry_of(world.story.host_of(image));
    let takes_parts = match &want.target.location {
        Location::Registry(name) => {
            let mut hosts = world.story.destinations();
            hosts.any(|host| host.name == name.as_str() && host.profile.sparse)
        }
        Location::Layout(_) => true,
    };
    if !entry.platforms.is_empty() && !takes_parts {
        return false;
    }
    let digest = image.build().digest().clone();
    match entry.pinned {
        true => registry.manifest(&image.repository, digest.as_str()).is_some(),
        false => registry.manifest(&image.repository, &image.tag).is_some(),
    }
}

/// Once faults have ceased, whatever its source has is there.
pub(crate) fn converged(world: &World, wants: &Wants, report: &Report) {
    for want in wants.wants.iter().filter(|want| is_available(world, want)) {
        let unchanged = report.unchanged.iter().any(|item| item.want == *want);
        if unchanged {
            continue;
        }
        let outcome = report.outcomes.iter().find(|outcome| outcome.want == *want);
        let failed = report.failures.iter().find(|failed| failed.want == *want);
        let why = match (outcome.map(|outcome| &outcome.status), failed) {
            (Some(Status::Done | Status::Refreshed), _) => continue,
            (Some(Status::Failed { failure }), _) => failure.message.clone(),
            (_, Some(failed)) => failed.failure.message.clone(),
            (Some(status), _) => format!("{status:?}"),
            (None, None) => "it is in no list".to_owned(),
        };
        let what = format!("{} to {}: {why}", want.file, want.target.destination);
        world.violated(Violation::of("once faults cease, two runs converge", what));
    }
}

/// Then there is nothing to do.
pub(crate) fn nothing_left(world: &World, plan: &Plan) {
    if let Some(action) = plan.actions.iter().find(|action| match action {
        mirror_plan::plan::Action::Copy(copy) => is_available(world, &copy.want),
        _ => true,
    }) {
        let what = format!("{action:?}");
        world.violated(Violation::of("once faults cease, the next plan is empty", what));
    }
}

/// A run that changes nothing says the same as the one before.
pub(crate) fn same_again(world: &World, second: &Report, third: &Report) {
    if second.ending() != third.ending() {
        let what = format!("{:?} after {:?}", third.ending(), second.ending());
        world.violated(Violation::of("a run that changes nothing ends like the one before", what));
    }
}

/// What is there is whole, unless it was lost and its source can't give it any more.
pub(crate) fn whole(world: &World, report: &Report, found: &Verification) {
    for defect in found.defects.iter().filter(|defect| is_available(world, &defect.want)) {
        if report.unchanged.iter().any(|item| item.want == defect.want) {
            let what = format!("{}: {}", defect.want.file, defect.problem);
            world.violated(Violation::of("what is unchanged is whole", what));
        }
    }
    for failed in &found.failures {
        if report.unchanged.iter().any(|item| item.want == failed.want) {
            let what = format!("{}: {}", failed.want.file, failed.failure.message);
            world.violated(Violation::of("what is unchanged can be verified", what));
        }
    }
}
