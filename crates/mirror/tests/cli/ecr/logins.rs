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
              caused by: destination: looking up docker.io/library/app:1: ecr:GetAuthorizationToken on *: the AWS credentials can't be used: dispatch failure: other: an error occurred while loading credentials: service error: unhandled error (AccessDenied): Error { code: "AccessDenied", message: "User is not authorized to perform: sts:AssumeRole" }
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

/// Only some calls are allowed, as another account allows them.
fn allow(scene: &Scene, named: bool, images: bool) {
    scene.ecr.set_refusals(move |call| {
        let refused = match call.action.as_str() {
            "ecr:DescribeRepositories" => !named || call.names.is_empty(),
            "ecr:BatchGetImage" | "ecr:BatchCheckLayerAvailability" => !images,
            _ => false,
        };
        refused.then_some((400, "AccessDeniedException", "not authorized to perform that"))
    });
}

#[test]
fn what_another_account_allows_is_enough() {
    for (named, images) in [(true, true), (false, true), (false, false)] {
        for create in [true, false] {
            let scene = Scene::new(&format!("create = {create}\nscan_on_push = true"));
            let image = scene.image("app", "1");
            let settings = json!({ "imageScanningConfiguration": { "scanOnPush": true } });
            scene.ecr.add_repository(REGION, "docker.io/library/app", &settings);
            allow(&scene, named, images);
            let what = format!("named {named}, images {images}, create {create}");
            let applied = scene.mirror(&["apply"]).run();
            assert!(scene.destination().holds("docker.io/library/app", &image), "{what}");
            let planned = scene.mirror(&["plan", "--exit-code"]).run();
            for shown in [applied.stderr, planned.stdout] {
                let unknown = shown.contains("the settings of 1 repository at prod are unknown");
                assert_eq!(unknown, !named, "{what}: {shown}");
            }
        }
    }
}

#[test]
fn repositories_that_are_missing_are_told_apart_by_name() {
    let scene = Scene::new("");
    let images = ["a", "b", "c"].map(|name| (name, scene.image(name, "1")));
    scene.ecr.add_repository(REGION, "docker.io/library/b", &json!({}));
    allow(&scene, true, true);
    scene.mirror(&["apply"]).run();
    for (name, image) in &images {
        assert!(scene.destination().holds(&format!("docker.io/library/{name}"), image), "{name}");
    }
    // All at once, one question for each hundred and for each that is missing.
    let calls = scene.calls();
    assert_eq!((calls["ecr:DescribeRepositories"], calls["ecr:CreateRepository"]), (4, 2));
}

#[test]
fn a_docker_login_is_enough() {
    let scene = Scene::new("create = false");
    let image = scene.image("app", "1");
    scene.ecr.add_repository(REGION, "docker.io/library/app", &json!({}));
    let password = scene.ecr.password(REGION);
    let host = scene.destination().host();
    let auths = format!(r#"{{"auths":{{"{host}":{{"username":"AWS","password":"{password}"}}}}}}"#);
    scene.project.write(".docker/config.json", &auths);
    let nobody = |arguments: &[&str]| {
        let mirror = scene.project.mirror(arguments).env("AWS_EC2_METADATA_DISABLED", "true");
        mirror.env("AWS_ENDPOINT_URL", scene.ecr.endpoint())
    };
    nobody(&["apply"]).run();
    assert!(scene.destination().holds("docker.io/library/app", &image));
    nobody(&["plan", "--exit-code"]).run();
}

#[test]
fn nobody_allows_anything() {
    let scene = Scene::new("");
    scene.image("app", "1");
    scene.ecr.add_repository(REGION, "docker.io/library/app", &json!({}));
    allow(&scene, false, false);
    scene.destination().set_faults(|_| {
        let why = "User: arn:aws:sts::210987654321:assumed-role/x is not authorized to perform: ecr:BatchGetImage";
        Some(mirror_testkit::Fault::refuse(403, "DENIED", why))
    });
    let ran = scene.mirror(&["plan"]).ends_with(1).run();
    crate::reads(
        &ran.stdout,
        expect![[r#"
            error: could not look up docker.io/library/app:1 for prod
              caused by: destination: looking up docker.io/library/app:1: GET http://127.0.0.1:PORT/v2/docker.io/library/app/manifests/1: 403 DENIED: User: arn:aws:sts::210987654321:assumed-role/x is not authorized to perform: ecr:BatchGetImage
              help: give the role this right; where the registry is another account's, name a role of that account as `role` of the registry in images/mirror.toml
            plan: 0 to create, 0 to update, 0 unchanged, 1 not looked up
        "#]],
    );
}

/// A configuration of AWS in the home folder.
fn with_profile<'a>(scene: &'a Scene, config: &str) -> impl Fn(&[&str]) -> Mirror + 'a {
    scene.project.write(".aws/config", config);
    move |arguments: &[&str]| {
        let mirror = scene.project.mirror(arguments).env("AWS_EC2_METADATA_DISABLED", "true");
        mirror.env("AWS_ENDPOINT_URL", scene.ecr.endpoint())
    }
}

#[test]
fn credentials_of_a_process() {
    let scene = Scene::new("");
    let image = scene.image("app", "1");
    let script = scene.project.path().join("credentials.sh");
    let answer = r#"{"Version":1,"AccessKeyId":"AKID","SecretAccessKey":"secret"}"#;
    std::fs::write(&script, format!("echo '{answer}'\n")).unwrap();
    let config = format!("[default]\ncredential_process = sh {}\n", script.display());
    with_profile(&scene, &config)(&["apply"]).run();
    assert!(scene.destination().holds("docker.io/library/app", &image));
}

#[test]
fn credentials_of_single_sign_on() {
    let scene = Scene::new("");
    let image = scene.image("app", "1");
    // The portal that hands out keys for a token that `aws sso login` has left.
    let portal = Registry::start();
    portal.set_faults(|exchange| {
        let keys = r#"{"roleCredentials":{"accessKeyId":"AKID","secretAccessKey":"secret","sessionToken":"t","expiration":4102444800000}}"#;
        let asked = exchange.path == "/federation/credentials";
        asked.then(|| mirror_testkit::Fault::Answer(200, "application/json", keys.to_owned()))
    });
    let url = "https://acme.awsapps.com/start";
    let config = format!(
        "[default]\nsso_start_url = {url}\nsso_region = eu-central-1\nsso_account_id = {ACCOUNT}\nsso_role_name = mirror\n"
    );
    // The name of the file is the SHA-1 of the address.
    let token = r#"{"accessToken":"token","expiresAt":"2099-01-01T00:00:00Z","region":"eu-central-1","startUrl":"https://acme.awsapps.com/start"}"#;
    scene.project.write(&format!(".aws/sso/cache/{SSO_CACHE}.json"), token);
    let mirror = with_profile(&scene, &config)(&["apply"]);
    mirror.env("AWS_ENDPOINT_URL_SSO", &portal.endpoint()).run();
    assert!(scene.destination().holds("docker.io/library/app", &image));
}

/// SHA-1 of `https://acme.awsapps.com/start`.
const SSO_CACHE: &str = "40169cea58ca6cbf23fb27b2542923fb5f524af0";

#[test]
fn metadata_that_nobody_answers_for_are_not_waited_for() {
    let scene = Scene::new("");
    scene.image("app", "1");
    let silent = Registry::start();
    silent.set_faults(|_| Some(mirror_testkit::Fault::Hang));
    let began = std::time::Instant::now();
    let mirror = scene.project.mirror(&["plan"]).env("AWS_ENDPOINT_URL", scene.ecr.endpoint());
    let endpoint = silent.endpoint();
    let ran = mirror.env("AWS_EC2_METADATA_SERVICE_ENDPOINT", &endpoint).ends_with(1).run();
    assert!(ran.stdout.contains("there are no AWS credentials: looked for"), "{}", ran.stdout);
    assert!(began.elapsed() < std::time::Duration::from_secs(6), "{:?}", began.elapsed());
}
