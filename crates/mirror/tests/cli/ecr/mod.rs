//! Mirroring to Amazon ECR: through the real SDK, against a control plane and registries that behave like it.

mod iam;
mod logins;
mod trouble;

use std::collections::BTreeMap;

use expect_test::expect;
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
    crate::reads(
        &shown,
        expect![[r#"
        prod
          + repository docker.io/library/app  new
              immutable_tags: {"except":["latest"]}
              encryption: KMS
              scan_on_push: true
              lifecycle_policy: {"rules":[{"action":{"type":"expire"},"rulePriority":1,"selection":{"countNumber":100,"countType":"i…
              repository_policy: {"Statement":[{"Action":["ecr:BatchCheckLayerAvailability","ecr:BatchGetImage","ecr:GetDownloadUrlFo…
              tags: {"team":"platform"}
          + repository docker.io/library/scratchpad  new
              immutable_tags: false
              encryption: KMS
              scan_on_push: true
              lifecycle_policy: {"rules":[{"action":{"type":"expire"},"rulePriority":1,"selection":{"countNumber":100,"countType":"i…
              repository_policy: {"Statement":[{"Action":["ecr:BatchCheckLayerAvailability","ecr:BatchGetImage","ecr:GetDownloadUrlFo…
              tags: {"team":"platform"}
          + docker.io/library/app:2         new → sha256:ee21877911e9  2.5 KiB
          + docker.io/library/app:1         new → sha256:87ae3ede258d  2.5 KiB
          + docker.io/library/scratchpad:1  new → sha256:a30e0392ea12  2.6 KiB

        plan: 2 new repositories, 3 to create, 0 to update, 0 unchanged
          to move: 7.6 KiB of distinct blobs at most; 3 manifests from docker.io
    "#]],
    );
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
    crate::reads(
        &shown,
        expect![[r#"
        prod
          ~ repository docker.io/library/app  settings
              scan_on_push: false → true
              tags: {"owner":"me","team":"b"} → {"team":"a"}
          = docker.io/library/app:1  sha256:87ae3ede258d

        plan: 1 changed repository, 0 to create, 0 to update, 1 unchanged
    "#]],
    );
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
    crate::reads(
        &ran.stdout,
        expect![[r#"
        prod
          + repository docker.io/library/other  new
              immutable_tags: true
          + docker.io/library/other:1  new → sha256:68fbfe93df09  2.5 KiB

        conflict: docker.io/library/app:1 at prod
          the tag is immutable there and is another image, sha256:23ca9f72109d; delete it there, or mirror another tag
          wanted by docker.io/library/app/Dockerfile
        plan: 1 new repository, 1 to create, 0 to update, 0 unchanged, 1 in conflict
          to move: 2.5 KiB of distinct blobs at most; 1 manifest from docker.io
    "#]],
    );
    scene.mirror(&["apply"]).ends_with(4).run();
    assert!(scene.destination().holds("docker.io/library/other", &other), "the others go on");
}

/// A rebuilt image where tags are immutable: a conflict under its old tag, and a tag of its own where that has the digest.
#[test]
fn a_rebuilt_image_gets_a_tag_of_its_own() {
    let scene = Scene::new("immutable_tags = true");
    let rebuild = |name: &str| {
        let image = ImageBuilder::new(name).build();
        scene.source.add("library/app", "1.0", &image);
        let from = format!("FROM app:1.0@{}\n", image.digest());
        scene.project.write("images/docker.io/library/app/Dockerfile", &from);
        image
    };
    let first = rebuild("first");
    scene.mirror(&["apply"]).run();
    rebuild("second");
    let ran = scene.mirror(&["plan"]).ends_with(4).run();
    assert!(
        ran.stdout.contains("the tag is immutable there and is another image"),
        "{}",
        ran.stdout
    );

    let file = scene.project.path().join("images/mirror.toml");
    let config = std::fs::read_to_string(&file).unwrap();
    let by_digest =
        config.replace("[destination.ecr]", "tag = \"{tag}-{digest:12}\"\n[destination.ecr]");
    std::fs::write(&file, by_digest).unwrap();
    let second = rebuild("second");
    scene.mirror(&["apply"]).run();
    let third = rebuild("third");
    let ran = scene.mirror(&["plan"]).run();
    assert!(ran.stdout.contains("plan: 1 to create, 0 to update, 0 unchanged\n"), "{}", ran.stdout);
    scene.mirror(&["apply"]).run();
    scene.mirror(&["plan", "--exit-code"]).run();
    let at = |tag: &str| Some(scene.destination().manifest("docker.io/library/app", tag)?.digest);
    assert_eq!(at("1.0"), Some(first.digest().clone()), "what was there stays");
    for image in [second, third] {
        let tag = format!("1.0-{:.12}", image.digest().hex());
        assert_eq!(at(&tag), Some(image.digest().clone()), "{tag}");
    }
}

#[test]
fn without_leave_to_make_repositories_missing_ones_are_conflicts() {
    let scene = Scene::new("create = false");
    scene.image("app", "1");
    let ran = scene.mirror(&["apply"]).ends_with(4).run();
    crate::reads(
        &ran.stdout,
        expect![[r#"
        conflict: docker.io/library/app:1 at prod: the repository does not exist, and `create` is false for it
          wanted by docker.io/library/app/Dockerfile
        applied: 0 copied, 0 unchanged, 1 in conflict; 0 B fetched, 0 B pushed; N.N s
    "#]],
    );
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
    crate::reads(
        &shown,
        expect![[r#"
        prod
          ~ repository docker.io/library/app  settings
              lifecycle_policy: {"rules":[{"action":{"type":"expire"},"rulePriority":1,"selection":{"countNumber":1,"countType":"ima…
          + docker.io/library/app:2  new → sha256:ee21877911e9  2.5 KiB
          = docker.io/library/app:1  sha256:87ae3ede258d

        warning: the lifecycle policy of docker.io/library/app at prod would delete images that the tree names: 1
          help: except them from the rules, or delete them from the tree
        plan: 1 changed repository, 1 to create, 0 to update, 1 unchanged
          to move: 2.5 KiB of distinct blobs at most; 1 manifest from docker.io
    "#]],
    );
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

#[test]
fn an_index_without_some_of_its_platforms_is_a_conflict() {
    let scene = Scene::new("");
    let image = ImageBuilder::new("app").platforms(&["linux/amd64", "linux/arm64"]).build();
    scene.source.add("library/app", "1", &image);
    scene.project.entry("app:1");
    let path = scene.project.path().join("images/mirror.toml");
    let config = std::fs::read_to_string(&path).unwrap();
    let only = |platforms: &str| {
        let block = format!("[[image]]\nmatch = \"docker.io/**\"\nplatforms = [{platforms}]\n");
        std::fs::write(&path, format!("{config}{block}")).unwrap();
    };
    only("\"linux/amd64\", \"linux/s390x\"");
    let shown = scene.mirror(&["plan"]).ends_with(1).run();
    assert!(shown.stdout.contains("linux/s390x"), "{}", shown.stdout);
    // Two of three.
    let image =
        ImageBuilder::new("app").platforms(&["linux/amd64", "linux/arm64", "linux/s390x"]).build();
    scene.source.add("library/app", "1", &image);
    only("\"linux/amd64\", \"linux/arm64\"");
    let shown = scene.mirror(&["plan"]).ends_with(4).run();
    crate::reads(
        &shown.stdout,
        expect![[r#"
            prod
              + repository docker.io/library/app  new

            conflict: docker.io/library/app:1 at prod
              only some platforms of the image are wanted, and this registry takes no index without the others; mirror all of them, or a single one
              wanted by docker.io/library/app/Dockerfile
            plan: 1 new repository, 0 to create, 0 to update, 0 unchanged, 1 in conflict
        "#]],
    );
    let ran = scene.mirror(&["apply"]).ends_with(4).run();
    assert!(scene.destination().tags().is_empty(), "{}", ran.stderr);
    // A single one is an image, and all of them are the index as it is.
    for platforms in ["\"linux/amd64\"", "\"linux/amd64\", \"linux/arm64\", \"linux/s390x\""] {
        only(platforms);
        scene.mirror(&["apply"]).run();
    }
}
