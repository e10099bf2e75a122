//! `mirror comment`

use std::path::PathBuf;

use clap::Args;
use mirror_forge::{CommitId, CommitState, CommitStatus, Kept};
use mirror_plan::plan::Plan;
use mirror_plan::report::Ending;
use mirror_render::ci::{COMMENT_BUDGET, headline, plan_markdown};

use crate::error::CommandError;
use crate::exit::Exit;
use crate::{forge, print, saved};

/// The name of our comment and of our status.
const COMMENT: &str = "plan";
const STATUS: &str = "mirror/plan";
const NO_PLAN: &str = "\
### mirror: no plan for this commit

The tree has errors, or the run that makes the plan broke off; the checks of the commit tell more.
";

/// Show a saved plan in its pull request.
///
/// Updates one comment, and one commit status with the headline, but only if they changed. The plan may come from
/// anybody's pull request: it is checked, and shown as text. GitHub, not the plan, says which pull request it belongs
/// to.
///
/// The token in GITHUB_TOKEN needs `pull-requests: write` and `statuses: write`. A GitHub App works too: set
/// MIRROR_GITHUB_APP_ID and MIRROR_GITHUB_APP_KEY, its private key.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  mirror plan --out mirror.plan
      in the workflow of the pull request, which has no rights
  mirror comment mirror.plan --head \"$HEAD_SHA\"
      in a workflow that may write, and runs no code of the pull request")]
pub(crate) struct CommentArguments {
    /// A plan saved by `plan --out`. Without one, the comment says that there is no plan for this commit.
    #[arg(value_name = "PLAN")]
    pub(crate) plan: Option<PathBuf>,

    /// The commit at the head of the pull request. Take it from the event, never from the plan.
    #[arg(long, value_name = "COMMIT")]
    pub(crate) head: CommitId,

    /// The link of the status, such as the run that made the plan.
    #[arg(long, value_name = "URL")]
    pub(crate) url: Option<String>,

    #[command(flatten)]
    pub(crate) at: forge::At,
}

pub(crate) fn run(command: &CommentArguments) -> Result<Exit, CommandError> {
    let plan = command.plan.as_deref().map(saved::read_plan).transpose()?;
    super::in_runtime(async {
        let forge = forge::open(&command.at).await?;
        let found = forge.changes_at(&command.head).await;
        let found = found.map_err(|why| forge::failed("could not find the pull request", &why))?;
        if found.is_empty() {
            print::message("no open pull request has this head (any more): nothing to comment");
            return Ok(Exit::Done);
        }
        let text = match &plan {
            Some(plan) => plan_markdown(plan, COMMENT_BUDGET),
            None => NO_PLAN.to_owned(),
        };
        let mut problems = Vec::new();
        let mut tell = |what: &str, outcome: Result<Kept, mirror_forge::ForgeError>| match outcome {
            Ok(kept) => print::message(&format!("{what} {}", forge::word(kept))),
            Err(error) => {
                let what = format!("could not keep the {what}");
                problems.extend(forge::failed(&what, &error).problems);
            }
        };
        for number in found {
            let outcome = forge.keep_comment(number, COMMENT, &text).await;
            tell(&format!("comment on #{number}"), outcome);
        }
        // The status is worth having even where the comment failed.
        let status = status(plan.as_ref(), command.url.clone());
        tell("status", forge.keep_status(&command.head, &status).await);
        match problems.is_empty() {
            true => Ok(Exit::Done),
            false => Err(CommandError::of(problems, Exit::Failed)),
        }
    })
}

fn status(plan: Option<&Plan>, url: Option<String>) -> CommitStatus {
    let (state, description) = match plan {
        None => (CommitState::Error, "no plan".to_owned()),
        Some(plan) => (state(plan.ending()), headline(plan)),
    };
    CommitStatus { context: STATUS.to_owned(), state, description, url }
}

/// What an ending is for a commit: what only waits or is to be done is good to merge.
fn state(ending: Ending) -> CommitState {
    match ending {
        Ending::Interrupted | Ending::Failed => CommitState::Error,
        Ending::Stale | Ending::Conflict => CommitState::Failure,
        Ending::Deferred | Ending::Pending | Ending::Done => CommitState::Success,
    }
}
