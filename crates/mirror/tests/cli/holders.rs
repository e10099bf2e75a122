//! Images that their source has lost, or does not give: who holds them, and what of them comes from there.

use expect_test::expect;
use mirror_plan::report::Report;
use mirror_testkit::{Fault, Image, ImageBuilder, Registry};

use crate::Project;
use crate::worst::{APP, digest_at, index, pinned};

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
    crate::reads(
        &ran.stdout,
        expect![[r#"
        note: docker.io/library/app:1 at b: gone upstream, you hold it at disk
            caused by: source: reading manifest sha256:a29f2a72d3d8 of library/app: GET http://127.0.0.1:PORT/v2/library/app/manifests/sha256:a29f2a72d3d8a29db11fc828aab5d1e591e02781a627b4c708b2f6f624c3705b: 404 MANIFEST_UNKNOWN: gone
        applied: 1 copied, 1 unchanged; 1.9 MiB fetched, 1.9 MiB pushed; N.N s
    "#]],
    );
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
    crate::reads(
        &planned.stdout,
        expect![[r#"
        a
          = docker.io/library/app:1  sha256:b1a67b805e9a

        b
          = docker.io/library/app:1  sha256:b1a67b805e9a

        plan: 0 to create, 0 to update, 2 unchanged
    "#]],
    );
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
    crate::reads(
        &ran.stdout,
        expect![[r#"
        note: docker.io/library/app:1 at d1: gone upstream, you hold it at d0
            caused by: source: reading manifest sha256:247dd09a157d of library/app: GET http://127.0.0.1:PORT/v2/library/app/manifests/sha256:247dd09a157df4e38586028d154dbdc5b90a47ee9ffbe5896e263dd6ae16ca5f: 404 MANIFEST_UNKNOWN: manifest unknown
        applied: 1 copied, 0 unchanged; 60.0 KiB fetched, 60.0 KiB pushed; N.N s
    "#]],
    );
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
    crate::reads(
        &ran.stdout,
        expect![[r#"
        applied: 0 copied, 1 unchanged; 0 B fetched, 0 B pushed; N.N s
    "#]],
    );
    configure(&project, &source, &[&first, &second], "");
    let ran = project.mirror(&["apply"]).run();
    crate::reads(
        &ran.stdout,
        expect![[r#"
        note: docker.io/library/app:1 at d1: gone upstream, you hold it at d0
            caused by: source: reading manifest sha256:d442b87bb79e of library/app: GET http://127.0.0.1:PORT/v2/library/app/manifests/sha256:d442b87bb79e7665e4e842b79c5bff5a1415bb1447c5ed019baa2c6fb2faf4bf: 404 MANIFEST_UNKNOWN: manifest unknown
        applied: 1 copied, 1 unchanged; 30.0 KiB fetched, 30.0 KiB pushed; N.N s
    "#]],
    );
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
    crate::reads(
        &ran.stdout,
        expect![[r#"
            error: could not copy docker.io/library/app:1 to d1
              caused by: source: download of blob sha256:4b0b352f0dd4 (5 B): GET http://127.0.0.1:PORT/v2/library/app/blobs/sha256:4b0b352f0dd4be42266a94e9261e1f5592d00b69a593910a9296a90462a92cbd: 404 BLOB_UNKNOWN: blob unknown
              help: check the name and the tag, and that they still exist there
            applied: 0 copied, 1 unchanged, 1 failed; what had moved by then; N.N s
        "#]],
    );
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
    crate::reads(
        &ran.stdout,
        expect![[r#"
        applied: 0 copied, 1 unchanged; 0 B fetched, 0 B pushed; N.N s
    "#]],
    );
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
