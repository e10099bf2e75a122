//! Carrying out a plan: many images at once, each on its own.

use std::sync::Arc;

use futures_util::{StreamExt, stream};
use mirror_copy::{Copier, Job, Target};
use mirror_plan::{Copy, Failure, Outcome, Place, Plan, Side, Status, Transfer};
use tokio::sync::mpsc;

use crate::environment;
use crate::hosts::{Hosts, failure};
use crate::observe::{Graphs, layout_name};
use crate::progress::Display;

/// Images on their way at once; the hosts limit the requests.
const IMAGES_AT_ONCE: usize = 16;

/// Does what the plan says; Ctrl-C stops it, and what was not finished is cancelled.
pub(crate) async fn run(
    plan: &Plan,
    graphs: &Graphs,
    hosts: &Hosts,
    display: Display,
) -> Vec<Outcome> {
    let copies: Vec<&Copy> = plan.copies().collect();
    let mut outcomes: Vec<Option<(Status, Transfer)>> = copies.iter().map(|_| None).collect();
    let (events, mut moved) = mpsc::unbounded_channel();
    let display = Arc::new(display);
    let told = display.clone();
    let watcher = tokio::spawn(async move {
        while let Some(event) = moved.recv().await {
            told.moved(event);
        }
    });
    match Copier::new(&environment::temporary_folder(), events) {
        Err(error) => {
            let failure = failure(error);
            outcomes.fill(Some((Status::Failed { failure }, Transfer::default())));
        }
        Ok(copier) => {
            let mut finished = stream::iter(copies.iter().enumerate())
                .map(|(number, copy)| one(number, copy, graphs, hosts, &copier, &display))
                .buffer_unordered(IMAGES_AT_ONCE);
            loop {
                tokio::select! {
                    next = finished.next() => match next {
                        Some((number, outcome)) => if let Some(place) = outcomes.get_mut(number) { *place = Some(outcome) },
                        None => break,
                    },
                    _ = tokio::signal::ctrl_c() => break,
                }
            }
        }
    }
    // All senders are gone with the copier, so the watcher ends when it has told everything.
    let _ = watcher.await;
    display.finish();
    let outcome = |(copy, outcome): (&&Copy, Option<(Status, Transfer)>)| {
        let (status, transfer) = outcome.unwrap_or((Status::Cancelled, Transfer::default()));
        Outcome { subject: copy.subject.clone(), digest: copy.digest.clone(), status, transfer }
    };
    copies.iter().zip(outcomes).map(outcome).collect()
}

async fn one(
    number: usize,
    copy: &Copy,
    graphs: &Graphs,
    hosts: &Hosts,
    copier: &Copier,
    display: &Display,
) -> (usize, (Status, Transfer)) {
    display.started(number);
    let outcome = match job(number, copy, graphs, hosts) {
        Ok(job) => copier.copy(&job).await.map_err(failure),
        Err(failure) => Err(failure),
    };
    let outcome = match outcome {
        Ok(mirror_copy::Transfer { fetched_bytes, pushed_bytes, reused_blobs }) => {
            (Status::Done, Transfer { fetched_bytes, pushed_bytes, reused_blobs })
        }
        Err(failure) => (Status::Failed { failure }, Transfer::default()),
    };
    display.finished(number, &outcome.0);
    (number, outcome)
}

fn job(number: usize, copy: &Copy, graphs: &Graphs, hosts: &Hosts) -> Result<Job, Failure> {
    let missing = |what: &str| Failure {
        side: Side::Source,
        message: format!("the plan holds no {what}"),
        help: None,
    };
    let (source, target) = copy.want.as_deref().ok_or_else(|| missing("source"))?;
    let graph = graphs.get(source).cloned().ok_or_else(|| missing("manifests"))?;
    let host = hosts.registry(&source.name.registry)?;
    let to = match &target.place {
        Place::Registry(registry) => Target::Registry {
            host: hosts.registry(registry)?,
            repository: target.repository.clone(),
            tag: target.tag.clone(),
        },
        Place::Layout(folder) => Target::Layout {
            layout: hosts.layout(folder)?,
            name: layout_name(target, Some(&copy.digest)),
        },
    };
    let source = mirror_copy::Source { host, repository: source.name.repository.clone() };
    Ok(Job { number, source, graph, target: to })
}
