//! Images that are made to be too much.

use std::process::Stdio;
use std::time::{Duration, Instant};

use expect_test::expect;
use mirror_oci::{Digest, media_type};
use mirror_testkit::{ImageBuilder, Recorded, Registry};

use crate::Pair;

/// An index that lists these children, each as often as it stands here, with this size claimed.
fn index(registry: &Registry, tag: &str, children: &[(Digest, usize)], padding: usize) -> Digest {
    let entry = |(digest, size): &(Digest, usize)| {
        format!(
            r#"{{"mediaType":"{}","digest":"{digest}","size":{size}}}"#,
            media_type::OCI_MANIFEST
        )
    };
    let entries: Vec<String> = children.iter().map(entry).collect();
    let text = format!(
        r#"{{"schemaVersion":2,"mediaType":"{}","annotations":{{"x":"{tag}{}"}},"manifests":[{}]}}"#,
        media_type::OCI_INDEX,
        " ".repeat(padding),
        entries.join(",")
    );
    registry.add_manifest("library/app", tag, media_type::OCI_INDEX, text.into())
}

fn made_up(number: usize) -> Digest {
    Digest::of(mirror_oci::Algorithm::Sha256, &number.to_le_bytes())
}

fn manifests_read(requests: &[Recorded]) -> usize {
    requests.iter().filter(|r| r.method == "GET" && r.path.contains("/manifests/")).count()
}

/// A good image and a bad one; the bad one must fail alone, and with these words.
fn fails_alone(bad: impl Fn(&Registry), why: &str) -> usize {
    let good = ImageBuilder::new("good").build();
    let pair = Pair::new(&[("library/good", "1", &good)]);
    pair.project.entry("library/app:1");
    bad(&pair.source);
    let ran = pair.project.mirror(&["apply"]).ends_with(1).run();
    assert!(ran.stdout.contains(why), "{}", ran.stdout);
    assert!(ran.stdout.contains("applied: 1 copied, 0 unchanged, 1 failed"), "{}", ran.stdout);
    assert_eq!(pair.destination.tags(), ["docker.io/library/good:1"]);
    let about = |r: &Recorded| r.path.contains("library/app");
    let requests = pair.source.take_requests();
    manifests_read(&requests.into_iter().filter(about).collect::<Vec<_>>())
}

#[test]
fn too_many_children_are_counted_before_they_are_fetched() {
    let wide = |source: &Registry| {
        let children: Vec<_> = (0..6000).map(|n| (made_up(n), 400)).collect();
        index(source, "1", &children, 0);
    };
    assert_eq!(fails_alone(wide, "it has over 2000 manifests"), 1);
    let heavy = |source: &Registry| {
        let children: Vec<_> = (0..17).map(|n| (made_up(n), 4 << 20)).collect();
        index(source, "1", &children, 0);
    };
    assert_eq!(fails_alone(heavy, "its manifests have over 64.0 MiB"), 1);
}

#[test]
fn claims_are_not_believed() {
    let lying = |source: &Registry| {
        let child = |n: usize| (index(source, &format!("child{n}"), &[], (4 << 20) - 300), 100);
        let children: Vec<_> = (0..40).map(child).collect();
        index(source, "1", &children, 0);
    };
    let read = fails_alone(lying, "its manifests have over 64.0 MiB");
    assert!((16..=26).contains(&read), "{read} manifests of 4 MiB were read");
}

#[test]
fn eight_levels_are_legal_and_nine_are_not() {
    let chain = |registry: &Registry, levels: usize| {
        let mut below = (ImageBuilder::new("leaf").build(), 400);
        registry.add("library/app", "leaf", &below.0);
        let mut digest = below.0.digest().clone();
        for level in (0..levels).rev() {
            let tag = if level == 0 { "1".to_owned() } else { format!("level{level}") };
            digest = index(registry, &tag, &[(digest, below.1)], 0);
            below.1 = 300;
        }
    };
    let nine = |source: &Registry| chain(source, 9);
    assert_eq!(fails_alone(nine, "it is nested deeper than 8 levels"), 9);
    let pair = Pair::new(&[]);
    pair.project.entry("library/app:1");
    chain(&pair.source, 8);
    let ran = pair.project.mirror(&["apply"]).run();
    crate::reads(
        &ran.stdout,
        expect![[r#"
        applied: 1 copied, 0 unchanged; 2.5 KiB fetched, 2.5 KiB pushed; N.N s
    "#]],
    );
}

#[test]
fn an_index_that_repeats_itself_does_not_make_later_plans_walk_for_ever() {
    let leaf = ImageBuilder::new("leaf").build();
    let pair = Pair::new(&[]);
    pair.project.entry("library/app:1");
    let config = format!("[registry.\"docker.io\"]\nendpoint = \"{}\"\n", pair.source.endpoint());
    pair.project.write("images/mirror.toml", &config);
    pair.source.add("library/app", "leaf", &leaf);
    let mut digest = leaf.digest().clone();
    for tag in ["level3", "level2", "level1", "1"] {
        digest = index(&pair.source, tag, &vec![(digest, 400); 200], 0);
    }
    let copied = pair.project.mirror(&["apply"]).run();
    crate::reads(
        &copied.stdout,
        expect![[r#"
        applied: 1 copied, 0 unchanged; 2.5 KiB fetched, 2.5 KiB pushed; N.N s
    "#]],
    );
    let planned = pair.project.mirror(&["plan"]).run();
    crate::reads(
        &planned.stdout,
        expect![[r#"
        mirror-store
          = docker.io/library/app:1  sha256:806bfbdb8bf7

        plan: 0 to create, 0 to update, 1 unchanged
    "#]],
    );
    let verified = pair.project.mirror(&["verify"]).run();
    crate::reads(
        &verified.stdout,
        expect![[r#"
        verified: 1 of 1 image whole
    "#]],
    );
}

#[test]
fn a_layout_that_names_itself_is_not_whole() {
    let image = ImageBuilder::new("x").build();
    let pair = Pair::new(&[("library/app", "1", &image)]);
    let config = format!("[registry.\"docker.io\"]\nendpoint = \"{}\"\n", pair.source.endpoint());
    pair.project.write("images/mirror.toml", &config);
    // The content of a blob can't name itself, but whoever writes the folder can call it what they like.
    let own = image.digest();
    let text = format!(
        r#"{{"schemaVersion":2,"mediaType":"{}","manifests":[{{"mediaType":"{}","digest":"{own}","size":10}}]}}"#,
        media_type::OCI_INDEX,
        media_type::OCI_INDEX
    );
    let index = format!(
        r#"{{"schemaVersion":2,"manifests":[{{"mediaType":"{}","digest":"{own}","size":{},"annotations":{{"org.opencontainers.image.ref.name":"docker.io/library/app:1"}}}}]}}"#,
        media_type::OCI_INDEX,
        text.len()
    );
    pair.project
        .write(&format!("mirror-store/blobs/sha256/{}", own.hex()), &text)
        .write("mirror-store/index.json", &index)
        .write("mirror-store/oci-layout", r#"{"imageLayoutVersion":"1.0.0"}"#);
    let planned = pair.project.mirror(&["plan"]).run();
    crate::reads(
        &planned.stdout,
        expect![[r#"
        mirror-store
          + docker.io/library/app:1  new → sha256:1f8bba7144ee  2.5 KiB

        plan: 1 to create, 0 to update, 0 unchanged
          to move: 2.5 KiB of distinct blobs at most; 1 manifest from docker.io
    "#]],
    );
    let copied = pair.project.mirror(&["apply"]).run();
    crate::reads(
        &copied.stdout,
        expect![[r#"
        applied: 1 copied, 0 unchanged; 2.5 KiB fetched, 2.5 KiB pushed; N.N s
    "#]],
    );
    let verified = pair.project.mirror(&["verify"]).run();
    crate::reads(
        &verified.stdout,
        expect![[r#"
        verified: 1 of 1 image whole
    "#]],
    );
}

/// An image whose one layer claims to have `size` bytes.
fn claiming(registry: &Registry, repository: &str, size: u64) -> Digest {
    let image = ImageBuilder::new("giant").layers(&[1_000_000]).build();
    registry.add(repository, "honest", &image);
    let text = String::from_utf8(image.manifests.first().unwrap().bytes.to_vec()).unwrap();
    let lying = text.replacen("\"size\":1000000", &format!("\"size\":{size}"), 1);
    assert_ne!(text, lying);
    registry.add_manifest(repository, "1", media_type::OCI_MANIFEST, lying.into());
    let layer = image.blobs.iter().find(|(_, bytes)| bytes.len() == 1_000_000);
    layer.unwrap().0.clone()
}

#[test]
fn what_a_slow_giant_claims_is_not_taken_from_others() {
    let images: Vec<_> =
        (0..3).map(|n| ImageBuilder::new(format!("{n}")).layers(&[40 << 20]).build()).collect();
    let (giants, pair) = (Registry::start(), Pair::new(&[]));
    for (n, image) in images.iter().enumerate() {
        pair.source.add(&format!("library/app{n}"), "1", image);
        pair.project.entry(&format!("library/app{n}:1"));
    }
    let path = pair.project.path().join("images/mirror.toml");
    let config = std::fs::read_to_string(&path).unwrap();
    let more = format!("[registry.\"giants.example\"]\nendpoint = \"{}\"\n", giants.endpoint());
    std::fs::write(&path, config + &more).unwrap();
    pair.project.entry("giants.example/library/giant:1");
    let spool = pair.project.path().join("spool");
    let disk = rustix::fs::statvfs(pair.project.path()).unwrap();
    let layer =
        claiming(&giants, "library/giant", disk.f_bavail * disk.f_frsize * 6 / 10).to_string();
    giants.set_faults(move |exchange| {
        exchange
            .path
            .ends_with(&layer)
            .then_some(mirror_testkit::Fault::Drip(std::time::Duration::from_millis(1)))
    });
    let mut command =
        pair.project.mirror(&["apply", "--spool", spool.to_str().unwrap()]).into_command();
    let mut running = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let started = Instant::now();
    while pair.destination.tags().len() < 3 {
        assert!(started.elapsed() < Duration::from_secs(60), "others wait for a giant");
        std::thread::sleep(Duration::from_millis(50));
    }
    crate::send("INT", running.id());
    assert_eq!(running.wait().unwrap().code(), Some(130));
}

#[test]
fn what_no_disk_can_hold_fails_alone() {
    let giant = |source: &Registry| {
        claiming(source, "library/app", 1 << 60);
    };
    fails_alone(giant, "local disk: spooling blob ");
}
