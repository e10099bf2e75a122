//! Logins at Amazon ECR: how many, with which role, in which region, and none.

use super::*;

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
    crate::reads(
        &mirror(&["plan"]).run().stdout,
        expect![[r#"
        east
          = m/team/app:1  sha256:9f60ab6dbdc6

        west
          = m/team/app:1  sha256:9f60ab6dbdc6

        plan: 0 to create, 0 to update, 2 unchanged
    "#]],
    );
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
    crate::reads(
        &ran.stdout,
        expect![[r#"
        error: could not look up docker.io/library/app:1 for prod
          caused by: destination: ecr:DescribeRepositories on arn:aws:ecr:eu-central-1:123456789012:repository/*: the AWS credentials can't be used: dispatch failure: other: an error occurred while loading credentials: service error: unhandled error (AccessDenied): Error { code: "AccessDenied", message: "User is not authorized to perform: sts:AssumeRole" }
        plan: 0 to create, 0 to update, 0 unchanged, 1 not looked up
    "#]],
    );
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
    crate::reads(
        &with(Some("AKID")).run().stdout,
        expect![[r#"
        mirror-store
          + public.ecr.aws/docker/library/app:1  new → sha256:c52ab73b8ae1  2.5 KiB

        plan: 1 to create, 0 to update, 0 unchanged
          to move: 2.5 KiB of distinct blobs at most; 1 manifest from public.ecr.aws
    "#]],
    );
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
