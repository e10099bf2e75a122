//! Looking at destinations in Amazon ECR: repositories and images in bulk, through AWS.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::{StreamExt, stream};
use mirror_ecr::Ecr;
use mirror_failure::{Failure, Side};
use mirror_oci::{Digest, Registry, Repository, Tag};
use mirror_plan::config::Place;
use mirror_plan::provider::ecr::Setting;
use mirror_plan::want::{RepositoryAt, RepositoryState, RepositoryWant, Target, Wants};
use serde_json::Value;

use crate::connections::Connections;

/// Repositories that are asked about at once.
const AT_ONCE: usize = 16;

/// What was seen at destinations in ECR.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) repositories: BTreeMap<RepositoryAt, Result<Option<RepositoryState>, Failure>>,
    /// Of the tags that are wanted; nothing for one that is missing.
    pub(crate) targets: BTreeMap<Target, Result<Option<Digest>, Failure>>,
}

/// Looks at all of them. `resolved` gives the digest that an image without tag is found by.
pub(crate) async fn look(
    wants: &Wants,
    connections: &Connections,
    resolved: impl Fn(&Target) -> Option<Digest>,
) -> Seen {
    let mut seen = Seen::default();
    let mut by_registry: BTreeMap<&Registry, Vec<&RepositoryWant>> = BTreeMap::new();
    for want in &wants.repositories {
        by_registry.entry(&want.at.registry).or_default().push(want);
    }
    for (registry, repositories) in by_registry {
        let Some(ecr) = connections.ecr(registry) else { continue };
        let states = states(ecr, &repositories).await;
        let expected = |want: &RepositoryWant| match &states {
            Ok(found) => found.get(&want.at.repository).cloned().unwrap_or(Ok(None)),
            Err(failure) => Err(failure.clone()),
        };
        seen.repositories.extend(repositories.iter().map(|want| (want.at.clone(), expected(want))));
        let looks = stream::iter(&repositories).map(|want| {
            let targets: Vec<&Target> = wants
                .wants
                .iter()
                .map(|want| &want.target)
                .filter(|t| is_in(t, &want.at))
                .collect();
            let state = expected(want);
            let resolved = &resolved;
            async move { targets_in(ecr, want, state, targets, resolved).await }
        });
        seen.targets.extend(looks.buffer_unordered(AT_ONCE).concat().await);
    }
    seen
}

/// Whether a target is in this repository.
fn is_in(target: &Target, at: &RepositoryAt) -> bool {
    target.destination == at.destination
        && target.repository == at.repository
        && matches!(&target.place, Place::Registry(registry) if *registry == at.registry)
}

/// A repository, if it is there, or why that is not known.
type State = Result<Option<RepositoryState>, Failure>;

async fn states(
    ecr: &Ecr,
    repositories: &[&RepositoryWant],
) -> Result<BTreeMap<Repository, State>, Failure> {
    let mut wanted: BTreeMap<Repository, BTreeSet<Setting>> = BTreeMap::new();
    let mut policies: BTreeMap<Repository, Value> = BTreeMap::new();
    for want in repositories {
        let repository = &want.at.repository;
        wanted.entry(repository.clone()).or_default().extend(want.settings.keys());
        let policy = want.settings.get(&Setting::LifecyclePolicy).cloned();
        policies.extend(policy.map(|policy| (repository.clone(), policy)));
    }
    let found = ecr
        .repositories(&wanted)
        .await
        .map_err(|error| Failure::new(Side::Destination, "", &error.into()))?;
    let previewed = stream::iter(found).map(|(repository, state)| {
        let policy = policies.get(&repository);
        async move {
            let state = match state {
                Ok(Some(state)) => Ok(Some(preview(ecr, &repository, state, policy).await)),
                Ok(None) => Ok(None),
                Err(error) => Err(Failure::new(Side::Destination, "", &error.into())),
            };
            (repository, state)
        }
    });
    Ok(previewed.buffer_unordered(AT_ONCE).collect().await)
}

/// Asks what a lifecycle policy would delete, before it is made the repository's.
async fn preview(
    ecr: &Ecr,
    repository: &Repository,
    mut state: RepositoryState,
    policy: Option<&Value>,
) -> RepositoryState {
    let Some(policy) = policy else { return state };
    let now = state.settings.get(&Setting::LifecyclePolicy);
    if mirror_plan::provider::ecr::is_same(Setting::LifecyclePolicy, now, policy) {
        return state;
    }
    match ecr.would_expire(repository, policy).await {
        Ok(expiring) => state.expiring = expiring,
        Err(error) => state.no_preview = Some(error.to_string()),
    }
    state
}

/// What the targets of one repository are now: one call for each hundred.
async fn targets_in(
    ecr: &Ecr,
    want: &RepositoryWant,
    state: State,
    targets: Vec<&Target>,
    resolved: &impl Fn(&Target) -> Option<Digest>,
) -> Vec<(Target, Result<Option<Digest>, Failure>)> {
    let all = |outcome: Result<Option<Digest>, Failure>| {
        targets.iter().map(|target| ((*target).clone(), outcome.clone())).collect()
    };
    match state {
        Err(failure) => return all(Err(failure)),
        Ok(None) => return all(Ok(None)),
        Ok(Some(_)) => {}
    }
    let tags: BTreeSet<Tag> = targets.iter().filter_map(|target| target.tag.clone()).collect();
    let untagged = targets.iter().filter(|target| target.tag.is_none());
    let digests: BTreeSet<Digest> = untagged.filter_map(|target| resolved(target)).collect();
    match ecr.images(&want.at.repository, &tags, &digests).await {
        Err(error) => all(Err(Failure::new(Side::Destination, "", &error.into()))),
        Ok((by_tag, there)) => targets
            .iter()
            .map(|target| {
                let found = match &target.tag {
                    Some(tag) => by_tag.get(tag).cloned(),
                    None => resolved(target).filter(|digest| there.contains(digest)),
                };
                ((*target).clone(), Ok(found))
            })
            .collect(),
    }
}
