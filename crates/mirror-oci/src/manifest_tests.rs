use super::*;

const D1: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
const D2: &str = "sha256:2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae";

fn digested(body: &str, content_type: &str) -> Result<RawManifest, ManifestError> {
    RawManifest::digested(Bytes::copy_from_slice(body.as_bytes()), content_type)
}

fn blob(media_type: &str, digest: &str) -> String {
    format!(r#"{{"mediaType":"{media_type}","digest":"{digest}","size":3}}"#)
}

fn image(media_type: &str) -> String {
    let (config, layer) = (blob("c", D1), blob("l", D2));
    format!(
        r#"{{ "schemaVersion": 2,"mediaType":"{media_type}", "config":{config}, "layers":[{layer}] }}"#
    )
}

#[test]
fn links_of_images() {
    for media_type in [
        media_type::OCI_MANIFEST,
        media_type::DOCKER_MANIFEST,
        "application/vnd.example.thing.v1+json",
    ] {
        let body = image(media_type);
        let manifest = digested(&body, media_type).unwrap();
        assert_eq!(manifest.bytes(), body.as_bytes());
        assert_eq!(manifest.media_type(), media_type);
        let links = manifest.links().unwrap();
        assert_eq!(links.blobs.iter().map(|b| b.digest.as_str()).collect::<Vec<_>>(), [D1, D2]);
        assert!(links.manifests.is_empty());
    }
}

#[test]
fn types_are_compared_whatever_their_case_and_only_those_of_manifests_count() {
    let upper = media_type::OCI_MANIFEST.to_uppercase();
    let typed = image(media_type::OCI_MANIFEST);
    let untyped = typed.replace(&format!("\"mediaType\":\"{}\",", media_type::OCI_MANIFEST), "");
    assert_ne!(typed, untyped);
    for header in [&upper, "binary/octet-stream", "text/json", "APPLICATION/JSON", "x/y"] {
        for body in [&typed, &untyped] {
            let manifest = digested(body, header).unwrap();
            assert_eq!(manifest.media_type(), media_type::OCI_MANIFEST, "{header}");
            assert_eq!(manifest.links().unwrap().blobs.len(), 2);
        }
    }
    let wrong = digested(&typed, media_type::DOCKER_MANIFEST).unwrap_err();
    assert!(matches!(wrong, ManifestError::Contradiction { .. }), "{wrong}");
}

#[test]
fn links_of_indexes() {
    let child = format!(
        r#"{{"mediaType":"{}","digest":"{D1}","size":5,"platform":{{"os":"linux","architecture":"arm64","variant":"v8","os.version":"1"}}}}"#,
        media_type::OCI_MANIFEST
    );
    let nested = blob(media_type::OCI_INDEX, D2);
    let body = format!(r#"{{"schemaVersion":2,"manifests":[{child},{nested}]}}"#);
    for media_type in
        [media_type::OCI_INDEX, media_type::DOCKER_LIST, "application/json", "", "x/unknown-index"]
    {
        let manifest = digested(&body, media_type).unwrap();
        let links = manifest.links().unwrap();
        assert_eq!(links.manifests.len(), 2, "{media_type}");
        assert_eq!(links.manifests[0].platform.as_ref().unwrap().to_string(), "linux/arm64/v8");
        assert_eq!(links.manifests[1].platform, None);
    }
    assert_eq!(
        digested(&body, "text/plain; charset=utf-8").unwrap().media_type(),
        media_type::OCI_INDEX
    );
}

#[test]
fn odd_platforms_are_no_error() {
    for platform in [
        "null",
        "{}",
        r#"{"os":"unknown","architecture":"unknown"}"#,
        r#"{"os":"Linux X"}"#,
        r#"{"os":"linux","architecture":"amd64","variant":""}"#,
    ] {
        let body = format!(
            r#"{{"schemaVersion":2,"manifests":[{{"mediaType":"x","digest":"{D1}","size":5,"platform":{platform}}}]}}"#
        );
        assert_eq!(
            digested(&body, media_type::OCI_INDEX).unwrap().links().unwrap().manifests.len(),
            1,
            "{platform}"
        );
    }
}

#[test]
fn artifacts_subjects_and_foreign_layers() {
    let body = format!(
        r#"{{"schemaVersion":2,"mediaType":"{m}","artifactType":"application/vnd.x","config":{config},"layers":[{layer},{foreign}],"subject":{subject}}}"#,
        m = media_type::OCI_MANIFEST,
        config = blob("application/vnd.oci.empty.v1+json", D1),
        layer = blob("text/x", D2),
        foreign = blob("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", D2).replacen(
            '{',
            r#"{"urls":["https://elsewhere.example/x"],"#,
            1
        ),
        subject = blob(media_type::OCI_MANIFEST, D2),
    );
    let links = digested(&body, media_type::OCI_MANIFEST).unwrap().links().unwrap();
    assert_eq!((links.blobs.len(), links.foreign.len()), (2, 1));
    // BuildKit pushes such layers when it is told to: then the registry is all that has them.
    for urls in ["[]", "null"] {
        let here = body.replace("[\"https://elsewhere.example/x\"]", urls);
        let links = digested(&here, media_type::OCI_MANIFEST).unwrap().links().unwrap();
        assert_eq!((links.blobs.len(), links.foreign.len()), (3, 0), "{urls}");
    }
    assert_eq!(links.subject.unwrap().digest.as_str(), D2);

    let artifact =
        format!(r#"{{"mediaType":"{}","blobs":[{}]}}"#, media_type::OCI_ARTIFACT, blob("x", D1));
    assert_eq!(
        digested(&artifact, media_type::OCI_ARTIFACT).unwrap().links().unwrap().blobs.len(),
        1
    );
}

#[test]
fn refused() {
    let oci = image(media_type::OCI_MANIFEST);
    let both = format!(r#"{{"manifests":[],"config":{c},"layers":[]}}"#, c = blob("c", D1));
    let twice = format!(r#"{{"config":{c},"config":{c},"layers":[]}}"#, c = blob("c", D1));
    let bad_digest = format!(r#"{{"config":{},"layers":[]}}"#, blob("c", "sha256:../../x"));
    let cases = [
        ("<html>", "text/html", "not valid JSON"),
        ("[]", media_type::OCI_MANIFEST, "not valid JSON"),
        ("{}", "application/json", "not a manifest"),
        (r#"{"schemaVersion":1,"fsLayers":[]}"#, "application/json", "schema 1"),
        (
            r#"{"schemaVersion":1}"#,
            "application/vnd.docker.distribution.manifest.v1+prettyjws",
            "schema 1",
        ),
        ("{}", "application/vnd.docker.distribution.manifest.v1+json", "schema 1"),
        (&oci, media_type::DOCKER_MANIFEST, "but the document says"),
        (&oci, media_type::OCI_INDEX, "but the document says"),
        (&both, "", "an index and an image at once"),
        (&twice, "", "duplicate field `config`"),
        (&bad_digest, "", "lower-case hex digits only"),
    ];
    for (body, content_type, message) in cases {
        let error = digested(body, content_type).expect_err(body).to_string();
        assert!(error.contains(message), "{body}: {error}");
    }
    for (body, content_type, part) in
        [("{}", media_type::OCI_MANIFEST, "config"), ("{}", media_type::DOCKER_LIST, "manifests")]
    {
        assert_eq!(
            digested(body, content_type).unwrap().links(),
            Err(ManifestError::Missing(part))
        );
    }
    let padded = " ".repeat(MAX_MANIFEST_BYTES + 1);
    assert_eq!(digested(&padded, ""), Err(ManifestError::TooLarge));
}

#[test]
fn digests_are_checked() {
    let body = Bytes::from(image(media_type::OCI_MANIFEST));
    let right = Digest::of(Algorithm::Sha512, &body);
    assert_eq!(RawManifest::verified(body.clone(), "", &right).unwrap().digest(), &right);
    let wrong = D1.parse().unwrap();
    assert!(matches!(RawManifest::verified(body, "", &wrong), Err(ManifestError::Digest(_))));
}

/// JSON that is nearly a manifest.
fn nearly() -> impl proptest::strategy::Strategy<Value = String> {
    use proptest::prelude::*;
    let leaf = prop_oneof![
        Just(D1.to_owned()),
        Just("\"size\"".to_owned()),
        any::<i64>().prop_map(|number| number.to_string()),
        "[ -~]{0,40}",
    ];
    let quoted = leaf.prop_map(|text| format!("{text:?}"));
    let value = prop_oneof![quoted, any::<u32>().prop_map(|number| number.to_string())];
    let key = prop_oneof![
        Just("manifests"),
        Just("layers"),
        Just("config"),
        Just("digest"),
        Just("size"),
        Just("mediaType"),
        Just("platform"),
        Just("subject"),
        Just("fsLayers"),
        Just("blobs"),
    ];
    value.prop_recursive(5, 200, 12, move |inner| {
        let object = proptest::collection::vec((key.clone(), inner.clone()), 0..8);
        let object = object.prop_map(|fields| {
            let fields: Vec<String> =
                fields.into_iter().map(|(key, value)| format!("{key:?}:{value}")).collect();
            format!("{{{}}}", fields.join(","))
        });
        let list = proptest::collection::vec(inner, 0..12);
        prop_oneof![object, list.prop_map(|items| format!("[{}]", items.join(",")))]
    })
}

proptest::proptest! {
    #[test]
    fn whatever_comes_is_a_manifest_or_refused(body in nearly(), index in proptest::bool::ANY) {
        let media_type = if index { media_type::OCI_INDEX } else { media_type::OCI_MANIFEST };
        if let Ok(manifest) = digested(&body, media_type)
            && let Ok(links) = manifest.links()
        {
            // What is followed is named in the bytes.
            let named = links.blobs.iter().chain(&links.manifests);
            proptest::prop_assert!(named.into_iter().all(|link| body.contains(link.digest.as_str())));
        }
    }
}
