//! `mirror apply`

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};
use mirror_plan::{Fit, Outcome, Plan, Report, RepositoryOutcome, Shard, Status, report_findings};
use mirror_registry::Access;

use super::report;
use crate::cli::{Only, PageFormat, Progress};
use crate::environment::Interruption;
use crate::exit::Exit;
use crate::hosts::Hosts;
use crate::load::{Loaded, load};
use crate::observe::{self, Depth, Tags};
use crate::progress::Display;
use crate::saved::{self, Again};
use crate::{environment, print, repositories, run as carry_out};

/// Shortest and longest time between two looks at a limit on pulls.
const PATIENCE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(600));

/// Copy what the destinations lack.
///
/// Plans and carries out. Bytes are copied as they are: the destination has the digests of the source. The tag
/// comes last, so whoever pulls it gets the old image or the whole new one; a run that is stopped is continued by
/// the next. One image that fails doesn't stop the others.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  mirror apply                              copy; a second run copies nothing
  mirror plan --out plan.json && mirror apply plan.json
                                            do what was looked at, nothing else
  mirror apply --format json > report.json  for scripts; the schema is
                                            crates/mirror-plan/schemas/report.schema.json
  MIRROR_AUTH_QUAY_IO=user:password mirror apply
                                            log in to quay.io; `docker login` and `podman login` do as well")]
pub(crate) struct Apply {
    /// A plan that `plan --out` saved: do what it says, no more and without reading manifests again. It must be for
    /// this tree and configuration; what has moved at a destination since is left alone.
    #[arg(value_name = "PLAN", conflicts_with_all = ["refresh_referrers", "only"])]
    pub(crate) plan: Option<PathBuf>,

    /// How to print the report.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: PageFormat,

    /// How to show progress, on standard error. The schema of the JSON lines is
    /// crates/mirror-plan/schemas/progress.schema.json.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) progress: Progress,

    /// What to do when a registry's limit on pulls is used up.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) on_limit: OnLimit,

    /// Look for late signatures, attestations and other referrers of images that are mirrored already. Reads the
    /// manifests of all images.
    #[arg(long)]
    pub(crate) refresh_referrers: bool,

    /// Do one part of several, for machines that work side by side: all of a repository is in the same part. Limits
    /// on pulls are divided.
    #[arg(long, value_name = "NUMBER/OF")]
    pub(crate) shard: Option<Shard>,

    #[command(flatten)]
    pub(crate) only: Only,

    /// Write the report into this file as JSON, whatever is printed.
    #[arg(long, value_name = "FILE")]
    pub(crate) report: Option<PathBuf>,

    /// Where to keep layers on their way. What is left there when a run is stopped, the next one goes on with. By
    /// default mirror-spool in the user's cache folder.
    #[arg(long, value_name = "FOLDER")]
    pub(crate) spool: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum OnLimit {
    /// Leave the rest for another run, name it, and end with code 6.
    #[default]
    Defer,
    /// Wait until pulls are left again.
    Wait,
}

pub(crate) fn run(images: Option<&Path>, command: &Apply) -> Exit {
    let started = Instant::now();
    let mut loaded = load(images);
    if let Err(exit) = loaded.usable() {
        return exit;
    }
    let fit = match command.plan.as_deref().map(|file| saved::read(file, &loaded)).transpose() {
        Ok(fit) => fit,
        Err(exit) => return exit,
    };
    if let Err(exit) = loaded.narrow(&command.only, None) {
        return exit;
    }
    // A saved plan is held against the whole tree, and then carried out in part.
    if let Some(shard) = command.shard {
        loaded.wants = shard.take(loaded.wants);
    }
    super::in_runtime(async {
        let interruption = Interruption::listen();
        let mut earlier = Earlier::default();
        let report = loop {
            let Some(pass) = pass(&loaded, command, fit.clone(), &interruption).await? else {
                print::message("interrupted before anything was copied");
                return Ok(Exit::Interrupted);
            };
            let (report, wait) = finish(pass, command, &mut earlier, started);
            match wait.filter(|_| command.on_limit == OnLimit::Wait) {
                Some(wait) if pause(&report, wait, &interruption).await => {}
                _ => break report,
            }
        };
        report::show(&report, command.format);
        print::annotations(|| report_findings(&loaded.shown, &report));
        if let Some(file) = &command.report
            && let Err(error) = write(file, &report)
        {
            let what = format!("could not write the report {}", file.display());
            print::error(&what, &error.to_string(), Some("name a file in a folder that is there"));
            return Ok(Exit::Failed);
        }
        Ok(report::exit(&report))
    })
}

/// One time through the tree.
struct Pass {
    plan: Plan,
    repositories: Vec<RepositoryOutcome>,
    outcomes: Vec<Outcome>,
    window: Option<Duration>,
}

/// What earlier passes have done.
#[derive(Default)]
struct Earlier {
    repositories: Vec<RepositoryOutcome>,
    outcomes: Vec<Outcome>,
}

/// Plans and carries out; nothing when Ctrl-C came before the first copy.
async fn pass(
    loaded: &Loaded,
    command: &Apply,
    fit: Option<Fit>,
    interruption: &Interruption,
) -> Result<Option<Pass>, mirror_registry::Error> {
    let share = command.shard.map_or(1, |shard| shard.of);
    let hosts =
        Hosts::new(&loaded.wants, &loaded.config, &loaded.root, Access::PullPush, share).await?;
    let depth = if command.refresh_referrers { Depth::All } else { Depth::Manifests };
    let looking = async {
        match fit {
            None => {
                let (plan, graphs) = observe::plan(&loaded.wants, &hosts, depth, Tags::Leave).await;
                Again { plan, graphs, outcomes: Vec::new() }
            }
            Some(mut fit) => {
                if let Some(shard) = command.shard {
                    fit.plan = shard.part(fit.plan);
                }
                saved::look_again(fit, &loaded.wants, &hosts).await
            }
        }
    };
    let Again { plan, graphs, outcomes: left_alone } = tokio::select! {
        found = looking => found,
        () = interruption.wait() => return Ok(None),
    };
    let prepared = repositories::prepare(&plan, &hosts, interruption).await;
    let display = Display::new(command.progress, &plan);
    let spool = command.spool.clone().unwrap_or_else(environment::spool);
    let manner = carry_out::Manner {
        spool: &spool,
        referrers: loaded.config.referrers,
        refresh: command.refresh_referrers,
        interruption,
    };
    let mut outcomes = carry_out::run(&plan, &graphs, &hosts, &manner, &prepared, display).await;
    outcomes.extend(left_alone);
    let window = hosts.pull_window();
    Ok(Some(Pass { plan, repositories: prepared.outcomes, outcomes, window }))
}

/// Sums up, together with what earlier passes copied; and how long to wait, if something is deferred.
fn finish(
    pass: Pass,
    command: &Apply,
    earlier: &mut Earlier,
    started: Instant,
) -> (Report, Option<Duration>) {
    let Pass { mut plan, repositories, outcomes, window } = pass;
    let done = &earlier.outcomes;
    plan.unchanged.retain(|item| !done.iter().any(|outcome| outcome.subject == item.subject));
    let mut all = earlier.outcomes.clone();
    all.extend(outcomes);
    earlier.outcomes =
        all.iter().filter(|outcome| outcome.status == Status::Done).cloned().collect();
    // What could not be done to a repository was tried again.
    earlier.repositories.retain(|outcome| outcome.problems.is_empty());
    earlier.repositories.extend(repositories);
    let repositories = earlier.repositories.clone();
    let milliseconds = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    let mut report = Report::new(&plan, repositories, all, milliseconds);
    report.shard = command.shard.map(|shard| shard.to_string());
    // A sliding window gives some pulls back long before it is over.
    let wait = window.unwrap_or(PATIENCE.1) / 20;
    let deferred = report.totals.deferred > 0 && report.totals.cancelled == 0;
    (report, deferred.then(|| wait.clamp(PATIENCE.0, PATIENCE.1)))
}

/// Waits for pulls; false when Ctrl-C came first.
async fn pause(report: &Report, wait: Duration, interruption: &Interruption) -> bool {
    let images = mirror_plan::count(report.totals.deferred as u64, "image");
    print::message(&format!(
        "{images} wait for a limit on pulls; looking again in {} s",
        wait.as_secs()
    ));
    tokio::select! {
        () = tokio::time::sleep(wait) => true,
        () = interruption.wait() => false,
    }
}

fn write(file: &Path, report: &Report) -> io::Result<()> {
    let text = serde_json::to_string_pretty(report)?;
    std::fs::write(file, format!("{text}\n"))
}
