//! `mirror login --explain`

use std::os::unix::fs::PermissionsExt;

use expect_test::expect;
use mirror_testkit::{ACCOUNT, FakeEcr, Mirror};

use crate::Project;

/// base64 of `me:secret`.
const AUTH: &str = "bWU6c2VjcmV0";

/// What it says, with the home folder called HOME; a secret is never in it.
fn explained(project: &Project, mirror: Mirror) -> String {
    let ran = mirror.env("XDG_RUNTIME_DIR", "/no/runtime").run();
    assert!(!(ran.stdout.clone() + &ran.stderr).contains("secret"), "{}", ran.stdout);
    ran.stdout.replace(project.path().to_str().unwrap(), "HOME")
}

#[test]
fn nobody_is_known() {
    let project = Project::new();
    let told = explained(&project, project.mirror(&["login", "--explain", "registry.example.com"]));
    crate::reads(
        &told,
        expect![[r#"
        registry.example.com, asked at https://registry.example.com
          not set   MIRROR_AUTH_REGISTRY_EXAMPLE_COM
          missing   HOME/.docker/config.json
          missing   /no/runtime/containers/auth.json
          missing   HOME/.config/containers/auth.json
        requests are anonymous: no place knows this registry
    "#]],
    );
    let insecure = "[registry.\"r.example\"]\nendpoint = \"http://r.example:5000\"\n";
    project.write("images/mirror.toml", insecure);
    let explain = || project.mirror(&["login", "--explain", "r.example/app:1@sha256:00"]);
    let set = explain().env("MIRROR_AUTH_R_EXAMPLE_5000", "me:secret");
    let told = explained(&project, set);
    assert!(
        told.contains("  withheld  MIRROR_AUTH_R_EXAMPLE_5000: no password is sent without TLS"),
        "{told}"
    );
    let told = explained(&project, project.mirror(&["login", "--explain", "r.example"]));
    crate::reads(
        &told,
        expect![[r#"
        r.example, asked at http://r.example:5000
          not set   MIRROR_AUTH_R_EXAMPLE_5000
          missing   HOME/.docker/config.json
          missing   /no/runtime/containers/auth.json
          missing   HOME/.config/containers/auth.json
        requests are anonymous: without TLS, only what is stored for `http://` and the host is sent
    "#]],
    );
}

#[test]
fn a_broken_configuration_is_told_before_anybody_is_asked() {
    let project = Project::new();
    project.write("images/mirror.toml", "[registry.\"r.example\"]\nendpoint = \"r.example\"\n");
    let ran = project.mirror(&["login", "--explain", "r.example"]).ends_with(2).run();
    assert!(ran.stderr.contains("`r.example` is not an endpoint"), "{}", ran.stderr);
}

#[test]
fn a_place_that_is_no_file() {
    let project = Project::new();
    let explain = |file: &str| {
        let mirror = project.mirror(&["login", "--explain", "r.example"]);
        explained(&project, mirror.env("REGISTRY_AUTH_FILE", file))
    };
    assert!(explain("/dev/null").contains("  nothing   /dev/null\n"));
    let pipe = project.path().join("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let pipe = pipe.to_str().unwrap();
    let told = explain(pipe);
    assert!(told.contains("  failed    HOME/pipe: nothing could be read in 5 s\n"), "{told}");
    // What comes through one is as good as what is kept.
    let text = format!(r#"{{"auths":{{"r.example":{{"auth":"{AUTH}"}}}}}}"#);
    std::thread::scope(|scope| {
        scope.spawn(|| std::fs::write(pipe, text).unwrap());
        assert!(explain(pipe).contains("uses the user me, from HOME/pipe"));
    });
}

#[test]
fn the_longest_path_and_a_helper_that_fails() {
    let project = Project::new();
    let config = format!(
        r#"{{"credHelpers":{{"r.example":"test"}},"auths":{{"https://r.example/v1/":{{"auth":"{AUTH}"}}}}}}"#
    );
    project.write(".docker/config.json", &config);
    let kept = r#"{"auths":{"r.example/team-a":{"auth":"dGVhbTpzZWNyZXQ="}}}"#;
    project.write(".config/containers/auth.json", kept);
    project.write("bin/docker-credential-test", "#!/bin/sh\necho please run sso login\nexit 1\n");
    let helper = project.path().join("bin/docker-credential-test");
    std::fs::set_permissions(&helper, std::fs::Permissions::from_mode(0o755)).unwrap();
    let path =
        format!("{}:{}", project.path().join("bin").display(), std::env::var("PATH").unwrap());
    let explain = |what: &str| {
        explained(&project, project.mirror(&["login", "--explain", what]).env("PATH", &path))
    };
    crate::reads(
        &explain("r.example"),
        expect![[r#"
            r.example, asked at https://r.example
              not set   MIRROR_AUTH_R_EXAMPLE
              failed    docker-credential-test (named in HOME/.docker/config.json): ended with exit status: 1, and said: please run sso login
              found     HOME/.docker/config.json: the entry `https://r.example/v1/`
              not asked /no/runtime/containers/auth.json
              not asked HOME/.config/containers/auth.json
            uses the user me, from HOME/.docker/config.json
        "#]],
    );
    crate::reads(
        &explain("r.example/team-a/tools"),
        expect![[r#"
            r.example/team-a/tools, asked at https://r.example
              not set   MIRROR_AUTH_R_EXAMPLE
              not asked HOME/.docker/config.json
              not asked /no/runtime/containers/auth.json
              found     HOME/.config/containers/auth.json: the entry `r.example/team-a`
            uses the user team, from HOME/.config/containers/auth.json
        "#]],
    );
    crate::reads(
        &explain("https://R.example/team-ab"),
        expect![[r#"
        r.example/team-ab, asked at https://r.example
          not set   MIRROR_AUTH_R_EXAMPLE
          failed    docker-credential-test (named in HOME/.docker/config.json): ended with exit status: 1, and said: please run sso login
          found     HOME/.docker/config.json: the entry `https://r.example/v1/`
          not asked /no/runtime/containers/auth.json
          not asked HOME/.config/containers/auth.json
        uses the user me, from HOME/.docker/config.json
    "#]],
    );
}

#[test]
fn variables_and_docker_hub() {
    let project = Project::new();
    let config = format!(r#"{{"auths":{{"https://index.docker.io/v1/":{{"auth":"{AUTH}"}}}}}}"#);
    let explain = |name: &str, value: &str, format: &str| {
        let mirror = project.mirror(&["login", "--explain", "docker.io", "--format", format]);
        explained(&project, mirror.env(name, value))
    };
    crate::reads(
        &explain("DOCKER_AUTH_CONFIG", &config, "text"),
        expect![[r#"
        docker.io, asked at https://registry-1.docker.io
          not set   MIRROR_AUTH_DOCKER_IO
          found     DOCKER_AUTH_CONFIG: the entry `https://index.docker.io/v1/`
          not asked HOME/.docker/config.json
          not asked /no/runtime/containers/auth.json
          not asked HOME/.config/containers/auth.json
        uses the user me, from DOCKER_AUTH_CONFIG
    "#]],
    );
    crate::reads(
        &explain("MIRROR_AUTH_DOCKER_IO", "you:secret", "json"),
        expect![[r#"
        {
          "format_version": 1,
          "registry": "docker.io",
          "endpoint": "https://registry-1.docker.io",
          "secure": true,
          "kind": "password",
          "user": "you",
          "steps": [
            {
              "place": "MIRROR_AUTH_DOCKER_IO",
              "outcome": "found"
            },
            {
              "place": "HOME/.docker/config.json",
              "outcome": "not_asked"
            },
            {
              "place": "/no/runtime/containers/auth.json",
              "outcome": "not_asked"
            },
            {
              "place": "HOME/.config/containers/auth.json",
              "outcome": "not_asked"
            }
          ]
        }
    "#]],
    );
    crate::reads(
        &explain("MIRROR_AUTH_DOCKER_IO", "no colon", "text"),
        expect![[r#"
            docker.io, asked at https://registry-1.docker.io
              failed    MIRROR_AUTH_DOCKER_IO: it must have the form user:password
            requests fail until that is corrected
        "#]],
    );
}

#[test]
fn a_login_that_amazon_makes() {
    let (project, ecr) = (Project::new(), FakeEcr::start(&["eu-central-1"]));
    let name = FakeEcr::name("eu-central-1");
    let explain = |key: &str| {
        let mirror = project.mirror(&["login", "--explain", &name]);
        let mirror = mirror.env("AWS_ENDPOINT_URL", ecr.endpoint());
        let mirror = mirror.env("AWS_ACCESS_KEY_ID", key).env("AWS_SECRET_ACCESS_KEY", "x");
        explained(&project, mirror).replace(ACCOUNT, "ACCOUNT")
    };
    crate::reads(
        &explain("AKID"),
        expect![[r#"
        ACCOUNT.dkr.ecr.eu-central-1.amazonaws.com, asked at https://ACCOUNT.dkr.ecr.eu-central-1.amazonaws.com
          not set   MIRROR_AUTH_ACCOUNT_DKR_ECR_EU__CENTRAL__1_AMAZONAWS_COM
          missing   HOME/.docker/config.json
          missing   /no/runtime/containers/auth.json
          missing   HOME/.config/containers/auth.json
          found     Amazon ECR, by the AWS credentials
        uses the user AWS, with a password of some hours, from Amazon ECR, by the AWS credentials
    "#]],
    );
    crate::reads(
        &explain("WRONG"),
        expect![[r#"
            ACCOUNT.dkr.ecr.eu-central-1.amazonaws.com, asked at https://ACCOUNT.dkr.ecr.eu-central-1.amazonaws.com
              not set   MIRROR_AUTH_ACCOUNT_DKR_ECR_EU__CENTRAL__1_AMAZONAWS_COM
              missing   HOME/.docker/config.json
              missing   /no/runtime/containers/auth.json
              missing   HOME/.config/containers/auth.json
              failed    Amazon ECR, by the AWS credentials: ecr:GetAuthorizationToken on *: 401 UnrecognizedClientException: The security token included in the request is invalid.; log in to AWS anew
            requests fail until that is corrected
        "#]],
    );
}

#[test]
fn what_is_no_registry() {
    let project = Project::new();
    let ran = project.mirror(&["login", "--explain", "not a host"]).ends_with(2).run();
    crate::reads(
        &ran.stderr,
        expect![[r#"
        error: `not a host` is no registry
          caused by: ` ` is not allowed here in a registry
          help: write a host, perhaps with a port and a repository: registry.example.com:5000/team-a
    "#]],
    );
    project.mirror(&["login", "r.example"]).ends_with(2).run();
}
