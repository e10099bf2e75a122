//! Trust: authorities and certificates of our own for single registries, and what a handshake fails for.

use std::path::Path;
use std::time::{Duration, Instant};

use mirror_testkit::{
    Authority, DebianRegistry, Flaw, ImageBuilder, KeyPair, Mirror, missing_tool, push_by_skopeo,
    push_by_skopeo_with,
};

use crate::Project;

fn missing() -> bool {
    missing_tool("docker-registry") || missing_tool("openssl") || missing_tool("skopeo")
}

/// A project whose source speaks TLS; what is configured for that is `settings`.
fn project(registry: &DebianRegistry, settings: &str) -> Project {
    let project = Project::new();
    let config =
        format!("[registry.\"r.example\"]\nendpoint = \"https://{}\"\n{settings}", registry.host());
    project.write("images/mirror.toml", &config).entry("r.example/app:1");
    project
}

fn setting(name: &str, file: &Path) -> String {
    format!("{name} = \"{}\"\n", file.display())
}

/// A registry with one image.
fn filled(own: &KeyPair) -> DebianRegistry {
    let registry = DebianRegistry::with_tls(own, None);
    let image = ImageBuilder::new("app").build();
    push_by_skopeo(&image, &format!("{}/app:1", registry.host()));
    registry
}

fn copies(mirror: Mirror) {
    let ran = mirror.run();
    assert!(ran.stdout.contains("1 copied"), "{}", ran.stdout);
}

#[test]
fn an_authority_for_one_registry() {
    if missing() {
        return;
    }
    let authority = Authority::new();
    let registry = filled(&authority.server(Flaw::None));
    // As the configuration says, absolute or relative to the folder that holds the tree.
    copies(project(&registry, &setting("ca", &authority.certificate())).mirror(&["apply"]));
    let relative = project(&registry, "ca = \"certificates/ca.pem\"\n");
    let pem = std::fs::read_to_string(authority.certificate()).unwrap();
    copies(relative.write("certificates/ca.pem", &pem).mirror(&["apply"]));
    // Where Docker and podman keep them.
    for folder in [".docker", ".config/docker", ".config/containers"] {
        let project = project(&registry, "");
        let file = format!("{folder}/certs.d/{}/ca.crt", registry.host());
        copies(project.write(&file, &pem).mirror(&["apply"]));
    }
    // For another port it says nothing.
    let other = project(&registry, "");
    other.write(".docker/certs.d/127.0.0.1:1/ca.crt", &pem).mirror(&["apply"]).ends_with(1).run();
}

#[test]
fn a_certificate_of_our_own() {
    if missing() {
        return;
    }
    let authority = Authority::new();
    let (server, client) = (authority.server(Flaw::None), authority.client());
    let registry = DebianRegistry::with_tls(&server, Some(&authority.certificate()));
    let image = ImageBuilder::new("app").build();
    let folder = tempfile::tempdir().unwrap();
    std::fs::copy(&client.certificate, folder.path().join("client.cert")).unwrap();
    std::fs::copy(&client.key, folder.path().join("client.key")).unwrap();
    let with = format!("--dest-cert-dir={}", folder.path().display());
    push_by_skopeo_with(&image, &format!("{}/app:1", registry.host()), &[&with]);
    let ca = setting("ca", &authority.certificate());
    // Certificate and key in one file, in two, and where Docker keeps them.
    let read = |file: &Path| std::fs::read_to_string(file).unwrap();
    let both = folder.path().join("both.pem");
    std::fs::write(&both, read(&client.key) + &read(&client.certificate)).unwrap();
    let one = ca.clone() + &setting("client_certificate", &both);
    let two = ca.clone()
        + &setting("client_certificate", &client.certificate)
        + &setting("client_key", &client.key);
    for settings in [one, two] {
        copies(project(&registry, &settings).mirror(&["apply"]));
    }
    let kept = project(&registry, "");
    let place = format!(".docker/certs.d/{}", registry.host());
    kept.write(&format!("{place}/ca.crt"), &read(&authority.certificate()));
    kept.write(&format!("{place}/client.cert"), &read(&client.certificate));
    kept.write(&format!("{place}/client.key"), &read(&client.key));
    copies(kept.mirror(&["apply"]));

    let without = project(&registry, &ca).mirror(&["apply"]).ends_with(1).run();
    let help = "help: the server wants another certificate of ours: name one as `client_certificate` of this registry in images/mirror.toml, or put it into /etc/docker/certs.d\n";
    assert!(without.stdout.contains(help), "{}", without.stdout);
    let lost = ca + &setting("client_certificate", &client.certificate);
    let lost = project(&registry, &lost).mirror(&["apply"]).ends_with(1).run();
    let told = "can't be used: there is no private key in PEM in it\n  help: fix that file, or what names it\n";
    assert!(lost.stdout.contains(told), "{}", lost.stdout);
}

#[test]
fn what_a_handshake_fails_for_has_its_own_help_and_is_final() {
    if missing() {
        return;
    }
    let authority = Authority::new();
    for (flaw, trusted, help) in [
        (
            Flaw::None,
            false,
            "help: if an authority of your own has signed it, name its certificate as `ca` of this registry",
        ),
        (Flaw::Expired, true, "help: the certificate of the server has expired: tell its operator"),
        (
            Flaw::Early,
            true,
            "help: the certificate of the server is not valid yet: check the clock",
        ),
        (Flaw::OtherName, true, "help: the certificate of the server is for another name"),
        (
            Flaw::AuthorityItself,
            true,
            "help: the server shows a certificate that is made for an authority",
        ),
    ] {
        let own = authority.server(flaw);
        let registry = DebianRegistry::with_tls(&own, None);
        let ca =
            if flaw == Flaw::AuthorityItself { own.certificate } else { authority.certificate() };
        let settings = if trusted { setting("ca", &ca) } else { String::new() };
        let began = Instant::now();
        let ran = project(&registry, &settings).mirror(&["plan"]).ends_with(1).run();
        assert!(ran.stdout.contains(help), "{flaw:?}: {}", ran.stdout);
        assert!(!ran.stdout.contains("attempts"), "{flaw:?}: {}", ran.stdout);
        assert!(began.elapsed() < Duration::from_secs(3), "{flaw:?}: {:?}", began.elapsed());
    }
}

#[test]
fn a_store_that_cannot_be_used_is_named_and_only_where_it_is_needed() {
    if missing() {
        return;
    }
    let authority = Authority::new();
    let registry = filled(&authority.server(Flaw::None));
    let empty = Project::new();
    empty.write("empty.pem", "");
    for file in ["/no/such/file.pem", empty.path().join("empty.pem").to_str().unwrap()] {
        let none = project(&registry, "");
        let mirror = none.mirror(&["plan"]).env("SSL_CERT_FILE", file);
        let ran = mirror.env("SSL_CERT_DIR", "/no/such/folder").ends_with(1).run();
        assert!(ran.stdout.contains("SSL_CERT_FILE"), "{}", ran.stdout);
        let told = "can't be used: SSL_CERT_DIR names /no/such/folder, which does not exist";
        let told = told.replace(
            "used: ",
            if file.starts_with("/no") {
                "used: SSL_CERT_FILE names /no/such/file.pem, which does not exist; "
            } else {
                "used: "
            },
        );
        assert!(ran.stdout.contains(&told), "{}", ran.stdout);
        let unset = none.mirror(&["plan"]).env("SSL_CERT_FILE", "").ends_with(1).run();
        let told = "can't be used: SSL_CERT_FILE is set, to nothing: unset it";
        assert!(unset.stdout.contains(told), "{}", unset.stdout);
        // An authority of its own needs no store.
        let own = project(&registry, &setting("ca", &authority.certificate()));
        copies(own.mirror(&["apply"]).env("SSL_CERT_FILE", file).env("SSL_CERT_DIR", "/no/such"));
        // Plain HTTP needs none.
        let pair = crate::Pair::new(&[("library/app", "1", &ImageBuilder::new("x").build())]);
        pair.project.mirror(&["apply"]).env("SSL_CERT_FILE", file).run();
    }
}
