//! Registries that answer in their own way, and runs that are stopped.

use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use expect_test::expect;
use mirror_plan::report::{Report, Status};
use mirror_testkit::{AuthProfile, Fault, Image, ImageBuilder, Profile, Registry};

use crate::{Pair, Project};

fn variable(registry: &Registry) -> String {
    format!("MIRROR_AUTH_{}", registry.host().replace(['.', ':'], "_"))
}

#[test]
fn a_destination_that_answers_401_for_what_is_missing() {
    // As Docker Hub does: the token is good, and the repository isn't there.
    let auth = AuthProfile::bearer("me", "secret");
    let destination = Registry::with(Profile { auth, missing: 401, ..Profile::default() });
    let (source, project) = (Registry::start(), Project::new());
    let image = ImageBuilder::new("new").platforms(&["linux/amd64"]).build();
    source.add("library/app", "1", &image);
    project.config(&source.host(), &destination.host()).entry("app:1");
    let mirror =
        |arguments: &[&str]| project.mirror(arguments).env(&variable(&destination), "me:secret");
    let planned = mirror(&["plan"]).run();
    crate::reads(
        &planned.stdout,
        expect![[r#"
        prod
          + docker.io/library/app:1  new → sha256:9bf6fc9b4c9f  2.5 KiB  linux/amd64

        plan: 1 to create, 0 to update, 0 unchanged
          to move: 2.5 KiB of distinct blobs at most; 2 manifests from docker.io
    "#]],
    );
    let copied = mirror(&["apply"]).run();
    crate::reads(
        &copied.stdout,
        expect![[r#"
        applied: 1 copied, 0 unchanged; 2.5 KiB fetched, 2.5 KiB pushed; N.N s
    "#]],
    );
    crate::reads(
        &mirror(&["plan"]).run().stdout,
        expect![[r#"
        prod
          = docker.io/library/app:1  sha256:9bf6fc9b4c9f

        plan: 0 to create, 0 to update, 1 unchanged
    "#]],
    );
    // A wrong password is no missing repository, and neither is a source.
    let wrong = project.mirror(&["plan"]).env(&variable(&destination), "me:wrong");
    let wrong = wrong.ends_with(1).run();
    crate::reads(
        &wrong.stdout,
        expect![[r#"
        error: could not look up docker.io/library/app:1 for prod
          caused by: destination: looking up docker.io/library/app:1: login at http://127.0.0.1:PORT/token?service=test&scope=repository:docker.io/library/app:pull: 401 UNAUTHORIZED: unauthorized
          help: the token service does not know these credentials: `docker login` again, or set MIRROR_AUTH_<HOST>=user:password in the environment
        plan: 0 to create, 0 to update, 0 unchanged, 1 not looked up
    "#]],
    );
}

#[test]
fn a_source_that_answers_401_for_what_is_missing_is_told_so() {
    let auth = AuthProfile::bearer("me", "secret");
    let source = Registry::with(Profile { auth, missing: 401, ..Profile::default() });
    let (destination, project) = (Registry::start(), Project::new());
    project.config(&source.host(), &destination.host()).entry("app:1");
    let ran = project.mirror(&["plan"]).env(&variable(&source), "me:secret").ends_with(1).run();
    crate::reads(
        &ran.stdout,
        expect![[r#"
        error: could not look up docker.io/library/app:1 for prod
          caused by: source: looking up library/app:1: HEAD http://127.0.0.1:PORT/v2/library/app/manifests/1: 401
          help: check the name: this registry answers so for what is missing as well; if it is there, the credentials are not for it
        plan: 0 to create, 0 to update, 0 unchanged, 1 not looked up
    "#]],
    );
}

#[test]
fn one_host_on_both_sides_is_asked_for_push_where_images_go() {
    let auth = AuthProfile::bearer("me", "secret");
    let registry = Registry::with(Profile { auth, ..Profile::default() });
    let project = Project::new();
    registry.add("upstream/app", "1", &ImageBuilder::new("x").build());
    let config = format!(
        "[[destination]]\nname=\"own\"\nregistry=\"{}\"\nrepository=\"company/{{name}}\"\n",
        registry.host()
    );
    project.write("images/mirror.toml", &config);
    project.entry(&format!("{}/upstream/app:1", registry.host()));
    let ran = project.mirror(&["apply"]).env(&variable(&registry), "me:secret").run();
    crate::reads(
        &ran.stdout,
        expect![[r#"
        applied: 1 copied, 0 unchanged; 2.5 KiB fetched, 2.5 KiB pushed; N.N s
    "#]],
    );
    let requests = registry.take_requests();
    let scopes: Vec<_> = requests.iter().filter(|r| r.path == "/token").map(|r| &r.query).collect();
    let pushes = |name: &str| {
        let scope = format!("repository%3A{}%3Apull%2Cpush", name.replace('/', "%2F"));
        scopes.iter().any(|query| query.contains(&scope))
    };
    assert!(!scopes.is_empty() && pushes("company/app"), "{scopes:#?}");
    assert!(!pushes("upstream/app"), "{scopes:#?}");
}

#[test]
fn layers_that_nobody_else_has_are_ordinary() {
    let image = ImageBuilder::new("windows").layers(&[500]).build();
    let pair = Pair::new(&[("library/app", "1", &image)]);
    let manifest = &image.manifests[0];
    let text = String::from_utf8(manifest.bytes.to_vec()).unwrap();
    let kind = "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip";
    let foreign = text.replace("application/vnd.oci.image.layer.v1.tar+gzip", kind);
    assert_ne!(text, foreign);
    pair.source.add_manifest("library/app", "1", &manifest.media_type, foreign.into());
    pair.project.mirror(&["apply"]).run();
    let sent = pair.destination.take_requests();
    let sent = sent.iter().filter(|r| r.method == "PUT" && r.path.contains("/blobs/")).count();
    assert_eq!(sent, 2, "the layer and the configuration");
    let layer = &image.blobs[0].0;
    pair.destination.lose("docker.io/library/app", layer);
    pair.project.mirror(&["verify"]).ends_with(1).run();
}

#[test]
fn manifests_of_a_registry_without_head() {
    let image = ImageBuilder::new("headless").build();
    let pair = Pair::new(&[("library/app", "1", &image)]);
    for registry in [&pair.source, &pair.destination] {
        registry.set_faults(|exchange| {
            let head = exchange.method == "HEAD" && exchange.path.contains("/manifests/");
            head.then(|| Fault::refuse(405, "UNSUPPORTED", "no HEAD here"))
        });
    }
    pair.project.mirror(&["apply"]).run();
    let again = pair.project.mirror(&["apply"]).run();
    crate::reads(
        &again.stdout,
        expect![[r#"
        applied: 0 copied, 1 unchanged; 0 B fetched, 0 B pushed; N.N s
    "#]],
    );
}

#[test]
fn a_blob_that_head_denies_is_no_defect() {
    let image = ImageBuilder::new("shy").layers(&[500]).build();
    let pair = Pair::new(&[("library/app", "1", &image)]);
    pair.project.mirror(&["apply"]).run();
    for denied in
        [Fault::refuse(404, "BLOB_UNKNOWN", ""), Fault::Header("content-length", "0".to_owned())]
    {
        pair.destination.set_faults(move |exchange| {
            let head = exchange.method == "HEAD" && exchange.path.contains("/blobs/");
            head.then(|| denied.clone())
        });
        let ran = pair.project.mirror(&["verify"]).run();
        assert_eq!(ran.stdout, "verified: 1 of 1 image whole\n");
    }
}

#[test]
fn a_location_that_leads_nowhere_is_named() {
    let image = ImageBuilder::new("lost").build();
    let pair = Pair::new(&[("library/app", "1", &image)]);
    pair.destination.set_faults(|exchange| {
        let opens = exchange.method == "POST";
        opens.then(|| {
            Fault::Header("location", "http://127.0.0.1:9/v2/x/blobs/uploads/1".to_owned())
        })
    });
    let started = Instant::now();
    let ran = pair.project.mirror(&["apply"]).ends_with(1).run();
    let told = "the registry's Location leads to 127.0.0.1:9, which can't be reached (connection refused): its external URL is misconfigured\n  help: tell the operator of the registry which name it is reached by";
    assert!(ran.stdout.contains(told), "{}", ran.stdout);
    assert!(started.elapsed() < Duration::from_secs(3), "{:?}", started.elapsed());
}

#[test]
fn a_dead_token_service_is_not_the_registry() {
    let AuthProfile::Bearer { user, password, anonymous_pull, lifetime, .. } =
        AuthProfile::bearer("me", "secret")
    else {
        unreachable!()
    };
    let realm = Some("http://127.0.0.1:9/token".to_owned());
    let auth = AuthProfile::Bearer { user, password, anonymous_pull, lifetime, realm };
    let source = Registry::with(Profile { auth, ..Profile::default() });
    let (destination, project) = (Registry::start(), Project::new());
    project.config(&source.host(), &destination.host());
    for n in 0..20 {
        project.entry(&format!("library/app{n}:1"));
    }
    let ran = project.mirror(&["plan"]).ends_with(1).run();
    let causes = ran.stdout.lines().filter(|line| line.contains("caused by: ")).count();
    let token = ran.stdout.matches("http://127.0.0.1:9/token").count();
    assert_eq!((causes, token), (20, 20), "{}", ran.stdout);
    let blamed = format!("HEAD http://{}", source.host());
    assert!(!ran.stdout.contains(&blamed), "{}", ran.stdout);
}

/// Runs `apply` until `ready`, sends it a signal, and gives its code, its report and what it printed.
fn stopped(pair: &Pair, signals: usize, ready: impl Fn() -> bool) -> (i32, Option<Report>, String) {
    let mut command = pair.project.mirror(&["apply", "--report", "report.json"]).into_command();
    let running = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let started = Instant::now();
    while !ready() {
        assert!(started.elapsed() < Duration::from_secs(20), "it never got there");
        std::thread::sleep(Duration::from_millis(20));
    }
    for _ in 0..signals {
        crate::send("INT", running.id());
        std::thread::sleep(Duration::from_millis(400));
    }
    let ran = running.wait_with_output().unwrap();
    let report = std::fs::read(pair.project.path().join("report.json")).ok();
    let report = report.map(|bytes| serde_json::from_slice(&bytes).unwrap());
    (ran.status.code().unwrap(), report, String::from_utf8(ran.stdout).unwrap())
}

#[test]
fn whoever_is_stopped_while_looking_says_so() {
    let pair = Pair::new(&[("library/app", "1", &ImageBuilder::new("x").build())]);
    pair.source.set_faults(|_| Some(Fault::Hang));
    let asked = || pair.source.most_at_once() > 0;
    let (code, report, text) = stopped(&pair, 1, asked);
    assert_eq!(code, 130);
    assert!(report.unwrap().interrupted);
    assert!(
        text.starts_with(
            "interrupted: what was copied stays; run again to continue\napplied: 0 copied"
        ),
        "{text}"
    );
    let merged = pair.project.mirror(&["report", "report.json"]).ends_with(130).run();
    crate::reads(
        &merged.stdout,
        expect![[r#"
        interrupted: what was copied stays; run again to continue
        applied: 0 copied, 0 unchanged, 1 not finished; 0 B fetched, 0 B pushed; N.N s
    "#]],
    );
}

#[test]
fn what_has_moved_for_an_unfinished_image_counts() {
    let image = ImageBuilder::new("half").layers(&[2_000_000, 5000]).build();
    let pair = Pair::new(&[("library/app", "1", &image)]);
    pair.destination.set_faults(|exchange| {
        let manifest = exchange.method == "PUT" && exchange.path.contains("/manifests/");
        manifest.then_some(Fault::Hang)
    });
    let path = "/v2/docker.io/library/app/manifests/1";
    let reached = std::cell::Cell::new(false);
    let ready = || {
        let requests = pair.destination.take_requests();
        let puts = requests.iter().any(|r| r.method == "PUT" && r.path == path);
        reached.set(reached.get() || puts);
        reached.get()
    };
    let (code, report, _) = stopped(&pair, 1, ready);
    let report = report.unwrap();
    assert_eq!((code, report.totals.cancelled), (130, 1));
    assert_eq!(report.outcomes[0].status, Status::Cancelled);
    assert_eq!(report.totals.transfer.fetched_bytes, image.blob_bytes());
    assert_eq!(report.totals.transfer.pushed_bytes, image.blob_bytes());
}

#[test]
fn what_is_sent_again_counts() {
    let image = ImageBuilder::new("again").layers(&[50_000, 300]).build();
    let pair = Pair::new(&[("library/app", "1", &image)]);
    let once = AtomicBool::new(true);
    pair.destination.set_faults(move |exchange| {
        // It is taken, and lost.
        let layer = exchange.method == "PUT" && exchange.length == 50_000;
        let first = layer && once.swap(false, Ordering::Relaxed);
        first.then(|| Fault::Answer(201, "application/json", String::new()))
    });
    let ran = pair.project.mirror(&["apply", "--format", "json"]).run();
    let report: Report = serde_json::from_str(&ran.stdout).unwrap();
    let moved = report.outcomes[0].transfer;
    assert_eq!(moved.pushed_bytes, image.blob_bytes() + 50_000);
    assert_eq!(report.totals.transfer, moved);
    let read = pair.source.take_requests();
    let read = read.iter().filter(|r| r.method == "GET" && r.path.contains("/blobs/"));
    let fetched: usize = read.map(|r| size_of(&image, &r.path)).sum();
    assert_eq!(moved.fetched_bytes, fetched as u64, "what was fetched is what is told");
}

fn size_of(image: &Image, path: &str) -> usize {
    let blob = image.blobs.iter().find(|(digest, _)| path.ends_with(digest.as_str()));
    blob.unwrap().1.len()
}

#[test]
fn what_a_token_service_refuses_is_not_the_registrys() {
    for (status, told) in [
        (403, "help: the token service wants credentials: `docker login`"),
        (404, "help: the token service refuses the question itself; check `token_realm`"),
        (500, "help: the token service reported an internal error before the registry was asked"),
    ] {
        let service = Registry::start();
        service.set_faults(move |_| Some(Fault::Answer(status, "text/plain", "no".to_owned())));
        let AuthProfile::Bearer { user, password, anonymous_pull, lifetime, .. } =
            AuthProfile::bearer("me", "secret")
        else {
            unreachable!()
        };
        let realm = Some(format!("{}/token", service.endpoint()));
        let auth = AuthProfile::Bearer { user, password, anonymous_pull, lifetime, realm };
        let source = Registry::with(Profile { auth, ..Profile::default() });
        let (destination, project) = (Registry::start(), Project::new());
        project.config(&source.host(), &destination.host());
        project.entry("app:1");
        let ran = project.mirror(&["plan", "--format", "json"]).ends_with(1).run();
        let plan: mirror_plan::plan::Plan = serde_json::from_str(&ran.stdout).unwrap();
        assert!(!plan.failures[0].failure.is_gone(), "{status}: nobody has asked the registry");
        let ran = project.mirror(&["plan"]).ends_with(1).run();
        assert!(ran.stdout.contains(told), "{status}: {}", ran.stdout);
        assert!(ran.stdout.contains(&format!("{}/token", service.endpoint())), "{}", ran.stdout);
    }
}

#[test]
fn a_second_signal_ends_at_once() {
    let image = ImageBuilder::new("stuck").build();
    let pair = Pair::new(&[("library/app", "1", &image)]);
    // Nothing is ever answered, not even that sessions are given back.
    pair.destination.set_faults(|exchange| {
        let holder = exchange.method == "PUT" || exchange.method == "DELETE";
        holder.then_some(Fault::Hang)
    });
    let started = Instant::now();
    let (code, report, _) = stopped(&pair, 2, || pair.destination.open_sessions() > 0);
    let report = report.unwrap();
    assert_eq!((code, report.interrupted, report.totals.cancelled), (130, true, 1));
    assert!(report.totals.transfer.fetched_bytes > 0, "what was known by then is told");
    assert!(started.elapsed() < Duration::from_secs(4), "{:?}", started.elapsed());
}

#[test]
fn files_are_opened_before_work() {
    let pair = Pair::new(&[("library/app", "1", &ImageBuilder::new("x").build())]);
    for (arguments, what) in [
        (["apply", "--report", "nowhere/report.json"], "write the report"),
        (["plan", "--out", "nowhere/mirror.plan"], "save the plan in"),
    ] {
        let ran = pair.project.mirror(&arguments).ends_with(2).run();
        let told = format!(
            "error: could not {what} {}\n  caused by: No such file or directory (os error 2)",
            arguments[2]
        );
        assert!(ran.stderr.starts_with(&told), "{}", ran.stderr);
        assert!(
            ran.stderr.contains("help: name a file in a folder that is there"),
            "{}",
            ran.stderr
        );
    }
    assert_eq!(pair.source.take_requests(), [], "nothing was begun");
    // What is there stays until there is something to put in its place, and no file is left behind.
    pair.project.write("report.json", "the last one");
    pair.project.mirror(&["apply", "--report", "report.json"]).run();
    let names: Vec<_> =
        std::fs::read_dir(pair.project.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert!(!names.iter().any(|name| name.to_string_lossy().starts_with(".mirror-")), "{names:?}");
    let text = std::fs::read_to_string(pair.project.path().join("report.json")).unwrap();
    assert!(serde_json::from_str::<Report>(&text).is_ok(), "{text}");
    // What is no file is written to as it is.
    let pipe = pair.project.path().join("pipe");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status().unwrap();
    assert!(made.success());
    let reader = std::thread::spawn(move || std::fs::read_to_string(pipe).unwrap());
    pair.project.mirror(&["apply", "--report", "pipe"]).run();
    let text = reader.join().unwrap();
    assert!(serde_json::from_str::<Report>(&text).is_ok(), "{text}");
}
