//! What a reviewer should know of the images that others replace. Remarks, all of them: a failure to find out is none.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::{StreamExt, stream};
use mirror_copy::{About, about};
use mirror_oci::Digest;
use mirror_plan::config::Location;
use mirror_plan::plan::{Before, Copy, Holder, Plan};
use mirror_plan::want::{Source, Target, Want, Wants};
use mirror_registry::ManifestRef;

use crate::connections::Connections;
use crate::graphs::Graphs;
use crate::look::holders;

/// Images that are looked at at once; the connections limit the requests.
const AT_ONCE: usize = 32;

/// What looking takes.
pub(crate) struct With<'a> {
    pub(crate) wants: &'a Wants,
    pub(crate) whole: &'a Wants,
    pub(crate) connections: &'a Connections,
    pub(crate) graphs: &'a Graphs,
    pub(crate) holder: &'a BTreeMap<Source, Holder>,
}

/// An image that takes the place of another one, at a destination or in the tree.
struct Replacement<'a> {
    source: &'a Source,
    target: &'a Target,
    before: Digest,
    /// Its digest, where it is there already.
    there: Option<&'a Digest>,
}

/// Looks at what changes replace, where that is still there, and at what replaces it: also where the destination has both.
pub(crate) async fn look(plan: &Plan, with: &With<'_>) -> BTreeMap<Target, (Before, Before)> {
    let copied = plan.copies().filter_map(|copy| {
        let Want { source, target, .. } = &copy.want;
        let before = replaced(copy, with.wants)?;
        Some(Replacement { source, target, before, there: None })
    });
    let unchanged = plan.unchanged.iter().filter_map(|item| {
        let Want { source, target, .. } = &item.want;
        let before = previous(&item.want, &item.digest, with.wants)?;
        Some(Replacement { source, target, before, there: Some(&item.digest) })
    });
    let looks: Vec<_> = copied.chain(unchanged).map(|change| look_at(change, with)).collect();
    let found = stream::iter(looks).buffer_unordered(AT_ONCE);
    found.filter_map(|found| async { found }).collect().await
}

async fn look_at(change: Replacement<'_>, with: &With<'_>) -> Option<(Target, (Before, Before))> {
    let Replacement { source, target, before, there } = change;
    let Location::Registry(registry) = &target.location else { return None };
    let place = with.connections.remote(registry, &target.repository).ok()?;
    let before = about(&place, &before).await.ok()??;
    let now = match there {
        Some(digest) => about(&place, digest).await.ok()??,
        None => {
            let graph = with.graphs.get(source)?.as_ref().ok()?;
            let origin = || with.connections.origin(&source.name);
            let from = match with.holder.get(source) {
                Some(holder) => holders::source(holder, origin, with.whole, with.connections)?,
                None => origin().ok()?,
            };
            graph.about(&from.remote).await
        }
    };
    let told = |About { platforms, created }| Before { platforms, created };
    Some((target.clone(), (told(before), told(now))))
}

/// The digest of the image before, as far as it is known.
fn replaced(copy: &Copy, wants: &Wants) -> Option<Digest> {
    match &copy.change {
        mirror_plan::plan::Change::Update { from } => Some(from.clone()),
        mirror_plan::plan::Change::Complete { .. } => None,
        mirror_plan::plan::Change::Create => previous(&copy.want, &copy.digest, wants),
    }
}

/// The digest that the tree named before, if it is another one.
fn previous(want: &Want, now: &Digest, wants: &Wants) -> Option<Digest> {
    let (_, digest) = wants.previous.get(&want.file)?.split_once('@')?;
    digest.parse().ok().filter(|digest| digest != now)
}

/// Sources of images which a lifecycle policy would delete, and that have them no more.
pub(crate) async fn gone(
    wants: &Wants,
    expiring: &BTreeSet<Target>,
    connections: &Connections,
) -> BTreeSet<Source> {
    let named = wants.wants.iter().filter(|want| expiring.contains(&want.target));
    let looks = named.filter_map(|want| {
        let digest = want.source.version.digest()?;
        Some(async move {
            let remote = connections.origin(&want.source.name).ok()?.remote;
            let which = ManifestRef::Digest(digest);
            let found = remote.head_manifest(which).await;
            matches!(found, Ok(None)).then(|| want.source.clone())
        })
    });
    let found = stream::iter(looks.collect::<Vec<_>>()).buffer_unordered(AT_ONCE);
    found.filter_map(|found| async { found }).collect().await
}
