//! `mirror report`

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use clap::Args;
use mirror_failure::printable;
use mirror_plan::report::Report;
use mirror_render::ci::{COMMENT_BUDGET, report_markdown};
use serde::de::DeserializeOwned;

use crate::args::PageFormat;
use crate::error::CommandError;
use crate::exit::Exit;
use crate::print;

/// A report of ten thousand images has a few MiB.
const LARGEST: u64 = 64 << 20;

/// Merge reports written by `apply --report`.
///
/// Ends with the code of a single run over everything.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  mirror report report-*.json                      the report of all parts
  mirror report --format markdown report-*.json    for a pull request or an issue")]
pub(crate) struct ReportArguments {
    /// Output format.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: PageFormat,

    /// The reports to merge.
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
}

pub(crate) fn run(command: &ReportArguments) -> Result<Exit, CommandError> {
    let report = merged(&command.files)?;
    show(&report, command.format);
    Ok(report.ending().into())
}

/// Prints a report, and adds it to the summary of the step in GitHub Actions.
pub(crate) fn show(report: &Report, format: PageFormat) {
    match format {
        PageFormat::Text => print::data(&mirror_render::people::render_report(report)),
        PageFormat::Json => print::json(report),
        PageFormat::Markdown => print::data(&report_markdown(report, COMMENT_BUDGET)),
    }
    print::step_summary(|budget| report_markdown(report, budget));
}

/// Reads reports and puts them together; says which one is none.
pub(super) fn merged(files: &[PathBuf]) -> Result<Report, CommandError> {
    let one = |file: &PathBuf| {
        let report: Result<Report, String> = read(file);
        let report = report.and_then(|report| match report.format_version {
            1 => Ok(report),
            _ => Err("it is of another version".to_owned()),
        });
        report.map_err(|why| {
            let what = format!("could not read the report {}", file.display());
            let help = "reports are written by `mirror apply --report FILE`";
            CommandError::usage(what, why, Some(help))
        })
    };
    let reports = files.iter().map(one).collect::<Result<Vec<_>, _>>()?;
    let mut parts = BTreeSet::new();
    let twice =
        reports.iter().filter_map(|report| report.shard.as_ref()).find(|part| !parts.insert(*part));
    if let Some(part) = twice {
        let help = "put together the reports of one run, each of them once";
        let what = "could not put the reports together";
        return Err(CommandError::usage(what, format!("two are of part {part}"), Some(help)));
    }
    Ok(Report::merge(reports))
}

/// Reads what one of our commands printed as JSON.
pub(super) fn read<T: DeserializeOwned>(file: &Path) -> Result<T, String> {
    let mut bytes = Vec::new();
    let opened = File::open(file).map_err(|error| error.to_string())?;
    opened.take(LARGEST + 1).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    if bytes.len() as u64 > LARGEST {
        return Err(format!("it is larger than {} MiB", LARGEST >> 20));
    }
    serde_json::from_slice(&bytes).map_err(|error| printable(&format!("it is not one: {error}")))
}
