//! Carrying out a plan: many images at once, each on its own.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures_util::{StreamExt, stream};
use mirror_copy::{Companions, Copied, Copier, Event, Job, Scope, WarningKind};
use mirror_oci::Digest;
use mirror_plan::{
    Failure, Outcome, Place, Plan, Referrers, Side, Source, Status, Subject, Target, Transfer,
    Unchanged, Warning, printable,
};
use tokio::sync::mpsc;

use crate::environment::Interruption;
use crate::hosts::{Hosts, failure};
use crate::observe::{Graphs, layout_name};
use crate::progress::Display;
use crate::repositories::Prepared;

/// Images on their way at once; the hosts limit the requests.
const IMAGES_AT_ONCE: usize = 48;

/// How often rates, remaining time and the width of the terminal are looked at.
const REDRAW: Duration = Duration::from_millis(200);

/// Time for the display to tell what has happened when everything is over.
const LAST_WORDS: Duration = Duration::from_millis(200);

/// How to carry out a plan.
pub(crate) struct Manner<'a> {
    /// Where to keep blobs on their way.
    pub(crate) spool: &'a Path,
    /// What to do about signatures and the like.
    pub(crate) referrers: Referrers,
    /// Whether to look for those of images that are there already.
    pub(crate) refresh: bool,
    /// What stops it.
    pub(crate) interruption: &'a Interruption,
    /// When the destinations were looked at.
    pub(crate) looked: Instant,
}

/// Does what the plan says; Ctrl-C stops it, and what was not finished is cancelled.
pub(crate) async fn run(
    plan: &Plan,
    graphs: &Graphs,
    hosts: &Hosts,
    manner: &Manner<'_>,
    prepared: &Prepared,
    display: Display,
) -> Vec<Outcome> {
    let tasks = tasks(plan, manner);
    let mut outcomes: Vec<Option<Ended>> = tasks.iter().map(|_| None).collect();
    let (events, mut moved) = mpsc::unbounded_channel();
    let display = Arc::new(display);
    let traffic = Arc::new(Mutex::new(Traffic::new()));
    let (told, counted) = (display.clone(), traffic.clone());
    let watcher = tokio::spawn(async move {
        let mut clock = tokio::time::interval(REDRAW);
        loop {
            tokio::select! {
                event = moved.recv() => match event {
                    Some(event) => {
                        count(&counted, event);
                        told.moved(event);
                    }
                    None => return,
                },
                _ = clock.tick() => told.refresh(),
            }
        }
    });
    match Copier::new(manner.spool, None, events) {
        Err(error) => {
            let failure = failure(error);
            outcomes.fill(Some((Status::Failed { failure }, Copied::default())));
        }
        Ok(copier) => {
            let numbered = tasks.iter().enumerate();
            let jobs: Vec<Prospect<'_>> = numbered
                .map(|(n, task)| {
                    let target = task.want.map(|want| &want.1);
                    let job = match target.and_then(|target| prepared.hindrance(target)) {
                        Some(failure) => Err(failure),
                        None => job(n, task, graphs, hosts, manner),
                    };
                    let owed = task.scope == Scope::Companions && !manner.refresh;
                    Prospect { job, target, owed }
                })
                .collect();
            jobs.iter().flat_map(|one| &one.job).for_each(|job| copier.expect(job));
            let with = With { copier: &copier, display: &display, hosts, prepared };
            copy_all(jobs, &with, manner.interruption, &mut outcomes).await;
            // What ended in the middle may have left something open at a registry that has little of it.
            hosts.end_sessions().await;
        }
    }
    // The copier and its senders are gone. An upload that was refused early may still be on its way out of a
    // connection, with a sender of its own; nobody waits for that.
    let stop = watcher.abort_handle();
    if tokio::time::timeout(LAST_WORDS, watcher).await.is_err() {
        stop.abort();
    }
    display.finish();
    remember(&tasks, &outcomes, hosts);
    let traffic = std::mem::take(&mut *lock(&traffic));
    let numbered = tasks.iter().zip(outcomes).enumerate();
    numbered.map(|(n, (task, ended))| outcome(task, ended, traffic.get(&n).copied())).collect()
}

/// Bytes that have moved for each task, as they do: also for those that don't come to their end.
type Traffic = BTreeMap<usize, mirror_copy::Transfer>;

fn lock(traffic: &Mutex<Traffic>) -> MutexGuard<'_, Traffic> {
    traffic.lock().unwrap_or_else(PoisonError::into_inner)
}

fn count(traffic: &Mutex<Traffic>, event: Event) {
    let mut traffic = lock(traffic);
    match event {
        Event::Fetched(number, bytes) => traffic.entry(number).or_default().fetched_bytes += bytes,
        Event::Pushed(number, bytes) => traffic.entry(number).or_default().pushed_bytes += bytes,
        Event::Landed(number, _) => traffic.entry(number).or_default().reused_blobs += 1,
    }
}

/// Something to carry out.
struct Task<'a> {
    subject: &'a Subject,
    digest: &'a Digest,
    want: Option<&'a (Source, Target)>,
    scope: Scope,
    /// What its target has, as far as it was looked at.
    expected: Option<&'a Digest>,
}

/// How a task ended, and what was moved for it.
type Ended = (Status, Copied);

fn tasks<'a>(plan: &'a Plan, manner: &Manner<'_>) -> Vec<Task<'a>> {
    let copies = plan.copies().map(|copy| Task {
        subject: &copy.subject,
        digest: &copy.digest,
        want: copy.want.as_deref(),
        scope: Scope::Image,
        expected: copy.expected(),
    });
    let look = |item: &&Unchanged| manner.refresh || item.signatures_owed;
    let unchanged = plan.unchanged.iter().filter(look).map(|item| Task {
        subject: &item.subject,
        digest: &item.digest,
        want: item.want.as_deref(),
        scope: Scope::Companions,
        expected: Some(&item.digest),
    });
    copies.chain(unchanged).collect()
}

/// Keeps whose signatures could not be looked for, so that the next run does.
fn remember(tasks: &[Task<'_>], outcomes: &[Option<Ended>], hosts: &Hosts) {
    let ended = tasks.iter().zip(outcomes).filter_map(|(task, ended)| {
        let (status, copied) = ended.as_ref()?;
        let there = matches!(status, Status::Done | Status::Refreshed);
        let again = copied.warnings.iter().any(|warning| warning.again);
        there.then_some((&task.want?.1, task.digest, again))
    });
    hosts.owed().keep(ended);
}

fn warning(warning: mirror_copy::Warning) -> Warning {
    let mirror_copy::Warning { kind, message, .. } = warning;
    let kind = match kind {
        WarningKind::Unknown => mirror_plan::WarningKind::SignaturesUnknown,
        WarningKind::Missing => mirror_plan::WarningKind::SignatureMissing,
        WarningKind::Kept => mirror_plan::WarningKind::SignatureKept,
    };
    Warning { kind, message: printable(&message) }
}

fn outcome(
    task: &Task<'_>,
    ended: Option<Ended>,
    traffic: Option<mirror_copy::Transfer>,
) -> Outcome {
    let (status, Copied { transfer, warnings }) =
        ended.unwrap_or((Status::Cancelled, Copied::default()));
    let whole = matches!(status, Status::Done | Status::Refreshed);
    let transfer = if whole { transfer } else { traffic.unwrap_or_default() };
    let mirror_copy::Transfer { fetched_bytes, pushed_bytes, reused_blobs } = transfer;
    let transfer = Transfer { fetched_bytes, pushed_bytes, reused_blobs };
    Outcome {
        subject: task.subject.clone(),
        digest: task.digest.clone(),
        status,
        transfer,
        warnings: warnings.into_iter().map(warning).collect(),
    }
}

/// What every copy works with.
struct With<'a> {
    copier: &'a Copier,
    display: &'a Display,
    hosts: &'a Hosts,
    prepared: &'a Prepared,
}

/// Something to copy, or why it can't be.
struct Prospect<'a> {
    job: Result<Job, Failure>,
    target: Option<&'a Target>,
    /// Whether it is about signatures that an earlier run could not look for.
    owed: bool,
}

/// Copies until everything has ended, or Ctrl-C; what is still running then is dropped.
async fn copy_all(
    jobs: Vec<Prospect<'_>>,
    with: &With<'_>,
    interruption: &Interruption,
    outcomes: &mut [Option<Ended>],
) {
    let mut finished = stream::iter(jobs.into_iter().enumerate())
        .map(|(number, job)| async move { (number, one(number, job, with).await) })
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
            () = interruption.wait() => return,
        }
    }
}

async fn one(number: usize, prospect: Prospect<'_>, with: &With<'_>) -> Ended {
    let Prospect { job, target, owed } = prospect;
    with.display.started(number);
    let (outcome, scope) = match job {
        Ok(mut job) => {
            if let Some(target) = target.filter(|_| job.scope == Scope::Image) {
                let blobs = job.graph.blobs.iter().map(|blob| blob.digest.clone()).collect();
                job.there = with.prepared.blobs_there(target, blobs, with.hosts).await;
            }
            match with.copier.copy(&job).await {
                Err(error) => {
                    if let Some(found) = error.moved() {
                        let status = Status::Stale { found: found.cloned() };
                        with.display.finished(number, &status);
                        return (status, Copied::default());
                    }
                    (Err(failure(error)), job.scope)
                }
                Ok(copied) => (Ok(copied), job.scope),
            }
        }
        // It is there, and its signatures are still owed.
        Err(failure) if owed => {
            let message = format!("{}: {}", failure.side, failure.message);
            let warning = mirror_copy::Warning { kind: WarningKind::Unknown, message, again: true };
            (Ok(Copied { warnings: vec![warning], ..Copied::default() }), Scope::Companions)
        }
        Err(failure) => (Err(failure), Scope::Image),
    };
    let ended = match outcome {
        Ok(copied) if scope == Scope::Image => (Status::Done, copied),
        Ok(copied) => (Status::Refreshed, copied),
        Err(failure) => (Status::Failed { failure }, Copied::default()),
    };
    with.display.finished(number, &ended.0);
    ended
}

fn job(
    number: usize,
    task: &Task<'_>,
    graphs: &Graphs,
    hosts: &Hosts,
    manner: &Manner<'_>,
) -> Result<Job, Failure> {
    let missing = |what: &str| Failure::new(Side::Source, format!("the plan holds no {what}"));
    let (source, target) = task.want.ok_or_else(|| missing("source"))?;
    let graph = graphs.get(source).cloned().unwrap_or_else(|| Err(missing("manifests")))?;
    let to = self::target(target, Some(task.digest), hosts)?;
    let companions = match manner.referrers {
        Referrers::Copy => Companions::Copy,
        Referrers::Require => Companions::Require,
        Referrers::Off => Companions::Leave,
    };
    let source = hosts.source(&source.name)?;
    Ok(Job {
        number,
        source,
        graph,
        target: to,
        companions,
        scope: task.scope,
        there: BTreeSet::new(),
        expected: task.expected.cloned(),
        looked: manner.looked,
    })
}

/// Where an image goes.
pub(crate) fn target(
    target: &Target,
    digest: Option<&Digest>,
    hosts: &Hosts,
) -> Result<mirror_copy::Target, Failure> {
    Ok(match &target.place {
        Place::Registry(registry) => mirror_copy::Target::Registry {
            host: hosts.registry(registry)?,
            repository: target.repository.clone(),
            tag: target.tag.clone(),
        },
        Place::Layout(folder) => mirror_copy::Target::Layout {
            layout: hosts.layout(folder)?,
            repository: target.repository.clone(),
            name: layout_name(target, digest),
        },
    })
}
