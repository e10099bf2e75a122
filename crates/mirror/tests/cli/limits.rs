//! Docker Hub's limit on pulls, and other places with the same content.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use expect_test::expect;
use mirror_plan::plan::Plan;
use mirror_plan::report::Report;
use mirror_testkit::{Fault, Image, ImageBuilder, Profile, Registry};

use crate::{Project, looks_for_referrers};

/// Four images of three manifests each at a registry that lets us pull so many.
fn limited(limit: u64, seconds: u64) -> (Registry, Registry, Project, Vec<(String, Image)>) {
    let source =
        Registry::with(Profile { pull_limit: Some((limit, seconds)), ..Profile::default() });
    let destination = Registry::start();
    let project = Project::new();
    project.config(&source.host(), &destination.host());
    let make = |n: usize| {
        (
            format!("library/app{n}"),
            ImageBuilder::new(format!("{n}")).platforms(&["linux/amd64", "linux/arm64"]).build(),
        )
    };
    let images: Vec<_> = (0..4).map(make).collect();
    for (name, image) in &images {
        source.add(name, "1", image);
        project.entry(&format!("{name}:1"));
    }
    (source, destination, project, images)
}

fn pulls(registry: &Registry) -> usize {
    registry
        .take_requests()
        .iter()
        .filter(|r| r.method == "GET" && r.path.contains("/manifests/"))
        .count()
}

#[test]
fn what_fits_is_copied_and_the_rest_is_deferred_by_name() {
    let (source, destination, project, images) = limited(7, 3600);
    let ran = project.mirror(&["apply"]).ends_with(6).run();
    assert_eq!(
        destination.tags().len(),
        2,
        "two whole images of three manifests fit into seven pulls"
    );
    assert!(ran.stdout.contains("applied: 2 copied, 0 unchanged, 2 deferred; "), "{}", ran.stdout);
    let copied = |name: &str| destination.tags().contains(&format!("docker.io/{name}:1"));
    for (name, image) in &images {
        assert_eq!(
            ran.stdout.contains(&format!("deferred: docker.io/{name}:1 for prod")),
            !copied(name),
            "{}",
            ran.stdout
        );
        assert_eq!(destination.holds(&format!("docker.io/{name}"), image), copied(name));
    }
    crate::reads(
        &ran.stdout,
        expect![[r#"
        deferred: docker.io/library/app2:1 for prod
          caused by: source: reading library/app2: docker.io: the limit on pulls is reached: 2 needed, 0 left; all pulls are back by DATE at the latest
          help: log in to the registry for a higher limit, or wait for the window to pass
        deferred: docker.io/library/app3:1 for prod
          caused by: source: reading library/app3: docker.io: the limit on pulls is reached: 1 needed, 0 left; all pulls are back by DATE at the latest
          help: log in to the registry for a higher limit, or wait for the window to pass
        applied: 2 copied, 0 unchanged, 2 deferred; 10.2 KiB fetched, 10.2 KiB pushed; N.N s
    "#]],
    );
    assert!(pulls(&source) <= 7);
}

#[test]
fn a_plan_says_what_is_needed_and_what_is_left() {
    let (source, _destination, project, _) = limited(40, 3600);
    let plan = project.mirror(&["plan", "--no-sizes"]).run();
    crate::reads(
        &plan.stdout,
        expect![[r#"
        prod
          + docker.io/library/app0:1  new → sha256:d9cdf18d5f20
          + docker.io/library/app1:1  new → sha256:723e5a973197
          + docker.io/library/app2:1  new → sha256:2e51124bc9a3
          + docker.io/library/app3:1  new → sha256:48aa1fd57afa

        plan: 4 to create, 0 to update, 0 unchanged
          to move: at least 4 manifests from docker.io (of 40 pulls left)
    "#]],
    );
    assert_eq!(pulls(&source), 0);
}

#[test]
fn waiting_for_the_window() {
    let (_source, destination, project, images) = limited(6, 8);
    let ran = project.mirror(&["apply", "--on-limit", "wait"]).run();
    assert!(
        ran.stderr.contains("2 images wait for a limit on pulls or requests; looking again in 1 s"),
        "{}",
        ran.stderr
    );
    crate::reads(
        &ran.stdout,
        expect![[r#"
        applied: 4 copied, 0 unchanged; 20.3 KiB fetched, 20.3 KiB pushed; N.N s
    "#]],
    );
    images
        .iter()
        .for_each(|(name, image)| assert!(destination.holds(&format!("docker.io/{name}"), image)));
}

/// So many pinned images of an index and eight platforms each, at a registry with a limit on pulls.
fn pinned(images: usize, limit: (u64, u64), platform: &str) -> (Registry, Registry, Project) {
    let source = Registry::with(Profile { pull_limit: Some(limit), ..Profile::default() });
    let destination = Registry::start();
    let project = Project::new();
    project.config(&source.host(), &destination.host());
    let base = std::fs::read_to_string(project.path().join("images/mirror.toml")).unwrap();
    // Signatures are looked for where pulls are free; here they would only lengthen the test.
    project.write("images/mirror.toml", &format!("{base}[copy]\nreferrers = \"off\"\n"));
    let platforms = ["amd64", "arm64", "386", "ppc64le", "s390x", "riscv64", "mips64le", "arm"];
    let platforms = platforms.map(|name| format!("linux/{name}"));
    let platforms: Vec<&str> = platforms.iter().map(String::as_str).collect();
    for n in 0..images {
        let image = ImageBuilder::new(format!("{n}")).platforms(&platforms).layers(&[64]).build();
        source.add(&format!("library/app{n}"), "1", &image);
        let file = format!("images/docker.io/library/app{n}/Dockerfile");
        project.write(&file, &format!("FROM {platform}app{n}:1@{}\n", image.digest()));
    }
    (source, destination, project)
}

fn reported(project: &Project, arguments: &[&str], code: i32) -> Report {
    let arguments = [&["apply", "--format", "json"], arguments].concat();
    let ran = project.mirror(&arguments).ends_with(code).run();
    serde_json::from_str(&ran.stdout).unwrap()
}

#[test]
fn two_hundred_pinned_images_make_what_a_hundred_pulls_make() {
    let (source, destination, project) = pinned(200, (100, 3600), "");
    let report = reported(&project, &[], 6);
    assert_eq!((report.totals.copied, report.totals.deferred), (11, 189), "of nine manifests each");
    assert_eq!((report.totals.failed, destination.tags().len()), (0, 11));
    let requests = source.take_requests();
    let refused = requests.iter().filter(|request| request.status == 429).count();
    assert_eq!(refused, 0, "nobody asks for what is not to be had");
    let said = report.failures[0].failure.message.clone();
    assert!(
        said.contains("the limit on pulls is reached: ") && said.contains(" needed, "),
        "{said}"
    );
    assert!(
        said.contains("; all pulls are back by ") && said.contains(" GMT at the latest"),
        "{said}"
    );
}

#[test]
fn what_one_run_has_pulled_the_next_one_has() {
    let (source, destination, project) = pinned(12, (10, 3600), "");
    let mut runs = 0;
    while destination.tags().len() < 12 && runs < 20 {
        let ran = project.mirror(&["apply"]);
        let code = if runs == 11 { 0 } else { 6 };
        ran.ends_with(code).run();
        runs += 1;
        source.forget_pulls();
    }
    // One image in each run, and with the pulls that are over the indexes of others.
    assert_eq!((destination.tags().len(), runs), (12, 12));
    let requests = source.take_requests();
    let pulled = requests.iter().filter(|r| r.method == "GET" && r.path.contains("/manifests/"));
    assert_eq!(pulled.count(), 12 * 9, "none of them twice");
}

#[test]
fn single_platforms_of_pinned_images_are_pulled_once() {
    let (source, destination, project) = pinned(60, (40, 3600), "--platform=linux/arm64 ");
    let report = reported(&project, &[], 6);
    assert_eq!((report.totals.copied, report.totals.deferred), (20, 40), "index and image each");
    assert_eq!(pulls(&source), 40);
    source.forget_pulls();
    let report = reported(&project, &[], 6);
    // Those that the destination lacks come first, and the others cost nothing.
    assert_eq!(
        (report.totals.copied, report.totals.unchanged, report.totals.deferred),
        (20, 20, 20)
    );
    source.forget_pulls();
    source.take_requests();
    let report = reported(&project, &[], 0);
    assert_eq!((report.totals.copied, report.totals.unchanged), (20, 40));
    assert_eq!((destination.tags().len(), pulls(&source)), (60, 40));
    let report = reported(&project, &[], 0);
    assert_eq!((report.totals.unchanged, pulls(&source)), (60, 0), "no pull in any later run");
}

#[test]
fn waiting_keeps_what_it_has_learned() {
    let (source, destination, project) = pinned(6, (10, 4), "");
    let report = reported(&project, &["--on-limit", "wait"], 0);
    assert_eq!((report.totals.copied, destination.tags().len()), (6, 6));
    let requests = source.take_requests();
    let pulled: Vec<_> = requests
        .iter()
        .filter(|r| r.method == "GET" && r.path.contains("/manifests/") && r.status == 200)
        .collect();
    assert_eq!(pulled.len(), 6 * 9, "what one pass has read, the next one does not read again");
}

#[test]
fn a_plan_does_not_count_its_own_pulls_as_missing() {
    let (_source, _destination, project) = pinned(3, (40, 3600), "");
    let ran = project.mirror(&["plan", "--format", "json"]).run();
    let plan: Plan = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!((plan.pulls[0].manifests, plan.pulls[0].left), (27, Some(40)));
}

#[test]
fn headers_of_another_kind_are_no_limit_on_pulls() {
    let pair = crate::Pair::new(&[]);
    for n in 0..40 {
        let image = ImageBuilder::new(format!("{n}")).build();
        pair.source.add(&format!("library/app{n}"), "1", &image);
        pair.project.entry(&format!("app{n}:1"));
    }
    let left = AtomicUsize::new(60);
    // Requests, not pulls, as the draft of the IETF has it.
    pair.source.set_faults(move |_| {
        let left = left.fetch_sub(1, Ordering::Relaxed).max(1) % 60;
        Some(Fault::Header("ratelimit-remaining", left.to_string()))
    });
    pair.destination.set_faults(|_| Some(Fault::Header("ratelimit-remaining", "0".to_owned())));
    pair.project.mirror(&["apply"]).run();
    assert_eq!(pair.destination.tags().len(), 40);
}

#[test]
fn only_answers_about_manifests_tell_of_pulls() {
    let image = ImageBuilder::new("x").layers(&[100, 200, 300]).build();
    let pair = crate::Pair::new(&[("library/app", "1", &image), ("library/app", "2", &image)]);
    pair.source.set_faults(|exchange| {
        let blob = exchange.path.contains("/blobs/");
        blob.then(|| Fault::Header("ratelimit-remaining", "0;w=21600".to_owned()))
    });
    pair.project.mirror(&["apply"]).run();
    assert_eq!(pair.destination.tags().len(), 2);
}

#[test]
fn a_limit_that_only_the_body_tells_stops_further_pulls() {
    let (source, _destination, project) = pinned(300, (1000, 3600), "");
    source.set_faults(|exchange| {
        let body = r#"{"errors":[{"code":"TOOMANYREQUESTS","message":"You have reached your pull rate limit. https://www.docker.com/increase-rate-limit"}]}"#;
        let pull = exchange.method == "GET" && exchange.path.contains("/manifests/");
        pull.then(|| Fault::Answer(429, "application/json", body.to_owned()))
    });
    let report = reported(&project, &[], 6);
    assert_eq!((report.totals.deferred, report.totals.failed), (300, 0));
    assert_eq!(pulls(&source), 1);
}

#[test]
fn a_host_that_serves_nothing_defers_its_images_and_is_asked_again_at_the_end() {
    let (source, destination, project) = pinned(30, (10_000, 3600), "");
    source.set_faults(|exchange| (exchange.number < 5).then_some(Fault::Throttle(1)));
    let ran = project.mirror(&["apply"]).run();
    assert!(
        ran.stderr.contains("docker.io serves again: looking at 30 deferred images again"),
        "{}",
        ran.stderr
    );
    crate::reads(
        &ran.stdout,
        expect![[r#"
        applied: 30 copied, 0 unchanged; 69.2 KiB fetched, 69.2 KiB pushed; N.N s
    "#]],
    );
    assert_eq!(destination.tags().len(), 30);
    let requests = source.take_requests();
    let refused = requests.iter().filter(|request| request.status == 429).count();
    assert_eq!(refused, 5);

    // One that goes on like this is left alone, and everything is named.
    let (source, _destination, project) = pinned(30, (10_000, 3600), "");
    source.set_faults(|_| Some(Fault::Throttle(1)));
    let asked = Instant::now();
    let report = reported(&project, &[], 6);
    assert_eq!((report.totals.deferred, report.totals.failed), (30, 0));
    assert!(asked.elapsed() < Duration::from_secs(20));
    assert!(source.take_requests().len() < 12);
}

#[test]
fn alternatives_are_asked_first_and_not_believed() {
    let image = ImageBuilder::new("alt")
        .platforms(&["linux/amd64", "linux/arm64"])
        .layers(&[400, 1_500_000])
        .build();
    for wrong in [false, true] {
        let source = Registry::with(Profile { pull_limit: Some((3, 3600)), ..Profile::default() });
        let (other, destination) = (Registry::start(), Registry::start());
        source.add("library/app", "1", &image);
        other.add("docker/library/app", "1", &image);
        if wrong {
            other.set_faults(|exchange| (exchange.method == "GET").then_some(Fault::WrongBytes));
        }
        let project = Project::new();
        let config = format!(
            "[[destination]]\nname='prod'\nregistry='{}'\n[registry.'docker.io']\nendpoint='{}'\nalternatives=['{}/docker']\n",
            destination.host(),
            source.endpoint(),
            other.host()
        );
        project.entry("app:1").write("images/mirror.toml", &config);
        project.mirror(&["apply"]).run();
        assert!(destination.holds("docker.io/library/app", &image));
        let mut asked = source.take_requests();
        asked.retain(|request| !looks_for_referrers(request));
        let gets = asked.iter().filter(|request| request.method == "GET").count();
        assert_eq!(gets, if wrong { 3 + image.blobs.len() } else { 0 }, "{asked:?}");
        assert_eq!(asked[0].method, "HEAD", "what the tag stands for is the origin's to say");
    }
}
