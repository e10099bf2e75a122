//! What a person has to look at, for an issue that is kept up to date.

use std::collections::BTreeSet;

use mirror_plan::report::{MovedTag, Outdated, Report, Status, WarningKind};

use crate::ci::markdown::{COMMENT_BUDGET, Page, code, holder, look_up_failed, problem, short};
use crate::ci::report::signatures;

/// What was said before, so that it can be told since when something is wrong.
#[derive(Debug, Clone, Default)]
pub struct Earlier<'a> {
    /// The text of the last time, if there is one.
    pub text: Option<&'a str>,
    /// Today, such as `2 Jan 2026`.
    pub today: &'a str,
}

impl Earlier<'_> {
    /// Since when a row is there that begins like this: its date follows.
    fn since(&self, row: &str) -> String {
        let before = self.text.into_iter().flat_map(str::lines);
        let date = before.filter_map(|line| line.strip_prefix(row)?.split(" |").next()).next();
        date.filter(|date| date.len() <= MOST_OF_A_DATE).unwrap_or(self.today).to_owned()
    }

    /// Rows about tags of an image that moved.
    fn rows(&self, name: &str) -> impl Iterator<Item = &str> {
        let begin = format!("| {} | ", code(name));
        let rows = self.text.into_iter().flat_map(str::lines);
        rows.filter(move |line| line.starts_with(&begin) && line.matches(" | ").count() == 4)
    }
}

/// `12 Nov 2026`, which somebody may have changed by hand.
const MOST_OF_A_DATE: usize = 12;

/// What is wrong, as Markdown; nothing when nobody has to do anything. `problems` are in the words of whoever saw them.
/// The same problems make the same text, whatever the time and the number of bytes. Images that wait for a limit on
/// pulls are no problem: the next run goes on with them.
///
/// ```
/// use mirror_plan::report::Report;
/// use mirror_render::ci::{Earlier, issue_markdown};
///
/// let report = Report::default();
/// assert_eq!(issue_markdown(&report, None, &[], &Earlier::default()), None);
///
/// let problems = ["the login at AWS failed".to_owned()];
/// let text = issue_markdown(&report, None, &problems, &Earlier::default());
/// assert!(text.is_some_and(|text| text.contains("- ❌ `the login at AWS failed`")));
/// ```
pub fn issue_markdown(
    report: &Report,
    outdated: Option<&Outdated>,
    problems: &[String],
    earlier: &Earlier<'_>,
) -> Option<String> {
    let mut page = Page::new(COMMENT_BUDGET);
    let mut wrong = Page::new(COMMENT_BUDGET / 2);
    problems.iter().for_each(|problem| wrong.row(&format!("- ❌ {}\n", code(problem))));
    failed(report, &mut wrong);
    if !wrong.is_empty() {
        page.always(&format!("### Not mirrored as wanted\n\n{}\n", wrong.finish()));
    }
    moved(outdated, earlier, &mut page);
    let (images, failures) =
        outdated.map(|found| (&found.images[..], &found.failures[..])).unwrap_or_default();
    if !images.is_empty() || !failures.is_empty() {
        page.row("### Newer versions that no bot proposes\n\n");
    }
    if !images.is_empty() {
        page.row("`mirror update` writes the newest of each, with its digest.\n\n");
        page.row("| image | tag | newest | next major version | file |\n|---|---|---|---|---|\n");
    }
    let or_none = |tag: &Option<String>| tag.as_deref().map(code).unwrap_or_default();
    for found in images {
        page.row(&format!(
            "| {} | {} | {} | {} | {} |\n",
            code(&found.name),
            code(&found.tag),
            or_none(&found.newest),
            or_none(&found.major),
            code(&found.file)
        ));
    }
    for failed in failures {
        let why = code(&failed.failure.message);
        page.row(&format!("\n- ❌ tags of {}: {why}\n", code(&failed.name)));
    }
    (!page.is_empty()).then(|| page.finish())
}

/// Tags that were pushed again under a digest of the tree.
fn moved(outdated: Option<&Outdated>, earlier: &Earlier<'_>, page: &mut Page) {
    let Some(Outdated { moved, failures, .. }) = outdated else { return };
    // What could not be asked now is as it was.
    let unasked = failures.iter().flat_map(|failed| earlier.rows(&failed.name));
    let unasked: BTreeSet<&str> = unasked.collect();
    if moved.is_empty() && unasked.is_empty() {
        return;
    }
    page.row(
        "### Pushed again or deleted, under a pinned digest\n\n`mirror pin` takes new digests.\n\n| image | tag | in the tree | upstream | since |\n|---|---|---|---|---|\n",
    );
    unasked.into_iter().for_each(|row| page.row(&format!("{row}\n")));
    for MovedTag { name, tag, pinned, upstream, .. } in moved {
        let upstream = upstream.as_ref().map_or_else(|| "gone".to_owned(), short);
        let row = format!("| {} | {} | {} | {upstream} | ", code(name), code(tag), short(pinned));
        page.row(&format!("{row}{} |\n", earlier.since(&row)));
    }
    page.row("\n");
}

fn failed(report: &Report, page: &mut Page) {
    for conflict in &report.conflicts {
        let (target, destination) = (code(&conflict.target), code(&conflict.destination));
        page.row(&format!("- ⚠️ {target} at {destination}: {}\n", code(&conflict.reason)));
    }
    for failed in report.failures.iter().filter(|failed| !failed.failure.is_deferred()) {
        page.row(&look_up_failed(failed));
    }
    for outcome in &report.repositories {
        for failed in &outcome.problems {
            let what = format!("repository {}", outcome.at.repository);
            page.row(&problem(&what, &outcome.at.destination, &failed.failure, None));
        }
    }
    for outcome in &report.outcomes {
        let (target, destination) = (outcome.want.target.shown(), &outcome.want.target.destination);
        match &outcome.status {
            Status::Failed { failure } if !failure.is_deferred() => {
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
        if let (Status::Done, Some(holder)) = (&outcome.status, &outcome.holder) {
            let at = code(destination);
            page.row(&format!("- {} at {at}: {}\n", code(&target), self::holder(holder)));
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
    use mirror_plan::report::NewerTag;

    #[test]
    fn nothing_wrong_nothing_said() {
        let report = Report { format_version: 1, ..Report::default() };
        assert_eq!(issue_markdown(&report, None, &[], &Earlier::default()), None);
        let mut outdated = Outdated { format_version: 1, looked_at: 2, ..Outdated::default() };
        assert_eq!(issue_markdown(&report, Some(&outdated), &[], &Earlier::default()), None);
        outdated.images.push(NewerTag {
            file: "docker.io/minio/minio/Dockerfile".to_owned(),
            name: "docker.io/minio/minio".to_owned(),
            tag: "RELEASE.1".to_owned(),
            newest: Some("RELEASE.2|x".to_owned()),
            major: None,
            proposed: None,
            reason: "r".to_owned(),
        });
        let problems = ["a job @failed".to_owned()];
        let earlier = Earlier::default();
        let text = issue_markdown(&report, Some(&outdated), &problems, &earlier).unwrap();
        assert_eq!(
            text,
            "### Not mirrored as wanted\n\n- ❌ `a job @failed`\n\n\
             ### Newer versions that no bot proposes\n\n`mirror update` writes the newest of each, with its digest.\n\n\
             | image | tag | newest | next major version | file |\n|---|---|---|---|---|\n\
             | `docker.io/minio/minio` | `RELEASE.1` | `RELEASE.2¦x` |  | `docker.io/minio/minio/Dockerfile` |\n"
        );
    }

    #[test]
    fn since_when() {
        let digest =
            |text: &str| mirror_oci::Digest::of(mirror_oci::Algorithm::Sha256, text.as_bytes());
        let tag = |tag: &str, upstream: Option<&str>| MovedTag {
            file: "f".to_owned(),
            name: "docker.io/library/app".to_owned(),
            tag: tag.to_owned(),
            pinned: digest("old"),
            upstream: upstream.map(digest),
        };
        let report = Report { format_version: 1, ..Report::default() };
        let text = |moved: Vec<MovedTag>, text: Option<&str>, today: &str| {
            let outdated = Outdated { format_version: 1, moved, ..Outdated::default() };
            issue_markdown(&report, Some(&outdated), &[], &Earlier { text, today }).unwrap()
        };
        let first = text(vec![tag("1", Some("new"))], None, "1 Nov 2026");
        assert_eq!(
            first,
            "### Pushed again or deleted, under a pinned digest\n\n`mirror pin` takes new digests.\n\n\
             | image | tag | in the tree | upstream | since |\n|---|---|---|---|---|\n\
             | `docker.io/library/app` | `1` | `cba06b5736fa` | `11507a0e2f5e` | 1 Nov 2026 |\n\n"
        );
        // The day stays while it is the same, whatever the ends of lines; it is another one after another push.
        let edited = first.replace('\n', "\r\n");
        let moved = vec![tag("1", Some("new")), tag("2", None)];
        let second = text(moved, Some(&edited), "3 Nov 2026");
        assert!(second.contains("| `11507a0e2f5e` | 1 Nov 2026 |\n"), "{second}");
        assert!(second.contains("| gone | 3 Nov 2026 |\n"), "{second}");
        let third = text(vec![tag("1", Some("newer"))], Some(&second), "5 Nov 2026");
        assert!(third.contains("| 5 Nov 2026 |\n") && !third.contains("1 Nov 2026"), "{third}");
        // A night in which nobody could be asked changes nothing.
        let failure = mirror_failure::Failure::other(mirror_failure::Side::Source, "403");
        let name = "docker.io/library/app".to_owned();
        let failures =
            vec![mirror_plan::report::TagsFailure { file: "f".to_owned(), name, failure }];
        let outdated = Outdated { format_version: 1, failures, ..Outdated::default() };
        let (today, before) = ("9 Nov 2026", Some(&*first));
        let earlier = Earlier { text: before, today };
        let night = issue_markdown(&report, Some(&outdated), &[], &earlier).unwrap();
        assert!(night.contains("| `11507a0e2f5e` | 1 Nov 2026 |\n"), "{night}");
    }
}
