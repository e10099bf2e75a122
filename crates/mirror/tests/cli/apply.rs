use expect_test::expect;
use mirror_plan::report::{ProgressLine, Status};
use mirror_testkit::{Fault, ImageBuilder, Profile, Registry};

use crate::{Pair, Project, looks_for_referrers, steady};

#[test]
fn an_index_arrives_byte_for_byte_and_the_second_run_copies_nothing() {
    for builder in [ImageBuilder::new("a"), ImageBuilder::new("a").docker()] {
        let index = builder
            .clone()
            .platforms(&["linux/amd64", "linux/arm64/v8"])
            .layers(&[3000, 2_000_000])
            .build();
        let single = builder.build();
        let pair = Pair::new(&[("library/app", "1.0", &index), ("team/tool", "v2", &single)]);
        let ran = pair.project.mirror(&["apply"]).run();
        assert!(pair.destination.holds("docker.io/library/app", &index));
        assert!(pair.destination.holds("docker.io/team/tool", &single));
        assert_eq!(
            pair.destination.tags(),
            ["docker.io/library/app:1.0", "docker.io/team/tool:v2"]
        );
        assert!(ran.stdout.starts_with("applied: 2 copied, 0 unchanged; "), "{}", ran.stdout);
        pair.source.take_requests();
        pair.destination.take_requests();

        let again = pair.project.mirror(&["apply"]).run();
        assert_eq!(
            steady(&again.stdout),
            "applied: 0 copied, 2 unchanged; 0 B fetched, 0 B pushed; N.N s\n"
        );
        let heads = |requests: Vec<mirror_testkit::Recorded>| {
            requests.into_iter().map(|r| r.method).collect::<Vec<_>>()
        };
        assert_eq!(heads(pair.source.take_requests()), ["HEAD", "HEAD"]);
        assert_eq!(heads(pair.destination.take_requests()), ["HEAD", "HEAD"]);
    }
}

#[test]
fn the_tag_comes_last_and_uploads_are_one_post_and_one_put() {
    let image = ImageBuilder::new("order")
        .platforms(&["linux/amd64", "linux/arm64"])
        .layers(&[100, 1_500_000])
        .build();
    let pair = Pair::new(&[("library/app", "1.0", &image)]);
    pair.project.mirror(&["apply"]).run();
    let requests = pair.destination.take_requests();
    let paths: Vec<_> = requests.iter().map(|r| format!("{} {}", r.method, r.path)).collect();
    assert_eq!(paths.last().unwrap(), "PUT /v2/docker.io/library/app/manifests/1.0");
    let position = |wanted: &str| paths.iter().rposition(|path| path.contains(wanted)).unwrap();
    assert!(position("blobs/uploads") < paths.len() - 3, "blobs before manifests: {paths:#?}");
    let count = |method: &str, part: &str| {
        requests.iter().filter(|r| r.method == method && r.path.contains(part)).count()
    };
    assert_eq!(
        (count("HEAD", ""), count("POST", ""), count("PUT", "blobs"), count("PUT", "manifests")),
        (1 + 2, 6, 6, 3),
        "the large layers are asked for, since nobody knows yet what the registry makes of mounts"
    );
    for put in requests.iter().filter(|r| r.method == "PUT" && r.path.contains("blobs")) {
        assert!(put.content_length.is_some(), "an upload without Content-Length");
    }
    let mut source = pair.source.take_requests();
    let lookups = source.extract_if(.., |request| looks_for_referrers(request)).count();
    assert_eq!(lookups, 3 * 4, "four for each manifest");
    let count = |method: &str, part: &str| {
        source.iter().filter(|r| r.method == method && r.path.contains(part)).count()
    };
    assert_eq!(
        (count("HEAD", "manifests"), count("GET", "manifests"), count("GET", "blobs")),
        (1, 3, 6)
    );
}

#[test]
fn shared_layers_are_fetched_once_and_mounted() {
    let images: Vec<_> = (0..5)
        .map(|n| ImageBuilder::new(format!("i{n}")).shared_layer("base", 1_200_000).build())
        .collect();
    let names: Vec<String> = (0..5).map(|n| format!("library/app{n}")).collect();
    let wanted: Vec<_> =
        names.iter().zip(&images).map(|(name, image)| (name.as_str(), "1.0", image)).collect();
    let pair = Pair::new(&wanted);
    pair.project.mirror(&["apply"]).run();
    let shared =
        images[0].blobs.iter().find(|(_, bytes)| bytes.len() == 1_200_000).unwrap().0.to_string();
    let fetched = pair.source.take_requests().iter().filter(|r| r.path.ends_with(&shared)).count();
    assert_eq!(fetched, 1);
    let puts = pair.destination.take_requests();
    let sent = puts
        .iter()
        .filter(|r| r.method == "PUT" && r.query.contains(&shared.replace(':', "%3A")))
        .count();
    assert_eq!(sent, 1, "the other four are mounted");
    images.iter().zip(&names).for_each(|(image, name)| {
        assert!(pair.destination.holds(&format!("docker.io/{name}"), image))
    });
}

#[test]
fn one_failing_image_does_not_stop_the_others() {
    let (good, bad) = (ImageBuilder::new("good").build(), ImageBuilder::new("bad").build());
    let pair = Pair::new(&[("library/bad", "1.0", &bad), ("library/good", "1.0", &good)]);
    let layer = bad.blobs[0].0.to_string();
    pair.source.set_faults(move |exchange| {
        exchange
            .path
            .ends_with(&layer)
            .then(|| Fault::refuse(403, "DENIED", "requested access is denied"))
    });
    let ran = pair.project.mirror(&["apply"]).ends_with(1).run();
    assert!(pair.destination.holds("docker.io/library/good", &good));
    assert_eq!(pair.destination.tags(), ["docker.io/library/good:1.0"]);
    let text = ran.stdout;
    crate::reads(
        &text,
        expect![[r#"
            error: could not copy docker.io/library/bad:1.0 to prod
              caused by: source: download of blob sha256:b5731270a73c (300 B): GET http://127.0.0.1:PORT/v2/library/bad/blobs/sha256:b5731270a73c4793c808aedb487004ea160b3c3751a88686c8a9f48693065a0c: 403 DENIED: requested access is denied
              help: the credentials lack permission for this; request it
            applied: 1 copied, 0 unchanged, 1 failed; what had moved by then; N.N s
        "#]],
    );
    assert!(
        ran.stderr.contains("failed docker.io/library/bad:1.0 to prod: source: download"),
        "{}",
        ran.stderr
    );
}

#[test]
fn wrong_bytes_never_get_a_tag() {
    for size in [500, 3_000_000] {
        let image = ImageBuilder::new("wrong").layers(&[size]).build();
        let pair = Pair::new(&[("library/app", "1.0", &image)]);
        pair.source
            .set_faults(|exchange| exchange.path.contains("/blobs/").then_some(Fault::WrongBytes));
        let ran = pair.project.mirror(&["apply"]).ends_with(1).run();
        assert!(ran.stdout.contains("content has digest sha256:"), "{}", ran.stdout);
        assert_eq!(pair.destination.tags(), Vec::<String>::new());
        pair.source.clear_faults();
        pair.project.mirror(&["apply"]).run();
        assert!(pair.destination.holds("docker.io/library/app", &image));
    }
}

#[test]
fn a_moved_tag_is_updated_and_a_pinned_one_is_not() {
    let (old, new) = (ImageBuilder::new("old").build(), ImageBuilder::new("new").build());
    let pair = Pair::new(&[("library/floating", "1.0", &old)]);
    pair.source.add("library/pinned", "1.0", &old);
    pair.project.entry(&format!("pinned:1.0@{}", old.digest()));
    pair.project.mirror(&["apply"]).run();
    pair.source.add("library/floating", "1.0", &new);
    pair.source.add("library/pinned", "1.0", &new);
    let plan = pair.project.mirror(&["plan", "--exit-code"]).ends_with(3).run();
    crate::reads(
        &plan.stdout,
        expect![[r#"
        prod
          ~ docker.io/library/floating:1.0  sha256:23ca9f72109d → sha256:1f9ef99c1c7e  2.5 KiB
          = docker.io/library/pinned:1.0    sha256:23ca9f72109d

        plan: 0 to create, 1 to update, 1 unchanged
          to move: 2.5 KiB of distinct blobs at most; 1 manifest from docker.io
    "#]],
    );
    pair.project.mirror(&["apply"]).run();
    let tag = |name: &str| {
        pair.destination.manifest(&format!("docker.io/library/{name}"), "1.0").unwrap().digest
    };
    assert_eq!((tag("floating"), tag("pinned")), (new.digest().clone(), old.digest().clone()));
}

#[test]
fn several_destinations_and_exceptions() {
    let image = ImageBuilder::new("x").platforms(&["linux/amd64", "linux/arm64"]).build();
    let (source, first, second) = (Registry::start(), Registry::start(), Registry::start());
    source.add("library/app", "1.0", &image);
    source.add("team/tool", "1.0", &image);
    let project = Project::new();
    project.entry("app:1.0").entry("team/tool:1.0").write(
        "images/mirror.toml",
        &format!(
            "[[destination]]\nname='a'\nregistry='{}'\n[[destination]]\nname='b'\nregistry='{}'\nrepository='m/{{name}}'\n[registry.'docker.io']\nendpoint='{}'\nconcurrency=1\n[[image]]\nmatch='docker.io/team/*'\ndestinations=['b']\nplatforms=['linux/arm64']\n",
            first.host(), second.host(), source.endpoint()
        ),
    );
    project.mirror(&["apply"]).run();
    assert_eq!(first.tags(), ["docker.io/library/app:1.0"]);
    assert_eq!(second.tags(), ["m/app:1.0", "m/tool:1.0"]);
    let arm = &image.manifests[1];
    assert_eq!(
        second.manifest("m/tool", "1.0").unwrap().bytes,
        arm.bytes,
        "one platform, without its index"
    );
    assert!(second.manifest("m/tool", image.digest().as_str()).is_none());
    let blobs = source
        .take_requests()
        .iter()
        .filter(|r| r.method == "GET" && r.path.contains("/blobs/"))
        .count();
    assert_eq!(blobs, image.blobs.len(), "two destinations and two images, each blob once");
    let plan = project.mirror(&["plan"]).run();
    crate::reads(
        &plan.stdout,
        expect![[r#"
        a
          = docker.io/library/app:1.0  sha256:8a5cb33ae3ae

        b
          = m/app:1.0   sha256:8a5cb33ae3ae
          = m/tool:1.0  sha256:c36975584276

        plan: 0 to create, 0 to update, 3 unchanged
    "#]],
    );
}

#[test]
fn a_digest_alone_is_pushed_without_a_tag() {
    let image = ImageBuilder::new("untagged").build();
    let pair = Pair::new(&[]);
    pair.source.add("library/app", "1.0", &image);
    pair.project.entry(&format!("app@{}", image.digest()));
    let config = std::fs::read_to_string(pair.project.path().join("images/mirror.toml")).unwrap();
    pair.project.write("images/mirror.toml", &(config + "[check]\nallow_digest_only = true\n"));
    pair.project.mirror(&["apply"]).run();
    assert!(pair.destination.holds("docker.io/library/app", &image));
    assert_eq!(pair.destination.tags(), Vec::<String>::new());
    crate::reads(
        &pair.project.mirror(&["plan"]).run().stdout,
        expect![[r#"
        prod
          = docker.io/library/app  sha256:d15464332d4b

        plan: 0 to create, 0 to update, 1 unchanged
    "#]],
    );
}

#[test]
fn odd_registries() {
    let image = ImageBuilder::new("odd")
        .platforms(&["linux/amd64"])
        .foreign_layer()
        .layers(&[1_500_000])
        .build();
    let profiles = [
        Profile { digest_header: false, ..Profile::default() },
        Profile { mount: false, ..Profile::default() },
        Profile { ranges: false, ..Profile::default() },
    ];
    for profile in profiles {
        let (source, destination) = (Registry::with(profile.clone()), Registry::with(profile));
        source.add("library/app", "1.0", &image);
        source.add("library/twin", "1.0", &image);
        let project = Project::new();
        project.config(&source.host(), &destination.host()).entry("app:1.0").entry("twin:1.0");
        project.mirror(&["apply"]).run();
        assert!(
            destination.holds("docker.io/library/app", &image)
                && destination.holds("docker.io/library/twin", &image)
        );
        assert!(project.mirror(&["plan"]).run().stdout.contains("2 unchanged"));
    }
}

#[test]
fn a_broken_download_goes_on_where_it_stopped() {
    let image = ImageBuilder::new("cut").layers(&[3_000_000]).build();
    for ranges in [true, false] {
        let source = Registry::with(Profile { ranges, ..Profile::default() });
        let destination = Registry::start();
        source.add("library/app", "1.0", &image);
        let layer = image.blobs[0].0.to_string();
        let cuts = std::sync::atomic::AtomicUsize::new(0);
        source.set_faults(move |exchange| {
            let first = exchange.path.ends_with(&layer)
                && cuts.fetch_add(1, std::sync::atomic::Ordering::Relaxed) < 2;
            first.then_some(Fault::Cut(1_000_000))
        });
        let project = Project::new();
        project.config(&source.host(), &destination.host()).entry("app:1.0");
        project.mirror(&["apply"]).run();
        assert!(destination.holds("docker.io/library/app", &image));
        let asked: Vec<_> = source.take_requests().into_iter().filter_map(|r| r.range).collect();
        assert!(
            asked.first().is_some_and(|range| range.ends_with('-') && range != "bytes=0-"),
            "{asked:?}"
        );
    }
}

#[test]
fn progress_as_lines_and_json() {
    let image = ImageBuilder::new("p").build();
    let pair = Pair::new(&[("library/app", "1.0", &image)]);
    let ran = pair.project.mirror(&["apply", "--progress", "json", "--format", "json"]).run();
    let lines: Vec<ProgressLine> =
        ran.stderr.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(matches!(&lines[0], ProgressLine::Started { image, .. } if image.ends_with("app:1.0")));
    assert!(matches!(lines[1], ProgressLine::Moved { of: 1, finished: 0, .. }), "{lines:?}");
    let last = lines.last().unwrap();
    assert!(matches!(last, ProgressLine::Finished { status: Status::Done, .. }), "{last:?}");
    let report: mirror_plan::report::Report = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!((report.totals.copied, report.outcomes.len()), (1, 1));
    assert_eq!(report.totals.transfer.pushed_bytes, image.blob_bytes());
}
