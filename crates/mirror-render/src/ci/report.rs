//! Reports as Markdown.

use mirror_failure::count;
use mirror_oci::ByteSize;
use mirror_plan::report::{Outcome, Report, Status, WarningKind};

use crate::ci::markdown::{Page, code, holder, look_up_failed, problem, short};
use crate::people::report::unsigned;

/// The report: what failed and why first, then the totals, then what was done.
///
/// ```
/// use mirror_plan::report::Report;
/// use mirror_render::ci::{COMMENT_BUDGET, report_markdown};
///
/// let mut report = Report::default();
/// report.totals.copied = 14;
/// let page = report_markdown(&report, COMMENT_BUDGET);
/// assert!(page.starts_with("### mirror: 14 copied, 0 unchanged\n"));
/// ```
pub fn report_markdown(report: &Report, budget: usize) -> String {
    let mut page = Page::new(budget);
    let totals = &report.totals;
    let bad = [
        (totals.failed, "failed"),
        (totals.deferred, "deferred"),
        (totals.conflicts, "in conflict"),
        (totals.stale, "stale"),
        (totals.cancelled, "not finished"),
    ];
    let bad = bad.iter().filter(|(number, _)| *number > 0);
    let mut parts =
        vec![format!("{} copied", totals.copied), format!("{} unchanged", totals.unchanged)];
    parts.extend(bad.map(|(number, word)| format!("**{number} {word}**")));
    parts.extend(unsigned(report));
    page.always(&format!("### mirror: {}\n\n", parts.join(", ")));
    let transfer = &totals.transfer;
    page.always(&format!(
        "{} fetched, {} pushed, {:.1} s.\n\n",
        ByteSize(transfer.fetched_bytes),
        ByteSize(transfer.pushed_bytes),
        totals.milliseconds as f64 / 1000.0
    ));
    for conflict in &report.conflicts {
        page.row(&format!("- ⚠️ {}: {}\n", code(&conflict.target), code(&conflict.reason)));
    }
    for failed in &report.failures {
        page.row(&look_up_failed(failed));
    }
    for outcome in &report.repositories {
        for problem in &outcome.problems {
            let setting =
                problem.setting.map_or_else(String::new, |setting| format!(" ({setting})"));
            let what = format!("repository {}{setting}", outcome.at.repository);
            page.row(&self::problem(&what, &outcome.at.destination, &problem.failure, None));
        }
    }
    report.outcomes.iter().for_each(|outcome| ended(outcome, &mut page));
    let done = report.outcomes.iter().filter(|outcome| outcome.status == Status::Done);
    let rows: Vec<String> = done
        .map(|outcome| {
            let (target, destination) =
                (outcome.want.target.shown(), &outcome.want.target.destination);
            let size = ByteSize(outcome.transfer.pushed_bytes);
            let holder =
                outcome.holder.as_ref().map(|holder| format!("; {}", self::holder(holder)));
            let holder = holder.unwrap_or_default();
            format!("- {} at {} ({size} pushed){holder}\n", code(&target), code(destination))
        })
        .collect();
    if !rows.is_empty() {
        page.folded(&format!("{} copied", count(rows.len() as u64, "image")), rows.into_iter());
    }
    page.finish()
}

/// How an image ended that is not simply there.
fn ended(outcome: &Outcome, page: &mut Page) {
    if let Status::Stale { found } = &outcome.status {
        let now = found.as_ref().map_or_else(|| "nothing".to_owned(), short);
        page.row(&format!(
            "- ⚠️ {} now has {now}; left alone\n",
            code(&outcome.want.target.shown())
        ));
    }
    if let Status::Failed { failure } = &outcome.status {
        let (target, destination) = (outcome.want.target.shown(), &outcome.want.target.destination);
        page.row(&problem(&target, destination, failure, outcome.serves.as_ref()));
    }
    signatures(outcome).iter().for_each(|row| page.row(row));
}

/// What is not as it should be with the signatures of an image.
pub(crate) fn signatures(outcome: &Outcome) -> Vec<String> {
    let at = format!(
        "{} at {}",
        code(&outcome.want.target.shown()),
        code(&outcome.want.target.destination)
    );
    let kinds = [
        (WarningKind::SignaturesUnknown, "its signatures could not be looked for"),
        (WarningKind::SignatureMissing, "one of its signatures is missing"),
        (WarningKind::SignatureKept, "the signature there is not its source's, and stays"),
    ];
    let rows = kinds.iter().flat_map(|(kind, what)| {
        let at = &at;
        outcome.warned(*kind).map(move |why| format!("- ⚠️ {at}: {what}: {}\n", code(why)))
    });
    rows.collect()
}
