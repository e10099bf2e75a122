//! A saved plan is held against what is there now, before it is carried out.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::{StreamExt, stream};
use mirror_copy::{Graph, ManifestSpool, Purpose, SpooledGraph};
use mirror_failure::{Cause, Failure, Side};
use mirror_oci::{Digest, Platforms};
use mirror_plan::plan::{Action, Copy, Plan, Unchanged};
use mirror_plan::report::{Outcome, Status};
use mirror_plan::want::{Source, Want, Wants};
use mirror_registry::ManifestRef;

use crate::connections::Connections;
use crate::graphs::{Graphs, Planned};
use crate::look;

/// Look-ups on their way at once; each host has its own, lower limit.
const AT_ONCE: usize = 256;

/// What is left of a plan when its destinations were looked at again.
pub(crate) struct Rechecked {
    pub(crate) plan: Plan,
    pub(crate) graphs: Graphs,
    /// Of copies that are not made.
    pub(crate) left_alone: Vec<Outcome>,
}

/// Looks at the destinations again: what has moved is left alone, what is there by now is unchanged.
pub(crate) async fn look_again(
    planned: Planned,
    wants: &Wants,
    connections: &Connections,
) -> Rechecked {
    let Planned { plan, manifests } = planned;
    let mut plan = Arc::unwrap_or_clone(plan);
    let digests: BTreeMap<Source, Result<Digest, Failure>> =
        plan.copies().map(|copy| (copy.want.source.clone(), Ok(copy.digest.clone()))).collect();
    let concerned =
        Wants { wants: plan.copies().map(|copy| copy.want.clone()).collect(), ..wants.clone() };
    let (found, unknown) =
        tokio::join!(look::targets(&concerned, connections, &digests), unknown(&plan, connections));
    let mut rechecked =
        Rechecked { plan: Plan::default(), graphs: Graphs::new(), left_alone: Vec::new() };
    let mut actions = Vec::new();
    for action in std::mem::take(&mut plan.actions) {
        let Action::Copy(copy) = action else {
            actions.push(action);
            continue;
        };
        let Want { source, target, .. } = &copy.want;
        let end = match (unknown.get(source), found.get(target)) {
            (Some(failure), _) => Status::Failed { failure: failure.clone() },
            (None, None) => {
                let why = "it was not looked at; please report this";
                Status::Failed { failure: Failure::other(Side::Destination, why) }
            }
            (None, Some(Err(failure))) => Status::Failed { failure: failure.clone() },
            (None, Some(Ok(now)))
                if now.digest() == Some(&copy.digest) && !copy.is_incomplete() =>
            {
                let Copy { want, digest, .. } = *copy;
                plan.unchanged.push(Unchanged { want, digest, signatures_owed: false });
                continue;
            }
            (None, Some(Ok(now))) if !copy.expects(now) => {
                Status::Stale { found: now.digest().cloned() }
            }
            (None, Some(Ok(_))) => match saved(&manifests, source, &copy.digest, connections).await
            {
                Ok(graph) => {
                    rechecked.graphs.insert(source.clone(), Ok(graph));
                    actions.push(Action::Copy(copy));
                    continue;
                }
                Err(failure) => Status::Failed { failure },
            },
        };
        rechecked.left_alone.push(Outcome::of(&copy.want, &copy.digest, end));
    }
    plan.actions = actions;
    for (source, graph) in owed(&plan, &manifests, &unknown, connections).await {
        rechecked.graphs.entry(source).or_insert(graph);
    }
    rechecked.plan = plan;
    rechecked
}

/// The manifests of images whose signatures are looked for again.
async fn owed(
    plan: &Plan,
    manifests: &Arc<ManifestSpool>,
    unknown: &BTreeMap<Source, Failure>,
    connections: &Connections,
) -> Graphs {
    let mut graphs = Graphs::new();
    for item in plan.owed() {
        let source = &item.want.source;
        let graph = match unknown.get(source) {
            Some(failure) => Err(failure.clone()),
            None => saved(manifests, source, &item.digest, connections).await,
        };
        graphs.insert(source.clone(), graph);
    }
    graphs
}

/// An image of a saved plan.
async fn saved(
    manifests: &Arc<ManifestSpool>,
    source: &Source,
    digest: &Digest,
    connections: &Connections,
) -> Result<Arc<SpooledGraph>, Failure> {
    let graph = Graph::saved(manifests, digest, &source.platforms).await;
    let graph = graph.map_err(Failure::from)?;
    Ok(Arc::new(SpooledGraph::keep(&graph, manifests, &connections.room)?))
}

/// Images that their sources don't have, or can't be asked about. Where the tree names a tag alone, the plan is the only
/// one to say which digest that is, and whoever has had it in hands may have made one up. A look is no pull.
async fn unknown(plan: &Plan, connections: &Connections) -> BTreeMap<Source, Failure> {
    let copied = plan.copies().map(|copy| (&copy.want.source, &copy.digest));
    let owed = plan.owed().map(|item| (&item.want.source, &item.digest));
    let unpinned = copied.chain(owed).filter_map(|(source, digest)| {
        let vouched = source.version.digest() == Some(digest);
        (!vouched).then(|| (source.clone(), digest.clone()))
    });
    let look = |(source, digest): (Source, Digest)| async move {
        let failure = match stands_for(&source, &digest, connections).await {
            Ok(true) => return None,
            Err(failure) => failure,
            Ok(false) => {
                let why = format!("{source} does not have {digest}, or no longer does");
                Failure::new(Side::Source, "", &Cause::Outdated(why))
            }
        };
        Some((source, failure))
    };
    let looks = stream::iter(unpinned.collect::<Vec<_>>()).map(look).buffer_unordered(AT_ONCE);
    looks.filter_map(|found| async { found }).collect().await
}

/// Whether a source has this digest; where one platform of a pinned index is wanted, whether it is that one. The index is
/// read once, and kept in the spool.
async fn stands_for(
    source: &Source,
    digest: &Digest,
    connections: &Connections,
) -> Result<bool, Failure> {
    if let (Platforms::One(platform), Some(_)) = (&source.platforms, source.version.digest()) {
        let origin = connections.origin(&source.name)?;
        let now = origin.resolve(&source.version, Some(platform), Purpose::Compare).await;
        return Ok(now.map_err(Failure::from)? == *digest);
    }
    let remote = connections.remote(&source.name.registry, &source.name.repository)?;
    let look = remote.head_manifest(ManifestRef::Digest(digest));
    let found = look.await.map_err(|error| Failure::new(Side::Source, "", &error.into()))?;
    Ok(found.is_some())
}
