use mirror_failure::Side;
use mirror_oci::Algorithm;
use mirror_tree::Entry;

use super::*;
use crate::config::Config;
use crate::plan::draft::Draft;
use crate::plan::observed::{Image, Observed, Presence};
use crate::plan::questions::Answers;
use crate::want::expand::expand;
use crate::want::model::Wants;

fn digest(text: &str) -> Digest {
    Digest::of(Algorithm::Sha256, text.as_bytes())
}

fn wants(references: &[String]) -> Wants {
    let entries: Vec<Entry> = references
        .iter()
        .map(|reference| {
            let parsed: mirror_oci::Reference = reference.parse().unwrap();
            let (version, name) = (parsed.version().unwrap(), parsed.name);
            Entry {
                file: format!("{name}/Dockerfile"),
                name,
                version,
                platform: None,
                span: 0..0,
                source: "".into(),
            }
        })
        .collect();
    let config = "[[destination]]\nname='prod'\nregistry='r.io'\nrepository='m/{name}'";
    expand(&entries, &Config::parse(config).unwrap())
}

fn image(blobs: &[(&str, u64)]) -> Image {
    Image {
        platforms: vec!["linux/amd64".parse().unwrap(), "linux/arm64".parse().unwrap()],
        is_sparse: false,
        manifests: vec![digest("index"), digest("child")],
        blobs: blobs.iter().map(|(name, size)| (digest(name), *size)).collect(),
        upstream: None,
    }
}

/// One of each kind: new, changed, the same, moved tag, both kinds of failure, collision.
fn example() -> (Wants, Observed, Answers) {
    let wants = wants(&[
        "new:1".into(),
        "changed:2".into(),
        "same:3".into(),
        format!("moved:4@{}", digest("moved")),
        "quay.io/x/gone:5".into(),
        "refused:6".into(),
        "a/twin:7".into(),
        "b/twin:7".into(),
    ]);
    let (mut observed, mut answers) = (Observed::default(), Answers::default());
    let failure = |side, message: &str| Failure::other(side, message).with_help("do something");
    for want in &wants.wants {
        let name = want.target.repository.as_str().trim_start_matches("m/");
        let (source, target) = match name {
            "gone" => (Err(failure(Side::Source, "manifest x: 404")), Ok(Presence::Absent)),
            "refused" => (Ok(digest(name)), Err(failure(Side::Destination, "connection refused"))),
            "changed" => (Ok(digest(name)), Ok(Presence::There(digest("old")))),
            "same" => (Ok(digest(name)), Ok(Presence::There(digest("same")))),
            _ => (Ok(digest(name)), Ok(Presence::Absent)),
        };
        observed.sources.insert(want.source.clone(), source);
        observed.targets.insert(want.target.clone(), target);
        if name == "moved" {
            answers.tags.insert(want.source.clone(), digest("elsewhere"));
        }
        let blobs: &[_] = if name == "new" {
            &[("own", 1000), ("shared", 5_000_000)]
        } else {
            &[("shared", 5_000_000)]
        };
        answers.images.insert(want.source.clone(), Ok(image(blobs)));
    }
    (wants, observed, answers)
}

#[test]
fn each_want_has_one_place() {
    let (wants, observed, answers) = example();
    let plan = Draft::new(&wants, observed).settle(&answers);
    let copies: Vec<_> = plan.copies().map(|copy| copy.want.target.shown()).collect();
    assert_eq!(copies, ["m/changed:2", "m/moved:4", "m/new:1"]);
    assert_eq!(plan.unchanged[0].want.target.shown(), "m/same:3");
    assert_eq!(plan.failures.len(), 2);
    assert_eq!(plan.conflicts[0].target, "m/twin:7");
    assert_eq!(plan.notes.len(), 1);
    // Three images share the digests of their two manifests, but pull them from repositories of their own.
    assert_eq!(plan.pulls, [Pulls { registry: Registry::docker_hub(), manifests: 6, left: None }]);
    let totals = Totals {
        create: 2,
        update: 1,
        unchanged: 1,
        conflicts: 1,
        failures: 2,
        deferred: 0,
        bytes: Some(5_001_000),
        ..Totals::default()
    };
    assert_eq!(plan.totals, totals);
    let copies = plan.copies().map(|copy| &copy.want);
    let unchanged = plan.unchanged.iter().map(|item| &item.want);
    let listed = copies.chain(unchanged).chain(plan.failures.iter().map(|failed| &failed.want));
    let mut listed: Vec<_> = listed.collect();
    listed.sort();
    let mut all: Vec<_> = wants.wants.iter().collect();
    all.sort();
    assert_eq!(
        listed, all,
        "each is in one list, and those in the way of each other in none of these"
    );
    assert!(wants.contended.iter().all(|want| plan.conflicts[0].files.contains(&want.file)));
}

#[test]
fn without_manifests_sizes_are_unknown() {
    let (wants, observed, mut answers) = example();
    answers.images.clear();
    let plan = Draft::new(&wants, observed).settle(&answers);
    assert_eq!((plan.totals.bytes, plan.pulls[0].manifests), (None, 3));
}

#[test]
fn json_round_trip() {
    let (wants, observed, answers) = example();
    let plan = Draft::new(&wants, observed).settle(&answers);
    let json = serde_json::to_string(&plan).unwrap();
    assert_eq!(serde_json::from_str::<Plan>(&json).unwrap(), plan);
}

#[test]
fn what_is_left_of_a_plan_that_was_stopped_at_once() {
    let (wants, observed, answers) = example();
    let mut plan = Draft::new(&wants, observed).settle(&answers);
    plan.unchanged[0].signatures_owed = true;
    let stopped = |event| {
        let mut fold = crate::report::ReportFold::new(None);
        fold.add(&event);
        fold.report(std::time::Duration::ZERO)
    };
    let report = stopped(crate::report::Event::Rechecking(plan.clone().into()));
    assert_eq!((report.unreached.len(), report.unchanged.len()), (4, 0));
    assert_eq!((&report.failures, &report.conflicts), (&plan.failures, &plan.conflicts));
    assert_eq!((report.totals.cancelled, report.totals.failed), (4, 2));
    let report = stopped(crate::report::Event::Looking(wants.clone().into()));
    assert_eq!((report.totals.cancelled, report.totals.conflicts), (wants.wants.len(), 1));
}

proptest::proptest! {
    #[test]
    fn a_saved_plan_that_was_changed_is_refused_or_the_same(
        at in 0..4000usize,
        byte in proptest::num::u8::ANY,
        cut in 0..4000usize,
    ) {
        let (wants, observed, answers) = example();
        let plan = Draft::new(&wants, observed).settle(&answers);
        let digest = mirror_oci::Digest::of(mirror_oci::Algorithm::Sha256, b"");
        let mut bytes = Vec::new();
        crate::plan::write_plan(&mut bytes, &plan, (&digest, &digest), std::iter::empty()).unwrap();
        let read = |bytes: &[u8]| {
            let saved = crate::plan::SavedPlan::read(bytes, |_| Ok(()))?;
            saved.shown()
        };
        proptest::prop_assert_eq!(read(&bytes).unwrap(), plan);
        let mut changed = bytes.clone();
        let index = at % bytes.len();
        changed[index] = byte;
        if changed != bytes {
            proptest::prop_assert!(read(&changed).is_err(), "byte {index} is {byte}");
        }
        for cut in [cut % bytes.len(), bytes.len() - 1] {
            proptest::prop_assert!(read(&bytes[..cut]).is_err(), "cut off at {cut}");
        }
    }
}
