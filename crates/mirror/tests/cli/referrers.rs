//! Referrers and signatures travel with their images.

use bytes::Bytes;
use expect_test::expect;
use mirror_oci::{Digest, media_type};
use mirror_testkit::{DebianRegistry, Fault, Image, ImageBuilder, Profile, Registry, missing_tool};

use crate::{Pair, Project};

/// An SBOM about `subject`, with a blob of its own; the digest of its manifest.
pub(crate) fn attach(
    registry: &Registry,
    repository: &str,
    subject: &Digest,
    size: usize,
) -> Image {
    let mut image = ImageBuilder::new(format!("about {subject}")).layers(&[20]).build();
    let own = image.manifests.remove(0);
    let text = String::from_utf8(own.bytes.to_vec()).unwrap();
    let about = format!(
        "\"subject\":{{\"mediaType\":\"{}\",\"digest\":\"{subject}\",\"size\":{size}}},\n \"config\"",
        media_type::OCI_INDEX
    );
    let bytes = Bytes::from(text.replacen("\"config\"", &about, 1));
    let digest = Digest::of(mirror_oci::Algorithm::Sha256, &bytes);
    image.manifests.push(mirror_testkit::StoredManifest {
        digest,
        media_type: own.media_type,
        bytes,
    });
    registry.add(repository, "attached", &image);
    image
}

pub(crate) fn cosign(subject: &Digest, suffix: &str) -> String {
    format!("sha256-{}.{suffix}", subject.hex())
}

#[test]
fn they_come_before_the_tag_and_from_index_and_children() {
    let image = ImageBuilder::new("signed").platforms(&["linux/amd64", "linux/arm64"]).build();
    let pair = Pair::new(&[("library/app", "1", &image)]);
    let sbom = attach(&pair.source, "library/app", image.digest(), image.manifests[2].bytes.len());
    let child = &image.manifests[0].digest;
    let of_child = attach(&pair.source, "library/app", child, image.manifests[0].bytes.len());
    let signature = ImageBuilder::new("signature").layers(&[5]).build();
    pair.source.add("library/app", &cosign(image.digest(), "sig"), &signature);
    let ran = pair.project.mirror(&["apply"]).run();
    crate::reads(
        &ran.stdout,
        expect![[r#"
        applied: 1 copied, 0 unchanged; 6.0 KiB fetched, 6.0 KiB pushed; N.N s
    "#]],
    );
    for referrer in [&image, &sbom, &of_child, &signature] {
        assert!(pair.destination.holds("docker.io/library/app", referrer));
    }
    let tags = pair.destination.tags();
    assert_eq!(
        tags,
        [
            "docker.io/library/app:1".to_owned(),
            format!("docker.io/library/app:{}", cosign(image.digest(), "sig"))
        ]
    );
    let puts: Vec<_> = pair
        .destination
        .take_requests()
        .into_iter()
        .filter(|r| r.method == "PUT" && r.path.contains("/manifests/"))
        .map(|r| r.path)
        .collect();
    let place = |end: &str| puts.iter().position(|path| path.ends_with(end)).unwrap();
    assert!(
        place(image.digest().as_str()) < place(sbom.digest().as_str()),
        "the root by digest comes before what is about it"
    );
    assert_eq!(place("/manifests/1"), puts.len() - 1, "the tag comes last: {puts:#?}");
}

#[test]
fn late_signatures_are_brought_by_refreshing() {
    let image = ImageBuilder::new("late").build();
    let pair = Pair::new(&[("library/app", "1", &image)]);
    pair.project.mirror(&["apply"]).run();
    let sbom = attach(&pair.source, "library/app", image.digest(), image.manifests[0].bytes.len());
    pair.source.take_requests();
    pair.project.mirror(&["apply"]).run();
    assert_eq!(
        pair.source.take_requests().len(),
        1,
        "an unchanged image is not asked about its signatures"
    );
    assert!(!pair.destination.holds("docker.io/library/app", &sbom));
    let ran = pair.project.mirror(&["apply", "--refresh-referrers"]).run();
    assert!(pair.destination.holds("docker.io/library/app", &sbom));
    crate::reads(
        &ran.stdout,
        expect![[r#"
        applied: 0 copied, 1 unchanged, 1 refreshed; 326 B fetched, 326 B pushed; N.N s
    "#]],
    );
}

#[test]
fn the_setting_turns_them_off_or_makes_them_a_must() {
    let image = ImageBuilder::new("x").build();
    for setting in ["off", "copy", "require"] {
        let pair = Pair::new(&[("library/app", "1", &image)]);
        let sbom =
            attach(&pair.source, "library/app", image.digest(), image.manifests[0].bytes.len());
        let refused = sbom.digest().to_string();
        pair.destination.set_faults(move |exchange| {
            (exchange.method == "PUT" && exchange.path.ends_with(&refused))
                .then(|| Fault::refuse(405, "UNSUPPORTED", "no subject"))
        });
        let config =
            std::fs::read_to_string(pair.project.path().join("images/mirror.toml")).unwrap();
        pair.project.write(
            "images/mirror.toml",
            &(config + &format!("[copy]\nreferrers = \"{setting}\"\n")),
        );
        let ran = pair.project.mirror(&["apply"]).ends_with(i32::from(setting == "require")).run();
        let lookups =
            pair.source.take_requests().iter().filter(|r| crate::looks_for_referrers(r)).count();
        assert_eq!(lookups == 0, setting == "off");
        let warned = ran.stdout.contains("warning: docker.io/library/app:1 at prod is without some of its signatures\n  caused by: destination: pushing manifest sha256:");
        assert_eq!(warned, setting == "copy", "{}", ran.stdout);
        assert!(
            ran.stdout.matches("caused by").count() <= 1,
            "one refusal, one message:\n{}",
            ran.stdout
        );
        assert_eq!(
            pair.destination.tags().len(),
            usize::from(setting != "require"),
            "{}",
            ran.stdout
        );
    }
}

#[test]
fn registries_without_a_list_of_referrers() {
    if missing_tool("docker-registry") {
        return;
    }
    let image = ImageBuilder::new("fallback").platforms(&["linux/amd64"]).build();
    let source = Registry::start();
    source.add("library/app", "1", &image);
    let sbom = attach(&source, "library/app", image.digest(), image.manifests[1].bytes.len());
    // From a registry with a list to one without: the list goes under a tag.
    let first = DebianRegistry::start();
    let project = Project::new();
    project.config(&source.host(), &first.host()).entry("app:1");
    project.mirror(&["apply"]).run();
    // From there on to the next, which has a list, by the tag.
    let second = Registry::with(Profile { referrers: false, ..Profile::default() });
    let onward = Project::new();
    let config = format!(
        "[[destination]]\nname='p'\nregistry='{}'\nrepository='{{repository}}'\n[registry.'mirror.example']\nendpoint='http://{}'\n",
        second.host(),
        first.host()
    );
    onward.entry("mirror.example/docker.io/library/app:1").write("images/mirror.toml", &config);
    let ran = onward.mirror(&["apply"]).run();
    crate::reads(
        &ran.stdout,
        expect![[r#"
        applied: 1 copied, 0 unchanged; 2.9 KiB fetched, 2.9 KiB pushed; N.N s
    "#]],
    );
    assert!(
        second.holds("docker.io/library/app", &image)
            && second.holds("docker.io/library/app", &sbom)
    );
    let tag = format!("sha256-{}", image.digest().hex());
    let index = second.manifest("docker.io/library/app", &tag).unwrap();
    assert!(String::from_utf8_lossy(&index.bytes).contains(sbom.digest().as_str()));
}

#[test]
fn a_destination_that_lies_about_a_blob_gets_it_once_more() {
    let image = ImageBuilder::new("lied").layers(&[500, 700]).build();
    let pair = Pair::new(&[("library/app", "1", &image)]);
    // The first look says that everything is there already.
    let counter = std::sync::atomic::AtomicUsize::new(0);
    pair.destination.set_faults(move |exchange| {
        let first = exchange.method == "POST"
            && counter.fetch_add(1, std::sync::atomic::Ordering::Relaxed) < 3;
        first.then(|| Fault::Answer(201, "text/plain", String::new()))
    });
    pair.project.mirror(&["apply"]).run();
    assert!(pair.destination.holds("docker.io/library/app", &image));
}

#[test]
fn a_refused_referrer_is_not_listed() {
    let image = ImageBuilder::new("unlisted").build();
    let source = Registry::start();
    let destination = Registry::with(Profile { referrers: false, ..Profile::default() });
    source.add("library/app", "1", &image);
    let sbom = attach(&source, "library/app", image.digest(), image.manifests[0].bytes.len());
    let refused = sbom.digest().to_string();
    destination.set_faults(move |exchange| {
        let hit = exchange.method == "PUT" && exchange.path.ends_with(&refused);
        hit.then(|| Fault::refuse(405, "UNSUPPORTED", "no subject"))
    });
    let project = Project::new();
    project.config(&source.host(), &destination.host()).entry("app:1");
    let ran = project.mirror(&["apply"]).run();
    assert_eq!(ran.stdout.matches("caused by").count(), 1, "{}", ran.stdout);
    assert_eq!(destination.tags(), ["docker.io/library/app:1"], "no list of what isn't there");
}

#[test]
fn one_that_is_missing_does_not_hide_the_others() {
    let image = ImageBuilder::new("dangling").build();
    let pair = Pair::new(&[("library/app", "1", &image)]);
    let size = image.manifests[0].bytes.len();
    let lost = attach(&pair.source, "library/app", image.digest(), size);
    let signature = ImageBuilder::new("signature").layers(&[5]).build();
    pair.source.add("library/app", &cosign(image.digest(), "sig"), &signature);
    let gone = format!("/manifests/{}", lost.digest());
    pair.source.set_faults(move |exchange| {
        exchange.path.ends_with(&gone).then(|| Fault::refuse(404, "MANIFEST_UNKNOWN", ""))
    });
    let ran = pair.project.mirror(&["apply"]).run();
    crate::reads(
        &ran.stdout,
        expect![[r#"
        warning: docker.io/library/app:1 at prod is without some of its signatures
          caused by: source: reading manifest sha256:d58d2178fde8 of library/app: GET http://127.0.0.1:PORT/v2/library/app/manifests/sha256:d58d2178fde8a4379ef086dfc25c5f78958952aaaa5f0482633f39d37703292f: 404 MANIFEST_UNKNOWN
        applied: 1 copied, 0 unchanged, 1 without some of their signatures; 2.8 KiB fetched, 2.8 KiB pushed; N.N s
    "#]],
    );
    assert!(pair.destination.holds("docker.io/library/app", &signature));
    assert_eq!(pair.destination.tags().len(), 2, "{:?}", pair.destination.tags());
}

#[test]
fn referrers_that_the_destination_has_of_its_own_stay_listed() {
    let without = || Registry::with(Profile { referrers: false, ..Profile::default() });
    let (source, destination, project) = (without(), without(), Project::new());
    let image = ImageBuilder::new("both").build();
    let theirs = ImageBuilder::new("theirs").build();
    destination.add("docker.io/library/app", "theirs", &theirs);
    source.add("library/app", "1", &image);
    project.entry("app:1").config(&source.host(), &destination.host());
    let size = image.manifests[0].bytes.len();
    let sbom = attach(&source, "library/app", image.digest(), size);
    let tag = format!("sha256-{}", image.digest().hex());
    let index = |digest: &Digest| {
        let entry = format!(
            r#"{{"mediaType":"{}","digest":"{digest}","size":10}}"#,
            media_type::OCI_MANIFEST
        );
        Bytes::from(format!(
            r#"{{"schemaVersion":2,"mediaType":"{}","manifests":[{entry}]}}"#,
            media_type::OCI_INDEX
        ))
    };
    source.add_manifest("library/app", &tag, media_type::OCI_INDEX, index(sbom.digest()));
    let repository = "docker.io/library/app";
    destination.add_manifest(repository, &tag, media_type::OCI_INDEX, index(theirs.digest()));
    let ran = project.mirror(&["apply"]).run();
    crate::reads(
        &ran.stdout,
        expect![[r#"
        applied: 1 copied, 0 unchanged; 2.9 KiB fetched, 2.9 KiB pushed; N.N s
    "#]],
    );
    let listed = destination.manifest(repository, &tag).unwrap();
    let text = String::from_utf8(listed.bytes.to_vec()).unwrap();
    assert!(
        text.contains(theirs.digest().as_str()) && text.contains(sbom.digest().as_str()),
        "{text}"
    );
}

#[test]
fn they_can_be_found_in_a_layout() {
    let image = ImageBuilder::new("laid").build();
    let source = Registry::start();
    source.add("library/app", "1", &image);
    let size = image.manifests[0].bytes.len();
    let sbom = attach(&source, "library/app", image.digest(), size);
    let project = Project::new();
    let config = format!("[registry.\"docker.io\"]\nendpoint = \"{}\"\n", source.endpoint());
    project.entry("app:1").write("images/mirror.toml", &config);
    let ran = project.mirror(&["apply"]).run();
    crate::reads(
        &ran.stdout,
        expect![[r#"
        applied: 1 copied, 0 unchanged; 2.9 KiB fetched, 2.9 KiB pushed; N.N s
    "#]],
    );
    let store = project.path().join("mirror-store");
    let index = std::fs::read_to_string(store.join("index.json")).unwrap();
    let name = format!("docker.io/library/app:sha256-{}", image.digest().hex());
    assert!(index.contains(&name), "{index}");
    assert!(store.join("blobs/sha256").join(sbom.digest().hex()).exists());
    let again = project.mirror(&["apply"]).run();
    crate::reads(
        &again.stdout,
        expect![[r#"
        applied: 0 copied, 1 unchanged; 0 B fetched, 0 B pushed; N.N s
    "#]],
    );
}
