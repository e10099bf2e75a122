//! A mirror on its worst day: what upstream has lost, what registries have lost, and what a reviewer has to see first.

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

fn plan(json: &str) -> Plan {
    serde_json::from_str(json).unwrap()
}

fn digest_at(registry: &Registry, tag: &str) -> Option<Digest> {
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
    assert!(
        planned.stdout.contains(
            "  gone upstream, you hold it at prod\n    caused by: source: reading manifest sha256:"
        ),
        "{}",
        planned.stdout
    );
    pair.project.mirror(&["plan", "--out", "mirror.plan"]).run();
    pair.destination.take_requests();
    let ran = pair.project.mirror(&["apply", "mirror.plan", "--shard", "1/1"]).run();
    assert!(
        ran.stdout.starts_with(
            "note: docker.io/library/app:1 at prod: gone upstream, you hold it at prod\n    caused by: source: "
        ),
        "{}",
        ran.stdout
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
    assert!(ran.stdout.contains("applied: 0 copied, 0 unchanged, 1 failed"), "{}", ran.stdout);
    let help = "help: prod holds the image, but not all of it: 1 blob missing\n";
    assert!(ran.stdout.contains(help), "{}", ran.stdout);
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
    assert!(ran.stdout.contains("gone upstream, you hold it at mirror-store"), "{}", ran.stdout);
    assert!(pair.project.mirror(&["plan"]).run().stdout.contains("1 unchanged"));
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
    assert!(project.mirror(&["plan"]).run().stdout.contains("1 unchanged"));
    // One more.
    only("\"linux/amd64\", \"linux/arm64\", \"linux/s390x\"");
    let planned = project.mirror(&["plan"]).run();
    assert!(planned.stdout.contains(", 1 part of which is missing"), "{}", planned.stdout);
    assert!(planned.stdout.contains("1 to complete"), "{}", planned.stdout);
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
    assert!(project.mirror(&["apply"]).run().stdout.contains("1 unchanged"));
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

/// A source, and two destinations of which the first holds an image whole.
fn holder(image: &Image, more: &str) -> (Registry, Registry, Registry, Project) {
    let (source, first, second) = (Registry::start(), Registry::start(), Registry::start());
    let project = Project::new();
    source.add("library/app", "1", image);
    project.write("images/docker.io/library/app/Dockerfile", &pinned("1", image));
    let one = format!(
        "[registry.\"docker.io\"]\nendpoint = \"{}\"\n{more}[[destination]]\nname = \"a\"\nregistry = \"{}\"\n",
        source.endpoint(),
        first.host()
    );
    project.write("images/mirror.toml", &one);
    project.mirror(&["apply"]).run();
    let two = format!("{one}[[destination]]\nname = \"b\"\nregistry = \"{}\"\n", second.host());
    project.write("images/mirror.toml", &two);
    (source, first, second, project)
}

#[test]
fn tampering_is_told_also_where_somebody_holds_the_image() {
    let image = index("forged");
    for part in ["/manifests/sha256:", "/blobs/"] {
        let (source, _first, second, project) = holder(&image, "");
        source.set_faults(move |exchange| {
            (exchange.method == "GET" && exchange.path.contains(part)).then_some(Fault::WrongBytes)
        });
        let ran = project.mirror(&["apply", "--report", "report.json"]).run();
        assert!(second.holds(APP, &image));
        let told = "security: possible tampering, or a broken proxy on the way";
        assert!(ran.stdout.contains(told), "{}", ran.stdout);
        let text = std::fs::read_to_string(project.path().join("report.json")).unwrap();
        let report: Report = serde_json::from_str(&text).unwrap();
        let page =
            mirror_render::ci::issue_markdown(&report, None, &[], &Default::default()).unwrap();
        assert!(page.contains("possible tampering"), "{page}");
    }
}

#[test]
fn signatures_of_a_held_image_are_unknown_while_its_source_fails() {
    let image = index("unsigned");
    for setting in ["copy", "require"] {
        let more = format!("[copy]\nreferrers = \"{setting}\"\n");
        let (source, _first, second, project) = holder(&image, &more);
        let signature = ImageBuilder::new("late").layers(&[7]).build();
        source.add("library/app", &crate::referrers::cosign(image.digest(), "sig"), &signature);
        source.set_faults(|_| Some(Fault::refuse(403, "DENIED", "not now")));
        let ran = project.mirror(&["apply"]).ends_with(i32::from(setting == "require")).run();
        if setting == "require" {
            assert!(ran.stdout.contains("its signatures can't be looked for: "), "{}", ran.stdout);
            continue;
        }
        assert!(ran.stdout.contains("could not look for signatures"), "{}", ran.stdout);
        source.clear_faults();
        project.mirror(&["apply"]).run();
        assert!(second.holds(APP, &signature));
    }
}

#[test]
fn what_a_layout_holds_a_registry_gets() {
    let image = ImageBuilder::new("kept")
        .platforms(&["linux/amd64"])
        .layers(&[400, 30_000, 2_000_000])
        .build();
    let (source, registry, project) = (Registry::start(), Registry::start(), Project::new());
    source.add("library/app", "1", &image);
    project.write("images/docker.io/library/app/Dockerfile", &pinned("1", &image));
    let one = format!(
        "[registry.\"docker.io\"]\nendpoint = \"{}\"\n[[destination]]\nname = \"disk\"\nlayout = \"store\"\n",
        source.endpoint()
    );
    project.write("images/mirror.toml", &one);
    project.mirror(&["apply"]).run();
    source.set_faults(|_| Some(Fault::refuse(404, "MANIFEST_UNKNOWN", "gone")));
    let host = registry.host();
    let two = format!("{one}[[destination]]\nname = \"b\"\nregistry = \"{host}\"\n");
    project.write("images/mirror.toml", &two);
    let ran = project.mirror(&["apply"]).run();
    assert!(ran.stdout.contains("gone upstream, you hold it at disk"), "{}", ran.stdout);
    assert!(registry.holds(APP, &image));
}

#[test]
fn a_part_finds_what_another_part_holds() {
    let image = index("parts");
    let (source, _first, second, project) = holder(&image, "");
    source.set_faults(|_| Some(Fault::refuse(404, "MANIFEST_UNKNOWN", "gone")));
    for shard in ["1/3", "2/3", "3/3"] {
        project.mirror(&["apply", "--shard", shard]).run();
    }
    assert!(second.holds(APP, &image));
    let planned = project.mirror(&["plan"]).run();
    assert!(planned.stdout.contains("2 unchanged"), "{}", planned.stdout);
}

/// A source, two destinations, and a tree with this line; `tree` is what `mirror.toml` says beside them.
fn held(line: &str, image: &Image) -> (Registry, [Registry; 2], Project) {
    let (source, destinations) = (Registry::start(), [Registry::start(), Registry::start()]);
    let project = Project::new();
    source.add("library/app", "1", image);
    project.write("images/docker.io/library/app/Dockerfile", line);
    (source, destinations, project)
}

fn configure(project: &Project, source: &Registry, destinations: &[&Registry], rest: &str) {
    let mut text = format!("[registry.\"docker.io\"]\nendpoint = \"{}\"\n", source.endpoint());
    for (n, registry) in destinations.iter().enumerate() {
        let host = registry.host();
        text += &format!("[[destination]]\nname = \"d{n}\"\nregistry = \"{host}\"\n");
    }
    project.write("images/mirror.toml", &(text + rest));
}

fn lose(source: &Registry, image: &Image) {
    image.manifests.iter().for_each(|one| source.lose("library/app", &one.digest));
    image.blobs.iter().for_each(|(digest, _)| source.lose("library/app", digest));
}

#[test]
fn a_destination_that_gets_the_image_no_more_is_asked_too() {
    let image = index("moved");
    let (source, [first, second], project) = held(&pinned("1", &image), &image);
    configure(&project, &source, &[&first], "");
    project.mirror(&["apply"]).run();
    lose(&source, &image);
    let moved = "[[image]]\nmatch = \"docker.io/**\"\ndestinations = [\"d1\"]\n";
    configure(&project, &source, &[&first, &second], moved);
    first.take_requests();
    let ran = project.mirror(&["apply"]).run();
    assert!(ran.stdout.contains("gone upstream, you hold it at d0"), "{}", ran.stdout);
    assert!(second.holds(APP, &image));
    let read = first.take_requests();
    assert!(read.iter().all(|r| matches!(r.method.as_str(), "GET" | "HEAD")), "{read:?}");
}

#[test]
fn another_holder_is_tried_when_the_first_one_has_lost_it() {
    let image = index("twice");
    let third = Registry::start();
    let (source, [first, second], project) = held(&pinned("1", &image), &image);
    configure(&project, &source, &[&first, &second], "");
    project.mirror(&["apply"]).run();
    lose(&source, &image);
    // Found whole, and lost before it is read.
    let layer = image.blobs.iter().max_by_key(|(_, bytes)| bytes.len()).unwrap().0.clone();
    first.set_faults(move |exchange| {
        let read = exchange.method == "GET" && exchange.path.ends_with(layer.as_str());
        read.then(|| Fault::refuse(404, "BLOB_UNKNOWN", "lost"))
    });
    configure(&project, &source, &[&first, &second, &third], "");
    let ran = project.mirror(&["apply", "--format", "json"]).run();
    let report: Report = serde_json::from_str(&ran.stdout).unwrap();
    let holder = report.outcomes[0].holder.clone().unwrap();
    assert_eq!((holder.destination.as_str(), holder.failure.is_gone()), ("d1", true));
    assert!(third.holds(APP, &image));
}

#[test]
fn a_platform_of_an_index_that_only_a_destination_has() {
    let image = index("one");
    let line = format!("FROM --platform=linux/arm64 app:1@{}\n", image.digest());
    let (source, [first, second], project) = held(&line, &image);
    configure(&project, &source, &[&first], "");
    project.mirror(&["apply"]).run();
    lose(&source, &image);
    // Which manifest was wanted stood in the index, which the spool has kept.
    let ran = project.mirror(&["apply"]).run();
    assert!(ran.stdout.contains("applied: 0 copied, 1 unchanged"), "{}", ran.stdout);
    configure(&project, &source, &[&first, &second], "");
    let ran = project.mirror(&["apply"]).run();
    assert!(ran.stdout.contains("gone upstream, you hold it at d0"), "{}", ran.stdout);
    assert_eq!(digest_at(&second, "1"), digest_at(&first, "1"));
    assert!(digest_at(&second, "1").is_some());
}

#[test]
fn a_signature_that_is_lost_is_no_lost_image() {
    let image = index("signed");
    let signature = ImageBuilder::new("signature").layers(&[5]).build();
    let (source, [first, second], project) = held(&pinned("1", &image), &image);
    configure(&project, &source, &[&first], "");
    project.mirror(&["apply"]).run();
    source.add("library/app", &crate::referrers::cosign(image.digest(), "sig"), &signature);
    source.lose("library/app", &signature.blobs[0].0);
    let rest = "[copy]\nreferrers = \"require\"\n";
    configure(&project, &source, &[&first, &second], rest);
    let ran = project.mirror(&["apply"]).ends_with(1).run();
    assert!(!ran.stdout.contains("gone upstream"), "{}", ran.stdout);
    assert!(second.tags().is_empty());
}

#[test]
fn what_a_holder_fails_with_is_not_what_the_source_has() {
    let image = index("blamed");
    let (source, [first, second], project) = held(&pinned("1", &image), &image);
    configure(&project, &source, &[&first], "");
    project.mirror(&["apply"]).run();
    lose(&source, &image);
    let layer = image.blobs.iter().max_by_key(|(_, bytes)| bytes.len()).unwrap().0.clone();
    first.set_faults(move |exchange| {
        let read = exchange.method == "GET" && exchange.path.ends_with(layer.as_str());
        read.then(|| Fault::refuse(403, "DENIED", "not any more"))
    });
    configure(&project, &source, &[&first, &second], "");
    let ran = project.mirror(&["apply", "--format", "json"]).ends_with(1).run();
    let report: Report = serde_json::from_str(&ran.stdout).unwrap();
    let failed = report.outcomes.iter().find_map(|outcome| match &outcome.status {
        mirror_plan::report::Status::Failed { failure } => Some(failure.clone()),
        _ => None,
    });
    let failure = failed.unwrap();
    assert!(failure.is_gone() && failure.message.contains(&source.host()), "{failure:?}");
    assert!(failure.help.unwrap().contains("403 DENIED"));
}

#[test]
fn a_pinned_platform_that_is_no_index_stays_when_its_source_has_lost_it() {
    let image = ImageBuilder::new("single").build();
    let line = format!("FROM --platform=linux/amd64 app:1@{}\n", image.digest());
    let (source, [first, _], project) = held(&line, &image);
    configure(&project, &source, &[&first], "");
    project.mirror(&["apply"]).run();
    lose(&source, &image);
    let ran = project.mirror(&["apply"]).run();
    assert!(ran.stdout.contains("applied: 0 copied, 1 unchanged"), "{}", ran.stdout);
}

#[test]
fn signatures_in_a_layout_come_along() {
    let image = index("filed");
    let signature = ImageBuilder::new("signature").layers(&[5]).build();
    for setting in ["copy", "require"] {
        let (source, registry, project) = (Registry::start(), Registry::start(), Project::new());
        source.add("library/app", "1", &image);
        let tag = crate::referrers::cosign(image.digest(), "sig");
        source.add("library/app", &tag, &signature);
        let size = image.manifests.last().unwrap().bytes.len();
        let sbom = crate::referrers::attach(&source, "library/app", image.digest(), size);
        project.write("images/docker.io/library/app/Dockerfile", &pinned("1", &image));
        let one = format!(
            "[copy]\nreferrers = \"{setting}\"\n[registry.\"docker.io\"]\nendpoint = \"{}\"\n[[destination]]\nname = \"disk\"\nlayout = \"store\"\n",
            source.endpoint()
        );
        project.write("images/mirror.toml", &one);
        project.mirror(&["apply"]).run();
        source.set_faults(|_| Some(Fault::refuse(404, "MANIFEST_UNKNOWN", "gone")));
        let host = registry.host();
        let two = format!("{one}[[destination]]\nname = \"b\"\nregistry = \"{host}\"\n");
        project.write("images/mirror.toml", &two);
        let ran = project.mirror(&["apply"]).run();
        assert!(!ran.stdout.contains("warning"), "{}", ran.stdout);
        assert!(registry.holds(APP, &image) && registry.holds(APP, &signature));
        assert!(registry.tags().contains(&format!("{APP}:{tag}")), "{:?}", registry.tags());
        assert!(registry.holds(APP, &sbom), "{setting}");
    }
}
