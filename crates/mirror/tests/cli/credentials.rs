//! Who we are at registries that want to know, from each of the places where people keep that.

use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use expect_test::expect;
use mirror_testkit::{AuthProfile, Fault, Image, ImageBuilder, Mirror, Profile, Registry};

use crate::Project;

/// base64 of `me:secret`.
const AUTH: &str = "bWU6c2VjcmV0";

/// A project whose destination wants a password, and one image.
struct Locked {
    source: Registry,
    destination: Registry,
    project: Project,
    image: Image,
}

fn locked(auth: AuthProfile) -> Locked {
    let image = ImageBuilder::new("locked").platforms(&["linux/amd64", "linux/arm64"]).build();
    let (source, destination) =
        (Registry::start(), Registry::with(Profile { auth, ..Profile::default() }));
    source.add("library/app", "1.0", &image);
    let project = Project::new();
    project.config(&source.host(), &destination.host()).entry("app:1.0");
    Locked { source, destination, project, image }
}

impl Locked {
    fn variable(&self) -> String {
        format!("MIRROR_AUTH_{}", self.destination.host().replace(['.', ':'], "_"))
    }

    fn apply(&self, setup: impl Fn(Mirror) -> Mirror) {
        let ran = setup(self.project.mirror(&["apply", "-v"])).run();
        assert!(self.destination.holds("docker.io/library/app", &self.image));
        assert!(!(ran.stdout + &ran.stderr).contains("secret"), "a secret was printed");
        assert!(
            self.source.take_requests().iter().all(|r| r.authorization.is_none()),
            "credentials left home"
        );
    }

    fn helper(&self, script: &str) -> String {
        self.project.write("bin/docker-credential-test", script);
        let path = self.project.path().join("bin");
        std::fs::set_permissions(
            path.join("docker-credential-test"),
            std::fs::Permissions::from_mode(0o755),
        )
        .unwrap();
        format!("{}:{}", path.display(), std::env::var("PATH").unwrap())
    }
}

fn both() -> [AuthProfile; 2] {
    [AuthProfile::Basic("me".into(), "secret".into()), AuthProfile::bearer("me", "secret")]
}

#[test]
fn from_the_environment() {
    for auth in both() {
        let locked = locked(auth);
        locked.apply(|mirror| mirror.env(&locked.variable(), "me:secret"));
    }
}

#[test]
fn from_the_files_of_docker_and_podman() {
    for auth in both() {
        for (file, variable) in [
            (".docker/config.json", None),
            ("elsewhere/config.json", Some(("DOCKER_CONFIG", "elsewhere"))),
            (".config/containers/auth.json", None),
            ("podman.json", Some(("REGISTRY_AUTH_FILE", "podman.json"))),
            ("run/containers/auth.json", Some(("XDG_RUNTIME_DIR", "run"))),
        ] {
            let locked = locked(auth.clone());
            let json =
                format!(r#"{{"auths":{{"{}":{{"auth":"{AUTH}"}}}}}}"#, locked.destination.host());
            locked.project.write(file, &json);
            let full = |path: &str| locked.project.path().join(path).to_str().unwrap().to_owned();
            locked.apply(|mirror| match variable {
                Some((name, value)) => mirror.env(name, &full(value)),
                None => mirror,
            });
        }
    }
}

#[test]
fn from_helpers() {
    let answer = r#"#!/bin/sh
read registry
[ "$1" = get ] || exit 9
echo "{\"ServerURL\":\"$registry\",\"Username\":\"me\",\"Secret\":\"secret\"}"
"#;
    for auth in both() {
        for config in
            [r#"{"credsStore":"test"}"#.to_owned(), r#"{"credHelpers":{"HOST":"test"}}"#.to_owned()]
        {
            let locked = locked(auth.clone());
            locked
                .project
                .write(".docker/config.json", &config.replace("HOST", &locked.destination.host()));
            // The source is asked for too, and the store has an answer; it must not be sent there unasked.
            let path = locked.helper(answer);
            locked.apply(|mirror| mirror.env("PATH", &path));
        }
    }
}

#[test]
fn a_helper_that_knows_nothing_and_one_that_fails() {
    let locked = locked(AuthProfile::Basic("me".into(), "secret".into()));
    let auths = format!(
        r#"{{"credsStore":"test","auths":{{"{}":{{"auth":"{AUTH}"}}}}}}"#,
        locked.destination.host()
    );
    locked.project.write(".docker/config.json", &auths);
    for says_that_it_knows_nothing in [
        "echo credentials not found in native keychain; exit 1",
        "echo no credentials server URL >&2; exit 1",
        r#"echo '{"ServerURL":"","Username":"","Secret":""}'"#,
    ] {
        let path = locked.helper(&format!("#!/bin/sh\n{says_that_it_knows_nothing}\n"));
        locked.apply(|mirror| mirror.env("PATH", &path));
    }

    // The others are asked after one that fails, and what it said is passed on.
    let path = locked.helper("#!/bin/sh\necho\necho 'run sso login'\nexit 3\n");
    let ran = locked.project.mirror(&["plan"]).env("PATH", &path).run();
    assert_eq!(
        ran.stderr.replace(&locked.destination.host(), "HOST"),
        "warning: credential helper docker-credential-test: ended with exit status: 3, and said: run sso login; asking \
         other places for credentials for HOST\n"
    );
    locked.project.write(".docker/config.json", r#"{"credsStore":"test"}"#);
    let ran = locked.project.mirror(&["plan"]).env("PATH", &path).ends_with(1).run();
    crate::reads(
        &ran.stdout,
        expect![[r#"
        error: could not look up docker.io/library/app:1.0 for prod
          caused by: destination: looking up docker.io/library/app:1.0: credentials for 127.0.0.1:PORT: credential helper docker-credential-test: ended with exit status: 3, and said: run sso login
          help: fix it, or set MIRROR_AUTH_<HOST>=user:password in the environment
        plan: 0 to create, 0 to update, 0 unchanged, 1 not looked up
    "#]],
    );

    // Where strangers may read, a broken helper is no reason to stop.
    let AuthProfile::Bearer { user, password, lifetime, realm, .. } =
        AuthProfile::bearer("me", "secret")
    else {
        unreachable!()
    };
    let auth = AuthProfile::Bearer { user, password, anonymous_pull: true, lifetime, realm };
    let public = Registry::with(Profile { auth, ..Profile::default() });
    public.add("library/app", "1.0", &locked.image);
    let open = Registry::start();
    locked.project.config(&public.host(), &open.host());
    locked.project.mirror(&["apply"]).env("PATH", &path).run();
    assert!(open.holds("docker.io/library/app", &locked.image));
}

#[test]
fn one_token_for_concurrent_requests_and_a_new_one_when_it_expires() {
    let locked = locked(AuthProfile::bearer("me", "secret"));
    locked.apply(|mirror| mirror.env(&locked.variable(), "me:secret"));
    let requests = locked.destination.take_requests();
    let tokens = requests.iter().filter(|r| r.path == "/token").count();
    let refused = requests.iter().filter(|r| r.status == 401).count();
    assert_eq!((tokens, refused), (1, 1), "one refusal, one token, whatever is going on at once");

    // These tokens are stale before they are used: each request is refused first, and still everything arrives.
    let AuthProfile::Bearer { user, password, anonymous_pull, realm, .. } =
        AuthProfile::bearer("me", "secret")
    else {
        unreachable!()
    };
    let lifetime = Duration::from_millis(150);
    let image = ImageBuilder::new("slow").layers(&[10, 20, 30, 40]).build();
    let auth = AuthProfile::Bearer { user, password, anonymous_pull, lifetime, realm };
    let source = Registry::with(Profile { auth, ..Profile::default() });
    source.add("library/app", "1.0", &image);
    source.set_faults(|exchange| {
        exchange
            .path
            .contains("/blobs/")
            .then_some(mirror_testkit::Fault::Delay(Duration::from_millis(100)))
    });
    let destination = Registry::start();
    let project = Project::new();
    let config = format!(
        "[[destination]]\nname='p'\nregistry='{}'\n[registry.'docker.io']\nendpoint='{}'\nconcurrency=1\n",
        destination.host(),
        source.endpoint()
    );
    project.entry("app:1.0").write("images/mirror.toml", &config);
    let variable = format!("MIRROR_AUTH_{}", source.host().replace(['.', ':'], "_"));
    project.mirror(&["apply"]).env(&variable, "me:secret").run();
    assert!(destination.holds("docker.io/library/app", &image));
    let tokens = source.take_requests().iter().filter(|r| r.path == "/token").count();
    assert!(tokens > 1, "renewed after 401");
}

#[test]
fn anonymous_tokens() {
    let AuthProfile::Bearer { user, password, lifetime, realm, .. } =
        AuthProfile::bearer("me", "secret")
    else {
        unreachable!()
    };
    let auth = AuthProfile::Bearer { user, password, anonymous_pull: true, lifetime, realm };
    let source = Registry::with(Profile { auth, ..Profile::default() });
    let image = ImageBuilder::new("public").build();
    source.add("library/app", "1.0", &image);
    let destination = Registry::start();
    let project = Project::new();
    project.config(&source.host(), &destination.host()).entry("app:1.0");
    project.mirror(&["apply"]).run();
    assert!(destination.holds("docker.io/library/app", &image));
}

#[test]
fn redirects_don_t_carry_credentials() {
    let storage = Registry::start();
    let image = ImageBuilder::new("r").layers(&[1_500_000]).build();
    storage.add("library/app", "1.0", &image);
    let auth = AuthProfile::Basic("me".into(), "secret".into());
    let source = Registry::with(Profile {
        auth,
        blob_redirect: Some(storage.endpoint()),
        ..Profile::default()
    });
    source.add("library/app", "1.0", &image);
    let destination = Registry::start();
    let project = Project::new();
    project.config(&source.host(), &destination.host()).entry("app:1.0");
    let variable = format!("MIRROR_AUTH_{}", source.host().replace(['.', ':'], "_"));
    let ran = project.mirror(&["apply", "-v"]).env(&variable, "me:secret").run();
    assert!(destination.holds("docker.io/library/app", &image));
    let followed = storage.take_requests();
    assert_eq!(followed.len(), image.blobs.len());
    assert!(followed.iter().all(|r| r.authorization.is_none()), "{followed:?}");
    assert!(
        ran.stderr.contains("?signature=…") && !ran.stderr.contains("signature=secret"),
        "{}",
        ran.stderr
    );
}

#[test]
fn a_helper_that_leaves_somebody_behind_is_not_waited_for() {
    let locked = locked(AuthProfile::Basic("me".into(), "secret".into()));
    let path = locked.helper(
        "#!/bin/sh\ncat >/dev/null\nsleep 15 &\necho '{\"Username\":\"me\",\"Secret\":\"secret\"}'\n",
    );
    locked.project.write(".docker/config.json", r#"{"credsStore":"test"}"#);
    let began = std::time::Instant::now();
    locked.apply(|mirror| mirror.env("PATH", &path));
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
}

#[test]
fn a_password_that_was_not_sent_is_told() {
    let project = Project::new();
    let registry = Registry::with(Profile {
        auth: AuthProfile::Basic("me".into(), "secret".into()),
        ..Profile::default()
    });
    let proxy = mirror_testkit::ConnectProxy::start(mirror_testkit::ProxyRules::default());
    let port = registry.host().rsplit(':').next().unwrap().to_owned();
    let config = format!(
        "[[destination]]\nname = \"prod\"\nlayout = \"store\"\n[registry.\"docker.io\"]\nendpoint = \"http://registry.test:{port}\"\n"
    );
    project.write("images/mirror.toml", &config).entry("app:1");
    let mirror = project.mirror(&["plan"]).env("HTTP_PROXY", &format!("http://{}", proxy.host()));
    let variable = format!("MIRROR_AUTH_REGISTRY_TEST_{port}");
    let ran = mirror.env(&variable, "me:secret").ends_with(1).run();
    let told = format!(
        "{variable} is set, but no password is sent without TLS\n  help: set `endpoint = \"https://…\"` for this registry"
    );
    assert!(ran.stdout.contains(&told), "{}", ran.stdout);
}

#[test]
fn an_identity_token_that_is_over_or_not_taken_is_told() {
    let kept = |locked: &Locked| {
        let host = locked.destination.host();
        format!(r#"{{"auths":{{"{host}":{{"identitytoken":"secret-token"}}}}}}"#)
    };
    for (answer, says) in [
        (
            Fault::Answer(
                400,
                "application/json",
                r#"{"error":"invalid_grant","error_description":"no secret-token here"}"#.into(),
            ),
            "400 invalid_grant: no *** here\n  help: the token service does not know this identity token, or no more: `docker login` again",
        ),
        (
            Fault::Answer(405, "text/plain", String::new()),
            "the token service takes no identity token (405): log in with a user and a password or access token",
        ),
    ] {
        let locked = locked(AuthProfile::bearer("me", "secret"));
        locked.project.write(".docker/config.json", &kept(&locked));
        locked.destination.set_faults(move |exchange| {
            (exchange.path == "/token" && exchange.method == "POST").then(|| answer.clone())
        });
        let ran = locked.project.mirror(&["plan"]).ends_with(1).run();
        assert!(ran.stdout.contains(says), "{}", ran.stdout);
        assert!(!(ran.stdout + &ran.stderr).contains("secret-token"));
    }
}
