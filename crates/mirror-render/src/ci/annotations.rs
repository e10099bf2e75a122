//! What is wrong in a plan or a report, as diagnostics at the files concerned.

use mirror_failure::{Failure, printable};
use mirror_plan::plan::{Alert, Conflict, Note, Plan};
use mirror_plan::report::{Diagnostic, Diagnostics, Level, Report, Status};
use mirror_plan::want::Want;

use crate::people::failure::{Explained, explained};

/// What is wrong in a plan, for the tree in the folder `images`.
///
/// ```
/// use mirror_plan::plan::{Alert, Plan};
/// use mirror_render::ci::plan_diagnostics;
///
/// let mut plan = Plan::default();
/// plan.alerts.push(Alert::PlatformsLost {
///     file: "docker.io/library/redis/Dockerfile".to_owned(),
///     source: "redis:7".to_owned(),
///     platforms: vec!["linux/arm64".parse()?],
/// });
/// let found = plan_diagnostics("images", &plan);
/// assert_eq!(found.diagnostics[0].code, "platforms-lost");
/// assert_eq!(found.diagnostics[0].message, "redis:7: linux/arm64 is gone");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
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
///
/// ```
/// use mirror_plan::plan::Conflict;
/// use mirror_plan::report::Report;
/// use mirror_render::ci::report_diagnostics;
///
/// let mut report = Report::default();
/// report.conflicts.push(Conflict {
///     files: vec!["a/Dockerfile".to_owned(), "b/Dockerfile".to_owned()],
///     destination: "prod".to_owned(),
///     target: "app:1".to_owned(),
///     reason: "two images for one tag".to_owned(),
/// });
/// report.totals.conflicts = 1;
/// assert_eq!(report_diagnostics("images", &report).diagnostics[0].file, "images/a/Dockerfile");
/// ```
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
        Alert::VersionLowered { file, .. } => ("version-lowered", file),
        Alert::DigestReturned { file, .. } => ("digest-returned", file),
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
