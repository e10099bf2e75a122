//! Mirroring to Amazon ECR: through the real SDK, against a control plane and registries that behave like it.

use std::collections::{BTreeMap, BTreeSet};

use mirror_plan::{Action, Note, Plan, Report};
use mirror_testkit::{
    ACCOUNT, AuthProfile, FakeEcr, Image, ImageBuilder, Mirror, Moto, Profile, Ran, Registry,
    missing_tool,
};
use serde_json::json;

use crate::Project;

const REGION: &str = "eu-central-1";

/// A source, an account with one region, and a project that mirrors from one to the other.
struct Scene {
    source: Registry,
    ecr: FakeEcr,
    project: Project,
}

impl Scene {
    /// `settings` is what `[destination.ecr]` says.
    fn new(settings: &str) -> Scene {
        let scene = Scene {
            source: Registry::start(),
            ecr: FakeEcr::start(&[REGION]),
            project: Project::new(),
        };
        scene.configure(settings);
        scene
    }

    fn configure(&self, settings: &str) {
        let config = format!(
            "[[destination]]\nname = \"prod\"\nregistry = \"{}\"\n[destination.ecr]\n{settings}\n{}[registry.\"docker.io\"]\nendpoint = \"{}\"\n",
            FakeEcr::name(REGION),
            self.ecr.endpoint_config(REGION),
            self.source.endpoint()
        );
        self.project.write("images/mirror.toml", &config);
    }

    fn image(&self, name: &str, tag: &str) -> Image {
        let image = ImageBuilder::new(format!("{name}:{tag}")).build();
        self.source.add(&format!("library/{name}"), tag, &image);
        self.project.entry(&format!("{name}:{tag}"));
        image
    }

    fn mirror(&self, arguments: &[&str]) -> Mirror {
        let mirror = self.project.mirror(arguments).env("AWS_ENDPOINT_URL", self.ecr.endpoint());
        mirror.env("AWS_ACCESS_KEY_ID", "AKID").env("AWS_SECRET_ACCESS_KEY", "secret")
    }

    fn plan(&self) -> Plan {
        let ran = self.mirror(&["plan", "--format", "json"]).run();
        serde_json::from_str(&ran.stdout).unwrap()
    }

    /// AWS calls by action.
    fn calls(&self) -> BTreeMap<String, usize> {
        let mut calls = BTreeMap::new();
        for call in self.ecr.take_calls() {
            *calls.entry(call.action).or_default() += 1;
        }
        calls
    }

    fn destination(&self) -> &Registry {
        self.ecr.registry(REGION)
    }
}

fn report(ran: &Ran) -> Report {
    serde_json::from_str(&ran.stdout).unwrap()
}

const EVERYTHING: &str = r#"
immutable_tags = { except = ["latest"] }
encryption = "KMS"
scan_on_push = true
lifecycle_policy = "lifecycle.json"
repository_policy = { organization = "o-abc123" }
tags = { team = "platform" }

[[destination.ecr.repository]]
match = "docker.io/library/scratchpad"
immutable_tags = false
"#;

const LIFECYCLE: &str = r#"{"rules": [{"rulePriority": 1, "selection": {"tagStatus": "any",
  "countType": "imageCountMoreThan", "countNumber": 100}, "action": {"type": "expire"}}]}"#;

#[test]
fn repositories_are_made_filled_and_then_as_wanted() {
    let scene = Scene::new(EVERYTHING);
    scene.project.write("images/lifecycle.json", LIFECYCLE);
    let images = [scene.image("app", "1"), scene.image("app", "2"), scene.image("scratchpad", "1")];
    let shown = scene.mirror(&["plan"]).run().stdout;
    assert!(shown.contains("+ repository docker.io/library/app  new"), "{shown}");
    assert!(shown.contains("immutable_tags: {\"except\":[\"latest\"]}"), "{shown}");
    assert!(shown.contains("2 new repositories"), "{shown}");
    let ran = scene.mirror(&["apply", "--format", "json"]).run();
    let report = report(&ran);
    assert_eq!((report.totals.repositories, report.totals.copied), (2, 3));
    for (image, name) in images.iter().zip(["app", "app", "scratchpad"]) {
        assert!(scene.destination().holds(&format!("docker.io/library/{name}"), image));
    }
    let (lifecycle, policy, tags) = scene.ecr.documents(REGION, "docker.io/library/app");
    let lifecycle: serde_json::Value = serde_json::from_str(&lifecycle.unwrap()).unwrap();
    assert_eq!(lifecycle, serde_json::from_str::<serde_json::Value>(LIFECYCLE).unwrap());
    assert!(policy.unwrap().contains("\"aws:PrincipalOrgID\":\"o-abc123\""));
    assert_eq!(tags, ["team=platform"]);
    let again = scene.plan();
    assert_eq!((again.actions.len(), again.unchanged.len(), again.notes.len()), (0, 3, 0));
    scene.mirror(&["plan", "--exit-code"]).run();
}

#[test]
fn drift_is_shown_setting_by_setting_and_mended() {
    let scene = Scene::new("immutable_tags = true\nscan_on_push = true\ntags = { team = 'a' }\n");
    let image = scene.image("app", "1");
    let settings = json!({
        "imageTagMutability": "IMMUTABLE",
        "tags": [{"Key": "team", "Value": "b"}, {"Key": "owner", "Value": "me"}],
    });
    scene.ecr.add_repository(REGION, "docker.io/library/app", &settings);
    scene.destination().add("docker.io/library/app", "1", &image);
    let shown = scene.mirror(&["plan"]).run().stdout;
    assert!(shown.contains("~ repository docker.io/library/app  settings"), "{shown}");
    assert!(shown.contains("scan_on_push: false → true"), "{shown}");
    assert!(!shown.contains("immutable_tags"), "what is as wanted is not shown: {shown}");
    scene.mirror(&["plan", "--exit-code"]).ends_with(3).run();
    let report = report(&scene.mirror(&["apply", "--format", "json"]).run());
    assert_eq!((report.totals.repositories, report.totals.copied), (1, 0));
    let (_, _, tags) = scene.ecr.documents(REGION, "docker.io/library/app");
    assert_eq!(tags, ["owner=me", "team=a"], "what is not mentioned is left alone");
    assert!(scene.plan().actions.is_empty());
}

#[test]
fn an_immutable_tag_with_another_image_is_a_conflict() {
    let scene = Scene::new("immutable_tags = true");
    scene.image("app", "1");
    let other = scene.image("other", "1");
    let settings = json!({ "imageTagMutability": "IMMUTABLE" });
    scene.ecr.add_repository(REGION, "docker.io/library/app", &settings);
    scene.destination().add("docker.io/library/app", "1", &ImageBuilder::new("old").build());
    let ran = scene.mirror(&["plan"]).ends_with(4).run();
    assert!(ran.stdout.contains("conflict: docker.io/library/app:1 at prod"), "{}", ran.stdout);
    assert!(ran.stdout.contains("immutable"), "{}", ran.stdout);
    scene.mirror(&["apply"]).ends_with(4).run();
    assert!(scene.destination().holds("docker.io/library/other", &other), "the others go on");
}

#[test]
fn without_leave_to_make_repositories_missing_ones_are_conflicts() {
    let scene = Scene::new("create = false");
    scene.image("app", "1");
    let ran = scene.mirror(&["apply"]).ends_with(4).run();
    assert!(ran.stdout.contains("does not exist, and `create` is false"), "{}", ran.stdout);
    assert!(!scene.calls().contains_key("ecr:CreateRepository"));
}

#[test]
fn few_calls() {
    let scene = Scene::new("");
    let image = ImageBuilder::new("one").build();
    for repository in 0..100 {
        let name = format!("docker.io/team/app{repository}");
        scene.ecr.add_repository(REGION, &name, &json!({}));
        for tag in 0..10 {
            scene.destination().add(&name, &tag.to_string(), &image);
            let file = format!("images/{name}/{tag}/Dockerfile");
            let line = format!("FROM team/app{repository}:{tag}@{}\n", image.digest());
            scene.project.write(&file, &line);
        }
    }
    let report = report(&scene.mirror(&["apply", "--format", "json"]).run());
    assert_eq!((report.totals.unchanged, report.totals.copied), (1000, 0));
    let calls = scene.calls();
    assert_eq!(scene.source.take_requests().len(), 0);
    assert_eq!(scene.destination().take_requests().len(), 0);
    assert_eq!(calls["ecr:BatchGetImage"], 100, "{calls:?}");
    assert!(calls.values().sum::<usize>() <= 120, "{calls:?}");
}

#[test]
fn blobs_that_are_there_are_asked_for_in_bulk() {
    let scene = Scene::new("");
    let old = ImageBuilder::new("old").shared_layer("base", 50_000).build();
    let new = ImageBuilder::new("new").shared_layer("base", 50_000).build();
    scene.ecr.add_repository(REGION, "docker.io/library/app", &json!({}));
    scene.destination().add("docker.io/library/app", "1", &old);
    scene.source.add("library/app", "2", &new);
    scene.project.entry("app:2");
    scene.mirror(&["apply"]).run();
    let requests = scene.destination().take_requests();
    let count = |method: &str, part: &str| {
        let answered = requests.iter().filter(|r| r.status != 401);
        answered.filter(|r| r.method == method && r.path.contains(part)).count()
    };
    let missing = new.blobs.len() - 1;
    assert_eq!((count("POST", "uploads"), count("PUT", "blobs")), (missing, missing));
    assert!(
        requests.iter().all(|r| !r.query.contains("mount=")),
        "no mounts unless the account wants them"
    );
    assert_eq!(scene.calls()["ecr:BatchCheckLayerAvailability"], 1);
}

#[test]
fn blobs_are_mounted_where_the_account_wants_it() {
    let scene = Scene::new("");
    scene.ecr.let_mount(REGION);
    // One after the other, so that the first has its manifest when the second comes.
    let one = ImageBuilder::new("one").shared_layer("base", 50_000).build();
    let two = ImageBuilder::new("two").shared_layer("base", 50_000).layers(&[2_000_000]).build();
    scene.source.add("library/one", "1", &one);
    scene.source.add("library/two", "1", &two);
    scene.project.entry("one:1").entry("two:1");
    scene.mirror(&["apply"]).run();
    assert!(scene.destination().holds("docker.io/library/one", &one));
    assert!(scene.destination().holds("docker.io/library/two", &two));
}

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
fn one_login_for_many_requests() {
    let scene = Scene::new("");
    (0..20).for_each(|n| {
        scene.image(&format!("app{n}"), "1");
    });
    scene.mirror(&["apply"]).run();
    assert_eq!(scene.calls()["ecr:GetAuthorizationToken"], 1);
    let refused = scene.destination().take_requests().iter().filter(|r| r.status == 401).count();
    assert_eq!(refused, 1);
}

#[test]
fn two_regions_and_a_source_in_a_third() {
    let ecr = FakeEcr::start(&["eu-west-1", "us-east-1", "ap-south-1"]);
    let image = ImageBuilder::new("travels").build();
    ecr.add_repository("ap-south-1", "team/app", &json!({}));
    ecr.registry("ap-south-1").add("team/app", "1", &image);
    let project = Project::new();
    project.entry(&format!("{}/team/app:1", FakeEcr::name("ap-south-1")));
    let destination = |name: &str, region: &str| {
        format!(
            "[[destination]]\nname='{name}'\nregistry='{}'\nrepository='m/{{repository}}'\n",
            FakeEcr::name(region)
        )
    };
    let config = ["eu-west-1", "us-east-1", "ap-south-1"].map(|region| ecr.endpoint_config(region));
    let config = format!(
        "{}{}{}",
        destination("west", "eu-west-1"),
        destination("east", "us-east-1"),
        config.concat()
    );
    project.write("images/mirror.toml", &config);
    let mirror = |arguments: &[&str]| {
        let mirror = project.mirror(arguments).env("AWS_ENDPOINT_URL", ecr.endpoint());
        mirror.env("AWS_ACCESS_KEY_ID", "AKID").env("AWS_SECRET_ACCESS_KEY", "secret")
    };
    mirror(&["apply"]).run();
    for region in ["eu-west-1", "us-east-1"] {
        assert!(ecr.registry(region).holds("m/team/app", &image), "{region}");
    }
    assert!(mirror(&["plan"]).run().stdout.contains("2 unchanged"));
}

#[test]
fn archived_images_are_missing_and_expiring_ones_are_named() {
    let scene = Scene::new("lifecycle_policy = 'keep.json'");
    let keep_one = LIFECYCLE.replace("100", "1");
    scene.project.write("images/keep.json", &keep_one);
    scene.ecr.add_repository(REGION, "docker.io/library/app", &json!({}));
    for tag in ["1", "2"] {
        let image = scene.image("app", tag);
        scene.destination().add("docker.io/library/app", tag, &image);
        if tag == "2" {
            scene.ecr.archive(REGION, image.digest());
        }
    }
    let plan = scene.plan();
    assert_eq!((plan.totals.unchanged, plan.totals.create), (1, 1), "the archived one is missing");
    let notes: Vec<_> = plan
        .notes
        .iter()
        .map(|note| match note {
            Note::WouldExpire { images, .. } => images.join(" "),
            other => format!("{other:?}"),
        })
        .collect();
    assert_eq!(notes, ["1"]);
    let shown = scene.mirror(&["plan"]).run().stdout;
    assert!(shown.contains("would delete images that the tree names: 1"), "{shown}");
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
fn a_role_is_assumed_where_one_is_named() {
    let scene = Scene::new("");
    let image = scene.image("app", "1");
    let config = std::fs::read_to_string(scene.project.path().join("images/mirror.toml")).unwrap();
    let with = |role: &str| {
        let line =
            format!("role = \"arn:aws:iam::{ACCOUNT}:role/{role}\"\n[registry.\"docker.io\"]");
        let config = config.replace("[registry.\"docker.io\"]", &line);
        scene.project.write("images/mirror.toml", &config);
    };
    with("mirror");
    scene.mirror(&["apply"]).env("AWS_REGION", REGION).run();
    assert!(scene.destination().holds("docker.io/library/app", &image));
    assert!(scene.calls().contains_key("sts:AssumeRole"));
    with("forbidden");
    let ran = scene.mirror(&["plan"]).env("AWS_REGION", REGION).ends_with(1).run();
    assert!(ran.stdout.contains("sts:AssumeRole"), "{}", ran.stdout);
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
fn another_encryption_is_a_warning() {
    let scene = Scene::new("encryption = 'KMS'");
    let image = scene.image("app", "1");
    scene.ecr.add_repository(REGION, "docker.io/library/app", &json!({}));
    scene.destination().add("docker.io/library/app", "1", &image);
    let plan = scene.plan();
    assert!(plan.actions.iter().all(|action| !matches!(action, Action::UpdateRepository(_))));
    assert!(matches!(plan.notes.as_slice(), [Note::OtherEncryption { .. }]), "{:?}", plan.notes);
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

#[test]
fn the_public_registry_with_and_without_credentials() {
    let anonymous_pull = true;
    let AuthProfile::Bearer { realm, lifetime, .. } = AuthProfile::bearer("", "") else { return };
    let (user, password) = ("AWS".to_owned(), "public".to_owned());
    let auth = AuthProfile::Bearer { user, password, anonymous_pull, lifetime, realm };
    let public = Registry::with(Profile { auth, ..Profile::default() });
    let image = ImageBuilder::new("public").build();
    public.add("docker/library/app", "1", &image);
    let ecr = FakeEcr::start(&["us-east-1"]);
    let project = Project::new();
    project.entry("public.ecr.aws/docker/library/app:1");
    let config = format!("[registry.\"public.ecr.aws\"]\nendpoint = \"{}\"\n", public.endpoint());
    project.write("images/mirror.toml", &config);
    let with = |key: Option<&str>| {
        let mirror = project.mirror(&["plan"]).env("AWS_ENDPOINT_URL", ecr.endpoint());
        let mirror = mirror.env("AWS_EC2_METADATA_DISABLED", "true").env("AWS_REGION", "eu-west-1");
        match key {
            Some(key) => mirror.env("AWS_ACCESS_KEY_ID", key).env("AWS_SECRET_ACCESS_KEY", "x"),
            None => mirror,
        }
    };
    assert!(with(Some("AKID")).run().stdout.contains("1 to create"));
    let calls = ecr.take_calls();
    let logins: Vec<_> =
        calls.iter().map(|call| (call.action.as_str(), call.region.as_str())).collect();
    assert_eq!(logins, [("ecr-public:GetAuthorizationToken", "us-east-1")]);
    let known = public.take_requests();
    let basic = known.iter().find(|request| request.path == "/token").unwrap();
    assert!(basic.authorization.is_some(), "the token was asked for with the login");
    for key in [None, Some("WRONG")] {
        assert!(with(key).run().stdout.contains("1 to create"), "anybody may pull");
    }
}

#[test]
fn moto_agrees() {
    if missing_tool("moto_server") {
        return;
    }
    let moto = Moto::start();
    let (source, destination, project) = (Registry::start(), Registry::start(), Project::new());
    for name in ["app", "tool"] {
        source.add(&format!("library/{name}"), "1", &ImageBuilder::new(name).build());
        project.entry(&format!("{name}:1"));
    }
    // moto has no registry; the images go to one that asks for no login.
    let registry = FakeEcr::name(REGION);
    let configure = |settings: &str| {
        let config = format!(
            "[[destination]]\nname='prod'\nregistry='{registry}'\n[destination.ecr]\n{settings}\n[registry.'{registry}']\nendpoint='{}'\n[registry.'docker.io']\nendpoint='{}'\n",
            destination.endpoint(),
            source.endpoint()
        );
        project.write("images/mirror.toml", &config);
    };
    project.write("images/lifecycle.json", LIFECYCLE);
    let mirror = |arguments: &[&str]| {
        let mirror = project.mirror(arguments).env("AWS_ENDPOINT_URL", &moto.endpoint());
        mirror.env("AWS_ACCESS_KEY_ID", "AKID").env("AWS_SECRET_ACCESS_KEY", "secret")
    };
    let changes = || {
        let ran = mirror(&["plan", "--format", "json"]).run();
        let plan: Plan = serde_json::from_str(&ran.stdout).unwrap();
        let changes = plan.repositories().flat_map(|(create, action)| {
            action.settings.iter().map(move |change| format!("{create} {}", change.setting))
        });
        changes.collect::<Vec<String>>()
    };
    let settings = "immutable_tags = true\nscan_on_push = true\nencryption = 'KMS'\nlifecycle_policy = 'lifecycle.json'\nrepository_policy = { organization = 'o-abc' }\ntags = { team = 'a' }";
    configure(settings);
    assert_eq!(changes().len(), 2 * 6, "two repositories are missing");
    let made = report(&mirror(&["apply", "--format", "json"]).run());
    assert_eq!((made.totals.repositories, made.totals.copied), (2, 2));
    assert_eq!(changes(), Vec::<String>::new(), "all settings are as wanted");
    configure(
        &settings.replace("immutable_tags = true", "immutable_tags = false").replace("'a'", "'b'"),
    );
    let drift = ["false immutable_tags", "false tags"];
    assert_eq!(changes(), [drift, drift].concat());
    mirror(&["apply"]).run();
    assert_eq!(changes(), Vec::<String>::new());
}

/// The IAM actions behind requests to a registry:
/// <https://docs.aws.amazon.com/AmazonECR/latest/userguide/security_iam_id-based-policy-examples.html>.
fn actions_of(registry: &Registry) -> BTreeSet<String> {
    let mut actions = BTreeSet::new();
    for request in registry.take_requests().iter().filter(|request| request.status != 401) {
        let of: &[&str] = match (request.method.as_str(), request.path.as_str()) {
            ("GET", path) if path.contains("/referrers/") => &["ecr:ListImageReferrers"],
            ("GET" | "HEAD", path) if path.contains("/manifests/") => &["ecr:BatchGetImage"],
            ("PUT", path) if path.contains("/manifests/") => &["ecr:PutImage"],
            ("GET", path) if path.contains("/blobs/") => &["ecr:GetDownloadUrlForLayer"],
            ("POST", _) => &["ecr:InitiateLayerUpload"],
            ("PUT", _) => &["ecr:UploadLayerPart", "ecr:CompleteLayerUpload"],
            (method, path) => panic!("no IAM action is known for {method} {path}"),
        };
        actions.extend(of.iter().map(|action| (*action).to_owned()));
    }
    actions
}

fn allowed(scene: &Scene, role: &str) -> BTreeSet<String> {
    let ran = scene.project.mirror(&["iam", role]).run();
    let document: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    let statements = document["Statement"].as_array().unwrap();
    let actions = statements.iter().flat_map(|statement| statement["Action"].as_array().unwrap());
    actions.map(|action| action.as_str().unwrap().to_owned()).collect()
}

#[test]
fn policies_have_every_action_and_none_in_vain() {
    let changed = EVERYTHING.replace("scan_on_push = true", "scan_on_push = false");
    let changed = changed.replace("except = [\"latest\"]", "except = [\"dev\"]");
    for (settings, later) in [("", ""), (EVERYTHING, changed.as_str())] {
        let scene = Scene::new(settings);
        scene.project.write("images/lifecycle.json", LIFECYCLE);
        // An image from the account itself, signed, and one from elsewhere.
        let image = ImageBuilder::new("own").build();
        scene.ecr.add_repository(REGION, "own/app", &json!({}));
        scene.destination().add("own/app", "1", &image);
        let signature = ImageBuilder::new("signature").build();
        let tag = format!("sha256-{}.sig", image.digest().hex());
        scene.destination().add("own/app", &tag, &signature);
        scene.project.entry(&format!("{}/own/app:1", FakeEcr::name(REGION)));
        scene.image("app", "1");
        // What the tree wants comes to a repository that is there, and to one that isn't.
        let name = format!("{}/own/app", FakeEcr::name(REGION));
        scene.ecr.add_repository(REGION, &name, &json!({}));
        let made = |scene: &Scene| -> BTreeSet<String> {
            let calls: BTreeSet<String> = scene.calls().into_keys().collect();
            calls.union(&actions_of(scene.destination())).cloned().collect()
        };
        scene.mirror(&["plan"]).run();
        let plan = made(&scene);
        assert_eq!(plan, allowed(&scene, "plan"), "plan with {settings}");
        scene.mirror(&["apply"]).run();
        let mut apply = made(&scene);
        // Drift, so that each setting is made one by one as well.
        scene.configure(later);
        scene.project.write("images/lifecycle.json", &LIFECYCLE.replace("100", "99"));
        scene.mirror(&["apply"]).run();
        apply.extend(made(&scene));
        assert_eq!(apply, allowed(&scene, "apply"), "apply with {settings}");
    }
}

#[test]
fn policies_name_prefixes_and_trust_names_both_forms() {
    let scene = Scene::new("");
    scene.image("app", "1");
    let plan = scene.project.mirror(&["iam", "plan"]).run().stdout;
    let prefix = format!("arn:aws:ecr:{REGION}:{ACCOUNT}:repository/docker.io/*");
    assert!(plan.contains(&prefix) && !plan.contains("Put"), "{plan}");
    let arguments =
        ["iam", "apply", "--trust", "acme/images", "--owner-id", "7", "--repository-id", "42"];
    let trust = scene.project.mirror(&arguments).run();
    assert!(trust.stdout.contains("repo:acme/images:ref:refs/heads/main"), "{}", trust.stdout);
    assert!(trust.stdout.contains("repo:acme@7/images@42:ref:refs/heads/main"), "{}", trust.stdout);
    assert_eq!(trust.stderr, "");
    let ran = scene.project.mirror(&["iam", "apply", "--trust", "acme"]).ends_with(2).run();
    assert!(ran.stderr.contains("write OWNER/REPOSITORY"), "{}", ran.stderr);
}
