//! How registries and what stands in front of them serve things: packed, with headers that mean nothing, from elsewhere.

use std::io::Write;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use expect_test::expect;
use mirror_oci::{Algorithm, Digest, media_type};
use mirror_testkit::{
    AuthProfile, Exchange, Fault, Image, ImageBuilder, Profile, Recorded, Registry,
};

use crate::{Pair, Project};

const REPOSITORY: &str = "docker.io/library/app";

fn image() -> Image {
    ImageBuilder::new("app")
        .platforms(&["linux/amd64", "linux/arm64"])
        .layers(&[90_000, 700])
        .build()
}

fn gzipped(bytes: &[u8]) -> Vec<u8> {
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    packed.write_all(bytes).unwrap();
    packed.finish().unwrap()
}

/// What an image has under the last part of a path.
fn part(image: &Image, exchange: &Exchange) -> Option<(Bytes, String)> {
    let id = exchange.path.rsplit('/').next()?;
    let root = image.manifests.last()?;
    let manifests = image.manifests.iter().map(|m| (m.digest.to_string(), &m.bytes, &m.media_type));
    let tag = ("1".to_owned(), &root.bytes, &root.media_type);
    let found = manifests.chain([tag]).find(|(name, ..)| name == id);
    let blob = || image.blobs.iter().find(|(digest, _)| digest.as_str() == id);
    let binary = "application/octet-stream".to_owned();
    found
        .map(|(_, bytes, kind)| (bytes.clone(), kind.clone()))
        .or_else(|| blob().map(|(_, bytes)| (bytes.clone(), binary)))
}

fn sent(requests: &[Recorded]) -> usize {
    requests.iter().filter(|r| r.method == "PUT" && r.path.contains("/uploads/")).count()
}

#[test]
fn what_is_packed_on_the_way_is_unpacked() {
    for floating in [true, false] {
        for digest_header in [true, false] {
            let image = image();
            let source = Registry::with(Profile { digest_header, ..Profile::default() });
            let (destination, project) = (Registry::start(), Project::new());
            source.add("library/app", "1", &image);
            project.config(&source.host(), &destination.host());
            let pinned = format!("app:1@{}", image.digest());
            project.entry(if floating { "app:1" } else { &pinned });
            let packed = image.clone();
            source.set_faults(move |exchange| {
                let (bytes, kind) = part(&packed, exchange).filter(|_| exchange.method == "GET")?;
                let headers = vec![("content-type", kind), ("content-encoding", "gzip".to_owned())];
                Some(Fault::Reply(200, headers, gzipped(&bytes).into()))
            });
            project.mirror(&["apply"]).run();
            assert!(destination.holds(REPOSITORY, &image), "{floating} {digest_header}");
        }
    }
}

#[test]
fn what_has_its_digest_stays_as_it_is_whatever_the_header_says() {
    let image = image();
    let pair = Pair::new(&[("library/app", "1", &image)]);
    pair.source.set_faults(|_| Some(Fault::Header("content-encoding", "gzip".to_owned())));
    pair.project.mirror(&["apply"]).run();
    assert!(pair.destination.holds(REPOSITORY, &image));
}

#[test]
fn what_unpacks_to_more_than_it_should_is_refused() {
    let image = image();
    let pair = Pair::new(&[("library/app", "1", &image)]);
    let packed = image.clone();
    pair.source.set_faults(move |exchange| {
        let blob = exchange.path.contains("/blobs/");
        let (bytes, _) = part(&packed, exchange).filter(|_| blob)?;
        let bomb = gzipped(&[&bytes[..], &vec![0; 50 << 20]].concat());
        Some(Fault::Reply(200, vec![("content-encoding", "gzip".to_owned())], bomb.into()))
    });
    let ran = pair.project.mirror(&["apply"]).ends_with(1).run();
    assert!(ran.stdout.contains("it is longer than its manifest says"), "{}", ran.stdout);
    assert_eq!(pair.destination.tags(), Vec::<String>::new());
}

/// An image whose configuration is carried along by its manifest, and by nothing else.
fn with_data(registry: &Registry, data: &str) -> Digest {
    let config = Digest::of(Algorithm::Sha256, b"{}");
    let manifest = format!(
        r#"{{"schemaVersion":2,"mediaType":"{}","config":{{"mediaType":"application/vnd.oci.empty.v1+json","digest":"{config}","size":2,"data":"{data}"}},"layers":[]}}"#,
        media_type::OCI_MANIFEST
    );
    registry.add_manifest("library/app", "1", media_type::OCI_MANIFEST, manifest.into())
}

#[test]
fn what_a_manifest_carries_along_is_not_fetched() {
    let pair = Pair::new(&[("library/app", "1", &image())]);
    let digest = with_data(&pair.source, "e30=");
    pair.project.mirror(&["apply"]).run();
    let asked = pair.source.take_requests();
    assert!(asked.iter().all(|r| !r.path.contains("/blobs/")), "{asked:#?}");
    assert!(pair.destination.manifest(REPOSITORY, digest.as_str()).is_some());
    pair.project.mirror(&["verify", "--deep"]).run();
}

#[test]
fn what_it_carries_along_must_be_what_it_says() {
    let pair = Pair::new(&[("library/app", "1", &image())]);
    with_data(&pair.source, "e319");
    let ran = pair.project.mirror(&["apply"]).ends_with(1).run();
    assert!(ran.stdout.contains("404 BLOB_UNKNOWN"), "{}", ran.stdout);
}

#[test]
fn a_head_that_tells_nonsense_is_not_believed() {
    for told in ["", "\"sha256:0\"", "nonsense", "sha256:abc", "\"\""] {
        let image = image();
        let pair = Pair::new(&[("library/app", "1", &image)]);
        for registry in [&pair.source, &pair.destination] {
            let told = told.to_owned();
            registry.set_faults(move |exchange| {
                let head = exchange.method == "HEAD" && exchange.path.contains("/manifests/");
                head.then(|| Fault::Header("docker-content-digest", told.clone()))
            });
        }
        pair.project.mirror(&["apply"]).run();
        let again = pair.project.mirror(&["plan", "--exit-code"]).run();
        assert!(again.stdout.contains("1 unchanged"), "{told}: {}", again.stdout);
        pair.destination.set_faults(|exchange| {
            let head = exchange.method == "HEAD" && exchange.path.contains("/blobs/");
            head.then(|| Fault::Header("content-length", "0".to_owned()))
        });
        pair.project.mirror(&["verify"]).run();
    }
}

#[test]
fn a_pin_by_another_hash_function_is_verified_by_that() {
    let image = ImageBuilder::new("app").build();
    let (source, destination, project) = (Registry::start(), Registry::start(), Project::new());
    let root = image.manifests.last().unwrap();
    let digest = Digest::of(Algorithm::Sha512, &root.bytes);
    source.add("library/app", "1", &image);
    let (bytes, kind) = (root.bytes.clone(), root.media_type.clone());
    let by_sha512 = digest.to_string();
    source.set_faults(move |exchange| {
        let asked = exchange.method == "GET" && exchange.path.ends_with(&by_sha512);
        asked.then(|| Fault::Reply(200, vec![("content-type", kind.clone())], bytes.clone()))
    });
    project.config(&source.host(), &destination.host()).entry(&format!("app:1@{digest}"));
    project.mirror(&["apply"]).run();
    project.mirror(&["plan", "--exit-code"]).run();
    assert_eq!(project.mirror(&["verify"]).run().stdout, "verified: 1 of 1 image whole\n");
}

#[test]
fn a_page_for_people_may_mean_that_an_image_is_missing() {
    let image = image();
    let pair = Pair::new(&[("library/app", "1", &image)]);
    let page = "<html><title>404 Not Found</title></html>";
    let destination = pair.destination.host();
    let there = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let pushed = there.clone();
    pair.destination.set_faults(move |exchange| {
        let manifest = exchange.path.contains("/manifests/");
        if manifest && exchange.method == "PUT" {
            pushed.store(true, Ordering::Relaxed);
        }
        let looks = manifest && matches!(exchange.method.as_str(), "HEAD" | "GET");
        let missing = looks && !pushed.load(Ordering::Relaxed);
        missing.then(|| Fault::Answer(404, "text/html", page.to_owned()))
    });
    pair.project.mirror(&["apply"]).run();
    assert!(pair.destination.holds(REPOSITORY, &image));
    let base = pair.destination.take_requests().iter().filter(|r| r.path == "/v2/").count();
    assert_eq!(base, 1, "its base shows that {destination} is a registry");
    // A source that is a registry, and has no such image.
    pair.source.set_faults(move |exchange| {
        let manifest = exchange.path.contains("/manifests/");
        manifest.then(|| Fault::Answer(404, "text/html", page.to_owned()))
    });
    let ran = pair.project.mirror(&["plan"]).ends_with(1).run();
    assert!(ran.stdout.contains("docker.io has no such image (404)"), "{}", ran.stdout);
}

#[test]
fn an_index_of_layers_is_copied() {
    // As BuildKit keeps its cache: containers/image#2210.
    let image = ImageBuilder::new("cache").build();
    let pair = Pair::new(&[("library/app", "1", &image)]);
    let blobs = image.blobs.iter().map(|(digest, bytes)| {
        format!(r#"{{"mediaType":"application/vnd.docker.image.rootfs.diff.tar.gzip","digest":"{digest}","size":{}}}"#, bytes.len())
    });
    let index = format!(
        r#"{{"schemaVersion":2,"mediaType":"{}","manifests":[{}]}}"#,
        media_type::OCI_INDEX,
        blobs.collect::<Vec<_>>().join(",")
    );
    let digest = pair.source.add_manifest("library/app", "1", media_type::OCI_INDEX, index.into());
    pair.project.mirror(&["apply"]).run();
    let there = pair.destination.manifest(REPOSITORY, "1").unwrap();
    assert_eq!(there.digest, digest);
    assert_eq!(
        pair.project.mirror(&["verify", "--deep"]).run().stdout,
        "verified: 1 of 1 image whole\n"
    );
}

#[test]
fn an_image_without_layers_may_say_so_in_gos_words() {
    let image = ImageBuilder::new("bare").layers(&[]).build();
    let pair = Pair::new(&[("library/app", "1", &image)]);
    let root = image.manifests.last().unwrap();
    let text = String::from_utf8(root.bytes.to_vec()).unwrap();
    let (head, rest) = text.split_once("\"layers\"").unwrap();
    let (_, tail) = rest.split_once(']').unwrap();
    let text = format!("{head}\"layers\": null{tail}");
    let digest = pair.source.add_manifest("library/app", "1", &root.media_type, text.into());
    pair.project.mirror(&["apply"]).run();
    assert_eq!(pair.destination.manifest(REPOSITORY, "1").unwrap().digest, digest);
}

#[test]
fn a_token_service_may_send_us_on() {
    let auth = AuthProfile::bearer("me", "secret");
    let destination = Registry::with(Profile { auth, ..Profile::default() });
    let (source, project, image) = (Registry::start(), Project::new(), image());
    source.add("library/app", "1", &image);
    project.config(&source.host(), &destination.host()).entry("app:1");
    let (base, hops) = (destination.endpoint(), AtomicUsize::new(0));
    destination.set_faults(move |exchange| {
        let first = exchange.path == "/token" && hops.fetch_add(1, Ordering::Relaxed) % 2 == 0;
        first.then(|| Fault::Redirect(format!("{base}/token?{}", exchange.query)))
    });
    let variable = format!("MIRROR_AUTH_{}", destination.host().replace(['.', ':'], "_"));
    project.mirror(&["apply"]).env(&variable, "me:secret").run();
    assert!(destination.holds(REPOSITORY, &image));
}

#[test]
fn a_registry_that_takes_bytes_with_a_patch_only() {
    for status in [400, 405, 500] {
        let image = image();
        let pair = Pair::new(&[("library/app", "1", &image)]);
        pair.destination.set_faults(move |exchange| {
            let whole = exchange.method == "PUT" && exchange.path.contains("/uploads/");
            let whole = whole && exchange.length > 0;
            whole.then(|| Fault::refuse(status, "UNKNOWN", "no bytes with a PUT"))
        });
        pair.project.mirror(&["apply"]).run();
        assert!(pair.destination.holds(REPOSITORY, &image), "{status}");
        let asked = pair.destination.take_requests();
        let patches = asked.iter().filter(|r| r.method == "PATCH").count();
        assert_eq!(patches, 6, "{status}");
        assert!(sent(&asked) <= 6 + 8, "{status}: {}", sent(&asked));
    }
}

#[test]
fn a_registry_that_takes_no_bytes_at_all_says_why() {
    let pair = Pair::new(&[("library/app", "1", &ImageBuilder::new("one").layers(&[]).build())]);
    pair.destination.set_faults(|exchange| {
        let sends = exchange.path.contains("/uploads/");
        match exchange.method.as_str() {
            "PUT" if sends => Some(Fault::refuse(400, "SIZE_INVALID", "no bytes at all")),
            "PATCH" if sends => Some(Fault::refuse(405, "UNSUPPORTED", "no patches")),
            _ => None,
        }
    });
    let ran = pair.project.mirror(&["apply"]).ends_with(1).run();
    assert!(ran.stdout.contains("400 SIZE_INVALID: no bytes at all"), "{}", ran.stdout);
    let asked = pair.destination.take_requests();
    assert!(sent(&asked) < 6, "{}", sent(&asked));
}

#[test]
fn pushes_are_followed_with_method_and_body() {
    for status in [307, 308] {
        let image = image();
        let (source, front, behind) = (Registry::start(), Registry::start(), Registry::start());
        source.add("library/app", "1", &image);
        let project = Project::new();
        project.config(&source.host(), &front.host()).entry("app:1");
        let target = behind.endpoint();
        front.set_faults(move |exchange| {
            let writes = matches!(exchange.method.as_str(), "POST" | "PUT");
            let query = if exchange.query.is_empty() { "" } else { "?" };
            let location = format!("{target}{}{query}{}", exchange.path, exchange.query);
            writes.then(|| Fault::Reply(status, vec![("location", location)], Bytes::new()))
        });
        project.mirror(&["apply"]).run();
        assert!(behind.holds(REPOSITORY, &image), "{status}");
        assert!(behind.take_requests().iter().all(|r| r.authorization.is_none()));
    }
}

#[test]
fn a_push_that_is_sent_on_at_the_same_registry_keeps_its_login() {
    let auth = AuthProfile::bearer("me", "secret");
    let destination = Registry::with(Profile { auth, ..Profile::default() });
    let (source, project, image) = (Registry::start(), Project::new(), image());
    source.add("library/app", "1", &image);
    project.config(&source.host(), &destination.host()).entry("app:1");
    destination.set_faults(|exchange| {
        let writes = matches!(exchange.method.as_str(), "POST" | "PUT");
        let again = exchange.query.contains("again=1") || !exchange.path.starts_with("/v2/");
        let sign = if exchange.query.is_empty() { "" } else { "&" };
        let location = format!("{}?{}{sign}again=1", exchange.path, exchange.query);
        (writes && !again).then(|| Fault::Reply(307, vec![("location", location)], Bytes::new()))
    });
    let variable = format!("MIRROR_AUTH_{}", destination.host().replace(['.', ':'], "_"));
    project.mirror(&["apply"]).env(&variable, "me:secret").run();
    assert!(destination.holds(REPOSITORY, &image));
}

#[test]
fn a_redirect_that_would_lose_the_push_is_named() {
    let pair = Pair::new(&[("library/app", "1", &image())]);
    pair.destination.set_faults(|exchange| {
        let location = vec![("location", "https://registry.example/v2/".to_owned())];
        (exchange.method == "POST").then(|| Fault::Reply(301, location, Bytes::new()))
    });
    let ran = pair.project.mirror(&["apply"]).ends_with(1).run();
    let told = "the registry redirects a POST to https://registry.example with 301, which is for reading: its external URL is misconfigured";
    assert!(ran.stdout.contains(told), "{}", ran.stdout);
}

#[test]
fn a_misconfigured_external_url_is_named_at_once() {
    for location in [
        "http://127.0.0.1/v2/x/blobs/uploads/1",
        "http://registry.internal.invalid:5000/v2/x/blobs/uploads/1",
    ] {
        let pair =
            Pair::new(&[("library/app", "1", &ImageBuilder::new("one").layers(&[]).build())]);
        pair.destination.set_faults(|exchange| {
            (exchange.method == "POST").then(|| Fault::Header("location", location.to_owned()))
        });
        let began = Instant::now();
        let ran = pair.project.mirror(&["apply"]).ends_with(1).run();
        assert!(ran.stdout.contains("its external URL is misconfigured"), "{}", ran.stdout);
        assert!(!ran.stdout.contains("attempts"), "{}", ran.stdout);
        assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    }
}

#[test]
fn a_token_service_that_nobody_reaches_is_named_with_its_port() {
    let pair = Pair::new(&[("library/app", "1", &image())]);
    pair.source.set_faults(|_| {
        let realm = "http://127.0.0.1:9/token";
        Some(Fault::Challenge(format!("Bearer realm=\"{realm}\",service=\"x\"")))
    });
    let began = Instant::now();
    let ran = pair.project.mirror(&["plan"]).ends_with(1).run();
    crate::reads(
        &ran.stdout,
        expect![[r#"
        error: could not look up docker.io/library/app:1 for prod
          caused by: source: looking up library/app:1: login at http://127.0.0.1:PORT/token?service=x&scope=repository:library/app:pull: the registry names 127.0.0.1:PORT as its token service, which can't be reached (connection refused): its external URL is misconfigured
          help: tell the operator of the registry which name it is reached by: its external URL, or the headers `Host` and `X-Forwarded-Proto` of the proxy in front of it
        plan: 0 to create, 0 to update, 0 unchanged, 1 not looked up
    "#]],
    );
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
}
