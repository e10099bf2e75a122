//! Destinations that need a moment, and those that take what they have only once.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use expect_test::expect;
use mirror_testkit::{Fault, Image, ImageBuilder, Profile, Recorded, Registry};

use crate::{Pair, Project};

fn image() -> Image {
    ImageBuilder::new("app").platforms(&["linux/amd64", "linux/arm64"]).layers(&[9000, 700]).build()
}

fn puts(requests: &[Recorded], what: &str) -> usize {
    let puts = requests.iter().filter(|r| r.method == "PUT" && r.path.contains(what));
    puts.count()
}

/// A registry that knows what it has taken only after `time`.
fn is_slow(
    registry: &Registry,
    status: u16,
    code: &'static str,
    which: &'static str,
    time: Duration,
) {
    let first = Arc::new(Mutex::new(None::<Instant>));
    registry.set_faults(move |exchange| {
        let put = exchange.method == "PUT" && exchange.path.contains("/manifests/");
        let mut first = first.lock().unwrap();
        let concerns = put && exchange.path.contains(which);
        let began = concerns.then(|| *first.get_or_insert_with(Instant::now))?;
        (began.elapsed() < time).then(|| Fault::refuse(status, code, "not known"))
    });
}

#[test]
fn what_was_pushed_a_moment_ago_may_be_unknown_for_a_moment() {
    for (status, code) in
        [(400, "MANIFEST_BLOB_UNKNOWN"), (404, "BLOB_UNKNOWN"), (404, "MANIFEST_UNKNOWN")]
    {
        for which in ["/manifests/sha256", "/manifests/1"] {
            let image = image();
            let pair = Pair::new(&[("library/app", "1", &image)]);
            is_slow(&pair.destination, status, code, which, Duration::from_millis(2000));
            pair.project.mirror(&["apply"]).run();
            assert!(pair.destination.holds("docker.io/library/app", &image));
            let asked = pair.destination.take_requests();
            assert_eq!(puts(&asked, "/blobs/"), 6, "{status} {code}: no blob is sent twice");
            pair.project.mirror(&["plan", "--exit-code"]).run();
        }
    }
}

#[test]
fn a_child_that_was_lost_is_put_again_and_no_blob_is() {
    let image = image();
    let pair = Pair::new(&[("library/app", "1", &image)]);
    // The first child is taken, and not kept.
    let lost = Arc::new(AtomicUsize::new(0));
    let child = image.manifests[0].digest.to_string();
    pair.destination.set_faults(move |exchange| {
        let taken = exchange.method == "PUT" && exchange.path.ends_with(&child);
        (taken && lost.fetch_add(1, Ordering::Relaxed) == 0)
            .then(|| Fault::Answer(201, "application/json", String::new()))
    });
    pair.project.mirror(&["apply"]).run();
    assert!(pair.destination.holds("docker.io/library/app", &image));
    let asked = pair.destination.take_requests();
    assert_eq!(puts(&asked, "/blobs/"), 6);
    assert_eq!(puts(&asked, image.manifests[0].digest.as_str()), 2);
}

#[test]
fn a_blob_that_was_lost_is_sent_again_and_no_other() {
    let image = image();
    let pair = Pair::new(&[("library/app", "1", &image)]);
    let lost = Arc::new(AtomicUsize::new(0));
    let layer = image.blobs.iter().find(|(_, bytes)| bytes.len() == 9000).unwrap().0.to_string();
    pair.destination.set_faults(move |exchange| {
        let taken = exchange.method == "PUT" && exchange.query.contains(&layer.replace(':', "%3A"));
        (taken && lost.fetch_add(1, Ordering::Relaxed) == 0)
            .then(|| Fault::Answer(201, "application/json", String::new()))
    });
    pair.project.mirror(&["apply"]).run();
    assert!(pair.destination.holds("docker.io/library/app", &image));
    assert_eq!(puts(&pair.destination.take_requests(), "/blobs/"), 7);
}

#[test]
fn a_registry_that_never_knows_what_it_has_fails_the_image_without_a_tag() {
    let image = image();
    let pair = Pair::new(&[("library/app", "1", &image)]);
    is_slow(
        &pair.destination,
        400,
        "MANIFEST_BLOB_UNKNOWN",
        "/manifests/1",
        Duration::from_secs(600),
    );
    let began = Instant::now();
    let ran = pair.project.mirror(&["apply"]).ends_with(1).run();
    assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
    assert!(
        ran.stdout.contains("400 MANIFEST_BLOB_UNKNOWN: not known (8 attempts in "),
        "{}",
        ran.stdout
    );
    let help = "help: the registry does not know what it has just taken: run again later, or tell its operator";
    assert!(ran.stdout.contains(help), "{}", ran.stdout);
    assert_eq!(pair.destination.tags(), Vec::<String>::new());
    let asked = pair.destination.take_requests();
    assert_eq!((puts(&asked, "/manifests/1"), puts(&asked, "/blobs/")), (8, 6));
}

#[test]
fn what_may_be_written_once_is_written_once() {
    // Two tags share a child, and a digest that is there may not be written again.
    let (one, two) = (image(), image());
    for status in [403, 405, 409, 412] {
        let pair = Pair::new(&[("library/app", "1", &one), ("library/app", "1.0", &two)]);
        let seen = Mutex::new(std::collections::BTreeSet::new());
        pair.destination.set_faults(move |exchange| {
            let put = exchange.method == "PUT" && exchange.path.contains("/manifests/");
            (put && !seen.lock().unwrap().insert(exchange.path.clone()))
                .then(|| Fault::refuse(status, "DENIED", "no overwriting"))
        });
        pair.project.mirror(&["apply"]).run();
        assert_eq!(pair.destination.tags().len(), 2);
        pair.project.mirror(&["plan", "--exit-code"]).run();
    }
}

#[test]
fn what_may_not_be_written_and_is_something_else_fails() {
    let (old, new) = (ImageBuilder::new("old").build(), ImageBuilder::new("new").build());
    let pair = Pair::new(&[("library/app", "1", &new)]);
    pair.destination.add("docker.io/library/app", "1", &old);
    pair.destination.set_faults(|exchange| {
        let put = exchange.method == "PUT" && exchange.path.ends_with("/manifests/1");
        put.then(|| Fault::refuse(409, "CONFLICT", "tag is immutable"))
    });
    let ran = pair.project.mirror(&["apply"]).ends_with(1).run();
    let told = "409 CONFLICT: tag is immutable\n";
    assert!(ran.stdout.contains(told), "{}", ran.stdout);
    assert!(ran.stdout.contains("help: tags can't be written again there"), "{}", ran.stdout);
    let there = pair.destination.manifest("docker.io/library/app", "1").unwrap();
    assert_eq!(there.digest, *old.digest());
}

#[test]
fn a_collision_with_somebody_else_is_no_failure() {
    let image = image();
    let pair = Pair::new(&[("library/app", "1", &image)]);
    let collisions = AtomicUsize::new(0);
    pair.destination.set_faults(move |exchange| {
        let put = exchange.method == "PUT" && exchange.path.contains("/manifests/1");
        (put && collisions.fetch_add(1, Ordering::Relaxed) == 0)
            .then(|| Fault::refuse(409, "CONFLICT", "somebody else is writing"))
    });
    pair.project.mirror(&["apply"]).run();
}

#[test]
fn a_blob_that_is_there_may_not_be_written_again() {
    let image = image();
    let profile = Profile { ignores_mounts: true, ..Profile::default() };
    let (source, destination, project) =
        (Registry::start(), Registry::with(profile), Project::new());
    source.add("library/app", "1", &image);
    project.config(&source.host(), &destination.host()).entry("app:1");
    // It has them, opens an upload all the same, and takes no bytes for them.
    destination.add("docker.io/library/app", "other", &image);
    destination.set_faults(|exchange| {
        let sends = exchange.method == "PUT" && exchange.path.contains("/uploads/");
        sends.then(|| Fault::refuse(403, "DENIED", "no overwriting"))
    });
    project.mirror(&["apply"]).run();
    assert!(destination.tags().contains(&"docker.io/library/app:1".to_owned()));
}

/// Most registries take no index without all of its images.
#[test]
fn a_registry_that_takes_no_sparse_index_is_asked_once() {
    let platforms = ["linux/amd64", "linux/arm64", "linux/s390x"];
    let image = ImageBuilder::new("sparse").platforms(&platforms).build();
    let pair = Pair::new(&[("library/app", "1", &image)]);
    let path = pair.project.path().join("images/mirror.toml");
    let block =
        "[[image]]\nmatch = \"docker.io/**\"\nplatforms = [\"linux/amd64\", \"linux/arm64\"]\n";
    let config = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, format!("{config}{block}")).unwrap();
    let ran = pair.project.mirror(&["apply"]).ends_with(1).run();
    crate::reads(
        &ran.stdout.replace(&pair.destination.host(), "HOST"),
        expect![[r#"
            error: could not copy docker.io/library/app:1 to prod
              caused by: destination: pushing manifest sha256:2b16ef65027f: the registry takes no index without all of its images: PUT http://HOST/v2/docker.io/library/app/manifests/1: 404 MANIFEST_BLOB_UNKNOWN: manifest blob unknown
              help: mirror all platforms of it, or a single one; or let the registry take such an index, which distribution does from 3.0 on with `validation.manifests.indexes.platforms: none`
            applied: 0 copied, 0 unchanged, 1 failed; what had moved by then; N.N s
        "#]],
    );
    let requests = pair.destination.take_requests();
    assert_eq!(puts(&requests, "/manifests/"), 3, "two images, and the index");
    assert!(pair.destination.tags().is_empty());
}
