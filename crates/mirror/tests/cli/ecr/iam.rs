//! The policies that `mirror iam` prints.

use std::collections::BTreeSet;

use expect_test::expect;
use mirror_testkit::{ACCOUNT, FakeEcr, ImageBuilder, Registry};
use serde_json::{Value, json};

use super::{EVERYTHING, LIFECYCLE, REGION, Scene};

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
            _ => unreachable!("no IAM action is known for {request:?}"),
        };
        actions.extend(of.iter().map(|action| (*action).to_owned()));
    }
    actions
}

fn allowed(scene: &Scene, role: &str) -> BTreeSet<String> {
    let ran = scene.project.mirror(&["iam", role]).run();
    let document: Value = serde_json::from_str(&ran.stdout).unwrap();
    let list = |value: &Value, key: &str| value.get(key).and_then(Value::as_array).cloned();
    let statements = list(&document, "Statement").unwrap();
    let actions = statements.iter().flat_map(|statement| list(statement, "Action").unwrap());
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
    // The workflow that applies makes a plan first, on the branch; so does the merge queue.
    let ran = scene.project.mirror(&["iam", "plan", "--trust", "acme/images"]).run();
    for context in
        ["pull_request", "ref:refs/heads/main", "ref:refs/heads/gh-readonly-queue/main/*"]
    {
        assert!(ran.stdout.contains(&format!("\"repo:acme/images:{context}\"")), "{}", ran.stdout);
    }
    let ran = scene.project.mirror(&["iam", "apply", "--trust", "acme"]).ends_with(2).run();
    crate::reads(
        &ran.stderr,
        expect![[r#"
        error: could not write the policy
          caused by: `acme` is not a GitHub repository
          help: write OWNER/REPOSITORY, as on GitHub
    "#]],
    );
}
