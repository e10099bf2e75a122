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
    ProxyRules { login: Some(login.to_owned()), ..ProxyRules::default() }
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
              caused by: looking for the issue: the proxy PROXY (HTTPS_PROXY) does not accept these credentials, or wants some (407)
              help: check user and password in that variable; special characters must be percent-encoded, `@` as %40
        "#]],
    );
    let asked = proxy.take_asked();
    assert_eq!(asked.iter().filter(|one| one.login.is_some()).count(), 1, "a password each time");
    assert!(asked.len() <= 2, "{asked:?}");
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
    let told = "the proxy PROXY (http_proxy) does not accept these credentials, or wants some (407)\n  help: check user and password in that variable; special characters must be percent-encoded, `@` as %40\n";
    let shown = ran.stdout.replace(&behind.proxy.host(), "PROXY");
    assert!(shown.contains(told), "{shown}");
    assert!(!shown.contains("hunter2") && !ran.stderr.contains("hunter2"));
    assert!(behind.proxy.take_asked().len() <= 2, "{}", behind.proxy.take_asked().len());
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
}

#[test]
fn a_host_that_the_proxy_refuses_fails_alone() {
    let behind = Behind::new(ProxyRules {
        refuses: Some(("forbidden".into(), 403)),
        ..ProxyRules::default()
    });
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
              caused by: source: looking up x/y:1: HEAD http://forbidden.test:PORT/v2/x/y/manifests/1: the proxy PROXY (http_proxy) refuses the connection (403)
              help: ask whoever runs the proxy to let this host through, or add the host to NO_PROXY
            error: could not look up secret.example/x/y:1 for prod
              caused by: source: looking up x/y:1: HEAD https://forbidden.test:PORT/v2/x/y/manifests/1: the proxy PROXY (HTTPS_PROXY) refuses the connection (403)
              help: ask whoever runs the proxy to let this host through, or add the host to NO_PROXY
            error: could not look up secret.example/x/z:1 for prod
              caused by: source: looking up x/z:1: HEAD https://forbidden.test:PORT/v2/x/z/manifests/1: the proxy PROXY (HTTPS_PROXY) refuses the connection (403)
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
        (
            "http://127.0.0.1:9",
            "the proxy 127.0.0.1:9 (HTTP_PROXY) can't be reached: connection refused",
        ),
        (
            "proxy.invalid:3128",
            "the proxy proxy.invalid:3128 (HTTP_PROXY) can't be reached: the host name can't be resolved",
        ),
    ] {
        let behind = Behind::new(ProxyRules::default());
        let began = Instant::now();
        let mirror = behind.project.mirror(&["plan"]).env("HTTP_PROXY", proxy);
        let ran = mirror.ends_with(1).run();
        let told = format!(
            "{why}\n  help: check that variable; what is to be reached without it belongs into NO_PROXY\n"
        );
        assert!(ran.stdout.contains(&told), "{}", ran.stdout);
        assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    }
}

/// What a run says of a proxy that answers everything with this text, to a plain and to a secure registry behind it.
fn said_of(says: &str, scheme: &str) -> [String; 2] {
    ["http", "https"].map(|source| {
        let rules = ProxyRules { says: Some(says.to_owned()), ..ProxyRules::default() };
        let (behind, proxy) = (Behind::new(rules), scheme);
        let config = format!(
            "[[destination]]\nname = \"prod\"\nregistry = \"{}\"\n[registry.\"docker.io\"]\nendpoint = \"{source}://registry.test\"\n",
            behind.destination.host()
        );
        behind.project.write("images/mirror.toml", &config);
        let proxy = format!("{proxy}://{}", behind.proxy.host());
        let mirror = behind.project.mirror(&["plan"]);
        let ran = mirror.env("ALL_PROXY", &proxy).ends_with(1).run();
        let why = ran.stdout.split("/manifests/1").nth(1).unwrap_or(&ran.stdout);
        let why = why.trim_start_matches(": ");
        why.split("\nplan").next().unwrap().replace(&behind.proxy.host(), "PROXY")
    })
}

#[test]
fn a_proxy_with_troubles_of_its_own_is_named() {
    let cases = [
        ("", "http"),
        ("HTTP/1.1 200 Connection established\r\n\r\n", "http"),
        ("SSH-2.0-OpenSSH_9.2p1\r\n", "http"),
        ("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n", "https"),
        ("HTTP/1.1 503 No\r\nContent-Type: text/html\r\nContent-Length: 20\r\n\r\n", "http"),
        (
            "HTTP/1.1 302 Found\r\nLocation: http://portal.test/\r\nContent-Length: 0\r\n\r\n",
            "http",
        ),
        (
            "HTTP/1.1 407 No\r\nProxy-Authenticate: Negotiate\r\nProxy-Authenticate: NTLM\r\nContent-Length: 0\r\n\r\n",
            "http",
        ),
        (
            "HTTP/1.1 407 No\r\nProxy-Authenticate: Basic realm=\"x\"\r\nProxy-Authenticate: NTLM\r\nContent-Length: 0\r\n\r\n",
            "http",
        ),
    ];
    // Each is tried five times with pauses.
    let all: String = std::thread::scope(|scope| {
        let tried = cases.map(|(says, scheme)| (says, scope.spawn(move || said_of(says, scheme))));
        let shown = tried.into_iter().map(|(says, said)| {
            let [plain, secure] = said.join().unwrap();
            format!("{}\n{plain}\n{secure}\n\n", says.lines().next().unwrap_or_default())
        });
        shown.collect()
    });
    crate::reads(
        &all,
        expect![[r#"

            the connection broke: connection closed before message completed, through the proxy PROXY (ALL_PROXY) (5 attempts in N.N s)
              help: check the network between here and the registry
            the proxy PROXY (ALL_PROXY) gives a connection that breaks at once: tunnel error: unexpected end of file (5 attempts in N.N s)
              help: ask whoever runs the proxy whether it can reach this host; if it should be reached without, add it to NO_PROXY

            HTTP/1.1 200 Connection established
            the manifest is not valid JSON of a manifest: EOF while parsing a value at line 1 column 0
              help: ask the publisher of the image; no registry can hold it byte for byte as it is
            the proxy PROXY (ALL_PROXY) gives a connection that breaks at once: tls handshake eof (5 attempts in N.N s)
              help: ask whoever runs the proxy whether it can reach this host; if it should be reached without, add it to NO_PROXY

            SSH-2.0-OpenSSH_9.2p1
            the proxy PROXY (ALL_PROXY) does not speak plain HTTP
              help: check the port in that variable; if the proxy itself is reached by TLS, write https:// there
            the proxy PROXY (ALL_PROXY) does not speak plain HTTP
              help: check the port in that variable; if the proxy itself is reached by TLS, write https:// there

            HTTP/1.1 400 Bad Request
            the proxy PROXY (ALL_PROXY) does not speak TLS
              help: write http:// in that variable: it is how the proxy itself is reached
            the proxy PROXY (ALL_PROXY) does not speak TLS
              help: write http:// in that variable: it is how the proxy itself is reached

            HTTP/1.1 503 No
            503 with an HTML page: through the proxy PROXY (ALL_PROXY) (5 attempts in N.N s)
              help: the registry reported an internal error; try again later
            the proxy PROXY (ALL_PROXY) can't make the connection (503) (5 attempts in N.N s)
              help: ask whoever runs the proxy whether it can reach this host; if it should be reached without, add it to NO_PROXY

            HTTP/1.1 302 Found
            , sent on to portal.test: too many redirects
              help: tell the operator of the registry; this is not what the specification allows
            the proxy PROXY (ALL_PROXY) refuses the connection (302)
              help: ask whoever runs the proxy to let this host through, or add the host to NO_PROXY

            HTTP/1.1 407 No
            the proxy PROXY (ALL_PROXY) wants a login by NTLM or Negotiate (407)
              help: mirror logs in to a proxy with user and password alone (Basic): let a proxy on this machine log in there, such as cntlm or px, and name that one in the variable
            the proxy PROXY (ALL_PROXY) wants a login by NTLM or Negotiate (407)
              help: mirror logs in to a proxy with user and password alone (Basic): let a proxy on this machine log in there, such as cntlm or px, and name that one in the variable

            HTTP/1.1 407 No
            the proxy PROXY (ALL_PROXY) does not accept these credentials, or wants some (407)
              help: check user and password in that variable; special characters must be percent-encoded, `@` as %40
            the proxy PROXY (ALL_PROXY) does not accept these credentials, or wants some (407)
              help: check user and password in that variable; special characters must be percent-encoded, `@` as %40

        "#]],
    );
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
        ("http://CORP\\pass@proxy:3128", "user and password must be percent-encoded"),
        ("http://proxy:not-a-port", "it is not a URL"),
        ("DIRECT", "`DIRECT` is no address; leave it empty to use none"),
        ("http//proxy:3128", "there is more behind its host and port"),
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
