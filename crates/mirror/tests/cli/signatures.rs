//! Signatures at odd registries, and signatures that the company has made itself.

use bytes::Bytes;
use expect_test::expect;
use mirror_oci::{Digest, media_type};
use mirror_plan::report::{Report, WarningKind};
use mirror_testkit::{Fault, Image, ImageBuilder, Profile, Registry, StoredManifest};

use crate::referrers::{attach, cosign};
use crate::{Pair, Project};

const APP: &str = "docker.io/library/app";

/// A signature as cosign makes it: a manifest with a layer for each of these payloads.
fn signature(payloads: &[&str]) -> Image {
    let blob = |text: &str| {
        let bytes = Bytes::from(text.to_owned());
        (Digest::of(mirror_oci::Algorithm::Sha256, &bytes), bytes)
    };
    let config = blob("{}");
    let layers: Vec<_> = payloads.iter().map(|payload| blob(payload)).collect();
    let listed: Vec<String> = layers
        .iter()
        .map(|(digest, bytes)| {
            format!(
                r#"{{"mediaType":"application/vnd.dev.cosign.simplesigning.v1+json","digest":"{digest}","size":{},"annotations":{{"dev.cosignproject.cosign/signature":"{digest}"}}}}"#,
                bytes.len()
            )
        })
        .collect();
    let text = format!(
        r#"{{"schemaVersion":2,"mediaType":"{}","config":{{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"{}","size":2}},"layers":[{}]}}"#,
        media_type::OCI_MANIFEST,
        config.0,
        listed.join(",")
    );
    let bytes = Bytes::from(text);
    let digest = Digest::of(mirror_oci::Algorithm::Sha256, &bytes);
    let manifest =
        StoredManifest { digest, media_type: media_type::OCI_MANIFEST.to_owned(), bytes };
    Image { blobs: layers.into_iter().chain([config]).collect(), manifests: vec![manifest] }
}

fn digest_at(registry: &Registry, repository: &str, tag: &str) -> Digest {
    registry.manifest(repository, tag).unwrap().digest
}

fn report(json: &str) -> Report {
    serde_json::from_str(json).unwrap()
}

#[test]
fn what_the_company_has_signed_stays_signed() {
    let image = ImageBuilder::new("signed").build();
    let pair = Pair::new(&[("library/app", "1", &image)]);
    let tag = cosign(image.digest(), "sig");
    pair.source.add("library/app", &tag, &signature(&["upstream"]));
    pair.project.mirror(&["apply"]).run();
    // The company signs what it has mirrored: cosign adds a layer.
    let own = signature(&["upstream", "company"]);
    pair.destination.add(APP, &tag, &own);
    // Another tag of the same digest.
    pair.source.add("library/app", "1.0", &image);
    pair.project.entry("library/app:1.0");
    let ran = pair.project.mirror(&["apply"]).run();
    crate::reads(
        &ran.stdout,
        expect![[r#"
        warning: docker.io/library/app:1.0 at prod has other signatures than its source, which stay
          sha256-19f5e7e8b351e70d31b4a49fc8d8b4ae95cb94a1a95f70578c8b87af830a7970.sig
        applied: 1 copied, 1 unchanged; 0 B fetched, 0 B pushed, 3 blobs reused; N.N s
    "#]],
    );
    assert_eq!(digest_at(&pair.destination, APP, &tag), *own.digest());
    let ran = pair.project.mirror(&["apply", "--refresh-referrers", "--format", "json"]).run();
    assert_eq!(digest_at(&pair.destination, APP, &tag), *own.digest());
    let report = report(&ran.stdout);
    let kinds = report.outcomes.iter().flat_map(|outcome| &outcome.warnings);
    assert!(kinds.into_iter().all(|warning| warning.kind == WarningKind::SignatureKept));
    assert_eq!((report.totals.refreshed, report.totals.signatures_missing), (2, 0));
}

#[test]
fn a_signature_that_upstream_has_added_is_brought() {
    let image = ImageBuilder::new("grown").build();
    let pair = Pair::new(&[("library/app", "1", &image)]);
    let tag = cosign(image.digest(), "sig");
    pair.source.add("library/app", &tag, &signature(&["first"]));
    pair.project.mirror(&["apply"]).run();
    let grown = signature(&["first", "second"]);
    pair.source.add("library/app", &tag, &grown);
    let ran = pair.project.mirror(&["apply", "--refresh-referrers"]).run();
    crate::reads(
        &ran.stdout,
        expect![[r#"
        applied: 0 copied, 1 unchanged, 1 refreshed; 6 B fetched, 6 B pushed, 2 blobs reused; N.N s
    "#]],
    );
    assert_eq!(digest_at(&pair.destination, APP, &tag), *grown.digest());
    // The same once more: not a byte and not a manifest is written.
    pair.destination.take_requests();
    pair.project.mirror(&["apply", "--refresh-referrers"]).run();
    let written = pair.destination.take_requests().iter().filter(|r| r.method != "HEAD").count();
    assert_eq!(written, 0);
}

#[test]
fn what_is_gone_of_a_signature_is_missed_and_put_back() {
    let image = ImageBuilder::new("signed").build();
    let pair = Pair::new(&[("library/app", "1", &image)]);
    let tag = cosign(image.digest(), "sig");
    let signature = signature(&["upstream"]);
    pair.source.add("library/app", &tag, &signature);
    let size = image.manifests[0].bytes.len();
    let referrer = attach(&pair.source, "library/app", image.digest(), size);
    pair.project.mirror(&["apply"]).run();
    pair.project.mirror(&["verify", "--deep"]).run();
    for digest in [signature.digest(), referrer.digest()] {
        pair.destination.lose(APP, digest);
    }
    // The source is not asked.
    pair.source.take_requests();
    let ran = pair.project.mirror(&["verify"]).ends_with(1).run();
    crate::reads(
        &ran.stdout,
        expect![[r#"
        missing: docker.io/library/app:1 at prod: signature sha256-19f5e7e8b351e70d31b4a49fc8d8b4ae95cb94a1a95f70578c8b87af830a7970.sig is missing (sha256:dd5f2dd235cde9d4b9f922b14e673121f3b78c872492a6c9c020362ef4d18ad6)
        missing: docker.io/library/app:1 at prod: manifest is missing (sha256:4ee03cecbd4a84b6a4e488b62274b6b199c2fb6ef1aae1876b58bfcf9d53f77b)
        verified: 0 of 1 image whole; 2 defects
          help: `mirror apply --repair` puts back what is missing
    "#]],
    );
    assert!(pair.source.take_requests().is_empty());
    let ran = pair.project.mirror(&["apply", "--repair"]).run();
    crate::reads(
        &ran.stdout,
        expect![[r#"
        applied: 1 copied, 0 unchanged; 0 B fetched, 0 B pushed, 7 blobs reused; N.N s
    "#]],
    );
    pair.project.mirror(&["verify", "--deep"]).run();
    assert_eq!(digest_at(&pair.destination, APP, &tag), *signature.digest());
    // What the company signs itself takes the place of ours, and ours may be cleaned up.
    let own = self::signature(&["upstream", "company"]);
    pair.destination.add(APP, &tag, &own);
    pair.destination.lose(APP, signature.digest());
    pair.project.mirror(&["verify"]).run();
    // An image that moves on takes what belonged to it along.
    let next = ImageBuilder::new("next").build();
    pair.source.add("library/app", "1", &next);
    pair.project.mirror(&["apply"]).run();
    pair.project.mirror(&["verify"]).run();
    let known = pair.project.path().join(".cache/mirror-spool/remembered/images.json");
    assert!(!known.exists(), "{}", std::fs::read_to_string(known).unwrap());
}

#[test]
fn what_a_layout_has_under_the_tag_of_a_signature_stays_too() {
    let image = ImageBuilder::new("laid").build();
    let pair = Pair::new(&[("library/app", "1", &image)]);
    let tag = cosign(image.digest(), "sig");
    pair.source.add("library/app", &tag, &signature(&["first"]));
    let config = format!("[registry.\"docker.io\"]\nendpoint = \"{}\"\n", pair.source.endpoint());
    pair.project.write("images/mirror.toml", &config);
    pair.project.mirror(&["apply"]).run();
    pair.source.add("library/app", &tag, &signature(&["another"]));
    let ran = pair.project.mirror(&["apply", "--refresh-referrers"]).run();
    crate::reads(
        &ran.stdout,
        expect![[r#"
        warning: docker.io/library/app:1 at mirror-store has other signatures than its source, which stay
          sha256-900844613b29af27e28db18456fcad6da08cdcefcba79a9341a060c96b9c5f5d.sig
        applied: 0 copied, 1 unchanged, 1 refreshed; 0 B fetched, 0 B pushed; N.N s
    "#]],
    );
    let index = std::fs::read_to_string(pair.project.path().join("mirror-store/index.json"));
    assert!(index.unwrap().contains(signature(&["first"]).digest().as_str()));
}

#[test]
fn one_repository_without_a_list_says_nothing_of_the_others() {
    for (first, second) in [("a-plain/app", "b-signed/app"), ("team/a-plain", "team/b-signed")] {
        let image = ImageBuilder::new("mixed").build();
        let pair = Pair::new(&[(first, "1", &image), (second, "1", &image)]);
        let size = image.manifests[0].bytes.len();
        let sbom = attach(&pair.source, second, image.digest(), size);
        pair.source.set_faults(move |exchange| {
            exchange
                .path
                .starts_with(&format!("/v2/{first}/referrers/"))
                .then(|| Fault::refuse(404, "NOT_FOUND", "no such page"))
        });
        let ran = pair.project.mirror(&["apply"]).run();
        assert!(!ran.stdout.contains("warning"), "{}", ran.stdout);
        assert!(pair.destination.holds(&format!("docker.io/{second}"), &sbom));
    }
}

#[test]
fn a_tag_that_stands_for_the_digest_itself_is_no_list() {
    let gitlab =
        Registry::with(Profile { referrers: false, tags_are_digests: true, ..Profile::default() });
    let destination = Registry::with(Profile { referrers: false, ..Profile::default() });
    let image = ImageBuilder::new("gitlab").platforms(&["linux/amd64", "linux/arm64"]).build();
    gitlab.add("library/app", "1", &image);
    let project = Project::new();
    project.config(&gitlab.host(), &destination.host()).entry("app:1");
    let ran = project.mirror(&["apply"]).run();
    crate::reads(
        &ran.stdout,
        expect![[r#"
        applied: 1 copied, 0 unchanged; 5.1 KiB fetched, 5.1 KiB pushed; N.N s
    "#]],
    );
    assert_eq!(destination.tags(), ["docker.io/library/app:1"]);
    let read = gitlab.take_requests();
    let read = read.iter().filter(|r| r.method == "GET" && r.path.contains("/manifests/")).count();
    assert_eq!(read, 3, "an index and two children, each once");
}

#[test]
fn what_does_not_name_its_subject_is_no_referrer() {
    let image = ImageBuilder::new("bogus").platforms(&["linux/amd64", "linux/arm64"]).build();
    let pair = Pair::new(&[("library/app", "1", &image)]);
    let root = image.manifests[2].bytes.clone();
    pair.source.set_faults(move |exchange| {
        let text = String::from_utf8(root.to_vec()).unwrap();
        exchange.path.contains("/referrers/").then_some(Fault::Answer(
            200,
            media_type::OCI_INDEX,
            text,
        ))
    });
    let ran = pair.project.mirror(&["apply"]).run();
    crate::reads(
        &ran.stdout,
        expect![[r#"
        applied: 1 copied, 0 unchanged; 5.1 KiB fetched, 5.1 KiB pushed; N.N s
    "#]],
    );
    let puts = pair.destination.take_requests();
    let puts = puts.iter().filter(|r| r.method == "PUT" && r.path.contains("/manifests/")).count();
    assert_eq!(puts, 3);
}

#[test]
fn a_source_that_refuses_to_say_what_is_missing() {
    let source = Registry::with(Profile { missing: 403, referrers: false, ..Profile::default() });
    let destination = Registry::start();
    let image = ImageBuilder::new("shy").build();
    source.add("library/app", "1", &image);
    source.add("library/app", &cosign(image.digest(), "sig"), &signature(&["s"]));
    let project = Project::new();
    project.config(&source.host(), &destination.host()).entry("app:1");
    let path = project.path().join("images/mirror.toml");
    let config = std::fs::read_to_string(&path).unwrap() + "[copy]\nreferrers = \"require\"\n";
    std::fs::write(path, config).unwrap();
    let ran = project.mirror(&["apply"]).run();
    crate::reads(
        &ran.stdout,
        expect![[r#"
        applied: 1 copied, 0 unchanged; 2.5 KiB fetched, 2.5 KiB pushed; N.N s
    "#]],
    );
    assert!(destination.holds(APP, &signature(&["s"])));
}

#[test]
fn look_ups_that_are_refused_are_told_once_and_made_again() {
    let image = ImageBuilder::new("refused").platforms(&["linux/amd64", "linux/arm64"]).build();
    let pair = Pair::new(&[("library/app", "1", &image)]);
    let sig = signature(&["late"]);
    pair.source.add("library/app", &cosign(image.digest(), "sig"), &sig);
    let refuse = || {
        pair.source.set_faults(|exchange| {
            let looks = exchange.path.contains("/referrers/") || exchange.path.contains("sha256-");
            looks.then(|| Fault::refuse(403, "DENIED", "not for you"))
        });
    };
    refuse();
    let ran = pair.project.mirror(&["apply", "--report", "report.json"]).run();
    let told = "warning: could not look for signatures of docker.io/library/app:1 at prod; the next run does\n  caused by: source: looking for signatures of sha256:";
    assert_eq!(ran.stdout.matches(told).count(), 1, "{}", ran.stdout);
    assert_eq!(ran.stdout.matches("warning").count(), 1, "{}", ran.stdout);
    crate::reads(
        &ran.stdout,
        expect![[r#"
        warning: could not look for signatures of docker.io/library/app:1 at prod; the next run does
          caused by: source: looking for signatures of sha256:3bebbc8b613d: GET http://127.0.0.1:PORT/v2/library/app/referrers/sha256:3bebbc8b613d60312c385e182acfc7767c0c6ab39d3eeba79301f8761ce634b7: 403 DENIED: not for you; and 11 more look-ups
        applied: 1 copied, 0 unchanged, 1 whose signatures could not be looked for; 5.1 KiB fetched, 5.1 KiB pushed; N.N s
    "#]],
    );
    let page = pair.project.mirror(&["report", "--format", "markdown", "report.json"]).run();
    crate::reads(
        &page.stdout,
        expect![[r#"
            ### mirror: 1 copied, 0 unchanged, 1 whose signatures could not be looked for

            5.1 KiB fetched, 5.1 KiB pushed, N.N s.

            - ⚠️ `docker.io/library/app:1` at `prod`: its signatures could not be looked for: `source: looking for signatures of sha256:3bebbc8b613d: GET http://127.0.0.1:PORT/v2/library/app/referrers/sha256:3bebbc8b613d60312c385e182acfc7767c0c6ab39d3eeba79301f8761ce634b7: 403 DENIED: not for you; and 11 more look-ups`

            <details><summary>1 image copied</summary>

            - `docker.io/library/app:1` at `prod` (5.1 KiB pushed)

            </details>
        "#]],
    );
    let row = "- ⚠️ `docker.io/library/app:1` at `prod`: its signatures could not be looked for: `source: ";
    let text = std::fs::read_to_string(pair.project.path().join("report.json")).unwrap();
    let attention =
        mirror_render::ci::issue_markdown(&report(&text), None, &[], &Default::default()).unwrap();
    assert!(attention.contains(row), "{attention}");
    // A plan says so, and a run that finds the source as it was keeps it in mind.
    let plan = pair.project.mirror(&["plan"]).run();
    crate::reads(
        &plan.stdout,
        expect![[r#"
        prod
          = docker.io/library/app:1  sha256:f5432f403712  its signatures are looked for again

        plan: 0 to create, 0 to update, 1 unchanged
    "#]],
    );
    let ran = pair.project.mirror(&["apply"]).run();
    assert_eq!(ran.stdout.matches(told).count(), 1, "{}", ran.stdout);
    pair.source.clear_faults();
    // As the workflow does it: a plan, and a part of it.
    let matrix = pair.project.mirror(&["plan", "--out", "mirror.plan", "--matrix", "2"]).run();
    let shard = matrix.stdout.split('"').nth(3).unwrap().to_owned();
    let ran = pair.project.mirror(&["apply", "mirror.plan", "--shard", &shard]).run();
    crate::reads(
        &ran.stdout,
        expect![[r#"
        applied: 0 copied, 1 unchanged, 1 refreshed; 6 B fetched, 6 B pushed; N.N s
    "#]],
    );
    assert!(pair.destination.holds(APP, &sig));
    let plan = pair.project.mirror(&["plan", "--format", "json"]).run();
    assert!(!plan.stdout.contains("signatures_owed"), "{}", plan.stdout);
}

#[test]
fn thousands_of_referrers_are_not_read() {
    let image = ImageBuilder::new("popular").build();
    let entries: Vec<String> = (0..3000)
        .map(|n: usize| {
            let digest = Digest::of(mirror_oci::Algorithm::Sha256, &n.to_le_bytes());
            let kind = media_type::OCI_MANIFEST;
            format!(r#"{{"mediaType":"{kind}","digest":"{digest}","size":10}}"#)
        })
        .collect();
    let list = format!(
        r#"{{"schemaVersion":2,"mediaType":"{}","manifests":[{}]}}"#,
        media_type::OCI_INDEX,
        entries.join(",")
    );
    for setting in ["copy", "require"] {
        let pair = Pair::new(&[("library/app", "1", &image)]);
        let path = pair.project.path().join("images/mirror.toml");
        let config = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, format!("{config}[copy]\nreferrers = \"{setting}\"\n")).unwrap();
        let list = list.clone();
        pair.source.set_faults(move |exchange| {
            exchange
                .path
                .contains("/referrers/")
                .then(|| Fault::Answer(200, media_type::OCI_INDEX, list.clone()))
        });
        let ran = pair.project.mirror(&["apply"]).ends_with(i32::from(setting == "require")).run();
        let asked = pair.source.take_requests();
        let asked = asked.iter().filter(|r| r.path.contains("/manifests/sha256:")).count();
        assert!(asked <= 202, "{asked} manifests were asked for");
        assert!(ran.stdout.contains("only 200 were taken, of more"), "{}", ran.stdout);
    }
}

#[test]
fn a_list_that_leaves_out_what_was_pushed_gets_one_under_the_tag() {
    let image = ImageBuilder::new("unlisted").build();
    let pair = Pair::new(&[("library/app", "1", &image)]);
    let size = image.manifests[0].bytes.len();
    let sbom = attach(&pair.source, "library/app", image.digest(), size);
    pair.destination.set_faults(|exchange| {
        let empty = format!(
            r#"{{"schemaVersion":2,"mediaType":"{}","manifests":[]}}"#,
            media_type::OCI_INDEX
        );
        exchange.path.contains("/referrers/").then_some(Fault::Answer(
            200,
            media_type::OCI_INDEX,
            empty,
        ))
    });
    pair.project.mirror(&["apply"]).run();
    let tag = format!("sha256-{}", image.digest().hex());
    let list = pair.destination.manifest(APP, &tag).unwrap();
    assert!(String::from_utf8_lossy(&list.bytes).contains(sbom.digest().as_str()));
}

#[test]
fn a_404_for_one_manifest_says_nothing_of_the_next() {
    let (plain, signed) = (ImageBuilder::new("plain").build(), ImageBuilder::new("signed").build());
    let pair = Pair::new(&[("library/app", "1", &plain), ("library/app", "2", &signed)]);
    let size = signed.manifests[0].bytes.len();
    let sbom = attach(&pair.source, "library/app", signed.digest(), size);
    let unknown = plain.digest().to_string();
    pair.source.set_faults(move |exchange| {
        let asked = exchange.path.contains("/referrers/") && exchange.path.ends_with(&unknown);
        asked.then(|| Fault::refuse(404, "MANIFEST_UNKNOWN", "none"))
    });
    let ran = pair.project.mirror(&["apply"]).run();
    crate::reads(
        &ran.stdout,
        expect![[r#"
        applied: 2 copied, 0 unchanged; 5.4 KiB fetched, 5.4 KiB pushed; N.N s
    "#]],
    );
    assert!(pair.destination.holds(APP, &sbom));
}

#[test]
fn what_nobody_may_look_at_is_not_taken_for_missing() {
    let image = ImageBuilder::new("blind").build();
    let tag = cosign(image.digest(), "sig");
    // At the source, tags can't be looked at, whatever there is; a must is a must.
    for setting in ["copy", "require"] {
        let pair = Pair::new(&[("library/app", "1", &image)]);
        pair.project.write(
            "images/docker.io/library/app/Dockerfile",
            &format!("FROM app:1@{}\n", image.digest()),
        );
        pair.source.add("library/app", &tag, &signature(&["s"]));
        let path = pair.project.path().join("images/mirror.toml");
        let config = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, format!("{config}[copy]\nreferrers = \"{setting}\"\n")).unwrap();
        pair.source.set_faults(|exchange| {
            let looks = exchange.method == "HEAD" || exchange.path.contains("/referrers/");
            looks.then(|| Fault::refuse(403, "DENIED", "not for you"))
        });
        let ran = pair.project.mirror(&["apply"]).ends_with(i32::from(setting == "require")).run();
        let told = ran.stdout.contains("could not look for signatures");
        assert_eq!(told, setting == "copy", "{}", ran.stdout);
    }
    // At the destination, the company's own signature is not overwritten because it can't be read.
    let pair = Pair::new(&[("library/app", "1", &image)]);
    pair.source.add("library/app", &tag, &signature(&["upstream"]));
    pair.destination.add(APP, &tag, &signature(&["company"]));
    pair.destination.set_faults(|exchange| {
        let reads = exchange.method != "PUT" && exchange.path.contains("/manifests/");
        reads.then(|| Fault::refuse(403, "DENIED", "push only"))
    });
    pair.project.mirror(&["apply"]).run();
    assert_eq!(digest_at(&pair.destination, APP, &tag), *signature(&["company"]).digest());
}

#[test]
fn one_entry_is_read_once_however_often_it_is_listed() {
    let image = ImageBuilder::new("again").build();
    let pair = Pair::new(&[("library/app", "1", &image)]);
    let size = image.manifests[0].bytes.len();
    let sbom = attach(&pair.source, "library/app", image.digest(), size);
    let entry = format!(
        r#"{{"mediaType":"{}","digest":"{}","size":10}}"#,
        media_type::OCI_MANIFEST,
        sbom.digest()
    );
    let list = format!(
        r#"{{"schemaVersion":2,"mediaType":"{}","manifests":[{}]}}"#,
        media_type::OCI_INDEX,
        vec![entry; 150].join(",")
    );
    pair.source.set_faults(move |exchange| {
        let asked = exchange.path.contains("/referrers/");
        asked.then(|| Fault::Answer(200, media_type::OCI_INDEX, list.clone()))
    });
    pair.project.mirror(&["apply"]).run();
    let read = pair.source.take_requests();
    let read = read.iter().filter(|r| r.path.ends_with(sbom.digest().as_str())).count();
    assert!(read <= 2, "{read} requests for one manifest");
    assert!(pair.destination.holds(APP, &sbom));
}
