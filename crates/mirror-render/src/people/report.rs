//! Reports as text for people.

use std::fmt::Write as _;

use mirror_failure::count;
use mirror_oci::{ByteSize, Digest};
use mirror_plan::report::{Outcome, Report, Status, WarningKind};
use mirror_plan::want::RepositoryOutcome;

use crate::people::text::{CHANGED, STRONG, Text, WRONG, repositories_noun, what};

/// The report for people: what failed and why, then the totals.
///
/// ```
/// use mirror_plan::plan::Conflict;
/// use mirror_plan::report::Report;
/// use mirror_render::people::render_report;
///
/// let mut report = Report::default();
/// report.conflicts.push(Conflict {
///     files: vec!["a/Dockerfile".to_owned(), "b/Dockerfile".to_owned()],
///     destination: "prod".to_owned(),
///     target: "app:1".to_owned(),
///     reason: "two images for one tag".to_owned(),
/// });
/// report.totals.conflicts = 1;
/// let text = render_report(&report);
/// assert!(text.contains("app:1 at prod: two images for one tag"));
/// assert!(text.contains("wanted by a/Dockerfile, b/Dockerfile"));
/// ```
pub fn render_report(report: &Report) -> String {
    let mut out = Text(String::new());
    for conflict in &report.conflicts {
        out.line(
            WRONG,
            "conflict",
            &format!("{} at {}: {}", conflict.target, conflict.destination, conflict.reason),
        );
        out.detail("", &format!("wanted by {}", conflict.files.join(", ")));
    }
    report.failures.iter().for_each(|failed| out.look_up_failed(failed));
    for outcome in &report.repositories {
        out.repository_problems(outcome);
    }
    report.outcomes.iter().for_each(|outcome| out.outcome(outcome));
    let totals = &report.totals;
    let mut parts =
        vec![format!("{} copied", totals.copied), format!("{} unchanged", totals.unchanged)];
    let rest = [
        (totals.refreshed, "refreshed"),
        (totals.failed, "failed"),
        (totals.deferred, "deferred"),
        (totals.conflicts, "in conflict"),
        (totals.stale, "stale"),
        (totals.cancelled, "not finished"),
    ];
    if totals.repositories > 0 {
        let noun = repositories_noun(totals.repositories);
        parts.push(format!("{} {noun} made or changed", totals.repositories));
    }
    parts.extend(rest.iter().filter(|(n, _)| *n > 0).map(|(n, word)| format!("{n} {word}")));
    parts.extend(unsigned(report));
    let seconds = totals.milliseconds as f64 / 1000.0;
    let transfer = &totals.transfer;
    let mut moved = format!(
        "{} fetched, {} pushed",
        ByteSize(transfer.fetched_bytes),
        ByteSize(transfer.pushed_bytes)
    );
    if transfer.reused_blobs > 0 {
        let _ = write!(moved, ", {} reused", count(transfer.reused_blobs, "blob"));
    }
    if report.interrupted || totals.cancelled > 0 {
        out.line(WRONG, "interrupted", "what was copied stays; run again to continue");
    }
    out.line(STRONG, "applied", &format!("{}; {moved}; {seconds:.1} s", parts.join(", ")));
    out.0
}

/// What is not as it should be with signatures, for the totals.
pub(crate) fn unsigned(report: &Report) -> impl Iterator<Item = String> {
    let totals = &report.totals;
    let parts = [
        (totals.signatures_unknown, "whose signatures could not be looked for"),
        (totals.signatures_missing, "without some of their signatures"),
    ];
    parts.into_iter().filter(|(n, _)| *n > 0).map(|(n, word)| format!("{n} {word}"))
}

impl Text {
    fn warnings(&mut self, outcome: &Outcome) {
        let at = what(&outcome.want, "at");
        for why in outcome.warned(WarningKind::SignaturesUnknown) {
            let text = format!("could not look for signatures of {at}; the next run does");
            self.line(CHANGED, "warning", &text);
            self.detail("caused by: ", why);
        }
        let mut missing = outcome.warned(WarningKind::SignatureMissing).peekable();
        if missing.peek().is_some() {
            self.line(CHANGED, "warning", &format!("{at} is without some of its signatures"));
        }
        missing.for_each(|why| self.detail("caused by: ", why));
        let mut kept = outcome.warned(WarningKind::SignatureKept).peekable();
        if kept.peek().is_some() {
            let text = format!("{at} has other signatures than its source, which stay");
            self.line(CHANGED, "warning", &text);
        }
        kept.for_each(|tag| self.detail("", tag));
    }

    fn outcome(&mut self, outcome: &Outcome) {
        self.warnings(outcome);
        if let Status::Stale { found } = &outcome.status {
            let now = found.as_ref().map_or("nothing", Digest::short);
            let text = format!("{} now has {now}; left alone", what(&outcome.want, "at"));
            self.line(CHANGED, "stale", &text);
        }
        if let Status::Failed { failure } = &outcome.status {
            if failure.is_deferred() {
                self.line(CHANGED, "deferred", &what(&outcome.want, "for"));
            } else {
                let what = what(&outcome.want, "to");
                self.line(WRONG, "error", &format!("could not copy {what}"));
            }
            self.serves(outcome.serves.as_ref());
            self.failure(failure);
        }
        if let (Status::Done, Some(holder)) = (&outcome.status, &outcome.holder) {
            let text = format!("{}: {}", what(&outcome.want, "at"), holder.told());
            self.line(CHANGED, "note", &text);
            self.holder(Some(holder));
        }
    }

    fn repository_problems(&mut self, outcome: &RepositoryOutcome) {
        let RepositoryOutcome { at, create, problems, .. } = outcome;
        for problem in problems {
            let what = match problem.setting {
                None if *create => "could not make".to_owned(),
                None => "could not change".to_owned(),
                Some(setting) => format!("could not set {setting} of"),
            };
            let text = format!("{what} repository {} at {}", at.repository, at.destination);
            self.line(WRONG, "error", &text);
            self.failure(&problem.failure);
        }
    }
}
