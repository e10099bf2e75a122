//! A mirror on its worst day: what upstream has lost, what registries have lost, and what a reviewer has to see first.

use expect_test::expect;
use mirror_oci::Digest;
use mirror_plan::plan::{Change, Plan};
use mirror_plan::report::Report;
use mirror_testkit::{Fault, Image, ImageBuilder, Profile, Registry};

use crate::{Pair, Project};

pub(crate) const APP: &str = "docker.io/library/app";

pub(crate) fn index(name: &str) -> Image {
    ImageBuilder::new(name)
        .platforms(&["linux/amd64", "linux/arm64"])
        .layers(&[400, 30_000])
        .build()
}

pub(crate) fn pinned(tag: &str, image: &Image) -> String {
    format!("FROM app:{tag}@{}\n", image.digest())
}

pub(crate) fn plan(json: &str) -> Plan {
    serde_json::from_str(json).unwrap()
}

pub(crate) fn digest_at(registry: &Registry, tag: &str) -> Option<Digest> {
    registry.manifest(APP, tag).map(|manifest| manifest.digest)
}

#[test]
fn a_digest_that_upstream_has_deleted_is_tagged_where_it_is() {
    let (old, new) = (index("old"), index("new"));
    let pair = Pair::new(&[]);
    let file = "images/docker.io/library/app/Dockerfile";
    pair.source.add("library/app", "1", &old);
    pair.project.write(file, &pinned("1", &old));
    pair.project.mirror(&["apply"]).run();
    pair.source.add("library/app", "1", &new);
    pair.project.write(file, &pinned("1", &new));
    pair.project.mirror(&["apply"]).run();
    // The tree is rolled back to last month, and upstream keeps nothing.
    old.manifests.iter().for_each(|one| pair.source.lose("library/app", &one.digest));
    old.blobs.iter().for_each(|(digest, _)| pair.source.lose("library/app", digest));
    pair.project.write(file, &pinned("1", &old));
    let planned = pair.project.mirror(&["plan"]).run();
    crate::reads(
        &planned.stdout,
        expect![[r#"
        prod
          ~ docker.io/library/app:1  sha256:17e7008edf62 → sha256:d41e29ad18bf  60.0 KiB  linux/amd64 linux/arm64  gone upstream, you hold it at prod
            caused by: source: reading manifest sha256:d41e29ad18bf of library/app: GET http://127.0.0.1:PORT/v2/library/app/manifests/sha256:d41e29ad18bf837181d4dd5436c91d22ad59c7d1fda747ad14b2a58e32b444d0: 404 MANIFEST_UNKNOWN: manifest unknown

        note: upstream moved the tag of docker.io/library/app:1@sha256:d41e29ad18bf837181d4dd5436c91d22ad59c7d1fda747ad14b2a58e32b444d0 to sha256:17e7008edf6251a95c9efefd1980ce9ce4275ae702c0a601d471c40609e914f1
          the pinned digest is used
        plan: 0 to create, 1 to update, 0 unchanged
          to move: 60.0 KiB of distinct blobs at most; 
    "#]],
    );
    pair.project.mirror(&["plan", "--out", "mirror.plan"]).run();
    pair.destination.take_requests();
    let ran = pair.project.mirror(&["apply", "mirror.plan", "--shard", "1/1"]).run();
    crate::reads(
        &ran.stdout,
        expect![[r#"
        note: docker.io/library/app:1 at prod: gone upstream, you hold it at prod
            caused by: source: reading manifest sha256:d41e29ad18bf of library/app: GET http://127.0.0.1:PORT/v2/library/app/manifests/sha256:d41e29ad18bf837181d4dd5436c91d22ad59c7d1fda747ad14b2a58e32b444d0: 404 MANIFEST_UNKNOWN: manifest unknown
        applied: 1 copied, 0 unchanged; 0 B fetched, 0 B pushed, 6 blobs reused; N.N s
    "#]],
    );
    assert_eq!(digest_at(&pair.destination, "1").as_ref(), Some(old.digest()));
    let sent = pair.destination.take_requests();
    let sent = sent.iter().filter(|r| r.method == "PUT" && r.path.contains("/blobs/")).count();
    assert_eq!(sent, 0, "everything is there");
}

#[test]
fn what_one_destination_holds_another_one_gets() {
    let image = index("lost");
    let (source, first, second) = (Registry::start(), Registry::start(), Registry::start());
    let project = Project::new();
    let config = |destinations: &[&Registry]| {
        let mut text = format!("[registry.\"docker.io\"]\nendpoint = \"{}\"\n", source.endpoint());
        for (n, registry) in destinations.iter().enumerate() {
            let host = registry.host();
            text += &format!("[[destination]]\nname = \"d{n}\"\nregistry = \"{host}\"\n");
        }
        text
    };
    source.add("library/app", "1", &image);
    project.write("images/docker.io/library/app/Dockerfile", &pinned("1", &image));
    project.write("images/mirror.toml", &config(&[&first]));
    project.mirror(&["apply"]).run();
    project.write("images/mirror.toml", &config(&[&first, &second]));
    for fault in [Fault::refuse(404, "MANIFEST_UNKNOWN", ""), Fault::refuse(503, "UNAVAILABLE", "")]
    {
        source.set_faults(move |_| Some(fault.clone()));
        let ran = project.mirror(&["apply", "--format", "json"]).run();
        let report: Report = serde_json::from_str(&ran.stdout).unwrap();
        if report.totals.copied == 0 {
            assert!(second.holds(APP, &image));
            continue;
        }
        let holder = report.outcomes[0].holder.clone().unwrap();
        assert_eq!((holder.destination.as_str(), holder.failure.is_gone()), ("d0", true));
        assert!(second.holds(APP, &image));
    }
}

#[test]
fn a_source_that_loses_a_layer_in_the_middle() {
    let image = index("half");
    let (source, first, second) = (Registry::start(), Registry::start(), Registry::start());
    let project = Project::new();
    source.add("library/app", "1", &image);
    project.write("images/docker.io/library/app/Dockerfile", &pinned("1", &image));
    let one = format!(
        "[registry.\"docker.io\"]\nendpoint = \"{}\"\n[[destination]]\nname = \"a\"\nregistry = \"{}\"\n",
        source.endpoint(),
        first.host()
    );
    project.write("images/mirror.toml", &one);
    project.mirror(&["apply"]).run();
    let layer = image.blobs.iter().max_by_key(|(_, bytes)| bytes.len()).unwrap();
    source.lose("library/app", &layer.0);
    let two = format!("{one}[[destination]]\nname = \"b\"\nregistry = \"{}\"\n", second.host());
    project.write("images/mirror.toml", &two);
    let ran = project.mirror(&["apply"]).run();
    assert!(ran.stdout.contains("gone upstream, you hold it at a"), "{}", ran.stdout);
    assert!(second.holds(APP, &image));
}

#[test]
fn a_half_held_image_is_not_held() {
    let image = index("half");
    let pair = Pair::new(&[]);
    pair.project.write("images/docker.io/library/app/Dockerfile", &pinned("1", &image));
    pair.destination.add(APP, "other", &image);
    pair.destination.lose(APP, &image.blobs[0].0);
    let ran = pair.project.mirror(&["apply"]).ends_with(1).run();
    crate::reads(
        &ran.stdout,
        expect![[r#"
            error: could not look up docker.io/library/app:1 for prod
              caused by: source: reading manifest sha256:6f7c58bdc9c8 of library/app: GET http://127.0.0.1:PORT/v2/library/app/manifests/sha256:6f7c58bdc9c81c5e2c4f875248521d7c7f99f5f8df017accd3aeb0d608ba6a42: 404 MANIFEST_UNKNOWN: manifest unknown
              help: prod holds the image, but not all of it: 1 blob missing
            applied: 0 copied, 0 unchanged, 1 failed; what had moved by then; N.N s
        "#]],
    );
    assert_eq!(digest_at(&pair.destination, "1"), None);
}

#[test]
fn in_a_layout_too() {
    let (old, new) = (index("old"), index("new"));
    let pair = Pair::new(&[]);
    let endpoint = format!("[registry.\"docker.io\"]\nendpoint = \"{}\"\n", pair.source.endpoint());
    pair.project.write("images/mirror.toml", &endpoint);
    let file = "images/docker.io/library/app/Dockerfile";
    for image in [&old, &new] {
        pair.source.add("library/app", "1", image);
        pair.project.write(file, &pinned("1", image));
        pair.project.mirror(&["apply"]).run();
    }
    pair.source.set_faults(|_| Some(Fault::refuse(404, "MANIFEST_UNKNOWN", "gone")));
    pair.project.write(file, &pinned("1", &old));
    let ran = pair.project.mirror(&["apply"]).run();
    crate::reads(
        &ran.stdout,
        expect![[r#"
        note: docker.io/library/app:1 at mirror-store: gone upstream, you hold it at mirror-store
            caused by: source: reading manifest sha256:d41e29ad18bf of library/app: GET http://127.0.0.1:PORT/v2/library/app/manifests/sha256:d41e29ad18bf837181d4dd5436c91d22ad59c7d1fda747ad14b2a58e32b444d0: 404 MANIFEST_UNKNOWN: gone
        applied: 1 copied, 0 unchanged; 0 B fetched, 0 B pushed, 6 blobs reused; N.N s
    "#]],
    );
    crate::reads(
        &pair.project.mirror(&["plan"]).run().stdout,
        expect![[r#"
        mirror-store
          = docker.io/library/app:1  sha256:d41e29ad18bf

        plan: 0 to create, 0 to update, 1 unchanged
    "#]],
    );
}

#[test]
fn platforms_that_were_left_out_are_missing_when_they_are_wanted() {
    let image = ImageBuilder::new("sparse")
        .platforms(&["linux/amd64", "linux/arm64", "linux/s390x"])
        .build();
    // A registry that takes an index without all of its children.
    let destination = Registry::with(Profile { sparse: true, ..Profile::default() });
    let (source, project) = (Registry::start(), Project::new());
    source.add("library/app", "1", &image);
    project.config(&source.host(), &destination.host()).entry("app:1");
    let path = project.path().join("images/mirror.toml");
    let config = std::fs::read_to_string(&path).unwrap();
    let only = |platforms: &str| {
        let block = format!("[[image]]\nmatch = \"docker.io/**\"\nplatforms = [{platforms}]\n");
        std::fs::write(&path, format!("{config}{block}")).unwrap();
    };
    only("\"linux/amd64\", \"linux/s390x\"");
    project.mirror(&["apply"]).run();
    crate::reads(
        &project.mirror(&["plan"]).run().stdout,
        expect![[r#"
        prod
          = docker.io/library/app:1  sha256:2b16ef65027f

        plan: 0 to create, 0 to update, 1 unchanged
    "#]],
    );
    // One more.
    only("\"linux/amd64\", \"linux/arm64\", \"linux/s390x\"");
    let planned = project.mirror(&["plan"]).run();
    crate::reads(
        &planned.stdout,
        expect![[r#"
        prod
          ~ docker.io/library/app:1  sha256:2b16ef65027f, 1 part of which is missing  7.6 KiB  linux/amd64 linux/arm64 linux/s390x

        plan: 0 to create, 0 to update, 0 unchanged, 1 to complete
          to move: 7.6 KiB of distinct blobs at most; 4 manifests from docker.io
    "#]],
    );
    // All of them.
    std::fs::write(&path, &config).unwrap();
    let planned = plan(&project.mirror(&["plan", "--format", "json"]).run().stdout);
    let copy = planned.copies().next().unwrap();
    assert_eq!(copy.change, Change::Complete { missing: vec![image.manifests[1].digest.clone()] });
    project.mirror(&["plan", "--out", "mirror.plan"]).run();
    project.mirror(&["apply", "mirror.plan"]).run();
    assert!(destination.holds(APP, &image));
    source.take_requests();
    destination.take_requests();
    crate::reads(
        &project.mirror(&["apply"]).run().stdout,
        expect![[r#"
        applied: 0 copied, 1 unchanged; 0 B fetched, 0 B pushed; N.N s
    "#]],
    );
    assert_eq!(destination.take_requests().len(), 1, "nothing is asked any more");
}

#[test]
fn what_verify_finds_missing_is_put_back() {
    let image = index("defects");
    let pair = Pair::new(&[("library/app", "1", &image)]);
    pair.project.mirror(&["apply"]).run();
    let child = &image.manifests[0].digest;
    for lost in [child, &image.blobs[0].0] {
        pair.destination.lose(APP, lost);
        let found = pair.project.mirror(&["verify"]).ends_with(1).run();
        assert!(found.stdout.contains(lost.as_str()), "{}", found.stdout);
        assert!(found.stdout.contains("help: `mirror apply --repair`"), "{}", found.stdout);
        assert!(pair.project.mirror(&["plan"]).run().stdout.contains("1 unchanged"));
        let planned = pair.project.mirror(&["plan", "--repair"]).run();
        assert!(planned.stdout.contains("1 part of which is missing"), "{}", planned.stdout);
        let ran = pair.project.mirror(&["apply", "--repair"]).run();
        assert!(ran.stdout.contains("applied: 1 copied"), "{}", ran.stdout);
        assert!(pair.destination.holds(APP, &image));
        pair.project.mirror(&["verify"]).run();
    }
}
