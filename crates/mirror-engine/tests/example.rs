//! What the example does.

use mirror_engine::Event;
use mirror_plan::report::Status;
use mirror_testkit::{ImageBuilder, Registry};

#[path = "../examples/copy_one.rs"]
#[expect(dead_code, unreachable_pub, reason = "its main is for people")]
mod copy_one;

#[tokio::test(flavor = "multi_thread")]
async fn one_image_is_planned_and_copied_into_a_layout() {
    let (registry, folder) = (Registry::start(), tempfile::tempdir().unwrap());
    let image = ImageBuilder::new("one").platforms(&["linux/amd64", "linux/arm64"]).build();
    registry.add("library/app", "1", &image);
    let reference = format!("{}/library/app:1", registry.host());
    let (events, report) = copy_one::copy(&reference, folder.path()).await.unwrap();
    assert_eq!((report.totals.copied, report.totals.failed), (1, 0), "{report:?}");
    assert!(matches!(events.first(), Some(Event::Looking(wants)) if wants.wants.len() == 1));
    assert!(matches!(events.last(), Some(Event::PassEnded)));
    let finished = events.iter().filter_map(|event| match event {
        Event::Finished(number, outcome) => Some((*number, outcome.status.clone())),
        _ => None,
    });
    assert_eq!(finished.collect::<Vec<_>>(), [(0, Status::Done)]);
    for (digest, bytes) in &image.blobs {
        let path = folder.path().join("store/blobs/sha256").join(digest.hex());
        assert_eq!(std::fs::read(path).unwrap(), *bytes);
    }
    let (_, report) = copy_one::copy(&reference, folder.path()).await.unwrap();
    assert_eq!((report.totals.copied, report.totals.unchanged), (0, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fails_is_in_the_report() {
    let (registry, folder) = (Registry::start(), tempfile::tempdir().unwrap());
    let reference = format!("{}/library/app:1", registry.host());
    let (events, report) = copy_one::copy(&reference, folder.path()).await.unwrap();
    assert!(report.failures.first().unwrap().failure.is_gone(), "{report:?}");
    assert_eq!(report.totals.failed, 1);
    assert!(!events.iter().any(|event| matches!(event, Event::Started(_))), "{events:?}");
}
