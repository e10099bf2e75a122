//! What a reviewer should know of the images that others replace. Remarks, all of them: a failure to find out is none.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::{StreamExt, stream};
use mirror_copy::{About, about};
use mirror_oci::Digest;
use mirror_plan::{Before, Change, Copy, Place, Plan, Source, Target, Wants};
use mirror_registry::ManifestRef;

use crate::hosts::Hosts;
use crate::observe::Graphs;

/// Images that are looked at at once; the hosts limit the requests.
const AT_ONCE: usize = 32;

/// Looks at what copies replace, where it is still there: under the tag, or under the digest that the tree named before.
pub(crate) async fn look(plan: &Plan, wants: &Wants, hosts: &Hosts) -> BTreeMap<Target, Before> {
    let replaced = plan.copies().filter_map(|copy| {
        let (_, target) = copy.want.as_deref()?;
        let digest = replaced(copy, wants)?;
        Some((target, digest))
    });
    let looks = replaced.map(|(target, digest)| async move {
        let Place::Registry(registry) = &target.place else { return None };
        let place = hosts.place(registry, &target.repository).ok()?;
        let About { platforms, created } = about(&place.origin, &digest).await.ok()??;
        Some((target.clone(), Before { platforms, created }))
    });
    let found = stream::iter(looks.collect::<Vec<_>>()).buffer_unordered(AT_ONCE);
    found.filter_map(|found| async { found }).collect().await
}

/// The digest of the image before, as far as it is known.
fn replaced(copy: &Copy, wants: &Wants) -> Option<Digest> {
    match &copy.change {
        Change::Update { from } => Some(from.clone()),
        Change::Complete { .. } => None,
        Change::Create => {
            let (_, digest) = wants.previous.get(&copy.subject.file)?.split_once('@')?;
            digest.parse().ok().filter(|digest| *digest != copy.digest)
        }
    }
}

/// What those images say of themselves that replace others.
pub(crate) async fn now(
    plan: &Plan,
    before: &BTreeMap<Target, Before>,
    graphs: &Graphs,
    hosts: &Hosts,
) -> BTreeMap<Source, About> {
    let replacing = plan.copies().filter_map(|copy| {
        let (source, target) = copy.want.as_deref()?;
        before.contains_key(target).then_some(source)
    });
    let distinct: BTreeSet<&Source> = replacing.collect();
    let looks = distinct.into_iter().map(|source| async move {
        let graph = graphs.get(source)?.as_ref().ok()?;
        let place = hosts.source(&source.name).ok()?;
        Some((source.clone(), graph.about(&place.origin).await))
    });
    let found = stream::iter(looks.collect::<Vec<_>>()).buffer_unordered(AT_ONCE);
    found.filter_map(|found| async { found }).collect().await
}

/// Sources of images which a lifecycle policy would delete, and that have them no more.
pub(crate) async fn gone(
    wants: &Wants,
    expiring: &BTreeSet<Target>,
    hosts: &Hosts,
) -> BTreeSet<Source> {
    let named = wants.wants.iter().filter(|want| expiring.contains(&want.target));
    let looks = named.filter_map(|want| {
        let digest = want.source.version.digest()?;
        Some(async move {
            let place = hosts.source(&want.source.name).ok()?.origin;
            let which = ManifestRef::Digest(digest);
            let found = place.host.head_manifest(&place.repository, which).await;
            matches!(found, Ok(None)).then(|| want.source.clone())
        })
    });
    let found = stream::iter(looks.collect::<Vec<_>>()).buffer_unordered(AT_ONCE);
    found.filter_map(|found| async { found }).collect().await
}
