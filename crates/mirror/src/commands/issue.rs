//! `mirror issue`

use std::path::PathBuf;

use clap::Args;
use mirror_plan::report::{OUTDATED_FORMAT, Outdated, Report};
use mirror_render::ci::{Earlier, issue_markdown};

use super::report;
use crate::error::CommandError;
use crate::exit::Exit;
use crate::{environment, forge, print};

const ISSUE: &str = "failures";
const TITLE: &str = "mirror needs attention";

/// Keep one GitHub issue up to date with what is wrong.
///
/// Opens the issue if anything failed, updates it if something else fails, and closes it when all is well. For
/// unattended runs. The token in GITHUB_TOKEN needs `issues: write`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  mirror issue report-*.json                              after `mirror apply --report`
  mirror issue report.json --outdated outdated.json       and `mirror outdated --format json`
  mirror issue --problem 'the job apply was cancelled'    a problem that is in no report")]
pub(crate) struct IssueArguments {
    /// Reports written by `apply --report`.
    #[arg(value_name = "REPORT")]
    pub(crate) reports: Vec<PathBuf>,

    /// A file with the output of `outdated --format json`.
    #[arg(long, value_name = "FILE")]
    pub(crate) outdated: Option<PathBuf>,

    /// Another problem to list. Can be repeated.
    #[arg(long, value_name = "TEXT")]
    pub(crate) problem: Vec<String>,

    #[command(flatten)]
    pub(crate) at: forge::At,
}

pub(crate) fn run(command: &IssueArguments) -> Result<Exit, CommandError> {
    let report = report::merged(&command.reports)?;
    let read = |file| {
        let help = "it is written by `mirror outdated --format json`";
        let found: Outdated = report::read(file).map_err(|why| {
            CommandError::usage("could not read what is outdated", why, Some(help))
        })?;
        if found.format_version != OUTDATED_FORMAT {
            let (why, help) =
                ("it is of another version", "write it with the same version of mirror");
            return Err(CommandError::usage("could not read what is outdated", why, Some(help)));
        }
        Ok(found)
    };
    let outdated = command.outdated.as_deref().map(read).transpose()?;
    keep(command, &report, outdated.as_ref())
}

fn keep(
    command: &IssueArguments,
    report: &Report,
    outdated: Option<&Outdated>,
) -> Result<Exit, CommandError> {
    let today = environment::today();
    let text = |text: Option<&str>| {
        issue_markdown(report, outdated, &command.problem, &Earlier { text, today: &today })
    };
    super::in_runtime(async {
        let forge = forge::open(&command.at).await?;
        let kept = forge.keep_issue(ISSUE, TITLE, text).await;
        let kept = kept.map_err(|error| forge::failed("could not keep the issue", &error))?;
        print::message(&format!("issue {}", forge::word(kept)));
        Ok(Exit::Done)
    })
}
