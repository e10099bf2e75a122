//! What can go wrong at Amazon ECR, and what is said then.

use mirror_testkit::{ACCOUNT, FakeEcr};
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
    assert!(
        text.contains("could not set lifecycle_policy of repository docker.io/library/app"),
        "{text}"
    );
    assert!(text.contains("the policy is odd") && text.contains("1 copied"), "{text}");
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
    let none = scene.project.mirror(&["plan"]).env("AWS_EC2_METADATA_DISABLED", "true");
    let ran = none.env("AWS_ENDPOINT_URL", scene.ecr.endpoint()).ends_with(1).run();
    for place in ["AWS_ACCESS_KEY_ID", "AWS_PROFILE", "AWS_WEB_IDENTITY_TOKEN_FILE", "EC2"] {
        assert!(ran.stdout.contains(place), "{}", ran.stdout);
    }
    let wrong = scene.mirror(&["plan"]).env("AWS_ACCESS_KEY_ID", "WRONG").ends_with(1).run();
    assert!(wrong.stdout.contains("UnrecognizedClientException"), "{}", wrong.stdout);
    scene.ecr.set_refusals(|call| {
        (call.action == "ecr:CreateRepository").then_some((
            400,
            "AccessDeniedException",
            "User is not authorized",
        ))
    });
    let denied = scene.mirror(&["apply"]).ends_with(1).run();
    let needed = format!(
        "the role needs ecr:CreateRepository on arn:aws:ecr:{REGION}:{ACCOUNT}:repository/docker.io/library/app"
    );
    assert!(denied.stdout.contains(&needed), "{}", denied.stdout);
    assert!(denied.stdout.contains("could not make repository"), "{}", denied.stdout);
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
        ("lifecycle_policy = {}", "this is no lifecycle policy"),
        ("repository_policy = { organization = 'x' }", "not the id of an organisation"),
        (
            "encryption = 'arn:aws:kms:us-east-1:1:key/x'",
            "no encryption that a repository here can have",
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
    assert!(ran.stdout.contains("ECR takes no `__` in a name"), "{}", ran.stdout);
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
    let ran = scene.mirror(&["plan"]).ends_with(1).run();
    assert!(ran.stdout.contains("not authorized for this registry"), "{}", ran.stdout);
    scene.project.write("images/mirror.toml", &config.replace(REGION, "mars-north-1"));
    let ran = scene.mirror(&["plan"]).ends_with(1).run();
    assert!(ran.stdout.contains("there is no such region"), "{}", ran.stdout);
}
