//! Registries that others wrote, as destination and as source, and clients that others wrote, which pull what was mirrored.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mirror_testkit::{
    Authority, ConnectProxy, DebianRegistry, Flaw, ImageBuilder, ProxyRules, push_by_skopeo,
};
use tempfile::TempDir;

use crate::mirror;
use crate::readers::{RealImage, all_pull, digest, none_pulls};
use crate::servers::{Listening, PASSWORD, Pulp};

/// A tree that mirrors `from` to `to`, with credentials for hosts in Docker's file.
fn project(from: &str, to: &str, entries: &[&str], logins: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let write = |file: &str, text: &str| {
        let path = folder.path().join(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    let config = format!(
        "[[destination]]\nname = \"prod\"\nregistry = \"{to}\"\nrepository = \"m/{{name}}\"\n[registry.\"docker.io\"]\nendpoint = \"http://{from}\"\n"
    );
    write("images/mirror.toml", &config);
    for entry in entries {
        let name = entry.split(':').next().unwrap();
        write(&format!("images/docker.io/{name}/Dockerfile"), &format!("FROM {entry}\n"));
    }
    let auths: serde_json::Map<String, serde_json::Value> = logins
        .iter()
        .map(|(host, login)| {
            ((*host).to_owned(), serde_json::json!({ "auth": STANDARD.encode(login) }))
        })
        .collect();
    write(".docker/config.json", &serde_json::json!({ "auths": auths }).to_string());
    folder
}

/// Copies, and then there is nothing to do and nothing missing.
fn applies(folder: &Path) {
    mirror(folder, &["plan", "--out", "mirror.plan"]).run();
    mirror(folder, &["apply", "mirror.plan"]).run();
    mirror(folder, &["plan", "--exit-code"]).run();
    mirror(folder, &["verify", "--deep"]).run();
}

#[test]
#[ignore = "scripts/e2e installs what it needs"]
fn what_was_mirrored_is_pulled_by_others() {
    let (source, destination) = (DebianRegistry::start(), DebianRegistry::start());
    let image = RealImage::make();
    image.push(&format!("{}/team/app:1", source.host()), None, "all");
    let tree = project(&source.host(), &destination.host(), &["team/app:1"], &[]);
    applies(tree.path());
    let there = format!("{}/m/app:1", destination.host());
    image.is_at(&there, None);
    all_pull(&there, None);
    none_pulls(&format!("{}/m/app:2", destination.host()), None);
}

/// Tokens per repository, redirects to another path, mounts that end with 404.
#[test]
#[ignore = "scripts/e2e installs what it needs"]
fn pulp_as_destination_and_as_source() {
    let pulp = Pulp::start();
    let login = format!("admin:{PASSWORD}");
    let (login, logins) = (Some(login.as_str()), [(pulp.host.as_str(), login.as_str())]);
    let upstream = DebianRegistry::start();
    let entries = ["team/app:1.0.0", "team/tool:1.0.0"];
    let images = entries.map(|entry| {
        let image = RealImage::make();
        image.push(&format!("{}/{entry}", upstream.host()), None, "all");
        image
    });
    // A signature as cosign had it before version 3.
    let signature = ImageBuilder::new("signature").build();
    let tag = format!("{}.sig", images[0].digest.replace(':', "-"));
    push_by_skopeo(&signature, &format!("{}/team/app:{tag}", upstream.host()));

    let tree = project(&upstream.host(), &pulp.host, &entries, &logins);
    applies(tree.path());
    for (image, name) in images.iter().zip(["app", "tool"]) {
        let there = format!("{}/m/{name}:1.0.0", pulp.host);
        image.is_at(&there, login);
        all_pull(&there, login);
    }
    none_pulls(&format!("{}/m/app:2", pulp.host), login);
    let there = digest(&format!("{}/m/app:{tag}", pulp.host), login);
    assert_eq!(there, signature.digest().to_string());

    // What is there moves on.
    let next = RealImage::make();
    next.push(&format!("{}/team/app:1.0.0", upstream.host()), None, "all");
    applies(tree.path());
    next.is_at(&format!("{}/m/app:1.0.0", pulp.host), login);

    // And back, with its list of tags.
    let destination = DebianRegistry::start();
    let stamped = ["RELEASE.2024-01-01T00-00-00Z", "RELEASE.2025-01-01T00-00-00Z"];
    for tag in stamped {
        images[0].push(&format!("{}/m/stamped:{tag}", pulp.host), login, "all");
    }
    let from = [format!("m/stamped:{}", stamped[0]), "m/app:1.0.0".to_owned()];
    let from: Vec<&str> = from.iter().map(String::as_str).collect();
    let tree = project(&pulp.host, &destination.host(), &from, &logins);
    applies(tree.path());
    next.is_at(&format!("{}/m/app:1.0.0", destination.host()), None);
    all_pull(&format!("{}/m/stamped:{}", destination.host(), stamped[0]), None);
    let outdated = mirror(tree.path(), &["outdated"]).run().stdout;
    assert!(outdated.contains(stamped[1]), "{outdated}");
}

/// 401 without a challenge, uploads by PATCH alone, two parts to a name, no index.
#[test]
#[ignore = "scripts/e2e installs what it needs"]
fn container_registry_as_destination_and_as_source() {
    let registry = Listening::container_registry("secret");
    let (login, logins) = (Some("any:secret"), [(registry.host.as_str(), "any:secret")]);
    let upstream = DebianRegistry::start();
    let image = RealImage::make();
    image.push(&format!("{}/team/single:1", upstream.host()), None, "one");
    image.push(&format!("{}/team/index:1", upstream.host()), None, "all");
    let tree = project(&upstream.host(), &registry.host, &["team/single:1"], &logins);
    applies(tree.path());

    // What it refuses is told, and no tag is left.
    let index = project(&upstream.host(), &registry.host, &["team/index:1"], &logins);
    let ran = mirror(index.path(), &["apply"]).ends_with(1).run();
    assert!(ran.stdout.contains("pushing manifest"), "{}", ran.stdout);
    none_pulls(&format!("{}/m/index:1", registry.host), login);
    let ran = mirror(index.path(), &["plan"]).run();
    assert!(ran.stdout.contains("1 to create"), "{}", ran.stdout);

    let destination = DebianRegistry::start();
    let tree = project(&registry.host, &destination.host(), &["m/single:1"], &logins);
    applies(tree.path());
    let strangers = project(&registry.host, &destination.host(), &["m/single:1"], &[]);
    let ran = mirror(strangers.path(), &["plan"]).ends_with(1).run();
    assert!(ran.stdout.contains("401"), "{}", ran.stdout);
}

#[test]
#[ignore = "scripts/e2e installs what it needs"]
fn tinyproxy_is_the_way_out() {
    let authority = Authority::new();
    let registry = DebianRegistry::with_tls(&authority.server(Flaw::None), None);
    let image = ImageBuilder::new("tunnel").layers(&[3_000_000]).build();
    push_by_skopeo(&image, &format!("{}/team/app:1", registry.host()));
    // Every name means this machine to it.
    let parent = ConnectProxy::start(ProxyRules::default());
    let proxy = Listening::tinyproxy("me", "secret", "refused", &parent.host());
    let destination = DebianRegistry::start();
    let tree = project("unused", &destination.host(), &["team/app:1"], &[]);
    let configure = |name: &str| {
        let config = format!(
            "[[destination]]\nname = \"prod\"\nregistry = \"{}\"\n[registry.\"docker.io\"]\nendpoint = \"https://{name}:{}\"\nca = \"{}\"\n",
            destination.host(),
            registry.port(),
            authority.certificate().display()
        );
        std::fs::write(tree.path().join("images/mirror.toml"), config).unwrap();
    };
    let apply = |login: &str| {
        mirror(tree.path(), &["apply"])
            .env("HTTPS_PROXY", &format!("http://{login}@{}", proxy.host))
    };
    configure("registry.test");
    for (login, why) in [("me:wrong", "401"), ("you:secret", "401")] {
        let ran = apply(login).ends_with(1).run();
        assert!(ran.stdout.contains("the proxy") && ran.stdout.contains(why), "{}", ran.stdout);
        assert!(!ran.stdout.contains("secret"), "{}", ran.stdout);
    }
    configure("refused.test");
    let ran = apply("me:secret").ends_with(1).run();
    assert!(ran.stdout.contains("refuses the connection (403)"), "{}", ran.stdout);
    assert_eq!(parent.take_asked(), []);
    configure("registry.test");
    apply("me:secret").run();
    let asked = parent.take_asked();
    assert!(!asked.is_empty() && asked.iter().all(|one| one.method == "CONNECT"), "{asked:?}");
    mirror(tree.path(), &["verify", "--deep"]).run();
}
