//! Destinations that are odd or poor: in what they make of mounts, and in how many uploads they allow.

use std::process::Stdio;
use std::time::Duration;

use expect_test::expect;
use mirror_testkit::{Fault, Image, ImageBuilder, Profile, Recorded, Registry};

use crate::{Pair, Project};

const LAYER: usize = 3_000_000;

/// A registry of this kind as destination, with these images wanted.
fn to(profile: Profile, images: &[(&str, Image)]) -> (Registry, Registry, Project) {
    let (source, destination, project) =
        (Registry::start(), Registry::with(profile), Project::new());
    project.config(&source.host(), &destination.host());
    for (name, image) in images {
        source.add(&format!("library/{name}"), "1", image);
        project.entry(&format!("{name}:1"));
    }
    let path = project.path().join("images/mirror.toml");
    let config = std::fs::read_to_string(&path).unwrap() + "[copy]\nreferrers = \"off\"\n";
    std::fs::write(path, config).unwrap();
    (source, destination, project)
}

fn based(name: &str) -> Image {
    ImageBuilder::new(name).layers(&[100]).shared_layer("base", LAYER).build()
}

fn count(requests: &[Recorded], method: &str, part: &str) -> usize {
    requests.iter().filter(|r| r.method == method && r.path.contains(part)).count()
}

#[test]
fn what_is_there_is_not_sent_again_where_mounts_are_ignored() {
    let profile = Profile { ignores_mounts: true, ..Profile::default() };
    let (source, destination, project) = to(profile, &[("app", based("old"))]);
    project.mirror(&["apply"]).run();
    source.add("library/app", "1", &based("new"));
    source.take_requests();
    destination.take_requests();
    let ran = project.mirror(&["apply"]).run();
    crate::reads(
        &ran.stdout,
        expect![[r#"
        applied: 1 copied, 0 unchanged; 406 B fetched, 406 B pushed, 1 blob reused; N.N s
    "#]],
    );
    let (read, written) = (source.take_requests(), destination.take_requests());
    let base = mirror_oci::Digest::of(
        mirror_oci::Algorithm::Sha256,
        &based("new").blobs.iter().find(|(_, bytes)| bytes.len() == LAYER).unwrap().1,
    );
    assert_eq!(count(&read, "GET", base.as_str()), 0, "the base is not fetched");
    assert_eq!(count(&written, "HEAD", base.as_str()), 1, "it is asked for once");
    let sent: u64 =
        written.iter().filter(|r| r.method == "PUT").filter_map(|r| r.content_length).sum();
    assert!(sent < 10_000, "{sent} bytes were sent");
    assert_eq!(destination.open_sessions(), 0, "what was opened in vain is given back");
}

#[test]
fn a_registry_that_refuses_mounts_gets_plain_uploads() {
    for status in [400, 401, 403, 404, 405, 422, 501] {
        let profile = Profile { refuses_mounts: Some(status), ..Profile::default() };
        let images: Vec<_> = ["a", "b", "c", "d", "e", "f"].map(|n| (n, based(n))).into();
        let (_source, destination, project) = to(profile, &images);
        let ran = project.mirror(&["apply"]).run();
        assert!(ran.stdout.contains("applied: 6 copied"), "{status}: {}", ran.stdout);
        for (name, image) in &images {
            assert!(destination.holds(&format!("docker.io/library/{name}"), image));
        }
        let requests = destination.take_requests();
        let asked = requests.iter().filter(|r| r.method == "POST" && r.query.contains("mount="));
        let (asked, sent) = (asked.count(), count(&requests, "PUT", "/blobs/"));
        assert!(asked < sent, "{status}: {asked} mounts were asked for, {sent} blobs sent");
    }
}

#[test]
fn what_a_registry_makes_of_mounts_is_learned() {
    // Forty large layers, all new: each of them is worth a question until the answer is known.
    let images: Vec<_> = (0..20)
        .map(|n| {
            (format!("app{n}"), ImageBuilder::new(format!("{n}")).layers(&[20_000, 30_000]).build())
        })
        .collect();
    for ignores_mounts in [false, true] {
        let profile = Profile { ignores_mounts, ..Profile::default() };
        let named: Vec<_> = images.iter().map(|(n, i)| (n.as_str(), i.clone())).collect();
        let (_source, destination, project) = to(profile, &named);
        let path = project.path().join("images/mirror.toml");
        let config = std::fs::read_to_string(&path).unwrap();
        let slow = format!("[registry.\"{}\"]\nconcurrency = 2\n", destination.host());
        std::fs::write(&path, config + &slow).unwrap();
        project.mirror(&["apply"]).run();
        let requests = destination.take_requests();
        let (asked, posts) =
            (count(&requests, "HEAD", "/blobs/"), count(&requests, "POST", "/blobs/"));
        if ignores_mounts {
            assert_eq!(asked, 40, "this is the only way to know");
        } else {
            assert!(asked <= 14, "{asked} questions");
        }
        assert!(posts <= 60 + 1, "{posts} sessions for 60 blobs");
        assert_eq!(destination.open_sessions(), 0);
    }
}

#[test]
fn few_sessions_that_are_kept_for_long_are_enough() {
    let images: Vec<_> = (0..12)
        .map(|n| {
            let layers = [100, 200, 40_000, 1_200_000];
            (format!("app{n}"), ImageBuilder::new(format!("{n}")).layers(&layers).build())
        })
        .collect();
    let named: Vec<_> = images.iter().map(|(n, i)| (n.as_str(), i.clone())).collect();
    let profile = Profile { sessions: (5, Duration::from_secs(1800)), ..Profile::default() };
    let (source, destination, project) = to(profile, &named);
    source.set_faults(|exchange| {
        let blob = exchange.path.contains("/blobs/");
        blob.then(|| Fault::Delay(Duration::from_millis(30)))
    });
    let ran = project.mirror(&["apply"]).run();
    crate::reads(
        &ran.stdout,
        expect![[r#"
        applied: 12 copied, 0 unchanged; 14.2 MiB fetched, 14.2 MiB pushed; N.N s
    "#]],
    );
    assert_eq!(destination.open_sessions(), 0);
    let requests = destination.take_requests();
    let refused = requests.iter().filter(|r| r.status == 429).count();
    assert!(refused < 200, "{refused} refusals");
}

#[test]
fn sessions_that_end_soon_cost_no_byte_twice() {
    // Layers of 3 MiB whose source takes a second for each: all of them wait for their turn.
    for gone in ["BLOB_UPLOAD_UNKNOWN", "NOT_FOUND"] {
        let images: Vec<_> = (0..3)
            .map(|n| {
                let layers = [LAYER, LAYER + 1, LAYER + 2, LAYER + 3];
                (format!("app{n}"), ImageBuilder::new(format!("{n}")).layers(&layers).build())
            })
            .collect();
        let named: Vec<_> = images.iter().map(|(n, i)| (n.as_str(), i.clone())).collect();
        let profile =
            Profile { sessions: (1000, Duration::from_millis(1500)), gone, ..Profile::default() };
        let (source, destination, project) = to(profile, &named);
        source.set_faults(|exchange| {
            let blob = exchange.path.contains("/blobs/");
            blob.then(|| Fault::Delay(Duration::from_millis(1000)))
        });
        let ran = project.mirror(&["apply"]).run();
        assert!(ran.stdout.contains("applied: 3 copied, 0 unchanged; "), "{}", ran.stdout);
        for (name, image) in &images {
            assert!(destination.holds(&format!("docker.io/library/{name}"), image));
        }
        let fetched = count(&source.take_requests(), "GET", "/blobs/");
        assert_eq!(fetched, 15, "each blob once");
    }
}

#[test]
fn an_interrupted_run_gives_its_sessions_back() {
    let images: Vec<_> = (0..8)
        .map(|n| {
            (format!("app{n}"), ImageBuilder::new(format!("{n}")).layers(&[9000, 8000]).build())
        })
        .collect();
    let named: Vec<_> = images.iter().map(|(n, i)| (n.as_str(), i.clone())).collect();
    let (_source, destination, project) = to(Profile::default(), &named);
    destination.set_faults(|exchange| {
        let sends = exchange.method == "PUT" && exchange.path.contains("/blobs/");
        sends.then_some(Fault::Hang)
    });
    let mut command = project.mirror(&["apply"]).into_command();
    let running = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let started = std::time::Instant::now();
    while destination.open_sessions() < 10 {
        assert!(started.elapsed() < Duration::from_secs(20), "no sessions");
        std::thread::sleep(Duration::from_millis(20));
    }
    crate::send("INT", running.id());
    let ran = running.wait_with_output().unwrap();
    assert_eq!(ran.status.code(), Some(130));
    let told = String::from_utf8(ran.stdout).unwrap();
    assert!(told.contains("8 not finished"), "{told}");
    assert_eq!(destination.open_sessions(), 0);
}

#[test]
fn concurrency_is_what_it_says() {
    for (concurrency, delay) in [(1, 5), (3, 10)] {
        let images: Vec<(String, Image)> = (0..6)
            .map(|n| {
                (
                    format!("library/app{n}"),
                    ImageBuilder::new(format!("{n}")).layers(&[5000, 1_500_000]).build(),
                )
            })
            .collect();
        let named: Vec<_> = images.iter().map(|(n, i)| (n.as_str(), "1", i)).collect();
        let pair = Pair::new(&named);
        for registry in [&pair.source, &pair.destination] {
            registry.set_faults(move |_| Some(Fault::Delay(Duration::from_millis(delay))));
        }
        let path = pair.project.path().join("images/mirror.toml");
        let config = std::fs::read_to_string(&path).unwrap()
            + &format!(
                "concurrency = {concurrency}\n[registry.\"{}\"]\nconcurrency = {concurrency}\n",
                pair.destination.host()
            );
        std::fs::write(path, config).unwrap();
        let ran = pair.project.mirror(&["apply"]).run();
        assert!(ran.stdout.contains("applied: 6 copied"), "{}", ran.stdout);
        assert!(pair.source.most_at_once() <= concurrency, "{}", pair.source.most_at_once());
        let most = pair.destination.most_at_once();
        assert!(most <= concurrency, "{most} requests at once");
    }
}

#[test]
fn one_registry_on_both_sides() {
    let registry = Registry::start();
    let project = Project::new();
    let image = |n: usize| ImageBuilder::new(format!("{n}")).layers(&[5000, 1_500_000 + n]).build();
    let config = format!(
        "[[destination]]\nname=\"own\"\nregistry=\"{0}/company\"\n[registry.\"{0}\"]\nconcurrency = 1\n",
        registry.host()
    );
    project.write(
        "images/mirror.toml",
        &config.replace("/company\"\n", "\"\nrepository = \"company/{name}\"\n"),
    );
    for n in 0..4 {
        registry.add(&format!("upstream/app{n}"), "1", &image(n));
        project.entry(&format!("{}/upstream/app{n}:1", registry.host()));
    }
    let ran = project.mirror(&["apply"]).run();
    crate::reads(
        &ran.stdout,
        expect![[r#"
        applied: 4 copied, 0 unchanged; 5.7 MiB fetched, 5.7 MiB pushed; N.N s
    "#]],
    );
    assert_eq!(registry.most_at_once(), 1);
    (0..4).for_each(|n| assert!(registry.holds(&format!("company/app{n}"), &image(n))));
}

#[test]
fn images_that_fail_in_the_middle_leave_no_session_to_others() {
    // Each of eight images lacks a layer at its source while the destination takes its time to open uploads, of which it
    // has twelve for half an hour.
    let broken: Vec<_> = (0..8)
        .map(|n| {
            let layers = [9000, 8000, 7000, 6000, 5000];
            (format!("broken{n}"), ImageBuilder::new(format!("b{n}")).layers(&layers).build())
        })
        .collect();
    let good = ("zgood".to_owned(), ImageBuilder::new("good").layers(&[9000, 8000]).build());
    let all: Vec<_> = broken.iter().chain([&good]).map(|(n, i)| (n.as_str(), i.clone())).collect();
    let profile = Profile { sessions: (12, Duration::from_secs(1800)), ..Profile::default() };
    let (source, destination, project) = to(profile, &all);
    for (name, image) in &broken {
        source.lose(&format!("library/{name}"), &image.blobs[0].0);
    }
    destination.set_faults(|exchange| {
        (exchange.method == "POST").then_some(Fault::Delay(Duration::from_millis(300)))
    });
    let ran = project.mirror(&["apply"]).ends_with(1).run();
    assert!(ran.stdout.contains("applied: 1 copied, 0 unchanged, 8 failed"), "{}", ran.stdout);
    assert!(destination.holds("docker.io/library/zgood", &good.1));
    assert_eq!(destination.open_sessions(), 0);
}

#[test]
fn a_session_that_is_being_opened_is_given_back_too() {
    let images: Vec<_> = (0..6)
        .map(|n| (format!("app{n}"), ImageBuilder::new(format!("{n}")).layers(&[9000]).build()))
        .collect();
    let named: Vec<_> = images.iter().map(|(n, i)| (n.as_str(), i.clone())).collect();
    let (_source, destination, project) = to(Profile::default(), &named);
    destination.set_faults(|exchange| {
        (exchange.method == "POST").then_some(Fault::Delay(Duration::from_millis(800)))
    });
    let mut command = project.mirror(&["apply"]).into_command();
    let running = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let started = std::time::Instant::now();
    let opens = || destination.take_requests().iter().any(|request| request.method == "POST");
    while !opens() {
        assert!(started.elapsed() < Duration::from_secs(20), "no uploads");
        std::thread::sleep(Duration::from_millis(20));
    }
    crate::send("INT", running.id());
    assert_eq!(running.wait_with_output().unwrap().status.code(), Some(130));
    assert_eq!(destination.open_sessions(), 0);
}

#[test]
fn a_host_on_both_sides_is_not_stuck_when_an_alternative_breaks() {
    let (registry, other, project) = (Registry::start(), Registry::start(), Project::new());
    let image = |n: usize| ImageBuilder::new(format!("{n}")).layers(&[2_000_000 + n]).build();
    for n in 0..4 {
        registry.add(&format!("upstream/app{n}"), "1", &image(n));
        other.add(&format!("upstream/app{n}"), "1", &image(n));
        project.entry(&format!("{}/upstream/app{n}:1", registry.host()));
    }
    // It serves half of each layer, and then denies to have it.
    let served = std::sync::Mutex::new(std::collections::BTreeSet::new());
    other.set_faults(move |exchange| {
        let blob = exchange.method == "GET" && exchange.path.contains("/blobs/");
        let first = blob && served.lock().unwrap().insert(exchange.path.clone());
        blob.then(|| {
            if first { Fault::Cut(1_000_000) } else { Fault::refuse(404, "BLOB_UNKNOWN", "gone") }
        })
    });
    let config = format!(
        "[[destination]]\nname=\"own\"\nregistry=\"{0}\"\nrepository=\"company/{{name}}\"\n\
         [registry.\"{0}\"]\nconcurrency = 2\nalternatives = [\"{1}\"]\n",
        registry.host(),
        other.host()
    );
    project.write("images/mirror.toml", &config);
    let mut command = project.mirror(&["apply"]).into_command();
    let mut running = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let started = std::time::Instant::now();
    let ended = loop {
        match running.try_wait().unwrap() {
            Some(status) => break status,
            None if started.elapsed() > Duration::from_secs(40) => {
                running.kill().unwrap();
                panic!("it is stuck");
            }
            None => std::thread::sleep(Duration::from_millis(50)),
        }
    };
    assert_eq!(ended.code(), Some(0));
    (0..4).for_each(|n| assert!(registry.holds(&format!("company/app{n}"), &image(n))));
}

#[test]
fn a_plain_upload_is_not_done_before_it_has_begun() {
    let image = ImageBuilder::new("said").layers(&[500]).build();
    let profile = Profile { refuses_mounts: Some(404), ..Profile::default() };
    let (_source, destination, project) = to(profile, &[("app", image)]);
    destination.set_faults(|exchange| {
        let plain = exchange.method == "POST" && !exchange.query.contains("mount=");
        plain.then(|| Fault::Answer(201, "text/plain", String::new()))
    });
    let ran = project.mirror(&["apply"]).ends_with(1).run();
    let told = "the registry answers 201 to an upload without bytes";
    assert!(ran.stdout.contains(told), "{}", ran.stdout);
    assert!(destination.tags().is_empty());
}

#[test]
fn a_session_that_grows_old_during_a_question_is_opened_anew() {
    let images: Vec<_> = (0..3)
        .map(|n| (format!("app{n}"), ImageBuilder::new(format!("{n}")).layers(&[30_000]).build()))
        .collect();
    let named: Vec<_> = images.iter().map(|(n, i)| (n.as_str(), i.clone())).collect();
    let profile = Profile { sessions: (1000, Duration::from_secs(2)), ..Profile::default() };
    let (_source, destination, project) = to(profile, &named);
    destination.set_faults(|exchange| {
        let asks = exchange.method == "HEAD" && exchange.path.contains("/blobs/");
        asks.then_some(Fault::Delay(Duration::from_millis(2200)))
    });
    let ran = project.mirror(&["apply"]).run();
    crate::reads(
        &ran.stdout,
        expect![[r#"
        applied: 3 copied, 0 unchanged; 88.6 KiB fetched, 88.6 KiB pushed; N.N s
    "#]],
    );
}

#[test]
fn a_session_that_is_gone_costs_no_byte_twice_whoever_says_so() {
    let image = ImageBuilder::new("big").layers(&[LAYER, 20_000]).build();
    for fault in [
        Fault::refuse(404, "BLOB_UPLOAD_UNKNOWN", "gone"),
        Fault::refuse(400, "BLOB_UPLOAD_INVALID", "gone"),
        Fault::Reset,
    ] {
        let (source, destination, project) = to(Profile::default(), &[("app", image.clone())]);
        let seen = std::sync::Mutex::new(std::collections::BTreeSet::new());
        let first = fault.clone();
        destination.set_faults(move |exchange| {
            let put = exchange.method == "PUT" && exchange.path.contains("/blobs/");
            let digest = exchange.query.rsplit("digest=").next().unwrap().to_owned();
            (put && seen.lock().unwrap().insert(digest)).then(|| first.clone())
        });
        project.mirror(&["apply"]).run();
        assert!(destination.holds("docker.io/library/app", &image));
        let read = count(&source.take_requests(), "GET", "/blobs/");
        assert_eq!(read, image.blobs.len(), "{fault:?}");
        let sent = count(&destination.take_requests(), "PUT", "/blobs/");
        assert_eq!(sent, 2 * image.blobs.len(), "{fault:?}");
    }
}

#[test]
fn a_token_service_that_gives_no_token_for_a_mount_refuses_the_mount() {
    let images: Vec<_> = ["a", "b"].map(|n| (n, based(n))).into();
    let auth = mirror_testkit::AuthProfile::bearer("me", "secret");
    let (_source, destination, project) = to(Profile { auth, ..Profile::default() }, &images);
    destination.set_faults(|exchange| {
        let two = exchange.path == "/token" && exchange.query.matches("scope=").count() > 1;
        two.then(|| Fault::refuse(403, "DENIED", "one repository at a time"))
    });
    let variable = format!("MIRROR_AUTH_{}", destination.host().replace(['.', ':'], "_"));
    let ran = project.mirror(&["apply"]).env(&variable, "me:secret").run();
    crate::reads(
        &ran.stdout,
        expect![[r#"
        applied: 2 copied, 0 unchanged; 2.9 MiB fetched, 5.7 MiB pushed; N.N s
    "#]],
    );
    for (name, image) in &images {
        assert!(destination.holds(&format!("docker.io/library/{name}"), image));
    }
}
