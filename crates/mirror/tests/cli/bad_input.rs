//! Bad input, and an error that says what, where, why and what to do. Wherever something is wrong with one image,
//! another one beside it arrives.

use std::net::TcpListener;
use std::os::unix::fs::MetadataExt;

use bytes::Bytes;
use expect_test::expect;
use mirror_oci::media_type;
use mirror_testkit::{
    AuthProfile, Authority, DebianRegistry, Fault, Flaw, ImageBuilder, Profile, Registry,
    missing_tool,
};

use crate::{Pair, Project, steady};

/// Runs `apply` on a tree where `bad.example/…` goes wrong and `docker.io/library/good` doesn't, and gives the
/// report without what differs from run to run.
fn beside_a_good_one(pair: &Pair, bad: &str, config: &str) -> String {
    let good = ImageBuilder::new("good").build();
    pair.source.add("library/good", "1.0", &good);
    let base = std::fs::read_to_string(pair.project.path().join("images/mirror.toml")).unwrap();
    pair.project.entry("good:1.0").entry(bad).write("images/mirror.toml", &(base + config));
    let ran = pair.project.mirror(&["apply"]).ends_with(1).run();
    assert!(pair.destination.holds("docker.io/library/good", &good), "{}", ran.stdout);
    assert_eq!(pair.destination.tags(), ["docker.io/library/good:1.0"], "nothing half done");
    steady(&ran.stdout)
}

fn endpoint(name: &str, url: &str) -> String {
    format!("[registry.\"{name}\"]\nendpoint = \"{url}\"\n")
}

fn assert_error(text: &str, what: &str, cause: &str, help: &str) {
    assert!(text.contains(what), "no {what:?} in\n{text}");
    assert!(text.contains(&format!("  caused by: {cause}")), "no {cause:?} in\n{text}");
    assert!(text.contains(&format!("  help: {help}")), "no {help:?} in\n{text}");
}

#[test]
fn no_tree_and_an_empty_one() {
    let project = Project::new();
    for command in ["check", "plan", "apply"] {
        let ran = project.mirror(&[command]).ends_with(2).run();
        let said = ran.stdout + &ran.stderr;
        assert!(
            said.contains("error[tree-empty]: the tree holds no Dockerfile\n--> images"),
            "{said}"
        );
        assert!(said.contains("help: create `docker.io/library/postgres/Dockerfile`"), "{said}");
        let ran = project.mirror(&[command, "--images", "elsewhere"]).ends_with(2).run();
        let said = ran.stdout + &ran.stderr;
        assert!(said.contains("error[tree-missing]: there is no tree: No such file"), "{said}");
    }
}

#[test]
fn an_unknown_destination() {
    let project = Project::new();
    project
        .entry("a:1")
        .write("images/mirror.toml", "[[image]]\nmatch = \"**\"\ndestinations = [\"prod\"]\n");
    let ran = project.mirror(&["apply"]).ends_with(2).run();
    assert!(
        ran.stderr.contains("there is no destination `prod`\n --> images/mirror.toml:3:17"),
        "{}",
        ran.stderr
    );
    assert!(ran.stderr.contains("help: destinations are: mirror-store"), "{}", ran.stderr);
    assert!(!project.path().join("mirror-store").exists());
}

#[test]
fn sources_that_are_not_registries() {
    let page = Registry::start();
    page.set_faults(|_| Some(Fault::Answer(200, "text/html", "<html>welcome</html>".into())));
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let plain = Registry::start();
    let cases = [
        (
            page.endpoint(),
            "this is not a container registry: it answers with an HTML page",
            "check the registry's name",
        ),
        (
            format!("http://{closed}"),
            "connection refused (5 attempts in",
            "is the registry running",
        ),
        (
            "http://no-such-host.invalid".into(),
            "the host name can't be resolved",
            "check the spelling",
        ),
        (
            format!("https://{}", plain.host()),
            "the server does not speak TLS",
            "if that is on purpose, set `endpoint = \"http://…\"`",
        ),
    ];
    for (url, cause, help) in cases {
        let text = beside_a_good_one(
            &Pair::new(&[]),
            "bad.example/app:1.0",
            &endpoint("bad.example", &url),
        );
        assert_error(
            &text,
            "error: could not look up bad.example/app:1.0 for prod",
            "source: looking up app:1.0: HEAD http",
            help,
        );
        assert!(text.contains(cause), "no {cause:?} in\n{text}");
    }
}

#[test]
fn plain_http_to_a_server_that_wants_tls() {
    if missing_tool("docker-registry") || missing_tool("openssl") {
        return;
    }
    let authority = Authority::new();
    let tls = DebianRegistry::with_tls(&authority.server(Flaw::None), None);
    let url = format!("http://{}", tls.host());
    let text =
        beside_a_good_one(&Pair::new(&[]), "bad.example/app:1.0", &endpoint("bad.example", &url));
    let cause = "source: looking up app:1.0: GET http://127.0.0.1:PORT/v2/app/manifests/1.0: the server speaks TLS";
    assert_error(
        &text,
        "could not look up bad.example/app:1.0",
        cause,
        "set `endpoint = \"https://…\"`",
    );

    let url = format!("https://{}", tls.host());
    let text =
        beside_a_good_one(&Pair::new(&[]), "bad.example/app:1.0", &endpoint("bad.example", &url));
    assert_error(
        &text,
        "could not look up bad.example/app:1.0",
        "source: looking up app:1.0: HEAD https",
        "if an authority of your own has signed it",
    );

    // With the authority that signed it, the same server is fine; only the image is missing.
    let project = Project::new();
    project
        .entry("bad.example/app:1.0")
        .write("images/mirror.toml", &endpoint("bad.example", &url));
    let ran = project
        .mirror(&["apply"])
        .env("SSL_CERT_FILE", authority.certificate().to_str().unwrap())
        .ends_with(1)
        .run();
    crate::reads(
        &ran.stdout,
        expect![[r#"
            error: could not look up bad.example/app:1.0 for mirror-store
              caused by: source: looking up app:1.0: bad.example has no such image (404)
              help: check the name and the tag, and that they still exist there; a private image may need a login
            applied: 0 copied, 0 unchanged, 1 failed; what had moved by then; N.N s
        "#]],
    );
}

#[test]
fn refusals_of_the_source() {
    let cases = [
        (401, "UNAUTHORIZED", "check the credentials"),
        (403, "DENIED", "the credentials lack permission"),
        (500, "UNKNOWN", "the registry reported an internal error"),
        (503, "UNAVAILABLE", "the registry reported an internal error"),
    ];
    for (status, code, help) in cases {
        let bad = Registry::start();
        bad.set_faults(move |_| Some(Fault::refuse(status, code, "because")));
        let text = beside_a_good_one(
            &Pair::new(&[]),
            "bad.example/app:1.0",
            &endpoint("bad.example", &bad.endpoint()),
        );
        // A refusal is worth a GET, which can say why.
        let (method, why) = match status {
            403 => ("GET", "403 DENIED: because".to_owned()),
            status => ("HEAD", status.to_string()),
        };
        let cause = format!(
            "source: looking up app:1.0: {method} http://127.0.0.1:PORT/v2/app/manifests/1.0: {why}"
        );
        assert_error(&text, "could not look up bad.example/app:1.0 for prod", &cause, help);
    }
    let text = beside_a_good_one(&Pair::new(&[]), "library/gone:1.0", "");
    assert_error(
        &text,
        "could not look up docker.io/library/gone:1.0 for prod",
        "source: looking up library/gone:1.0: docker.io has no such image (404)",
        "check the name and the tag",
    );
    let digest = ImageBuilder::new("never pushed").build().digest().clone();
    let text = beside_a_good_one(&Pair::new(&[]), &format!("library/gone:1.0@{digest}"), "");
    assert_error(
        &text,
        "could not look up docker.io/library/gone:1.0 for prod",
        "source: reading manifest sha256:",
        "check the name and the tag",
    );
    assert!(text.contains("404 MANIFEST_UNKNOWN"), "{text}");
}

#[test]
fn refusals_of_the_destination() {
    let image = ImageBuilder::new("x").build();
    for (status, code, help) in [
        (401, "UNAUTHORIZED", "check the credentials"),
        (403, "DENIED", "the credentials lack permission"),
        (
            404,
            "NAME_UNKNOWN",
            "check `registry` and `repository` of the destination in images/mirror.toml",
        ),
        (500, "UNKNOWN", "the registry reported an internal error"),
    ] {
        let pair = Pair::new(&[("library/bad", "1.0", &image)]);
        pair.destination.set_faults(move |exchange| {
            let hit = exchange.path.contains("library/bad") && exchange.method == "POST";
            hit.then(|| Fault::refuse(status, code, "because"))
        });
        let text = beside_a_good_one(&pair, "good:1.0", "");
        let cause = "destination: upload of blob sha256:";
        assert_error(&text, "could not copy docker.io/library/bad:1.0 to prod", cause, help);
        assert!(text.contains(&format!("{status} {code}: because")), "{text}");
    }
}

#[test]
fn manifests_that_cannot_be_mirrored() {
    let image = ImageBuilder::new("x").build();
    let body = image.manifests[0].bytes.clone();
    let schema1 = "application/vnd.docker.distribution.manifest.v1+prettyjws";
    let giant = Bytes::from(format!("{{\"layers\":[],\"x\":\"{}\"}}", "x".repeat(5 << 20)));
    let cases = [
        (
            schema1,
            Bytes::from_static(b"{\"schemaVersion\":1}"),
            "this is a Docker schema 1 manifest",
        ),
        (media_type::DOCKER_LIST, body, "but the document says it is"),
        (media_type::OCI_MANIFEST, giant, "the manifest is larger than 4 MiB"),
        (media_type::OCI_MANIFEST, Bytes::from_static(b"{}"), "the manifest has no `config`"),
        (media_type::OCI_INDEX, Bytes::from_static(b"nonsense"), "the manifest is not valid JSON"),
    ];
    for (media_type, bytes, cause) in cases {
        let pair = Pair::new(&[]);
        pair.source.add_manifest("library/bad", "1.0", media_type, bytes);
        let text = beside_a_good_one(&pair, "bad:1.0", "");
        assert!(
            text.contains("error: could not look up docker.io/library/bad:1.0 for prod"),
            "{text}"
        );
        assert!(text.contains(cause), "no {cause:?} in\n{text}");
    }
}

#[test]
fn a_manifest_that_is_not_what_was_asked_for() {
    let image = ImageBuilder::new("x").build();
    let pair = Pair::new(&[("library/bad", "1.0", &image)]);
    pair.source.set_faults(|exchange| {
        (exchange.method == "GET" && exchange.path.contains("library/bad/manifests"))
            .then_some(Fault::WrongBytes)
    });
    let text = beside_a_good_one(&pair, "good:1.0", "");
    assert!(text.contains("content has digest sha256:"), "{text}");
}

#[test]
fn a_read_only_destination() {
    let image = ImageBuilder::new("x").build();
    let source = Registry::start();
    let destination = Registry::with(Profile { read_only: true, ..Profile::default() });
    source.add("library/app", "1.0", &image);
    let project = Project::new();
    project.config(&source.host(), &destination.host()).entry("app:1.0");
    let ran = project.mirror(&["apply"]).ends_with(1).run();
    assert_error(
        &ran.stdout,
        "could not copy docker.io/library/app:1.0",
        "destination: upload of blob",
        "the registry does not allow this; is it read-only?",
    );
}

#[test]
fn a_full_disk() {
    if missing_tool("unshare") {
        return;
    }
    let (big, small) = (
        ImageBuilder::new("big").layers(&[900_000, 900_000]).build(),
        ImageBuilder::new("small").build(),
    );
    let pair = Pair::new(&[("library/big", "1.0", &big), ("library/small", "1.0", &small)]);
    let source = endpoint("docker.io", &pair.source.endpoint());
    pair.project.write(
        "images/mirror.toml",
        &format!("[[destination]]\nname=\"disk\"\nlayout=\"store\"\n{source}"),
    );
    std::fs::create_dir(pair.project.path().join("store")).unwrap();
    // A file system of 1 MiB, in a mount namespace that ends with the process.
    let script = format!(
        "mount -t tmpfs -o size=1m tmpfs store && {} apply; code=$?; ls store/blobs/sha256 | wc -l; cat store/index.json; exit $code",
        env!("CARGO_BIN_EXE_mirror")
    );
    // Whoever is root needs no user namespace, which a plain chroot doesn't let anybody have.
    let root = std::fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0);
    let how = if root { "-m" } else { "-rm" };
    let ran =
        mirror_testkit::Mirror::new("unshare", pair.project.path(), &[how, "sh", "-c", &script]);
    let ran = ran.ends_with(1).run();
    assert_error(
        &ran.stdout,
        "could not copy docker.io/library/big:1.0 to disk",
        "destination: writing blob sha256:",
        "free some space",
    );
    assert!(ran.stdout.contains("No space left on device"), "{}", ran.stdout);
    assert!(
        !ran.stdout.contains("\"docker.io/library/big:1.0\""),
        "an entry for half an image:\n{}",
        ran.stdout
    );
}

#[test]
fn a_destination_folder_with_something_else_in_it() {
    let image = ImageBuilder::new("x").build();
    let pair = Pair::new(&[("library/app", "1.0", &image)]);
    let source = endpoint("docker.io", &pair.source.endpoint());
    pair.project.write(
        "images/mirror.toml",
        &format!("[[destination]]\nname=\"disk\"\nlayout=\"store\"\n{source}"),
    );
    pair.project.write("store/letter.txt", "dear");
    let ran = pair.project.mirror(&["apply"]).ends_with(1).run();
    crate::reads(
        &ran.stdout,
        expect![[r#"
            error: could not look up docker.io/library/app:1.0 for disk
              caused by: destination: opening the image layout: FOLDER/store is not empty and not an OCI image layout
            applied: 0 copied, 0 unchanged, 1 failed; what had moved by then; N.N s
        "#]],
    );
}

#[test]
fn a_token_service_on_a_foreign_host_gets_no_password() {
    let image = ImageBuilder::new("x").build();
    let thief = Registry::start();
    let AuthProfile::Bearer { user, password, anonymous_pull, lifetime, .. } =
        AuthProfile::bearer("me", "hunter2")
    else {
        unreachable!()
    };
    let realm = Some(format!("{}/token", thief.endpoint()));
    let auth = AuthProfile::Bearer { user, password, anonymous_pull, lifetime, realm };
    let source = Registry::with(Profile { auth, ..Profile::default() });
    source.add("library/app", "1.0", &image);
    let project = Project::new();
    project.config(&source.host(), &Registry::start().host()).entry("app:1.0");
    let variable = format!("MIRROR_AUTH_{}", source.host().replace(['.', ':'], "_"));
    let ran = project.mirror(&["plan", "-v"]).env(&variable, "me:hunter2").ends_with(1).run();
    crate::reads(
        &ran.stdout,
        expect![[r#"
            error: could not look up docker.io/library/app:1.0 for prod
              caused by: source: looking up library/app:1.0: login at 127.0.0.1:PORT: the registry names 127.0.0.1:PORT as its token service, credentials are not sent there
              help: if that is right, set `token_realm` for this registry in images/mirror.toml
            plan: 0 to create, 0 to update, 0 unchanged, 1 not looked up
        "#]],
    );
    assert_eq!(thief.take_requests(), []);
    assert!(!(ran.stdout + &ran.stderr).contains("hunter2"));
}

#[test]
fn destinations_that_are_not_registries() {
    let image = ImageBuilder::new("x").build();
    let page = Registry::start();
    page.set_faults(|_| Some(Fault::Answer(200, "text/html", "<html>welcome</html>".into())));
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let plain = Registry::start();
    let refusing = Registry::start();
    refusing.set_faults(|_| Some(Fault::refuse(401, "UNAUTHORIZED", "who are you")));
    let cases = [
        (page.endpoint(), "this is not a container registry", "check the registry's name"),
        (format!("http://{closed}"), "connection refused", "is the registry running"),
        (
            "http://no-such-host.invalid".into(),
            "the host name can't be resolved",
            "check the spelling",
        ),
        (
            format!("https://{}", plain.host()),
            "the server does not speak TLS",
            "if that is on purpose",
        ),
        (refusing.endpoint(), ": 401\n", "check the credentials"),
    ];
    for (url, cause, help) in cases {
        let (source, good) = (Registry::start(), Registry::start());
        source.add("library/app", "1", &image);
        let project = Project::new();
        let config = format!(
            "[[destination]]\nname='bad'\nregistry='bad.example'\n[[destination]]\nname='good'\nregistry='{}'\n{}{}",
            good.host(),
            endpoint("bad.example", &url),
            endpoint("docker.io", &source.endpoint())
        );
        project.entry("app:1").write("images/mirror.toml", &config);
        let ran = project.mirror(&["apply"]).ends_with(1).run();
        let what = "error: could not look up docker.io/library/app:1 for bad";
        assert_error(&ran.stdout, what, "destination: looking up docker.io/library/app:1: ", help);
        assert!(ran.stdout.contains(cause), "no {cause:?} in\n{}", ran.stdout);
        assert!(good.holds("docker.io/library/app", &image), "the other destination goes on");
    }
}
