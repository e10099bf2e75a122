//! What is wrong in a plan or a report, as findings at the files concerned.

use mirror_failure::{Failure, printable};
use mirror_plan::plan::{Alert, Conflict, Note, Plan};
use mirror_plan::report::{Finding, Findings, Level, Report, Status};
use mirror_plan::want::Want;

/// What is wrong in a plan, for the tree in the folder `images`.
pub fn plan_findings(images: &str, plan: &Plan) -> Findings {
    let mut found: Vec<Finding> =
        plan.alerts.iter().map(|alert| attention(images, alert)).collect();
    found.extend(conflicts(images, &plan.conflicts));
    found.extend(plan.failures.iter().map(|failed| failure(images, &failed.want, &failed.failure)));
    found.extend(plan.notes.iter().filter_map(|note| match note {
        Note::TagMoved { file, source, upstream } => {
            let message = format!("the tag of {source} is {upstream} by now");
            let help = "the digest in the tree is what is copied; `mirror pin` writes the new one";
            Some(finding(Level::Warning, "tag-moved", images, file, &message, Some(help)))
        }
        _ => None,
    }));
    Findings { format_version: 1, entries: 0, findings: found }
}

/// What failed in a run over the tree in the folder `images`.
pub fn report_findings(images: &str, report: &Report) -> Findings {
    let mut found = conflicts(images, &report.conflicts);
    found.extend(
        report.failures.iter().map(|failed| failure(images, &failed.want, &failed.failure)),
    );
    found.extend(report.outcomes.iter().filter_map(|outcome| match &outcome.status {
        Status::Failed { failure } => Some(self::failure(images, &outcome.want, failure)),
        _ => None,
    }));
    Findings { format_version: 1, entries: 0, findings: found }
}

fn attention(images: &str, alert: &Alert) -> Finding {
    let (code, file) = match alert {
        Alert::DigestRemoved { file, .. } => ("digest-removed", file),
        Alert::PlatformsLost { file, .. } => ("platforms-lost", file),
        Alert::Older { file, .. } => ("older-image", file),
    };
    finding(Level::Warning, code, images, file, &alert.told(str::to_owned), None)
}

fn conflicts(images: &str, conflicts: &[Conflict]) -> Vec<Finding> {
    let one = |conflict: &Conflict| {
        let file = conflict.files.first().map(String::as_str).unwrap_or_default();
        let message =
            format!("{} at {}: {}", conflict.target, conflict.destination, conflict.reason);
        finding(Level::Error, "conflict", images, file, &message, None)
    };
    conflicts.iter().map(one).collect()
}

fn failure(images: &str, want: &Want, failure: &Failure) -> Finding {
    let (level, code) =
        if failure.is_deferred() { (Level::Warning, "deferred") } else { (Level::Error, "failed") };
    let target = want.target.shown();
    let message =
        format!("{target} at {}: {}: {}", want.target.destination, failure.side, failure.message);
    finding(level, code, images, &want.file, &message, failure.help.as_deref())
}

fn finding(
    severity: Level,
    code: &str,
    images: &str,
    file: &str,
    message: &str,
    help: Option<&str>,
) -> Finding {
    Finding {
        severity,
        code: code.to_owned(),
        file: printable(&format!("{images}/{file}")),
        position: None,
        message: printable(message),
        help: help.map(printable),
        fixable: false,
        excerpt: None,
    }
}
