//! What can go wrong at Amazon ECR, and what is said then.

use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use expect_test::expect;
use mirror_failure::FailureKind;
use mirror_plan::report::Report;
use mirror_testkit::{ACCOUNT, FakeEcr, Fault, ImageBuilder};
use serde_json::json;

use super::{LIFECYCLE, REGION, Scene};
use crate::Project;

#[test]
fn a_login_that_ends_in_the_middle_is_made_anew() {
    let scene = Scene::new("");
    let image = scene.image("app", "1");
    let logins = std::sync::Arc::new(std::sync::Mutex::new(0));
    let seen = logins.clone();
    // The first login is over as soon as it was used.
    let first = std::sync::atomic::AtomicBool::new(true);
    scene.destination().set_faults(move |exchange| {
        let hit = exchange.method == "PUT" && exchange.path.contains("/manifests/");
        let once = hit && first.swap(false, std::sync::atomic::Ordering::Relaxed);
        *seen.lock().unwrap() += usize::from(hit);
        let message = "Your authorization token has expired. Reauthenticate and try again.";
        once.then(|| mirror_testkit::Fault::refuse(403, "DENIED", message))
    });
    scene.mirror(&["apply"]).run();
    assert!(scene.destination().holds("docker.io/library/app", &image));
    assert_eq!(*logins.lock().unwrap(), 2);
    assert_eq!(scene.calls()["ecr:GetAuthorizationToken"], 2);
}

#[test]
fn a_setting_that_fails_is_named_and_the_copies_arrive() {
    let scene = Scene::new("lifecycle_policy = 'l.json'\n");
    scene.project.write("images/l.json", LIFECYCLE);
    let image = scene.image("app", "1");
    scene.ecr.set_refusals(|call| {
        (call.action == "ecr:PutLifecyclePolicy").then_some((
            400,
            "InvalidParameterException",
            "the policy is odd",
        ))
    });
    let ran = scene.mirror(&["apply"]).ends_with(1).run();
    let text = ran.stdout;
    crate::reads(
        &text,
        expect![[r#"
            error: could not set lifecycle_policy of repository docker.io/library/app at prod
              caused by: destination: ecr:PutLifecyclePolicy on arn:aws:ecr:eu-central-1:123456789012:repository/docker.io/library/app: 400 InvalidParameterException: the policy is odd
            applied: 1 copied, 0 unchanged, 1 failed; what had moved by then; N.N s
        "#]],
    );
    assert!(scene.destination().holds("docker.io/library/app", &image));
}

#[test]
fn throttled_calls_are_made_again() {
    let scene = Scene::new("");
    let image = scene.image("app", "1");
    let refused = std::sync::atomic::AtomicUsize::new(0);
    scene.ecr.set_refusals(move |_| {
        let early = refused.fetch_add(1, std::sync::atomic::Ordering::Relaxed) < 2;
        early.then_some((400, "ThrottlingException", "Rate exceeded"))
    });
    scene.mirror(&["apply"]).run();
    assert!(scene.destination().holds("docker.io/library/app", &image));
}

#[test]
fn two_runs_at_once_make_a_repository_once() {
    let scene = Scene::new("scan_on_push = true");
    let image = scene.image("app", "1");
    let runs: Vec<_> = (0..3)
        .map(|n| {
            let spool = format!("spool{n}");
            scene.mirror(&["apply", "--spool", &spool]).into_command().spawn().unwrap()
        })
        .collect();
    for mut run in runs {
        assert!(run.wait().unwrap().success());
    }
    assert!(scene.destination().holds("docker.io/library/app", &image));
    assert!(scene.plan().actions.is_empty());
}

#[test]
fn bad_credentials_and_missing_rights() {
    let scene = Scene::new("");
    scene.image("app", "1");
    let plan = |arguments: &[&str]| {
        let none = scene.project.mirror(arguments).env("AWS_EC2_METADATA_DISABLED", "true");
        none.env("AWS_ENDPOINT_URL", scene.ecr.endpoint()).ends_with(1).run()
    };
    let ran = plan(&["plan"]);
    let found: mirror_plan::plan::Plan =
        serde_json::from_str(&plan(&["plan", "--format", "json"]).stdout).unwrap();
    assert!(
        found.failures.iter().all(|failed| failed.failure.kind == FailureKind::NoCredentials),
        "{found:?}"
    );
    assert_eq!(found.failures.len(), 1);
    for place in ["AWS_ACCESS_KEY_ID", "AWS_PROFILE", "AWS_WEB_IDENTITY_TOKEN_FILE", "EC2"] {
        assert!(ran.stdout.contains(place), "{}", ran.stdout);
    }
    let wrong = scene.mirror(&["plan"]).env("AWS_ACCESS_KEY_ID", "WRONG").ends_with(1).run();
    crate::reads(
        &wrong.stdout,
        expect![[r#"
            error: could not look up docker.io/library/app:1 for prod
              caused by: destination: looking up docker.io/library/app:1: ecr:GetAuthorizationToken on *: 401 UnrecognizedClientException: The security token included in the request is invalid.; log in to AWS anew
              help: check the credentials: `docker login`, or MIRROR_AUTH_<HOST>=user:password in the environment
            plan: 0 to create, 0 to update, 0 unchanged, 1 not looked up
        "#]],
    );
    scene.ecr.set_refusals(|call| {
        (call.action == "ecr:CreateRepository").then_some((
            400,
            "AccessDeniedException",
            "User is not authorized",
        ))
    });
    let denied = scene.mirror(&["apply"]).ends_with(1).run();
    crate::reads(
        &denied.stdout,
        expect![[r#"
            error: could not make repository docker.io/library/app at prod
              caused by: destination: ecr:CreateRepository on arn:aws:ecr:eu-central-1:123456789012:repository/docker.io/library/app: 403 AccessDeniedException: User is not authorized; the role needs ecr:CreateRepository on arn:aws:ecr:eu-central-1:123456789012:repository/docker.io/library/app
              help: give the role this right; where the registry is another account's, name a role of that account as `role` of the registry in images/mirror.toml
            error: could not copy docker.io/library/app:1 to prod
              caused by: destination: its repository could not be made: ecr:CreateRepository on arn:aws:ecr:eu-central-1:123456789012:repository/docker.io/library/app: 403 AccessDeniedException: User is not authorized; the role needs ecr:CreateRepository on arn:aws:ecr:eu-central-1:123456789012:repository/docker.io/library/app
              help: give the role this right; where the registry is another account's, name a role of that account as `role` of the registry in images/mirror.toml
            applied: 0 copied, 0 unchanged, 2 failed; what had moved by then; N.N s
        "#]],
    );
}

#[test]
fn a_repository_that_goes_away_in_the_middle_fails_alone() {
    let scene = Scene::new("");
    scene.image("gone", "1");
    let stays = scene.image("stays", "1");
    scene.ecr.add_repository(REGION, "docker.io/library/gone", &json!({}));
    scene.destination().set_faults(|exchange| {
        let gone = exchange.path.contains("library/gone/blobs");
        gone.then(|| {
            mirror_testkit::Fault::refuse(404, "NAME_UNKNOWN", "The repository does not exist")
        })
    });
    let ran = scene.mirror(&["apply"]).ends_with(1).run();
    assert!(ran.stdout.contains("NAME_UNKNOWN"), "{}", ran.stdout);
    assert!(scene.destination().holds("docker.io/library/stays", &stays));
}

#[test]
fn what_is_wrong_with_the_settings_is_told_where_it_is() {
    let project = Project::new();
    project.entry("app:1");
    let config = |settings: &str| {
        let registry = FakeEcr::name(REGION);
        format!(
            "[[destination]]\nname='prod'\nregistry='{registry}'\n[destination.ecr]\n{settings}\n"
        )
    };
    for (settings, said) in [
        ("lifecycle = 1", "unknown field `lifecycle`"),
        ("lifecycle_policy = 'none.json'", "none.json: can't be read"),
        ("lifecycle_policy = '../x.json'", "not beside mirror.toml"),
        ("lifecycle_policy = {}", "this is not a lifecycle policy"),
        ("repository_policy = { organization = 'x' }", "not the id of an organisation"),
        (
            "encryption = 'arn:aws:kms:us-east-1:1:key/x'",
            "not an encryption type that repositories of this registry support",
        ),
        ("immutable_tags = { except = ['a b'] }", "ECR can't except these tags"),
        ("[[destination.ecr.repository]]\nscan_on_push = true", "needs a `match`"),
    ] {
        project.write("images/mirror.toml", &config(settings));
        let ran = project.mirror(&["check"]).ends_with(2).run();
        assert!(ran.stdout.contains(said), "{settings}: {}", ran.stdout);
    }
    project.write("images/mirror.toml", &config("").replace("[destination.ecr]", ""));
    project.entry("quay.io/a__b/c:1");
    let ran = project.mirror(&["check"]).ends_with(4).run();
    crate::reads(
        &ran.stdout,
        expect![[r#"
            error[conflict]: quay.io/a__b/c at prod: `quay.io/a__b/c` can't be the name of a repository: ECR takes no `__` in a name
            --> images/quay.io/a__b/c/Dockerfile
             = help: change images/quay.io/a__b/c/Dockerfile, or the destination's templates in mirror.toml

            2 images are good, 1 error, 0 warnings
        "#]],
    );
}

#[test]
fn manifests_are_put_no_faster_than_allowed() {
    let scene = Scene::new("");
    (0..30).for_each(|n| {
        scene.image(&format!("app{n}"), "1");
    });
    scene.mirror(&["apply"]).run();
    let requests = scene.destination().take_requests();
    let throttled = requests.iter().filter(|request| request.status == 429).count();
    assert_eq!(throttled, 0, "30 manifests, 10 a second and 10 saved up");
}

#[test]
fn what_cannot_be_made_is_told_with_its_reason() {
    for (settings, refusal, said) in [
        (
            "encryption = 'arn:aws:kms:eu-central-1:123456789012:key/missing'",
            None,
            "KmsException: The KMS key does not exist",
        ),
        (
            "",
            Some((400, "LimitExceededException", "The repository quota of 100000 is reached")),
            "LimitExceededException: The repository quota of 100000 is reached",
        ),
        (
            "",
            Some((400, "InvalidSignatureException", "Signature expired: 20260101T000000Z")),
            "is the clock of this machine right?",
        ),
        (
            "",
            Some((400, "ExpiredTokenException", "The security token has expired")),
            "log in to AWS anew",
        ),
    ] {
        let scene = Scene::new(settings);
        scene.image("app", "1");
        if let Some(refusal) = refusal {
            scene.ecr.set_refusals(move |call| {
                (call.action == "ecr:CreateRepository").then_some(refusal)
            });
        }
        let ran = scene.mirror(&["apply"]).ends_with(1).run();
        assert!(ran.stdout.contains("could not make repository"), "{}", ran.stdout);
        assert!(ran.stdout.contains(said), "{said}: {}", ran.stdout);
        assert_eq!(scene.destination().tags(), Vec::<String>::new());
    }
}

#[test]
fn another_account_and_another_region() {
    let scene = Scene::new("");
    scene.image("app", "1");
    let config = std::fs::read_to_string(scene.project.path().join("images/mirror.toml")).unwrap();
    scene.project.write("images/mirror.toml", &config.replace(ACCOUNT, "999999999999"));
    scene.destination().set_faults(|_| {
        let why = "User: arn:aws:sts::123456789012:assumed-role/mirror is not authorized to perform: ecr:BatchGetImage";
        Some(Fault::refuse(403, "DENIED", why))
    });
    let ran = scene.mirror(&["plan"]).ends_with(1).run();
    crate::reads(
        &ran.stdout,
        expect![[r#"
            error: could not look up docker.io/library/app:1 for prod
              caused by: destination: looking up docker.io/library/app:1: GET http://127.0.0.1:PORT/v2/docker.io/library/app/manifests/1: 403 DENIED: User: arn:aws:sts::123456789012:assumed-role/mirror is not authorized to perform: ecr:BatchGetImage
              help: give the role this right; where the registry is another account's, name a role of that account as `role` of the registry in images/mirror.toml
            plan: 0 to create, 0 to update, 0 unchanged, 1 not looked up
        "#]],
    );
    scene.project.write("images/mirror.toml", &config.replace(REGION, "mars-north-1"));
    let ran = scene.mirror(&["plan"]).ends_with(1).run();
    crate::reads(
        &ran.stdout,
        expect![[r#"
        error: could not look up docker.io/library/app:1 for prod
          caused by: destination: ecr:DescribeRepositories on arn:aws:ecr:mars-north-1:123456789012:repository/*: 400 InvalidParameterException: there is no such region here
        plan: 0 to create, 0 to update, 0 unchanged, 1 not looked up
    "#]],
    );
}

#[test]
fn an_answer_that_was_lost_is_no_failure_under_an_immutable_tag() {
    let scene = Scene::new("immutable_tags = true");
    let image = scene.image("app", "1");
    let first = AtomicBool::new(true);
    scene.destination().set_faults(move |exchange| {
        let tagged = exchange.method == "PUT" && exchange.path.ends_with("/manifests/1");
        (tagged && first.swap(false, Ordering::Relaxed)).then_some(Fault::Lost)
    });
    let ran = scene.mirror(&["apply"]).run();
    crate::reads(
        &ran.stdout,
        expect![[r#"
        applied: 1 copied, 0 unchanged, 1 repository made or changed; 2.5 KiB fetched, 2.5 KiB pushed; N.N s
    "#]],
    );
    assert!(scene.destination().holds("docker.io/library/app", &image));
}

#[test]
fn two_tags_of_one_signed_image_where_tags_are_immutable() {
    let scene = Scene::new("immutable_tags = true");
    let image = scene.image("app", "1");
    scene.source.add("library/app", "same", &image);
    let signature = ImageBuilder::new("signature").build();
    let tag = format!("sha256-{}.sig", image.digest().hex());
    scene.source.add("library/app", &tag, &signature);
    let path = scene.project.path().join("images/mirror.toml");
    let config = std::fs::read_to_string(path).unwrap();
    let config = format!("{config}\n[copy]\nreferrers = \"require\"\n");
    scene.project.write("images/mirror.toml", &config);
    scene.mirror(&["apply"]).run();
    scene.project.entry("app:same");
    scene.mirror(&["apply"]).run();
    assert!(scene.plan().actions.is_empty());
}

#[test]
fn a_mount_that_is_refused_becomes_an_upload() {
    let scene = Scene::new("");
    scene.ecr.let_mount(REGION);
    scene.destination().set_faults(|exchange| {
        let mount = exchange.method == "POST" && exchange.query.contains("mount=");
        mount.then(|| {
            Fault::refuse(403, "DENIED", "not authorized to perform: ecr:GetDownloadUrlForLayer")
        })
    });
    // The second comes when the first has its manifest.
    let slow = ImageBuilder::new("slow").shared_layer("base", 50_000).layers(&[10; 40]).build();
    let quick = ImageBuilder::new("quick").shared_layer("base", 50_000).build();
    for (name, image) in [("quick", &quick), ("slow", &slow)] {
        scene.source.add(&format!("library/{name}"), "1", image);
        scene.project.entry(&format!("{name}:1"));
    }
    scene.mirror(&["apply"]).run();
    assert!(scene.destination().holds("docker.io/library/quick", &quick));
    assert!(scene.destination().holds("docker.io/library/slow", &slow));
}

#[test]
fn trouble_with_one_repository_does_not_hide_the_others() {
    let scene = Scene::new("tags = { team = 'a' }");
    let names = ["bad", "good"];
    for name in names {
        scene.image(name, "1");
        scene.ecr.add_repository(REGION, &format!("docker.io/library/{name}"), &json!({}));
    }
    scene.ecr.set_refusals(|call| {
        let bad = call.repository.as_deref().is_some_and(|name| name.ends_with("bad"));
        (call.action == "ecr:ListTagsForResource" && bad).then_some((
            400,
            "AccessDeniedException",
            "no",
        ))
    });
    let ran = scene.mirror(&["apply"]).ends_with(1).run();
    crate::reads(
        &ran.stdout,
        expect![[r#"
            error: could not look up docker.io/library/bad:1 for prod
              caused by: destination: ecr:ListTagsForResource on arn:aws:ecr:eu-central-1:123456789012:repository/docker.io/library/bad: 403 AccessDeniedException: no; the role needs ecr:ListTagsForResource on arn:aws:ecr:eu-central-1:123456789012:repository/docker.io/library/bad
              help: give the role this right; where the registry is another account's, name a role of that account as `role` of the registry in images/mirror.toml
            applied: 1 copied, 0 unchanged, 1 repository made or changed, 1 failed; what had moved by then; N.N s
        "#]],
    );
    assert_eq!(scene.destination().tags(), ["docker.io/library/good:1"]);
}

#[test]
fn an_image_whose_key_is_gone_is_not_taken_for_missing() {
    let scene = Scene::new("");
    let image = scene.image("app", "1");
    scene.ecr.add_repository(REGION, "docker.io/library/app", &json!({}));
    scene.destination().add("docker.io/library/app", "1", &image);
    scene.ecr.lose_key(REGION, image.digest());
    let ran = scene.mirror(&["plan"]).ends_with(1).run();
    crate::reads(
        &ran.stdout,
        expect![[r#"
            error: could not look up docker.io/library/app:1 for prod
              caused by: destination: ecr:BatchGetImage on arn:aws:ecr:eu-central-1:123456789012:repository/docker.io/library/app: 400 KmsError: no key
              help: the registry can't use the key that the repository is encrypted with: check that it is enabled, and that the role may use it
            plan: 0 to create, 0 to update, 0 unchanged, 1 not looked up
        "#]],
    );
}

#[test]
fn a_docker_login_that_is_over_gives_way_to_aws() {
    let scene = Scene::new("");
    let image = scene.image("app", "1");
    // base64 of AWS:old
    let auth = format!(
        "{{\"auths\":{{\"{}\":{{\"auth\":\"QVdTOm9sZA==\"}}}}}}",
        scene.destination().host()
    );
    scene.project.write(".docker/config.json", &auth);
    scene.mirror(&["apply"]).run();
    assert!(scene.destination().holds("docker.io/library/app", &image));
}

#[test]
fn two_destinations_cannot_keep_one_repository_in_two_ways() {
    let project = Project::new();
    project.entry("team/app:1");
    let registry = FakeEcr::name(REGION);
    let destination = |name: &str, repository: &str, scan: bool| {
        format!(
            "[[destination]]\nname='{name}'\nregistry='{registry}'\nrepository='{repository}'\n[destination.ecr]\nscan_on_push={scan}\n"
        )
    };
    let with = |scan: bool| {
        let config =
            destination("a", "{repository}", true) + &destination("b", "team/{name}", scan);
        project.write("images/mirror.toml", &config);
    };
    with(false);
    let ran = project.mirror(&["check"]).ends_with(4).run();
    crate::reads(
        &ran.stdout,
        expect![[r#"
            error[conflict]: team/app at a and b: the destinations a and b lead to one repository and keep it in different ways
            --> images/docker.io/team/app/Dockerfile
             = help: change images/docker.io/team/app/Dockerfile, or the destination's templates in mirror.toml

            1 image is good, 1 error, 0 warnings
        "#]],
    );
    with(true);
    project.mirror(&["check"]).run();
}

#[test]
fn repositories_that_were_not_reached_are_told() {
    let scene = Scene::new("");
    for n in 0..12 {
        scene.image(&format!("app{n}"), "1");
    }
    // Making a repository is refused for so long that somebody loses patience.
    scene.ecr.set_refusals(|call| {
        (call.action == "ecr:CreateRepository").then_some((
            400,
            "ThrottlingException",
            "Rate exceeded",
        ))
    });
    let mut command = scene.mirror(&["apply", "--report", "report.json"]).into_command();
    let running = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let started = Instant::now();
    while !scene.calls().contains_key("ecr:CreateRepository") {
        assert!(started.elapsed() < Duration::from_secs(20), "no repository is made");
        std::thread::sleep(Duration::from_millis(20));
    }
    crate::send("INT", running.id());
    assert_eq!(running.wait_with_output().unwrap().status.code(), Some(130));
    let report = std::fs::read(scene.project.path().join("report.json")).unwrap();
    let report: Report = serde_json::from_slice(&report).unwrap();
    let left = report.repositories.iter().filter(|outcome| outcome.cancelled).count();
    assert!(report.interrupted && left > 0, "{report:?}");
    assert_eq!((report.repositories.len(), report.totals.copied), (12, 0));
}
