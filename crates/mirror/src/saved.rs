//! Saved plans: written by `plan --out`, carried out by `apply FILE`.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;

use futures_util::{StreamExt, stream};
use mirror_copy::Graph;
use mirror_failure::{Failure, Side};
use mirror_oci::{Digest, RawManifest};
use mirror_plan::plan::{Action, Copy, Fit, Plan, SavedPlan, Unchanged, Unfit};
use mirror_plan::report::{Outcome, Status, Transfer};
use mirror_plan::want::{Source, Want, Wants};
use mirror_registry::ManifestRef;

use crate::exit::Exit;
use crate::graphs::Graphs;
use crate::hosts::Hosts;
use crate::load::Loaded;
use crate::output::{JsonLayout, Output};
use crate::{address, observe, print};

/// Look-ups on their way at once; each host has its own, lower limit.
const AT_ONCE: usize = 256;

/// A plan for ten thousand images has a few dozen MiB.
const LARGEST: u64 = 128 << 20;

/// Writes a plan with its manifests; the file is there as a whole, or not at all.
pub(crate) fn write(file: Output, plan: &Plan, graphs: &Graphs, loaded: &Loaded) -> io::Result<()> {
    let manifests = graphs.values().flatten().flat_map(|graph| graph.manifests());
    let (tree, config) = loaded.digests.clone();
    let saved = SavedPlan::new(plan.clone(), tree, config, manifests);
    file.write(&saved, JsonLayout::Compact)
}

/// Reads a plan and holds it against the tree; says why it won't do.
pub(crate) fn read(path: &Path, loaded: &Loaded) -> Result<Fit, Exit> {
    let (tree, config) = &loaded.digests;
    let fit = bytes(path, APPLIED)
        .and_then(|bytes| SavedPlan::read(&bytes).map_err(|unfit| refused(path, APPLIED, unfit)))?;
    fit.fit(tree, config, &loaded.wants).map_err(|unfit| refused(path, APPLIED, unfit))
}

/// Reads a plan to show it; it may come from anybody.
pub(crate) fn read_plan(path: &Path) -> Result<Plan, Exit> {
    let bytes = bytes(path, SHOWN)?;
    let saved = SavedPlan::read(&bytes).and_then(|saved| saved.intact().map(|()| saved.plan));
    saved.map_err(|unfit| refused(path, SHOWN, unfit))
}

/// What a plan is read for.
const APPLIED: &str = "applied";
const SHOWN: &str = "shown";

fn bytes(path: &Path, verb: &str) -> Result<Vec<u8>, Exit> {
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(LARGEST + 1).read_to_end(&mut bytes));
    let why = match read {
        Err(error) => error.to_string(),
        Ok(_) if bytes.len() as u64 > LARGEST => {
            format!("it is larger than {} MiB", LARGEST >> 20)
        }
        Ok(_) => return Ok(bytes),
    };
    Err(refused(path, verb, Unfit::Broken(why)))
}

fn refused(path: &Path, verb: &str, unfit: Unfit) -> Exit {
    let (why, help, exit) = match unfit {
        Unfit::Broken(why) => (why, "make it anew: `mirror plan --out FILE`", Exit::Usage),
        Unfit::Stale(why) => (why, "look again: `mirror plan --out FILE`", Exit::Stale),
    };
    let what = format!("the plan {} can't be {verb}", path.display());
    print::error(&what, &mirror_failure::printable(&why), Some(help));
    exit
}

/// What is left of a plan when its destinations were looked at again.
pub(crate) struct Again {
    pub(crate) plan: Plan,
    pub(crate) graphs: Graphs,
    /// Of copies that are not made.
    pub(crate) outcomes: Vec<Outcome>,
}

/// Looks at the destinations again: what has moved is left alone, what is there by now is unchanged.
pub(crate) async fn look_again(fit: Fit, wants: &Wants, hosts: &Hosts) -> Again {
    let Fit { mut plan, manifests } = fit;
    let digests: BTreeMap<Source, Result<Digest, Failure>> =
        plan.copies().map(|copy| (copy.want.source.clone(), Ok(copy.digest.clone()))).collect();
    let concerned =
        Wants { wants: plan.copies().map(|copy| copy.want.clone()).collect(), ..wants.clone() };
    let (found, unknown) =
        tokio::join!(observe::targets(&concerned, hosts, &digests), unknown(&plan, hosts));
    let mut again = Again { plan: Plan::default(), graphs: Graphs::new(), outcomes: Vec::new() };
    let mut actions = Vec::new();
    for action in std::mem::take(&mut plan.actions) {
        let Action::Copy(copy) = action else {
            actions.push(action);
            continue;
        };
        let Want { source, target, .. } = &copy.want;
        if let Some(failure) = unknown.get(source) {
            let status = Status::Failed { failure: failure.clone() };
            again.outcomes.push(ended(&copy, status));
            continue;
        }
        let unasked =
            || Err(Failure::other(Side::Destination, "it was not looked at; please report this"));
        match found.get(target).cloned().unwrap_or_else(unasked) {
            Err(failure) => again.outcomes.push(ended(&copy, Status::Failed { failure })),
            Ok(Some(now)) if now == copy.digest && !copy.is_incomplete() => plan
                .unchanged
                .push(Unchanged { want: copy.want, digest: copy.digest, signatures_owed: false }),
            Ok(now) if now.as_ref() != copy.expected() => {
                again.outcomes.push(ended(&copy, Status::Stale { found: now }));
            }
            Ok(_) => match saved(&manifests, source, &copy.digest).await {
                Ok(graph) => {
                    again.graphs.insert(source.clone(), Ok(graph));
                    actions.push(Action::Copy(copy));
                }
                Err(failure) => again.outcomes.push(ended(&copy, Status::Failed { failure })),
            },
        }
    }
    plan.actions = actions;
    again.graphs.extend(owed(&plan, &manifests).await);
    again.plan = plan;
    again
}

/// The manifests of images whose signatures are looked for again.
async fn owed(plan: &Plan, manifests: &BTreeMap<Digest, RawManifest>) -> Graphs {
    let mut graphs = Graphs::new();
    for item in plan.owed() {
        let source = &item.want.source;
        graphs.insert(source.clone(), saved(manifests, source, &item.digest).await);
    }
    graphs
}

/// An image of a saved plan.
async fn saved(
    manifests: &BTreeMap<Digest, RawManifest>,
    source: &Source,
    digest: &Digest,
) -> Result<Arc<Graph>, Failure> {
    let graph = Graph::saved(manifests, digest, &address::selection(source)).await;
    graph.map(Arc::new).map_err(Failure::from)
}

/// Images that their sources don't have, or can't be asked about. Where the tree names a tag alone, the plan is the only
/// one to say which digest that is, and whoever has had it in hands may have made one up. A look is no pull.
async fn unknown(plan: &Plan, hosts: &Hosts) -> BTreeMap<Source, Failure> {
    let unpinned = plan.copies().filter_map(|copy| {
        let source = &copy.want.source;
        let vouched = source.version.digest() == Some(&copy.digest);
        (!vouched).then(|| (source.clone(), copy.digest.clone()))
    });
    let look = |(source, digest): (Source, Digest)| async move {
        let found = match hosts.source(&source.name) {
            Err(failure) => Err(failure),
            Ok(place) => {
                let origin = place.origin;
                let look =
                    origin.host.head_manifest(&origin.repository, ManifestRef::Digest(&digest));
                look.await.map_err(|error| Failure::new(Side::Source, "", &error.into()))
            }
        };
        let failure = match found {
            Ok(Some(_)) => return None,
            Err(failure) => failure,
            Ok(None) => Failure {
                help: Some("look again: `mirror plan --out FILE`".to_owned()),
                ..Failure::other(
                    Side::Source,
                    format!("{source} has never been, or is no longer, {digest} there"),
                )
            },
        };
        Some((source, failure))
    };
    let looks = stream::iter(unpinned.collect::<Vec<_>>()).map(look).buffer_unordered(AT_ONCE);
    looks.filter_map(|found| async { found }).collect().await
}

fn ended(copy: &Copy, status: Status) -> Outcome {
    Outcome {
        want: copy.want.clone(),
        digest: copy.digest.clone(),
        status,
        transfer: Transfer::default(),
        holder: None,
        serves: None,
        warnings: Vec::new(),
    }
}
