//! Carrying out a plan: many images at once, each on its own.

use std::sync::Arc;

use futures_util::{StreamExt, stream};
use mirror_copy::{Copied, Copier, CopyJob, Parts, ReferrerPolicy, ReferrerProblem, SpooledGraph};
use mirror_failure::{Failure, Side};
use mirror_plan::plan::{Holder, Plan};
use mirror_plan::report::{Event, Status};

use crate::connections::Connections;
use crate::event::Events;
use crate::graphs::Graphs;
use crate::look::holders;
use crate::prepare::Prepared;
use crate::surroundings::Surroundings;
use crate::tasks::{self, RunOptions, Task, TaskEnd};

/// Images on their way at once; the connections limit the requests.
const IMAGES_AT_ONCE: usize = 48;

/// Does what the plan says, and tells how each image ends. When it is asked to stop, what is not finished is left.
pub(crate) async fn run(
    plan: &Plan,
    graphs: &Graphs,
    connections: &Connections,
    options: &RunOptions<'_>,
    prepared: &Prepared,
    events: &Events,
) {
    let tasks = tasks::of(plan, options);
    let Surroundings { spool, world, .. } = options.surroundings;
    let copier = match Copier::new(spool, None, world, events.traffic()) {
        Ok(copier) => copier,
        Err(error) => {
            let failure = Failure::from(error);
            for (number, task) in tasks.iter().enumerate() {
                let end = TaskEnd::failed(failure.clone());
                events.send(Event::Finished(number, Box::new(task.outcome(&end))));
            }
            return;
        }
    };
    let queue = queue(&tasks, graphs, options, prepared);
    queue.iter().flat_map(|one| &one.graph).for_each(|graph| copier.expect(graph.blobs()));
    let context = RunContext {
        copier: &copier,
        events,
        connections,
        options,
        referrers: tasks::referrers(options.referrers),
        prepared,
    };
    let mut ends = Ends { tasks: &tasks, ends: tasks.iter().map(|_| None).collect(), connections };
    copy_all(queue, &context, &mut ends.ends).await;
    // What ended in the middle may have left something open at a registry that has little of it.
    connections.end_sessions().await;
}

/// How tasks ended. What the next run should know of them is kept when this goes, also when the run is dropped.
struct Ends<'a> {
    tasks: &'a [Task<'a>],
    ends: Vec<Option<TaskEnd>>,
    connections: &'a Connections,
}

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        tasks::remember(self.tasks, &self.ends, self.connections);
    }
}

/// What there is to copy, and what can't be.
fn queue<'a>(
    tasks: &'a [Task<'a>],
    graphs: &Graphs,
    options: &RunOptions<'_>,
    prepared: &Prepared,
) -> Vec<Queued<'a>> {
    let queue = |(number, task): (usize, &'a Task<'a>)| {
        let graph = match prepared.blocked(&task.want.target) {
            Some(failure) => Err(failure),
            None => task.graph(graphs),
        };
        let owed = task.parts == Parts::Referrers && !options.refresh;
        Queued { number, graph, task, owed }
    };
    tasks.iter().enumerate().map(queue).collect()
}

/// What every copy works with.
struct RunContext<'a> {
    copier: &'a Copier,
    events: &'a Events,
    connections: &'a Connections,
    options: &'a RunOptions<'a>,
    /// What to do about signatures, wherever an image is taken from.
    referrers: ReferrerPolicy,
    prepared: &'a Prepared,
}

/// An image that waits for its turn.
struct Queued<'a> {
    number: usize,
    /// What it consists of, or why it can't be copied.
    graph: Result<Arc<SpooledGraph>, Failure>,
    task: &'a Task<'a>,
    /// Whether it is about signatures that an earlier run could not look for.
    owed: bool,
}

/// Copies until everything has ended, or it is asked to stop; what is still running then is dropped.
async fn copy_all(queue: Vec<Queued<'_>>, context: &RunContext<'_>, ends: &mut [Option<TaskEnd>]) {
    let mut finished = stream::iter(queue)
        .map(|queued| async move { (queued.number, one(queued, context).await) })
        .buffer_unordered(IMAGES_AT_ONCE);
    loop {
        tokio::select! {
            biased;
            ended = finished.next() => match ended {
                Some((number, end)) => {
                    if let Some(slot) = ends.get_mut(number) {
                        *slot = Some(end);
                    }
                }
                None => return,
            },
            () = context.options.stop.wait() => return,
        }
    }
}

async fn one(queued: Queued<'_>, context: &RunContext<'_>) -> TaskEnd {
    let Queued { number, graph, task, owed } = queued;
    context.events.send(Event::Started(number));
    let expected = graph.clone();
    let job = match graph {
        Ok(graph) => task.job(number, &graph, context.connections, context.options).await,
        Err(failure) => Err(failure),
    };
    if let (Err(_), Ok(expected)) = (&job, &expected) {
        context.copier.forget(expected.blobs());
    }
    let end = match job {
        Ok(job) => copy(job, task, context).await,
        // It is there, and its signatures are still owed.
        Err(failure) if owed => {
            let message = format!("{}: {}", failure.side, failure.message);
            let warning = mirror_copy::ReferrerWarning {
                kind: ReferrerProblem::Unknown,
                message,
                again: true,
            };
            TaskEnd {
                status: Status::Refreshed,
                warnings: vec![warning],
                holder: None,
                attached: None,
            }
        }
        Err(failure) => TaskEnd::failed(failure),
    };
    context.events.send(Event::Finished(number, Box::new(task.outcome(&end))));
    end
}

async fn copy(mut job: CopyJob, task: &Task<'_>, context: &RunContext<'_>) -> TaskEnd {
    if job.parts == Parts::Image {
        let target = &task.want.target;
        let blobs = job.graph.blobs.iter().map(|blob| blob.digest.clone()).collect();
        job.present = context.prepared.blobs_there(target, blobs, context.connections).await;
    }
    let mut tried: Vec<Holder> = task.holder.cloned().into_iter().collect();
    let mut outcome = context.copier.copy(&job).await;
    while let Err(error) = &outcome
        && error.side() == Side::Source
        && !error.is_of_referrers()
        && let Some(next) =
            fall_back(&mut job, Failure::from(error.clone()), &tried, task, context).await
    {
        tried.push(next);
        context.copier.expect(&job.graph.blobs);
        outcome = context.copier.copy(&job).await;
    }
    let first = tried.first().map(|holder| holder.failure.clone());
    let holder = tried.pop();
    if let (Ok(copied), Some(holder)) = (&mut outcome, &holder)
        && !holder.failure.is_gone()
        && context.referrers != ReferrerPolicy::Leave
    {
        // Those that the holder has came along; what the source has by now nobody knows.
        let message = format!("source: {}", holder.failure.message);
        let kind = ReferrerProblem::Unknown;
        copied.warnings.push(mirror_copy::ReferrerWarning { kind, message, again: true });
    }
    let (status, Copied { warnings, attached }) = match outcome {
        Ok(copied) if job.parts == Parts::Image => (Status::Done, copied),
        Ok(copied) => (Status::Refreshed, copied),
        Err(error) => match error.moved() {
            Some(found) => (Status::Stale { found: found.cloned() }, Copied::default()),
            // What those that held it have failed with is not what its source has.
            None => {
                let failure = Failure::from(error.clone());
                let of_holder = first.filter(|_| error.side() == Side::Source);
                return TaskEnd::failed(match of_holder {
                    Some(first) => first.with_help(&failure.message),
                    None => failure,
                });
            }
        },
    };
    TaskEnd { status, warnings, holder, attached }
}

/// Makes a job take its image from a destination that holds it, where the source has failed in the middle, or those that
/// held it have.
async fn fall_back(
    job: &mut CopyJob,
    mut failure: Failure,
    tried: &[Holder],
    task: &Task<'_>,
    context: &RunContext<'_>,
) -> Option<Holder> {
    let source = &task.want.source;
    if let Some(first) = tried.first() {
        // Why it is not taken from its source is still what the source has failed with.
        failure = first.failure.clone();
    }
    let hidden = !failure.is_gone() && context.referrers == ReferrerPolicy::Require;
    if job.parts != Parts::Image || hidden {
        return None;
    }
    let (wants, connections) = (context.options.wants, context.connections);
    let found =
        holders::find(source, task.digest, &failure, tried, wants, connections).await.ok()?;
    job.origin = holders::origin(&found.holder, wants, connections)?;
    job.referrers = context.referrers;
    job.graph = found.graph;
    Some(found.holder)
}
