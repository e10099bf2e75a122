//! Mirroring to Amazon ECR: through the real SDK, against a control plane and registries that behave like it.

mod iam;
mod trouble;

use std::collections::BTreeMap;

use mirror_plan::plan::{Action, Note, Plan};
use mirror_plan::report::Report;
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
    for command in ["plan", "apply"] {
        scene.calls();
        let ran = scene.mirror(&[command]).run();
        assert!(ran.stdout.contains("1000 unchanged"), "{}", ran.stdout);
        assert_eq!(scene.source.take_requests().len(), 0, "{command}");
    }
    let calls = scene.calls();
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
