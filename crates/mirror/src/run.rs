//! Carrying out a plan: many images at once, each on its own.

use std::path::Path;
use std::sync::Arc;

use futures_util::{StreamExt, stream};
use mirror_copy::{Copier, Job, Target};
use mirror_plan::{Copy, Failure, Outcome, Place, Plan, Side, Status, Transfer};
use tokio::sync::mpsc;

use crate::hosts::{Hosts, failure};
use crate::observe::{Graphs, layout_name};
use crate::progress::Display;

/// Images on their way at once; the hosts limit the requests.
const IMAGES_AT_ONCE: usize = 48;

/// Does what the plan says; Ctrl-C stops it, and what was not finished is cancelled.
pub(crate) async fn run(
    plan: &Plan,
    graphs: &Graphs,
    hosts: &Hosts,
    spool: &Path,
    display: Display,
) -> Vec<Outcome> {
    let copies: Vec<&Copy> = plan.copies().collect();
    let mut outcomes: Vec<Option<Ended>> = copies.iter().map(|_| None).collect();
    let (events, mut moved) = mpsc::unbounded_channel();
    let display = Arc::new(display);
    let told = display.clone();
    let watcher = tokio::spawn(async move {
        while let Some(event) = moved.recv().await {
            told.moved(event);
        }
    });
    match Copier::new(spool, None, events) {
        Err(error) => {
            let failure = failure(error);
            outcomes.fill(Some((Status::Failed { failure }, Transfer::default())));
        }
        Ok(copier) => {
            let jobs: Vec<_> =
                copies.iter().enumerate().map(|(n, copy)| job(n, copy, graphs, hosts)).collect();
            jobs.iter().flatten().for_each(|job| copier.expect(job));
            copy_all(jobs, &copier, &display, &mut outcomes).await;
        }
    }
    // All senders are gone with the copier, so the watcher ends when it has told everything.
    let _ = watcher.await;
    display.finish();
    let outcome = |(copy, outcome): (&&Copy, Option<Ended>)| {
        let (status, transfer) = outcome.unwrap_or((Status::Cancelled, Transfer::default()));
        Outcome { subject: copy.subject.clone(), digest: copy.digest.clone(), status, transfer }
    };
    copies.iter().zip(outcomes).map(outcome).collect()
}

/// How a copy ended, and what was moved for it.
type Ended = (Status, Transfer);

/// Copies until everything has ended, or Ctrl-C; what is still running then is dropped.
async fn copy_all(
    jobs: Vec<Result<Job, Failure>>,
    copier: &Copier,
    display: &Display,
    outcomes: &mut [Option<Ended>],
) {
    let mut finished = stream::iter(jobs.into_iter().enumerate())
        .map(|(number, job)| async move { (number, one(number, job, copier, display).await) })
        .buffer_unordered(IMAGES_AT_ONCE);
    loop {
        tokio::select! {
            ended = finished.next() => match ended {
                Some((number, ended)) => {
                    if let Some(place) = outcomes.get_mut(number) {
                        *place = Some(ended);
                    }
                }
                None => return,
            },
            _ = tokio::signal::ctrl_c() => return,
        }
    }
}

async fn one(
    number: usize,
    job: Result<Job, Failure>,
    copier: &Copier,
    display: &Display,
) -> Ended {
    display.started(number);
    let outcome = match job {
        Ok(job) => copier.copy(&job).await.map_err(failure),
        Err(failure) => Err(failure),
    };
    let ended = match outcome {
        Ok(mirror_copy::Transfer { fetched_bytes, pushed_bytes, reused_blobs }) => {
            (Status::Done, Transfer { fetched_bytes, pushed_bytes, reused_blobs })
        }
        Err(failure) => (Status::Failed { failure }, Transfer::default()),
    };
    display.finished(number, &ended.0);
    ended
}

fn job(number: usize, copy: &Copy, graphs: &Graphs, hosts: &Hosts) -> Result<Job, Failure> {
    let missing = |what: &str| Failure {
        side: Side::Source,
        message: format!("the plan holds no {what}"),
        deferred: false,
        help: None,
    };
    let (source, target) = copy.want.as_deref().ok_or_else(|| missing("source"))?;
    let graph = graphs.get(source).cloned().ok_or_else(|| missing("manifests"))?;
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
    Ok(Job { number, source: hosts.source(&source.name)?, graph, target: to })
}
