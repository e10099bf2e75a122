//! Carrying out a plan: many images at once, each on its own.

use std::sync::Arc;

use futures_util::{StreamExt, stream};
use mirror_copy::{Companions, Copied, Copier, CopyJob, Event, Scope, WarningKind};
use mirror_failure::{Failure, Side};
use mirror_plan::plan::{Holder, Plan};
use mirror_plan::report::{Outcome, Status};
use mirror_plan::want::Wants;
use tokio::sync::{mpsc, oneshot};

use crate::connections::Connections;
use crate::event::{self, Events};
use crate::graphs::Graphs;
use crate::look::holders;
use crate::prepare::Prepared;
use crate::stop::Stop;
use crate::surroundings::Surroundings;
use crate::tasks::{self, Ended, Manner, Task, Traffic};

/// Images on their way at once; the connections limit the requests.
const IMAGES_AT_ONCE: usize = 48;

/// Does what the plan says; Ctrl-C stops it, and what was not finished is cancelled.
pub(crate) async fn run(
    plan: &Plan,
    graphs: &Graphs,
    connections: &Connections,
    manner: &Manner<'_>,
    prepared: &Prepared,
    told: &Events,
) -> Vec<Outcome> {
    let tasks = tasks::of(plan, manner);
    let mut outcomes: Vec<Option<Ended>> = tasks.iter().map(|_| None).collect();
    let (events, moved) = mpsc::unbounded_channel();
    let traffic = Arc::new(Traffic::default());
    let (over, ended) = oneshot::channel();
    let watcher = tokio::spawn(watch(moved, ended, told.clone(), traffic.clone()));
    let Surroundings { spool, world, .. } = manner.surroundings;
    match Copier::new(spool, None, world, events) {
        Err(error) => {
            let failure = Failure::from(error);
            outcomes.fill_with(|| Some(Ended::failed(failure.clone())));
        }
        Ok(copier) => {
            let jobs = prospects(&tasks, graphs, connections, manner, prepared);
            jobs.iter().flat_map(|one| &one.job).for_each(|job| copier.expect(job));
            let wants = manner.wants;
            let with = With {
                copier: &copier,
                told,
                connections,
                wants,
                companions: tasks::companions(manner.referrers),
                prepared,
            };
            copy_all(jobs, &with, manner.stop, &mut outcomes).await;
            // What ended in the middle may have left something open at a registry that has little of it.
            connections.end_sessions().await;
        }
    }
    // The copier and its senders are gone. An upload that was refused early may still be on its way out of a
    // connection, with a sender of its own; nobody waits for that.
    let _ = over.send(());
    let _ = watcher.await;
    tasks::remember(&tasks, &outcomes, connections);
    let numbered = tasks.iter().zip(outcomes).enumerate();
    numbered.map(|(n, (task, ended))| task.outcome(ended, traffic.of(n))).collect()
}

/// Counts and tells what moves, until all of it is told and the work is over.
async fn watch(
    mut moved: mpsc::UnboundedReceiver<Event>,
    mut over: oneshot::Receiver<()>,
    told: Events,
    traffic: Arc<Traffic>,
) {
    loop {
        let event = tokio::select! {
            biased;
            event = moved.recv() => event,
            _ = &mut over => None,
        };
        let Some(event) = event else { return };
        traffic.count(event);
        let _ = told.send(event::Event::Moved(event));
    }
}

/// What there is to copy, and what can't be.
fn prospects<'a>(
    tasks: &'a [Task<'a>],
    graphs: &Graphs,
    connections: &Connections,
    manner: &Manner<'_>,
    prepared: &Prepared,
) -> Vec<Prospect<'a>> {
    let prospect = |(n, task): (usize, &'a Task<'a>)| {
        let job = match prepared.hindrance(&task.want.target) {
            Some(failure) => Err(failure),
            None => task.job(n, graphs, connections, manner),
        };
        let owed = task.scope == Scope::Companions && !manner.refresh;
        Prospect { job, task, owed }
    };
    tasks.iter().enumerate().map(prospect).collect()
}

/// What every copy works with.
struct With<'a> {
    copier: &'a Copier,
    told: &'a Events,
    connections: &'a Connections,
    wants: &'a Wants,
    /// What to do about signatures, wherever an image is taken from.
    companions: Companions,
    prepared: &'a Prepared,
}

/// Something to copy, or why it can't be.
struct Prospect<'a> {
    job: Result<CopyJob, Failure>,
    task: &'a Task<'a>,
    /// Whether it is about signatures that an earlier run could not look for.
    owed: bool,
}

/// Copies until everything has ended, or Ctrl-C; what is still running then is dropped.
async fn copy_all(
    jobs: Vec<Prospect<'_>>,
    with: &With<'_>,
    stop: &Stop,
    outcomes: &mut [Option<Ended>],
) {
    let mut finished = stream::iter(jobs.into_iter().enumerate())
        .map(|(number, job)| async move { (number, one(number, job, with).await) })
        .buffer_unordered(IMAGES_AT_ONCE);
    loop {
        tokio::select! {
            biased;
            ended = finished.next() => match ended {
                Some((number, ended)) => {
                    if let Some(place) = outcomes.get_mut(number) {
                        *place = Some(ended);
                    }
                }
                None => return,
            },
            () = stop.wait() => return,
        }
    }
}

async fn one(number: usize, prospect: Prospect<'_>, with: &With<'_>) -> Ended {
    let Prospect { job, task, owed } = prospect;
    let _ = with.told.send(event::Event::Started(number));
    let ended = match job {
        Ok(job) => copy(job, task, with).await,
        // It is there, and its signatures are still owed.
        Err(failure) if owed => {
            let message = format!("{}: {}", failure.side, failure.message);
            let warning = mirror_copy::Warning { kind: WarningKind::Unknown, message, again: true };
            let copied = Copied { warnings: vec![warning], ..Copied::default() };
            Ended { status: Status::Refreshed, copied, holder: None }
        }
        Err(failure) => Ended::failed(failure),
    };
    let _ = with.told.send(event::Event::Finished(number, ended.status.clone()));
    ended
}

async fn copy(mut job: CopyJob, task: &Task<'_>, with: &With<'_>) -> Ended {
    if job.scope == Scope::Image {
        let target = &task.want.target;
        let blobs = job.graph.blobs.iter().map(|blob| blob.digest.clone()).collect();
        job.present = with.prepared.blobs_there(target, blobs, with.connections).await;
    }
    let mut tried: Vec<Holder> = task.holder.cloned().into_iter().collect();
    let mut outcome = with.copier.copy(&job).await;
    while let Err(error) = &outcome
        && error.side() == Side::Source
        && !error.is_of_companions()
        && let Some(next) =
            instead(&mut job, Failure::from(error.clone()), &tried, task, with).await
    {
        tried.push(next);
        with.copier.expect(&job);
        outcome = with.copier.copy(&job).await;
    }
    let first = tried.first().map(|holder| holder.failure.clone());
    let holder = tried.pop();
    let in_layout = holder.as_ref().is_some_and(|one| holders::is_in_layout(one, with.wants));
    if let (Ok(copied), Some(holder)) = (&mut outcome, &holder)
        && (!holder.failure.is_gone() || in_layout)
        && with.companions != Companions::Leave
    {
        // Those that the holder has came along; what the source has by now nobody knows.
        let message = if in_layout {
            "source: they are not looked for in the layout that holds the image".to_owned()
        } else {
            format!("source: {}", holder.failure.message)
        };
        let (kind, again) = (WarningKind::Unknown, !holder.failure.is_gone());
        copied.warnings.push(mirror_copy::Warning { kind, message, again });
    }
    let (status, copied) = match outcome {
        Ok(copied) if job.scope == Scope::Image => (Status::Done, copied),
        Ok(copied) => (Status::Refreshed, copied),
        Err(error) => match error.moved() {
            Some(found) => (Status::Stale { found: found.cloned() }, Copied::default()),
            // What those that held it have failed with is not what its source has.
            None => {
                let failure = Failure::from(error.clone());
                let of_holder = first.filter(|_| error.side() == Side::Source);
                return Ended::failed(match of_holder {
                    Some(first) => first.with_help(&failure.message),
                    None => failure,
                });
            }
        },
    };
    Ended { status, copied, holder }
}

/// Makes a job take its image from a destination that holds it, where the source has failed in the middle, or those that
/// held it have.
async fn instead(
    job: &mut CopyJob,
    mut failure: Failure,
    tried: &[Holder],
    task: &Task<'_>,
    with: &With<'_>,
) -> Option<Holder> {
    let source = &task.want.source;
    if let Some(first) = tried.first() {
        // Why it is not taken from its source is still what the source has failed with.
        failure = first.failure.clone();
    }
    let hidden = !failure.is_gone() && with.companions == Companions::Require;
    if job.scope != Scope::Image || hidden {
        return None;
    }
    let (wants, connections) = (with.wants, with.connections);
    let found =
        holders::find(source, task.digest, &failure, tried, wants, connections).await.ok()?;
    let origin = || connections.origin(&source.name);
    job.origin = holders::origin(&found.holder, origin, wants, connections)?;
    let in_layout = holders::is_in_layout(&found.holder, wants);
    if in_layout && job.companions == Companions::Require {
        return None;
    }
    job.companions = if in_layout { Companions::Leave } else { with.companions };
    job.graph = found.graph;
    Some(found.holder)
}
