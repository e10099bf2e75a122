//! Debian's registry as source and destination, skopeo and oci-client as independent readers.

use std::process::Command;

use expect_test::expect;
use mirror_testkit::{DebianRegistry, Image, ImageBuilder, Registry, missing_tool};

use crate::Project;

fn any_missing() -> bool {
    ["docker-registry", "skopeo", "htpasswd"].into_iter().any(missing_tool)
}

/// What skopeo reads, hashed.
fn skopeo_digest(reference: &str, login: &[&str]) -> String {
    let output = Command::new("skopeo")
        .args(["inspect", "--raw", "--tls-verify=false"])
        .args(login)
        .arg(format!("docker://{reference}"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    mirror_oci::Digest::of(mirror_oci::Algorithm::Sha256, &output.stdout).to_string()
}

/// What oci-client reads: manifests by digest, and every blob.
async fn oci_client_reads(
    host: &str,
    repository: &str,
    image: &Image,
    login: Option<(&str, &str)>,
) {
    mirror_registry::World::real(); // installs the TLS provider that oci-client leaves to us
    let config = oci_client::client::ClientConfig {
        protocol: oci_client::client::ClientProtocol::Http,
        ..Default::default()
    };
    let client = oci_client::Client::new(config);
    let auth = login.map_or(oci_client::secrets::RegistryAuth::Anonymous, |(user, password)| {
        oci_client::secrets::RegistryAuth::Basic(user.into(), password.into())
    });
    let types = [
        mirror_oci::media_type::OCI_INDEX,
        mirror_oci::media_type::OCI_MANIFEST,
        mirror_oci::media_type::DOCKER_LIST,
        mirror_oci::media_type::DOCKER_MANIFEST,
    ];
    for manifest in &image.manifests {
        let reference: oci_client::Reference =
            format!("{host}/{repository}@{}", manifest.digest).parse().unwrap();
        let (bytes, digest) = client.pull_manifest_raw(&reference, &auth, &types).await.unwrap();
        assert_eq!((bytes, digest.as_str()), (manifest.bytes.clone(), manifest.digest.as_str()));
    }
    let reference: oci_client::Reference = format!("{host}/{repository}:1").parse().unwrap();
    for (digest, expected) in &image.blobs {
        let mut bytes = Vec::new();
        client.pull_blob(&reference, digest.as_str(), &mut bytes).await.unwrap();
        assert_eq!(bytes, **expected);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_mirrored_reads_back_the_same() {
    if any_missing() {
        return;
    }
    let images = [
        (
            "library/index",
            ImageBuilder::new("a")
                .platforms(&["linux/amd64", "linux/arm64/v8"])
                .layers(&[1000, 1_400_000])
                .build(),
        ),
        (
            "library/list",
            ImageBuilder::new("b").platforms(&["linux/amd64", "linux/arm64"]).docker().build(),
        ),
        ("team/single", ImageBuilder::new("c").build()),
        ("team/docker", ImageBuilder::new("d").docker().build()),
    ];
    let source = Registry::start();
    images.iter().for_each(|(repository, image)| source.add(repository, "1", image));
    for login in [None, Some(("me", "secret"))] {
        let destination = login.map_or_else(DebianRegistry::start, |(user, password)| {
            DebianRegistry::with_password(user, password)
        });
        let project = Project::new();
        project.config(&source.host(), &destination.host());
        for (repository, _) in &images {
            project.entry(&format!("{repository}:1"));
        }
        let variable = format!("MIRROR_AUTH_{}", destination.host().replace(['.', ':'], "_"));
        let run =
            |command: &str| project.mirror(&[command]).env(&variable, "me:secret").run().stdout;
        assert!(run("plan").contains("plan: 4 to create"));
        assert!(run("apply").starts_with("applied: 4 copied, 0 unchanged"));
        assert!(run("plan").contains("plan: 0 to create, 0 to update, 4 unchanged"));
        let creds: &[&str] = if login.is_some() { &["--creds", "me:secret"] } else { &[] };
        for (repository, image) in &images {
            let name = format!("{}/docker.io/{repository}", destination.host());
            assert_eq!(skopeo_digest(&format!("{name}:1"), creds), image.digest().as_str());
            for manifest in &image.manifests {
                assert_eq!(
                    skopeo_digest(&format!("{name}@{}", manifest.digest), creds),
                    manifest.digest.as_str()
                );
            }
            oci_client_reads(&destination.host(), &format!("docker.io/{repository}"), image, login)
                .await;
        }
    }
}

#[test]
fn two_hundred_images_into_a_real_registry() {
    if any_missing() {
        return;
    }
    let (source, destination) = (Registry::start(), DebianRegistry::start());
    let project = Project::new();
    project.config(&source.host(), &destination.host());
    let image = |n: usize| {
        let builder = ImageBuilder::new(format!("image {n}"))
            .layers(&[2000 + n, 30_000])
            .shared_layer("base", 50_000);
        let builder = if n.is_multiple_of(3) { builder.docker() } else { builder };
        if n.is_multiple_of(2) {
            builder.platforms(&["linux/amd64", "linux/arm64"]).build()
        } else {
            builder.build()
        }
    };
    let images: Vec<(String, Image)> =
        (0..200).map(|n| (format!("team{}/app{n}", n % 7), image(n))).collect();
    for (repository, image) in &images {
        source.add(repository, "1", image);
        project.entry(&format!("{repository}:1"));
    }
    let ran = project.mirror(&["apply"]).run();
    crate::reads(
        &ran.stdout,
        expect![[r#"
        applied: 200 copied, 0 unchanged; 9.3 MiB fetched, 9.3 MiB pushed, 199 blobs reused; N.N s
    "#]],
    );
    assert!(
        project
            .mirror(&["plan"])
            .run()
            .stdout
            .contains("plan: 0 to create, 0 to update, 200 unchanged")
    );
    for (repository, image) in &images {
        let name = format!("{}/docker.io/{repository}", destination.host());
        assert_eq!(
            skopeo_digest(&format!("{name}:1"), &[]),
            image.digest().as_str(),
            "{repository}"
        );
        for child in image.manifests.iter().filter(|manifest| manifest.digest != *image.digest()) {
            assert_eq!(
                skopeo_digest(&format!("{name}@{}", child.digest), &[]),
                child.digest.as_str()
            );
        }
    }
}
