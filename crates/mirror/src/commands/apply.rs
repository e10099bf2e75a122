//! `mirror apply`

use std::path::{Path, PathBuf};

use clap::Args;
use mirror_engine::passes::{self, Desired, How};
use mirror_plan::plan::Shard;
use mirror_render::ci::report_diagnostics;

use super::report;
use crate::args::{OnLimitArgument, Only, PageFormat, Progress};
use crate::environment::Signals;
use crate::error::CommandError;
use crate::exit::Exit;
use crate::load::load;
use crate::output::Output;
use crate::{environment, print, progress, saved};

/// Copy what the destinations lack.
///
/// Makes a plan and carries it out. Copies are byte-identical and have the digests of their source. The tag is written
/// last, so that a pull gets the old image or the whole new one. If one image fails, the others go on. If a run is
/// stopped, the next one continues it.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  mirror apply                              copy; a second run copies nothing
  mirror plan --out mirror.plan && mirror apply mirror.plan
                                            do exactly what was looked at
  mirror apply --format json > report.json  for scripts; the schema is
                                            crates/mirror-plan/schemas/report.schema.json
  MIRROR_AUTH_QUAY_IO=user:password mirror apply
                                            log in to quay.io; so do `docker login` and
                                            `podman login`")]
pub(crate) struct ApplyArguments {
    /// A plan saved by `plan --out`. Carries out exactly that, without reading manifests again. It must match this
    /// tree and configuration; whatever changed at a destination since then is left alone.
    #[arg(value_name = "PLAN", conflicts_with_all = ["refresh_referrers", "repair", "only"])]
    pub(crate) plan: Option<PathBuf>,

    /// Output format of the report.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: PageFormat,

    /// How to show progress on standard error. The schema of the JSON lines is
    /// crates/mirror-plan/schemas/progress.schema.json.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) progress: Progress,

    /// What to do if a registry's limit on pulls or requests is used up.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) on_limit: OnLimitArgument,

    /// Look for new signatures, attestations and other referrers of images that are already mirrored. Reads the
    /// manifests of all images.
    #[arg(long)]
    pub(crate) refresh_referrers: bool,

    /// Restore what `verify` finds missing of images at registries, even if their tag has the right digest. Checks all
    /// parts of every image.
    #[arg(long)]
    pub(crate) repair: bool,

    /// Do one part of several, for machines that work in parallel. A repository is never split. Pull limits are
    /// divided between the parts.
    #[arg(long, value_name = "NUMBER/OF")]
    pub(crate) shard: Option<Shard>,

    #[command(flatten)]
    pub(crate) only: Only,

    /// Also write the report to this file, as JSON.
    #[arg(long, value_name = "FILE")]
    pub(crate) report: Option<PathBuf>,

    /// Where to keep layers while they are copied. The next run resumes what is left there. Defaults to mirror-spool
    /// in the user's cache folder.
    #[arg(long, value_name = "FOLDER")]
    pub(crate) spool: Option<PathBuf>,
}

pub(crate) fn run(images: Option<&Path>, command: &ApplyArguments) -> Result<Exit, CommandError> {
    let mut loaded = load(images);
    print::note(loaded.usable()?);
    print::note(loaded.default_destination());
    let spool = command.spool.clone().unwrap_or_else(environment::default_spool);
    let saved =
        command.plan.as_deref().map(|file| saved::read(file, &loaded, &spool)).transpose()?;
    print::note(loaded.narrow(&command.only, None)?);
    // A saved plan is held against the whole tree, and then carried out in part.
    let part = command.shard.map(|shard| shard.take(loaded.wants.clone()));
    let file = command.report.as_deref().map(|path| Output::open(path, "write the report"));
    let file = file.transpose()?;
    super::in_runtime(async {
        let Signals { stop, at_once } = environment::listen_for_signals();
        let how = How {
            surroundings: environment::surroundings(&spool)?,
            shard: command.shard,
            on_limit: command.on_limit.into(),
            refresh_referrers: command.refresh_referrers,
            repair: command.repair,
        };
        let tree = Desired {
            config: &loaded.config,
            root: &loaded.root,
            wants: part.as_ref().unwrap_or(&loaded.wants),
            whole: &loaded.wants,
        };
        let (events, shown) = progress::listen(command.progress, command.shard);
        let report = tokio::select! {
            biased;
            report = Box::pin(passes::run(tree, &how, saved, &stop, &events)) => report,
            () = at_once.wait() => {
                events.stopped();
                events.report()
            }
        };
        events.close();
        // Everything is said before the report is.
        let _ = shown.await;
        report::show(&report, command.format);
        print::annotations(|| report_diagnostics(&loaded.shown, &report));
        if let Some((file, path)) = file.zip(command.report.as_deref())
            && let Err(error) = file.write(&report)
        {
            let what = format!("could not write the report {}", path.display());
            let help = "free some space there; what was copied stays";
            return Err(CommandError::failed(what, mirror_failure::io_reason(&error), Some(help)));
        }
        Ok(report.ending().into())
    })
}
