//! The way out of a company: one proxy for registries, AWS and GitHub; and what it means when that refuses.

use std::time::{Duration, Instant};

use expect_test::expect;
use mirror_testkit::{
    Authority, ConnectProxy, DebianRegistry, FakeEcr, Flaw, Image, ImageBuilder, Mirror, Proxied,
    ProxyRules, Registry, missing_tool, push_by_skopeo,
};

use crate::Project;

const REGION: &str = "eu-central-1";

fn rules(login: &str) -> ProxyRules {
    ProxyRules { login: Some(login.to_owned()), refuses: None }
}

fn targets(asked: &[Proxied], method: &str) -> Vec<String> {
    let mut targets: Vec<String> =
        asked.iter().filter(|one| one.method == method).map(|one| one.target.clone()).collect();
    targets.sort();
    targets.dedup();
    targets
}

/// A source that only the proxy can reach, by a name that means nothing here, and a destination on this machine.
struct Behind {
    source: Registry,
    destination: Registry,
    proxy: ConnectProxy,
    project: Project,
    image: Image,
}

impl Behind {
    fn new(rules: ProxyRules) -> Behind {
        let behind = Behind {
            source: Registry::start(),
            destination: Registry::start(),
            proxy: ConnectProxy::start(rules),
            project: Project::new(),
            image: ImageBuilder::new("behind").build(),
        };
        behind.source.add("library/app", "1", &behind.image);
        let config = format!(
            "[[destination]]\nname = \"prod\"\nregistry = \"{}\"\n[registry.\"docker.io\"]\nendpoint = \"http://{}\"\n",
            behind.destination.host(),
            behind.far()
        );
        behind.project.write("images/mirror.toml", &config).entry("app:1");
        behind
    }

    /// The source as the proxy knows it.
    fn far(&self) -> String {
        format!("registry.test:{}", self.source.host().rsplit(':').next().unwrap())
    }

    fn mirror(&self, arguments: &[&str], login: &str) -> Mirror {
        let proxy = format!("http://{login}{}", self.proxy.host());
        self.project.mirror(arguments).env("http_proxy", &proxy).env("HTTPS_PROXY", &proxy)
    }
}

#[test]
fn registries_are_reached_through_the_proxy_and_this_machine_is_not() {
    let behind = Behind::new(rules("me:p@ss/word"));
    let variable = format!("MIRROR_AUTH_{}", behind.destination.host().replace(['.', ':'], "_"));
    let auth = "Basic bWU6c2VjcmV0";
    behind.destination.set_faults(move |exchange| {
        let strange = exchange.authorization.as_deref() != Some(auth);
        strange.then(|| mirror_testkit::Fault::Challenge("Basic realm=\"x\"".to_owned()))
    });
    let mirror = behind.mirror(&["apply", "-v"], "me:p%40ss%2Fword@").env(&variable, "me:secret");
    let ran = mirror.run();
    assert!(behind.destination.holds("docker.io/library/app", &behind.image));
    let asked = behind.proxy.take_asked();
    assert_eq!(targets(&asked, "GET"), [behind.far()]);
    assert!(asked.iter().all(|one| one.authorization.is_none()), "a password in the clear");
    assert!(!(ran.stdout + &ran.stderr).contains("ss/word"), "the password of the proxy is shown");
}

#[test]
fn aws_is_reached_through_the_proxy() {
    let (source, ecr) = (Registry::start(), FakeEcr::start(&[REGION]));
    let (proxy, project) = (ConnectProxy::start(ProxyRules::default()), Project::new());
    let image = ImageBuilder::new("app").build();
    source.add("library/app", "1", &image);
    let config = format!(
        "[[destination]]\nname = \"prod\"\nregistry = \"{}\"\n[destination.ecr]\n{}[registry.\"docker.io\"]\nendpoint = \"{}\"\n",
        FakeEcr::name(REGION),
        ecr.endpoint_config(REGION),
        source.endpoint()
    );
    project.write("images/mirror.toml", &config).entry("app:1");
    let far = format!("api.ecr.test:{}", ecr.endpoint().rsplit(':').next().unwrap());
    let mirror = project.mirror(&["apply"]).env("AWS_ENDPOINT_URL", &format!("http://{far}"));
    let mirror = mirror.env("AWS_ACCESS_KEY_ID", "AKID").env("AWS_SECRET_ACCESS_KEY", "secret");
    mirror.env("HTTP_PROXY", &format!("http://{}", proxy.host())).run();
    assert!(ecr.registry(REGION).holds("docker.io/library/app", &image));
    assert_eq!(targets(&proxy.take_asked(), "POST"), [far]);
}

#[test]
fn github_is_reached_through_the_proxy() {
    let proxy = ConnectProxy::start(rules("me:right"));
    let pair = crate::Pair::new(&[("library/app", "1", &ImageBuilder::new("x").build())]);
    pair.project.mirror(&["apply", "--report", "report.json"]).run();
    let project = &pair.project;
    let ran = project
        .mirror(&["issue", "report.json", "--repository", "acme/images"])
        .env("GITHUB_TOKEN", "token")
        .env("HTTPS_PROXY", &format!("http://me:wrong@{}", proxy.host()))
        .ends_with(1)
        .run();
    let shown = ran.stderr.replace(&proxy.host(), "PROXY");
    crate::reads(
        &shown,
        expect![[r#"
        error: could not keep the issue
          caused by: looking for the issue: the proxy PROXY does not accept these credentials, or wants some (407)
          help: check user and password in HTTPS_PROXY; special characters must be percent-encoded, `@` as %40
    "#]],
    );
    assert_eq!(proxy.take_asked().len(), 1, "asked once");
}

#[test]
fn a_wrong_password_is_told_once_whatever_there_is_to_do() {
    let behind = Behind::new(rules("me:right"));
    for number in 0..100 {
        let name = format!("library/app{number}");
        behind.source.add(&name, "1", &behind.image);
        behind.project.entry(&format!("docker.io/{name}:1"));
    }
    let began = Instant::now();
    let ran = behind.mirror(&["plan"], "me:hunter2@").ends_with(1).run();
    let told = "the proxy PROXY does not accept these credentials, or wants some (407)\n  help: check user and password in HTTPS_PROXY; special characters must be percent-encoded, `@` as %40\n";
    let shown = ran.stdout.replace(&behind.proxy.host(), "PROXY");
    assert!(shown.contains(told), "{shown}");
    assert!(!shown.contains("hunter2") && !ran.stderr.contains("hunter2"));
    assert!(behind.proxy.take_asked().len() <= 2, "{}", behind.proxy.take_asked().len());
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
}

#[test]
fn a_host_that_the_proxy_refuses_fails_alone() {
    let behind = Behind::new(ProxyRules { refuses: Some(("forbidden".into(), 403)), login: None });
    let port = behind.source.host().rsplit(':').next().unwrap().to_owned();
    let config = format!(
        "{}[registry.\"forbidden.example\"]\nendpoint = \"http://forbidden.test:{port}\"\n[registry.\"secret.example\"]\nendpoint = \"https://forbidden.test:{port}\"\n",
        std::fs::read_to_string(behind.project.path().join("images/mirror.toml")).unwrap()
    );
    behind.project.write("images/mirror.toml", &config);
    behind
        .project
        .entry("forbidden.example/x/y:1")
        .entry("secret.example/x/y:1")
        .entry("secret.example/x/z:1");
    let ran = behind.mirror(&["apply"], "").ends_with(1).run();
    assert!(behind.destination.holds("docker.io/library/app", &behind.image), "{}", ran.stdout);
    let shown = ran.stdout.replace(&behind.proxy.host(), "PROXY").replace(&port, "PORT");
    crate::reads(
        &shown,
        expect![[r#"
        error: could not look up forbidden.example/x/y:1 for prod
          caused by: source: looking up x/y:1: HEAD http://forbidden.test:PORT/v2/x/y/manifests/1: the proxy PROXY refuses the connection (403)
          help: ask whoever runs the proxy to let this host through, or add the host to NO_PROXY
        error: could not look up secret.example/x/y:1 for prod
          caused by: source: looking up x/y:1: HEAD https://forbidden.test:PORT/v2/x/y/manifests/1: the proxy PROXY refuses the connection (403)
          help: ask whoever runs the proxy to let this host through, or add the host to NO_PROXY
        error: could not look up secret.example/x/z:1 for prod
          caused by: source: looking up x/z:1: HEAD https://forbidden.test:PORT/v2/x/z/manifests/1: the proxy PROXY refuses the connection (403)
          help: ask whoever runs the proxy to let this host through, or add the host to NO_PROXY
        applied: 1 copied, 0 unchanged, 3 failed; what had moved by then; N.N s
    "#]],
    );
    let asked = behind.proxy.take_asked();
    let forbidden = asked.iter().filter(|one| one.target.contains("forbidden")).count();
    assert!(forbidden <= 3, "{asked:#?}");
}

#[test]
fn a_proxy_that_nobody_reaches_is_not_the_registry() {
    for (proxy, why) in [
        ("http://127.0.0.1:9", "the proxy 127.0.0.1:9 can't be reached: connection refused"),
        (
            "proxy.invalid:3128",
            "the proxy proxy.invalid:3128 can't be reached: the host name can't be resolved",
        ),
    ] {
        let behind = Behind::new(ProxyRules::default());
        let began = Instant::now();
        let mirror = behind.project.mirror(&["plan"]).env("HTTP_PROXY", proxy);
        let ran = mirror.ends_with(1).run();
        let told = format!(
            "{why}\n  help: check HTTPS_PROXY; what is to be reached without it belongs into NO_PROXY\n"
        );
        assert!(ran.stdout.contains(&told), "{}", ran.stdout);
        assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    }
}

#[test]
fn what_no_proxy_names_is_reached_without() {
    let behind = Behind::new(ProxyRules::default());
    let mirror = behind.mirror(&["plan"], "").env("NO_PROXY", "*.test, other.example:80");
    let ran = mirror.ends_with(1).run();
    assert!(ran.stdout.contains("the host name can't be resolved"), "{}", ran.stdout);
    assert_eq!(behind.proxy.take_asked(), []);
    behind.mirror(&["plan"], "").env("NO_PROXY", "other.test,registry.test:1").run();
}

#[test]
fn a_proxy_that_cannot_be_used_is_an_error_at_the_start() {
    let behind = Behind::new(ProxyRules::default());
    for (value, says) in [
        ("socks5://proxy:1080", "socks5:// is not supported, only http:// and https://"),
        ("http://me:p@ss@proxy:3128", "user and password must be percent-encoded"),
        ("http://me:pa/ss@proxy:3128", "user and password must be percent-encoded"),
        ("http://proxy:not-a-port", "it is not a URL"),
    ] {
        let mirror = behind.project.mirror(&["plan"]).env("HTTPS_PROXY", value);
        let ran = mirror.ends_with(2).run();
        let told = format!(
            "error: could not start\n  caused by: the environment variable HTTPS_PROXY names no proxy that can be used: {says}"
        );
        assert!(ran.stderr.contains(&told), "{}", ran.stderr);
        assert!(!ran.stderr.contains("ss@"), "{}", ran.stderr);
    }
    // What needs no network needs no proxy.
    behind.project.mirror(&["check"]).env("HTTPS_PROXY", "socks5://proxy:1080").run();
}

#[test]
fn a_registry_with_tls_is_reached_through_a_tunnel() {
    if missing_tool("docker-registry") || missing_tool("openssl") || missing_tool("skopeo") {
        return;
    }
    let authority = Authority::new();
    let registry = DebianRegistry::with_tls(&authority.server(Flaw::None), None);
    let image = ImageBuilder::new("tunnel").layers(&[3_000_000]).build();
    push_by_skopeo(&image, &format!("{}/library/app:1", registry.host()));
    let (proxy, destination, project) =
        (ConnectProxy::start(rules("me:secret")), Registry::start(), Project::new());
    let far = format!("registry.test:{}", registry.port());
    let config = format!(
        "[[destination]]\nname = \"prod\"\nregistry = \"{}\"\n[registry.\"docker.io\"]\nendpoint = \"https://{far}\"\nca = \"{}\"\n",
        destination.host(),
        authority.certificate().display()
    );
    project.write("images/mirror.toml", &config).entry("app:1");
    let mirror = project.mirror(&["apply"]);
    mirror.env("HTTPS_PROXY", &format!("http://me:secret@{}", proxy.host())).run();
    assert!(destination.holds("docker.io/library/app", &image));
    assert_eq!(targets(&proxy.take_asked(), "CONNECT"), [far]);
}
