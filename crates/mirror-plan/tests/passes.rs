//! A report over several passes: each want ends once, and what was moved was moved.
#![expect(clippy::unwrap_used, reason = "tests may panic")]

use std::sync::Arc;
use std::time::Duration;

use mirror_failure::{Cause, ErrorKind, Failure, RequestError, Side};
use mirror_oci::{Algorithm, Digest};
use mirror_plan::plan::{Answers, Conflict, Draft, Observed, Plan, Unchanged};
use mirror_plan::report::{Event, Outcome, Report, ReportFold, Status, Transfer};
use mirror_plan::want::{Want, Wants};

fn want(tag: &str) -> Want {
    serde_json::from_value(serde_json::json!({
        "file": format!("docker.io/library/redis/{tag}/Dockerfile"),
        "source": format!("docker.io/library/redis:{tag}"),
        "source_registry": "docker.io",
        "destination": "prod",
        "location": {"registry": "registry.example.com"},
        "repository": "docker.io/library/redis",
        "tag": tag,
    }))
    .unwrap()
}

fn digest() -> Digest {
    Digest::of(Algorithm::Sha256, b"a manifest")
}

fn deferred() -> Status {
    let kind = ErrorKind::PullLimit { message: "none left".to_owned(), ends: None };
    let cause = Cause::Request(RequestError::new("GET https://docker.io/v2/", kind));
    Status::Failed { failure: Failure::new(Side::Source, "", &cause) }
}

fn looking(wants: &[&str]) -> Event {
    let wants = wants.iter().map(|tag| want(tag)).collect();
    Event::Looking(Arc::new(Wants { wants, ..Wants::default() }))
}

fn finished(number: usize, tag: &str, status: Status) -> Event {
    Event::Finished(number, Box::new(Outcome::of(&want(tag), &digest(), status)))
}

/// The plan to copy one image that its destination does not have.
fn copies(tag: &str) -> Event {
    let wants = Wants { wants: vec![want(tag)], ..Wants::default() };
    let mut observed = Observed::default();
    observed.sources.insert(want(tag).source, Ok(digest()));
    observed.targets.insert(want(tag).target, Ok(mirror_plan::plan::Presence::Absent));
    let plan = Draft::new(&wants, observed).settle(&Answers::default());
    Event::Planned { plan: Arc::new(plan), refresh: false }
}

fn unchanged(tags: &[&str]) -> Event {
    let item = |tag: &&str| Unchanged { want: want(tag), digest: digest(), signatures_owed: false };
    let unchanged = tags.iter().map(item).collect();
    let plan = Plan { format_version: 1, unchanged, ..Plan::default() };
    Event::Planned { plan: Arc::new(plan), refresh: true }
}

fn report(events: &[Event]) -> Report {
    let mut fold = ReportFold::new(None);
    events.iter().for_each(|event| fold.add(event));
    fold.report(Duration::ZERO)
}

#[test]
fn an_image_whose_signatures_had_to_wait_is_counted_once() {
    let report = report(&[
        looking(&["1", "2"]),
        unchanged(&["1", "2"]),
        finished(0, "1", Status::Refreshed),
        finished(1, "2", deferred()),
        looking(&["2"]),
        unchanged(&["2"]),
        finished(0, "2", Status::Refreshed),
    ]);
    assert_eq!((report.totals.unchanged, report.totals.refreshed), (2, 2));
}

#[test]
fn one_that_is_blocked_in_the_end_no_longer_waits() {
    let conflict = Conflict {
        files: vec![want("1").file],
        destination: "prod".to_owned(),
        target: want("1").target.shown(),
        reason: "the tag is immutable there".to_owned(),
    };
    let plan = Plan { format_version: 1, conflicts: vec![conflict], ..Plan::default() };
    let report = report(&[
        looking(&["1"]),
        copies("1"),
        finished(0, "1", deferred()),
        looking(&["1"]),
        Event::Planned { plan: Arc::new(plan), refresh: false },
    ]);
    assert_eq!((report.outcomes.len(), report.conflicts.len()), (0, 1));
    assert_eq!((report.totals.deferred, report.totals.conflicts), (0, 1));
}

#[test]
fn what_an_earlier_pass_moved_counts() {
    let transfer = Transfer { fetched_bytes: 7, pushed_bytes: 7, reused_blobs: 0 };
    let moved = || Event::Moved { image: 0, transfer, reused_bytes: 0 };
    let report = report(&[
        looking(&["1"]),
        copies("1"),
        moved(),
        finished(0, "1", deferred()),
        looking(&["1"]),
        copies("1"),
        moved(),
        finished(0, "1", Status::Done),
    ]);
    assert_eq!((report.totals.copied, report.totals.transfer.fetched_bytes), (1, 14));
}
