//! Looking at destinations whose registries answer in bulk, beside the protocol: repositories, and images by the hundred.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::{StreamExt, stream};
use mirror_failure::{Failure, FailureKind, RequestError, Side};
use mirror_oci::{Digest, Registry, Repository, Tag};
use mirror_plan::config::Location;
use mirror_plan::plan::Presence;
use mirror_plan::provider::Settings;
use mirror_plan::want::{RepositoryAt, RepositoryState, RepositoryWant, Target, Wants};

use crate::connections::Connections;
use crate::control::ControlPlane;

/// Repositories that are asked about at once.
const AT_ONCE: usize = 16;

/// What was seen in bulk.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) repositories: BTreeMap<RepositoryAt, Result<Option<RepositoryState>, Failure>>,
    /// Of the tags that are wanted; nothing for one that is missing.
    pub(crate) targets: BTreeMap<Target, Result<Presence, Failure>>,
    /// Targets that we may not ask about in bulk: they are asked about one by one.
    pub(crate) refused: BTreeSet<Target>,
}

/// Looks at all of them. `resolved` gives the digest that an image without tag is found by.
pub(crate) async fn look(
    wants: &Wants,
    connections: &Connections,
    resolved: impl Fn(&Target) -> Option<Digest>,
) -> Seen {
    let mut seen = Seen::default();
    let mut by_registry: BTreeMap<&Registry, BTreeMap<&Repository, Vec<&Target>>> = BTreeMap::new();
    for target in wants.wants.iter().map(|want| &want.target) {
        if let Location::Registry(registry) = &target.location {
            let repositories = by_registry.entry(registry).or_default();
            repositories.entry(&target.repository).or_default().push(target);
        }
    }
    for want in &wants.repositories {
        by_registry.entry(&want.at.registry).or_default();
    }
    for (registry, targets) in by_registry {
        let Some(plane) = connections.control_plane(registry) else { continue };
        let kept: Vec<&RepositoryWant> =
            wants.repositories.iter().filter(|want| want.at.registry == *registry).collect();
        let states = states(plane, &kept).await;
        let expected = |repository: &Repository| match &states {
            Ok(found) => found.get(repository).cloned().unwrap_or(Ok(None)),
            Err(failure) => Err(failure.clone()),
        };
        let told = kept.iter().map(|want| (want.at.clone(), expected(&want.at.repository)));
        seen.repositories.extend(told);
        let is_kept: BTreeSet<&Repository> = kept.iter().map(|want| &want.at.repository).collect();
        let looks = stream::iter(targets).map(|(repository, targets)| {
            // One that makes itself may be there or not, and so may one that we may not ask about.
            let state = match is_kept.contains(repository) {
                true if states.as_ref().is_err_and(is_refusal) => Ok(true),
                true => expected(repository).map(|state| state.is_some()),
                false => Ok(true),
            };
            let resolved = &resolved;
            async move { targets_in(plane, repository, state, targets, resolved).await }
        });
        for (target, found) in looks.buffer_unordered(AT_ONCE).concat().await {
            match found {
                Some(found) => drop(seen.targets.insert(target, found)),
                None => drop(seen.refused.insert(target)),
            }
        }
    }
    seen
}

/// Whether a failure means that we may not ask, or can't say who we are, where the registry itself may know us: another
/// account gives rights by repository, and a `docker login` holds for the registry alone.
fn is_refusal(failure: &Failure) -> bool {
    use FailureKind::{Credentials, Denied, NoCredentials};
    matches!(failure.kind, Credentials | Denied | NoCredentials)
}

/// A repository, if it is there, or why that is not known.
type RepositoryLook = Result<Option<RepositoryState>, Failure>;

async fn states(
    plane: &ControlPlane,
    kept: &[&RepositoryWant],
) -> Result<BTreeMap<Repository, RepositoryLook>, Failure> {
    let mut wanted: BTreeMap<Repository, Settings> = BTreeMap::new();
    for want in kept {
        let settings = want.settings.clone();
        wanted.entry(want.at.repository.clone()).or_default().extend(settings);
    }
    if wanted.is_empty() {
        return Ok(BTreeMap::new());
    }
    let found = plane.repositories(&wanted).await.map_err(failed)?;
    let states = found.into_iter();
    Ok(states.map(|(repository, state)| (repository, state.map_err(failed))).collect())
}

fn failed(error: RequestError) -> Failure {
    Failure::new(Side::Destination, "", &error.into())
}

/// What the targets of one repository are now, whether or not that is `there`; nothing, where we may not ask.
async fn targets_in(
    plane: &ControlPlane,
    repository: &Repository,
    there: Result<bool, Failure>,
    targets: Vec<&Target>,
    resolved: &impl Fn(&Target) -> Option<Digest>,
) -> Vec<(Target, Option<Result<Presence, Failure>>)> {
    let all = |outcome: Option<Result<Presence, Failure>>| {
        targets.iter().map(|target| ((*target).clone(), outcome.clone())).collect()
    };
    match there {
        Err(failure) => return all(Some(Err(failure))),
        Ok(false) => return all(Some(Ok(Presence::Absent))),
        Ok(true) => {}
    }
    let tags: BTreeSet<Tag> = targets.iter().filter_map(|target| target.tag.clone()).collect();
    let untagged = targets.iter().filter(|target| target.tag.is_none());
    let digests: BTreeSet<Digest> = untagged.filter_map(|target| resolved(target)).collect();
    match plane.images(repository, &tags, &digests).await {
        Err(error) => all(Some(failed(error)).filter(|it| !is_refusal(it)).map(Err)),
        Ok((by_tag, there)) => targets
            .iter()
            .map(|target| {
                let found = match &target.tag {
                    Some(tag) => by_tag.get(tag).cloned(),
                    None => resolved(target).filter(|digest| there.contains(digest)),
                };
                ((*target).clone(), Some(Ok(Presence::of(found))))
            })
            .collect(),
    }
}
