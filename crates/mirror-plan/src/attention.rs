//! What a person has to look at, for an issue that is kept up to date.

use crate::markdown::{COMMENT_BUDGET, Page, code, look_up_failed, problem};
use crate::outdated::Outdated;
use crate::report::{Report, Status, WarningKind};
use crate::report_page::signatures;

/// What is wrong, as Markdown; nothing when nobody has to do anything. `problems` are in the words of whoever saw them.
/// The same problems make the same text, whatever the time and the number of bytes. Images that wait for a limit on
/// pulls are no problem: the next run goes on with them.
pub fn attention_markdown(
    report: &Report,
    outdated: Option<&Outdated>,
    problems: &[String],
) -> Option<String> {
    let mut page = Page::new(COMMENT_BUDGET);
    let mut wrong = Page::new(COMMENT_BUDGET / 2);
    problems.iter().for_each(|problem| wrong.row(&format!("- ❌ {}\n", code(problem))));
    failed(report, &mut wrong);
    if !wrong.is_empty() {
        page.always(&format!("### Not mirrored as wanted\n\n{}\n", wrong.finish()));
    }
    let (images, failures) =
        outdated.map(|found| (&found.images[..], &found.failures[..])).unwrap_or_default();
    if !images.is_empty() || !failures.is_empty() {
        page.row(
            "### Newer versions that no bot proposes\n\n| image | tag | newest | file |\n|---|---|---|---|\n",
        );
    }
    for found in images {
        page.row(&format!(
            "| {} | {} | {} | {} |\n",
            code(&found.name),
            code(&found.tag),
            code(&found.newest),
            code(&found.file)
        ));
    }
    for failed in failures {
        let why = code(&failed.failure.message);
        page.row(&format!("\n- ❌ tags of {}: {why}\n", code(&failed.name)));
    }
    (!page.is_empty()).then(|| page.finish())
}

fn failed(report: &Report, page: &mut Page) {
    for conflict in &report.conflicts {
        let (target, destination) = (code(&conflict.target), code(&conflict.destination));
        page.row(&format!("- ⚠️ {target} at {destination}: {}\n", code(&conflict.reason)));
    }
    for failed in report.failures.iter().filter(|failed| !failed.failure.deferred) {
        page.row(&look_up_failed(failed));
    }
    for outcome in &report.repositories {
        for failed in &outcome.problems {
            let what = format!("repository {}", outcome.at.repository);
            page.row(&problem(&what, &outcome.at.destination, &failed.failure, None));
        }
    }
    for outcome in &report.outcomes {
        let (target, destination) = (outcome.subject.target(), &outcome.subject.destination);
        match &outcome.status {
            Status::Failed { failure } if !failure.deferred => {
                page.row(&problem(&target, destination, failure, outcome.serves.as_ref()));
            }
            Status::Stale { .. } => page.row(&format!(
                "- ⚠️ {} at {}: something else was pushed there meanwhile\n",
                code(&target),
                code(destination)
            )),
            Status::Cancelled => page.row(&format!(
                "- ⚠️ {} at {}: the run ended before it was done\n",
                code(&target),
                code(destination)
            )),
            _ => {}
        }
        // That the destination keeps its own is as somebody wants it.
        if outcome.warnings.iter().any(|warning| warning.kind != WarningKind::SignatureKept) {
            signatures(outcome).iter().for_each(|row| page.row(row));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::NewerTag;

    #[test]
    fn nothing_wrong_nothing_said() {
        let report = Report { format_version: 1, ..Report::default() };
        assert_eq!(attention_markdown(&report, None, &[]), None);
        let mut outdated = Outdated { format_version: 1, looked_at: 2, ..Outdated::default() };
        assert_eq!(attention_markdown(&report, Some(&outdated), &[]), None);
        outdated.images.push(NewerTag {
            file: "docker.io/minio/minio/Dockerfile".to_owned(),
            name: "docker.io/minio/minio".to_owned(),
            tag: "RELEASE.1".to_owned(),
            newest: "RELEASE.2|x".to_owned(),
            reason: "r".to_owned(),
        });
        let text =
            attention_markdown(&report, Some(&outdated), &["a job @failed".to_owned()]).unwrap();
        assert_eq!(
            text,
            "### Not mirrored as wanted\n\n- ❌ `a job @failed`\n\n\
             ### Newer versions that no bot proposes\n\n| image | tag | newest | file |\n|---|---|---|---|\n\
             | `docker.io/minio/minio` | `RELEASE.1` | `RELEASE.2¦x` | `docker.io/minio/minio/Dockerfile` |\n"
        );
    }
}
