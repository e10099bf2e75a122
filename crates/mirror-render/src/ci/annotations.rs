//! What is wrong in a plan or a report, as diagnostics at the files concerned.

use mirror_failure::{Failure, printable};
use mirror_plan::plan::{Alert, Conflict, Note, Plan};
use mirror_plan::report::{Diagnostic, Diagnostics, Level, Report, Status};
use mirror_plan::want::Want;

use crate::people::failure::{Explained, explained};

/// What is wrong in a plan, for the tree in the folder `images`.
pub fn plan_diagnostics(images: &str, plan: &Plan) -> Diagnostics {
    let mut found: Vec<Diagnostic> =
        plan.alerts.iter().map(|alert| alert_diagnostic(images, alert)).collect();
    found.extend(conflicts(images, &plan.conflicts));
    found.extend(plan.failures.iter().map(|failed| failure(images, &failed.want, &failed.failure)));
    found.extend(plan.notes.iter().filter_map(|note| match note {
        Note::TagMoved { file, source, upstream } => {
            let message = format!("upstream moved the tag of {source} to {upstream}");
            let help = "the pinned digest is used; `mirror pin` writes the new one";
            Some(diagnostic(Level::Warning, "tag-moved", images, file, &message, Some(help)))
        }
        _ => None,
    }));
    Diagnostics { format_version: 1, entries: 0, diagnostics: found }
}

/// What failed in a run over the tree in the folder `images`.
pub fn report_diagnostics(images: &str, report: &Report) -> Diagnostics {
    let mut found = conflicts(images, &report.conflicts);
    found.extend(
        report.failures.iter().map(|failed| failure(images, &failed.want, &failed.failure)),
    );
    found.extend(report.outcomes.iter().filter_map(|outcome| match &outcome.status {
        Status::Failed { failure } => Some(self::failure(images, &outcome.want, failure)),
        _ => None,
    }));
    Diagnostics { format_version: 1, entries: 0, diagnostics: found }
}

fn alert_diagnostic(images: &str, alert: &Alert) -> Diagnostic {
    let (code, file) = match alert {
        Alert::DigestRemoved { file, .. } => ("digest-removed", file),
        Alert::PlatformsLost { file, .. } => ("platforms-lost", file),
        Alert::Older { file, .. } => ("older-image", file),
    };
    diagnostic(Level::Warning, code, images, file, &alert.told(str::to_owned), None)
}

fn conflicts(images: &str, conflicts: &[Conflict]) -> Vec<Diagnostic> {
    let one = |conflict: &Conflict| {
        let file = conflict.files.first().map(String::as_str).unwrap_or_default();
        let message =
            format!("{} at {}: {}", conflict.target, conflict.destination, conflict.reason);
        diagnostic(Level::Error, "conflict", images, file, &message, None)
    };
    conflicts.iter().map(one).collect()
}

fn failure(images: &str, want: &Want, failure: &Failure) -> Diagnostic {
    let (level, code) =
        if failure.is_deferred() { (Level::Warning, "deferred") } else { (Level::Error, "failed") };
    let Explained { security, cause, help } = explained(failure);
    let (target, destination) = (want.target.shown(), &want.target.destination);
    let security = security.map(|security| format!("{security}; ")).unwrap_or_default();
    let message = format!("{target} at {destination}: {security}{cause}");
    diagnostic(level, code, images, &want.file, &message, help.as_deref())
}

fn diagnostic(
    severity: Level,
    code: &str,
    images: &str,
    file: &str,
    message: &str,
    help: Option<&str>,
) -> Diagnostic {
    Diagnostic {
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
