//! What a reviewer should know of the images that others replace. These are notes: a failure to find out is none.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::{StreamExt, stream};
use mirror_copy::{About, about};
use mirror_oci::Name;
use mirror_plan::config::Location;
use mirror_plan::plan::{Before, Holder, Replaced};
use mirror_plan::want::{Source, Target, Wants};
use mirror_registry::ManifestRef;

use crate::connections::Connections;
use crate::graphs::Graphs;
use crate::look::holders;

/// Images that are looked at at once; the connections limit the requests.
const AT_ONCE: usize = 32;

/// What a look at replaced images needs.
pub(crate) struct LookContext<'a> {
    pub(crate) whole: &'a Wants,
    pub(crate) connections: &'a Connections,
    pub(crate) graphs: &'a Graphs,
    pub(crate) holder: &'a BTreeMap<Source, Holder>,
}

/// Looks at what changes replace, where that is still there, and at what replaces it: also where the destination has both.
pub(crate) async fn look(
    replaced: &[Replaced<'_>],
    context: &LookContext<'_>,
) -> BTreeMap<Target, (Before, Before)> {
    let looks: Vec<_> = replaced.iter().map(|change| look_at(change, context)).collect();
    let found = stream::iter(looks).buffer_unordered(AT_ONCE);
    found.filter_map(|found| async { found }).collect().await
}

async fn look_at(
    change: &Replaced<'_>,
    context: &LookContext<'_>,
) -> Option<(Target, (Before, Before))> {
    let Replaced { source, target, before, there } = change;
    let Location::Registry(registry) = &target.location else { return None };
    let remote = context.connections.remote(registry, &target.repository).ok()?;
    let before = about(&remote, before).await.ok()??;
    let now = match *there {
        Some(digest) => about(&remote, digest).await.ok()??,
        None => {
            let graph = context.graphs.get(*source)?.as_ref().ok()?;
            let from = match context.holder.get(*source) {
                Some(holder) => holders::origin(holder, context.whole, context.connections)?,
                None => context.connections.origin(&source.name).ok()?,
            };
            graph.load(&from.room).await.ok()?.about(&from.store).await
        }
    };
    let told = |About { platforms, created }| Before { platforms, created };
    Some(((*target).clone(), (told(before), told(now))))
}

/// Sources that have their digest no more.
pub(crate) async fn gone(
    pinned: &BTreeSet<&Source>,
    connections: &Connections,
) -> BTreeSet<Source> {
    let looks = pinned.iter().filter_map(|source| {
        let digest = source.version.digest()?;
        Some(async move {
            let Name { registry, repository } = &source.name;
            let remote = connections.remote(registry, repository).ok()?;
            let found = remote.head_manifest(ManifestRef::Digest(digest)).await;
            matches!(found, Ok(None)).then(|| (*source).clone())
        })
    });
    let found = stream::iter(looks.collect::<Vec<_>>()).buffer_unordered(AT_ONCE);
    found.filter_map(|found| async { found }).collect().await
}
