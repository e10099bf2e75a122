//! What breaks on the way, from outside: the binary against servers and networks that fail.

use std::os::unix::ffi::OsStrExt;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use expect_test::expect;
use mirror_testkit::{
    Authority, DebianRegistry, Fault, Flaw, Image, ImageBuilder, Profile, Proxy, Registry, Weather,
    missing_tool,
};

use crate::{Pair, Project};

fn config(source: &str, destination: &str, more: &str) -> String {
    format!(
        "[[destination]]\nname='prod'\nregistry='{destination}'\n[registry.'docker.io']\nendpoint='{source}'\n{more}"
    )
}

#[test]
fn a_registry_without_digest_headers_needs_one_slot() {
    let image = ImageBuilder::new("slot").build();
    let source = Registry::with(Profile { digest_header: false, ..Profile::default() });
    let destination = Registry::with(Profile { digest_header: false, ..Profile::default() });
    let project = Project::new();
    for name in ["a", "b", "c"] {
        source.add(&format!("library/{name}"), "1", &image);
        project.entry(&format!("{name}:1"));
    }
    let more = format!("concurrency=1\n[registry.'{}']\nconcurrency=1\n", destination.host());
    project.write("images/mirror.toml", &config(&source.endpoint(), &destination.host(), &more));
    project.mirror(&["apply"]).run();
    assert_eq!(destination.tags().len(), 3);
    crate::reads(
        &project.mirror(&["plan"]).run().stdout,
        expect![[r#"
        prod
          = docker.io/library/a:1  sha256:9145d4dc8269
          = docker.io/library/b:1  sha256:9145d4dc8269
          = docker.io/library/c:1  sha256:9145d4dc8269

        plan: 0 to create, 0 to update, 3 unchanged
    "#]],
    );
}

#[test]
fn one_registry_as_source_and_destination_with_few_slots() {
    let registry = Registry::start();
    let images: Vec<Image> = (0..4)
        .map(|n| ImageBuilder::new(format!("self {n}")).layers(&[2_000_000]).build())
        .collect();
    let project = Project::new();
    for (n, image) in images.iter().enumerate() {
        registry.add(&format!("library/app{n}"), "1", image);
        project.entry(&format!("{}/library/app{n}:1", registry.host()));
    }
    let config = format!(
        "[[destination]]\nname='p'\nregistry='{0}'\nrepository='copy/{{repository}}'\n[registry.'{0}']\nconcurrency=2\n",
        registry.host()
    );
    project.write("images/mirror.toml", &config);
    let cuts = AtomicUsize::new(0);
    registry.set_faults(move |exchange| {
        let blob = exchange.method == "GET" && exchange.path.contains("/blobs/");
        (blob && cuts.fetch_add(1, Ordering::Relaxed).is_multiple_of(3))
            .then_some(Fault::Cut(1_100_000))
    });
    let started = Instant::now();
    project.mirror(&["apply"]).run();
    assert!(started.elapsed() < Duration::from_secs(25), "{:?}", started.elapsed());
    images
        .iter()
        .enumerate()
        .for_each(|(n, image)| assert!(registry.holds(&format!("copy/library/app{n}"), image)));
}

#[test]
fn one_registry_as_source_and_destination_across_a_slow_line() {
    // Uploads that wait for downloads of the same host must not hold what those need.
    let registry = Registry::start();
    let weather = Weather { delay: Duration::from_millis(10), ..Weather::default() };
    let proxy = Proxy::start(registry.host().parse().unwrap(), weather);
    for concurrency in [1, 64] {
        let project = Project::new();
        let config = format!(
            "[[destination]]\nname='p'\nregistry='{0}'\nrepository='copy{concurrency}/{{repository}}'\n[registry.'{0}']\nendpoint='http://{1}'\nconcurrency={concurrency}\n",
            registry.host(),
            proxy.host()
        );
        project.write("images/mirror.toml", &config);
        let images: Vec<Image> = (0..8)
            .map(|n| {
                ImageBuilder::new(format!("slow {concurrency} {n}")).layers(&[4_000_000; 3]).build()
            })
            .collect();
        for (n, image) in images.iter().enumerate() {
            registry.add(&format!("library/app{n}"), "1", image);
            project.entry(&format!("{}/library/app{n}:1", registry.host()));
        }
        let started = Instant::now();
        project.mirror(&["apply"]).run();
        assert!(started.elapsed() < Duration::from_secs(60), "{:?}", started.elapsed());
        for (n, image) in images.iter().enumerate() {
            assert!(registry.holds(&format!("copy{concurrency}/library/app{n}"), image));
        }
    }
}

#[test]
fn a_size_that_lies_puts_nothing_unproven_anywhere() {
    let image = ImageBuilder::new("lie").layers(&[5000]).build();
    let pair = Pair::new(&[]);
    let text = String::from_utf8(image.manifests[0].bytes.to_vec()).unwrap();
    let lying = text.replacen("\"size\":5000", "\"size\":0", 1);
    assert_ne!(text, lying);
    pair.source.add("library/liar", "1", &image);
    pair.source.add_manifest(
        "library/liar",
        "1",
        mirror_oci::media_type::OCI_MANIFEST,
        lying.into(),
    );
    pair.project.entry("liar:1");
    let endpoint = format!("[registry.\"docker.io\"]\nendpoint = \"{}\"\n", pair.source.endpoint());
    pair.project.write("images/mirror.toml", &endpoint);
    let ran = pair.project.mirror(&["apply"]).ends_with(1).run();
    assert!(ran.stdout.contains("applied: 0 copied, 0 unchanged, 1 failed"), "{}", ran.stdout);
    crate::reads(
        &ran.stdout,
        expect![[r#"
            error: could not copy docker.io/library/liar:1 to mirror-store
              caused by: source: download of blob sha256:c4f00ffb2c2d (0 B): GET http://127.0.0.1:PORT/v2/library/liar/blobs/sha256:c4f00ffb2c2d747d384182bf194eeaa64afc73b3558391cfdb181b4ca7865725: the blob is longer than the 0 bytes that its manifest says
              help: tell the operator of the registry; this is not what the specification allows
            applied: 0 copied, 0 unchanged, 1 failed; what had moved by then; N.N s
        "#]],
    );
    pair.project.mirror(&["verify", "--deep"]).ends_with(1).run();
}

#[test]
fn wrong_bytes_of_one_repository_do_not_fail_the_others() {
    // All four images share a layer; only the repository `bad` serves it wrong.
    let images: Vec<Image> = (0..4)
        .map(|n| ImageBuilder::new(format!("share {n}")).shared_layer("base", 3_000_000).build())
        .collect();
    let names = ["aaa-bad", "ok1", "ok2", "ok3"];
    let (source, first, second) = (Registry::start(), Registry::start(), Registry::start());
    let project = Project::new();
    for (name, image) in names.iter().zip(&images) {
        source.add(&format!("library/{name}"), "1", image);
        project.entry(&format!("{name}:1"));
    }
    let layer =
        images[0].blobs.iter().find(|(_, bytes)| bytes.len() == 3_000_000).unwrap().0.to_string();
    source.set_faults(move |exchange| {
        (exchange.path.contains("aaa-bad") && exchange.path.ends_with(&layer))
            .then_some(Fault::WrongBytes)
    });
    let two = format!(
        "[[destination]]\nname='two'\nregistry='{}'\n[[destination]]\nname='disk'\nlayout='store'\n",
        second.host()
    );
    project.write("images/mirror.toml", &(two + &config(&source.endpoint(), &first.host(), "")));
    // Where a good one was first, the bad one can be mounted from there; so it fails at some of three places, or at none.
    let ran = project.mirror(&["apply", "--format", "json"]);
    let output = ran.into_command().output().unwrap();
    let report: mirror_plan::report::Report = serde_json::from_slice(&output.stdout).unwrap();
    let failed =
        report.outcomes.iter().filter(|one| one.status != mirror_plan::report::Status::Done);
    let failed: Vec<_> = failed.map(|one| one.want.target.repository.as_str()).collect();
    assert!(failed.iter().all(|name| name.ends_with("aaa-bad")), "{failed:?}");
    assert_eq!(report.totals.copied + failed.len(), 12);
    for destination in [&first, &second] {
        names.iter().zip(&images).skip(1).for_each(|(name, image)| {
            assert!(destination.holds(&format!("docker.io/library/{name}"), image))
        });
    }
}

#[test]
fn a_cut_tls_connection_is_resumed() {
    if missing_tool("docker-registry") || missing_tool("openssl") || missing_tool("skopeo") {
        return;
    }
    let image = ImageBuilder::new("tls").layers(&[6_000_000]).build();
    let authority = Authority::new();
    let tls = DebianRegistry::with_tls(&authority.server(Flaw::None), None);
    let folder = tempfile::tempdir().unwrap();
    image.write_layout(folder.path(), "it");
    let pushed = Command::new("skopeo")
        .args(["copy", "--quiet", "--preserve-digests", "--dest-tls-verify=false"])
        .args([
            format!("oci:{}:it", folder.path().display()),
            format!("docker://{}/library/app:1", tls.host()),
        ])
        .status()
        .unwrap();
    assert!(pushed.success());
    // Each connection ends after 2.5 MB, in the middle of a TLS record.
    let weather = Weather { cut: Some((1, 2_500_000)), ..Weather::default() };
    let proxy = Proxy::start(tls.host().parse().unwrap(), weather);
    let destination = Registry::start();
    let project = Project::new();
    project.entry("app:1").write(
        "images/mirror.toml",
        &config(&format!("https://{}", proxy.host()), &destination.host(), ""),
    );
    let store = authority.certificate();
    project.mirror(&["apply"]).env("SSL_CERT_FILE", store.to_str().unwrap()).run();
    assert!(destination.holds("docker.io/library/app", &image));
}

#[test]
fn bad_weather_on_either_side_of_a_real_registry() {
    if missing_tool("docker-registry") {
        return;
    }
    let images: Vec<Image> = (0..6)
        .map(|n| {
            ImageBuilder::new(format!("weather {n}"))
                .platforms(&["linux/amd64", "linux/arm64"])
                .layers(&[300_000, 2_000_000])
                .build()
        })
        .collect();
    let weathers = [
        Weather { delay: Duration::from_millis(10), ..Weather::default() },
        Weather { cut: Some((3, 500_000)), ..Weather::default() },
        Weather { cut: Some((2, 200)), ..Weather::default() },
        Weather { refuse: Some(3), ..Weather::default() },
        Weather { rate: 20_000_000, ..Weather::default() },
    ];
    for weather in weathers {
        let (first, second) = (DebianRegistry::start(), DebianRegistry::start());
        let origin = Registry::start();
        let project = Project::new();
        for (n, image) in images.iter().enumerate() {
            origin.add(&format!("library/app{n}"), "1", image);
            project.entry(&format!("app{n}:1"));
        }
        // Into the first registry through the weather, then out of it through the weather into the second.
        let proxy = Proxy::start(first.host().parse().unwrap(), weather);
        project.write("images/mirror.toml", &config(&origin.endpoint(), &proxy.host(), ""));
        project.mirror(&["apply"]).run();
        let onward = Project::new();
        for n in 0..images.len() {
            onward.entry(&format!("{}/docker.io/library/app{n}:1", proxy.host()));
        }
        let to = format!(
            "[[destination]]\nname='p'\nregistry='{}'\nrepository='{{repository}}'\n",
            second.host()
        );
        onward.write("images/mirror.toml", &to);
        onward.mirror(&["apply"]).run();
        onward.mirror(&["verify", "--deep"]).run();
        assert!(onward.mirror(&["plan"]).run().stdout.contains("6 unchanged"));
    }
}

#[test]
fn connections_that_go_silent_are_given_up_and_resumed() {
    if missing_tool("docker-registry") {
        return;
    }
    let image = ImageBuilder::new("silent").layers(&[3_000_000, 2_000_000]).build();
    let pair = Pair::new(&[("library/app", "1", &image)]);
    let destination = DebianRegistry::start();
    let weather = |stall| Weather { stall: Some(stall), ..Weather::default() };
    // Half-way through the layer on one side; after the first answers on the other.
    let source = Proxy::start(pair.source.host().parse().unwrap(), weather((3, 1_500_000)));
    let proxy = Proxy::start(destination.host().parse().unwrap(), weather((3, 500)));
    let endpoint = format!("http://{}", source.host());
    pair.project.write("images/mirror.toml", &config(&endpoint, &proxy.host(), ""));
    let started = Instant::now();
    pair.project.mirror(&["apply"]).run();
    assert!(started.elapsed() > Duration::from_secs(30), "something was waited for");
    pair.project.write("images/mirror.toml", &config(&endpoint, &destination.host(), ""));
    pair.project.mirror(&["verify", "--deep"]).run();
}

#[test]
fn an_upload_that_fails_fetches_again_once() {
    let image = ImageBuilder::new("again").layers(&[5_000_000]).build();
    let layer =
        image.blobs.iter().find(|(_, bytes)| bytes.len() == 5_000_000).unwrap().0.to_string();
    for failures in [1, 3] {
        let pair = Pair::new(&[("library/app", "1", &image)]);
        let seen = AtomicUsize::new(0);
        pair.destination.set_faults(move |exchange| {
            let mine = exchange.method == "PUT" && exchange.path.contains("/blobs/");
            let nth = mine.then(|| seen.fetch_add(1, Ordering::Relaxed))?;
            (nth < failures).then_some(Fault::Reset)
        });
        pair.project.mirror(&["apply"]).run();
        assert!(pair.destination.holds("docker.io/library/app", &image));
        let requests = pair.source.take_requests();
        let fetched = requests.iter().filter(|request| request.path.ends_with(&layer)).count();
        assert!(fetched <= 2, "{failures} failures, fetched {fetched} times");
    }
}

#[test]
fn a_killed_run_is_continued_where_it_stopped() {
    let image = ImageBuilder::new("killed").layers(&[40_000_000]).build();
    let pair = Pair::new(&[("library/app", "1", &image)]);
    let layer = image.blobs[0].0.to_string();
    let seen = AtomicUsize::new(0);
    pair.source.set_faults(move |exchange| {
        let mine = exchange.path.ends_with(&layer);
        match mine.then(|| seen.fetch_add(1, Ordering::Relaxed)) {
            None => None,
            Some(0) => Some(Fault::Cut(36_000_000)),
            Some(_) => Some(Fault::Hang),
        }
    });
    let mut child = pair
        .project
        .mirror(&["apply", "--spool", "spool"])
        .into_command()
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let spooled = || {
        std::fs::read_dir(pair.project.path().join("spool"))
            .into_iter()
            .flatten()
            .flatten()
            .filter_map(|e| e.metadata().ok())
            .map(|m| m.len())
            .sum::<u64>()
    };
    let started = Instant::now();
    while spooled() < 30_000_000 {
        assert!(started.elapsed() < Duration::from_secs(20), "nothing is spooled");
        std::thread::sleep(Duration::from_millis(20));
    }
    std::thread::sleep(Duration::from_millis(300));
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(pair.destination.tags(), Vec::<String>::new());
    pair.source.clear_faults();
    pair.source.take_requests();
    let ran = pair.project.mirror(&["apply", "--spool", "spool", "--format", "json"]).run();
    assert!(pair.destination.holds("docker.io/library/app", &image));
    let ranges: Vec<_> =
        pair.source.take_requests().into_iter().filter_map(|request| request.range).collect();
    assert_eq!(ranges.len(), 1, "{ranges:?}");
    let report: mirror_plan::report::Report = serde_json::from_str(&ran.stdout).unwrap();
    assert!(report.totals.transfer.fetched_bytes < 10_100_000, "{:?}", report.totals.transfer);
    assert!(!pair.project.path().join("spool").exists(), "an empty spool goes");
}

#[test]
fn an_interrupted_run_says_so() {
    let image = ImageBuilder::new("stopped").build();
    for signal in ["INT", "TERM"] {
        let pair = Pair::new(&[("library/app", "1", &image)]);
        pair.source.set_faults(|exchange| exchange.path.contains("/blobs/").then_some(Fault::Hang));
        let command = pair
            .project
            .mirror(&["apply"])
            .into_command()
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let started = Instant::now();
        while !pair.destination.take_requests().iter().any(|request| request.method == "POST") {
            assert!(started.elapsed() < Duration::from_secs(20));
            std::thread::sleep(Duration::from_millis(20));
        }
        crate::send(signal, command.id());
        let output = command.wait_with_output().unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        assert_eq!(output.status.code(), Some(130), "{said}");
        assert!(
            said.contains("interrupted: what was copied stays; run again to continue"),
            "{said}"
        );
        assert!(said.contains("applied: 0 copied, 0 unchanged, 1 not finished"), "{said}");
    }
}

#[test]
fn nobody_listening_stops_no_copy() {
    let image = ImageBuilder::new("deaf").build();
    let pair = Pair::new(&[("library/app", "1", &image)]);
    let script = format!("{} apply >/dev/full 2>/dev/full", env!("CARGO_BIN_EXE_mirror"));
    // A report that is lost is told by the code; there is no other place left.
    mirror_testkit::Mirror::new("sh", pair.project.path(), &["-c", &script]).ends_with(1).run();
    assert!(pair.destination.holds("docker.io/library/app", &image));
    let odd = std::ffi::OsStr::from_bytes(b"\xff");
    let status = pair
        .project
        .mirror(&["plan"])
        .into_command()
        .env("ODD", odd)
        .stdout(Stdio::null())
        .status()
        .unwrap();
    assert!(status.success(), "a variable that is not UTF-8 is not ours");
}

#[test]
fn a_dead_host_is_given_up_once() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let project = Project::new();
    (0..300).for_each(|n| drop(project.entry(&format!("team/app{n}:1")).path().to_owned()));
    project.write("images/mirror.toml", &config(&format!("http://{closed}"), "127.0.0.1:1", ""));
    let started = Instant::now();
    project.mirror(&["plan"]).ends_with(1).run();
    assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
}
