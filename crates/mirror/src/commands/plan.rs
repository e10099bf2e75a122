//! `mirror plan`

use std::path::{Path, PathBuf};

use clap::Args;
use mirror_engine::look::incomplete::Closely;
use mirror_engine::look::{self, Ask};
use mirror_engine::{Connections, Errand};
use mirror_failure::printable;
use mirror_plan::plan::{Depth, MOST_SHARDS, ReviewNotes, busy_shards};
use mirror_plan::report::Ending;
use mirror_render::ci::{COMMENT_BUDGET, plan_diagnostics, plan_markdown};

use crate::args::{Only, PageFormat};
use crate::base::{self, AtBase};
use crate::error::CommandError;
use crate::exit::Exit;
use crate::load::{Loaded, load};
use crate::output::Output;
use crate::{environment, print, progress, saved};

/// Show what `apply` would do.
///
/// Looks up the tags at the sources and the images at the destinations, with requests that don't count as pulls. Reads
/// only the manifests of images to copy, for their sizes and platforms. Changes nothing.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  mirror plan                        what would be copied where
  mirror plan --exit-code            the same; ends with 3 if there is anything to do
  mirror plan --format json | jq     for scripts; the schema is
                                     crates/mirror-plan/schemas/plan.schema.json
  mirror plan --out mirror.plan      save it, to carry it out with `mirror apply mirror.plan`
  mirror plan --only 'quay.io/**'    part of the tree
  mirror plan --changed-since \"$(git merge-base origin/main HEAD)\"
                                     what this branch changes
  mirror plan --format markdown      for a pull request; GitHub Actions shows it in the summary
                                     of the step anyway")]
pub(crate) struct PlanArguments {
    /// Output format.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: PageFormat,

    /// End with code 3 if changes are pending.
    #[arg(long)]
    pub(crate) exit_code: bool,

    /// Save the plan, with everything that `mirror apply FILE` needs.
    #[arg(long, value_name = "FILE", conflicts_with = "no_sizes")]
    pub(crate) out: Option<PathBuf>,

    /// Print a matrix for GitHub Actions: split the work into this many parts for `apply --shard`, and list those that
    /// have any. The plan goes to standard error.
    #[arg(long, value_name = "PARTS", value_parser = clap::value_parser!(u32).range(1..=i64::from(MOST_SHARDS)))]
    pub(crate) matrix: Option<u32>,

    /// Don't read manifests. This costs no pulls, but leaves sizes and platforms unknown.
    #[arg(long)]
    pub(crate) no_sizes: bool,

    /// Plan only what changed since this commit, and list what is no longer wanted. If the configuration changed, plan
    /// everything.
    #[arg(long, value_name = "REVISION")]
    pub(crate) changed_since: Option<String>,

    /// Connect as configured at this commit: with its endpoints, token services, roles and alternatives, and with
    /// credentials only for registries that it knows. For pull requests, whose own configuration is shown but not
    /// used.
    #[arg(long, value_name = "REVISION")]
    pub(crate) config_from: Option<String>,

    /// Check all parts of images at registries, and plan to restore what `verify` finds missing.
    #[arg(long)]
    pub(crate) repair: bool,

    #[command(flatten)]
    pub(crate) only: Only,
}

pub(crate) fn run(images: Option<&Path>, command: &PlanArguments) -> Result<Exit, CommandError> {
    let mut loaded = load(images);
    print::note(loaded.usable()?);
    print::note(loaded.default_destination());
    let at_base = at_base(&loaded, command)?;
    print::note(at_base.as_ref().and_then(|at_base| at_base.note.as_deref()));
    print::note(loaded.narrow(&command.only, command.changed_since.as_deref())?);
    if let Some(AtBase { base, .. }) = &at_base {
        loaded.wants = std::mem::take(&mut loaded.wants).known_to(base, &loaded.config);
    }
    let out = command.out.as_deref().map(|path| Output::open(path, "save the plan in"));
    let out = out.transpose()?;
    super::in_runtime(async {
        let surroundings = environment::surroundings(&environment::default_spool())?;
        let base = at_base.as_ref().map(|at_base| &at_base.base);
        let events = progress::listen_to_pauses();
        let errand = Errand { base, ..Errand::look(&surroundings, &events) };
        let connections =
            Connections::new(&loaded.wants, &loaded.config, &loaded.root, errand).await;
        let depth = if command.no_sizes { Depth::Digests } else { Depth::Manifests };
        let closely = if command.repair { Closely::Everywhere } else { Closely::WhereNeeded };
        let ask = Ask { depth, review_notes: ReviewNotes::Ask, closely };
        let (mut plan, graphs) = look::plan(&loaded.wants, &loaded.wants, &connections, ask).await;
        plan.authenticated_sources = connections.authenticated_sources(&loaded.wants);
        plan.configuration = at_base.map(|at_base| at_base.changes).unwrap_or_default();
        if let Some((file, path)) = out.zip(command.out.as_deref())
            && let Err(error) = saved::write(file, &plan, &graphs, &loaded)
        {
            let what = format!("could not save the plan in {}", path.display());
            let help = "free some space there, or name another file";
            return Err(CommandError::usage(what, mirror_failure::io_reason(&error), Some(help)));
        }
        match (command.matrix, command.format) {
            (Some(parts), _) => {
                let shards: Vec<String> =
                    busy_shards(&plan, parts).iter().map(ToString::to_string).collect();
                print::data(&environment::system().matrix(&shards));
                // The plan itself goes to whoever watches.
                print::message(mirror_render::people::render_plan(&plan).trim_end());
            }
            (None, PageFormat::Text) => print::data(&mirror_render::people::render_plan(&plan)),
            (None, PageFormat::Json) => print::json(&plan),
            (None, PageFormat::Markdown) => print::data(&plan_markdown(&plan, COMMENT_BUDGET)),
        }
        print::step_summary(|budget| plan_markdown(&plan, budget));
        print::annotations(|| plan_diagnostics(&loaded.shown, &plan));
        Ok(match plan.ending() {
            Ending::Pending if !command.exit_code => Exit::Done,
            ending => ending.into(),
        })
    })
}

/// What decides on connections, for a pull request.
fn at_base(loaded: &Loaded, command: &PlanArguments) -> Result<Option<AtBase>, CommandError> {
    let Some(revision) = command.config_from.as_deref() else { return Ok(None) };
    base::read(loaded, revision).map(Some).map_err(|error| {
        let what = format!("could not read the configuration at {}", printable(revision));
        CommandError::usage(what, error.why, Some(&error.help))
    })
}
