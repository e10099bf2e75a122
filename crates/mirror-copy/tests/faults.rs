//! The fault sweep: a clean run is counted, then each of its requests fails once in every way that requests fail.
//! Whatever happens, a run ends with success or an error, no tag names half an image, and the next run converges. Without
//! a socket and with the clock paused, so that no machine is too slow for it.
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests may panic")]

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::{StreamExt, stream};
use http_body_util::BodyExt;
use mirror_copy::{
    Copier, CopyError, CopyJob, CopyTarget, Graph, Origin, Parts, ReferrerPolicy, Store,
};
use mirror_failure::ErrorKind;
use mirror_oci::{Digest, Platforms, media_type};
use mirror_registry::{
    Access, Body, Credentials, Host, HostOptions, Remote, RetryPolicy, Wire, World,
};
use mirror_testkit::{Fault, Image, ImageBuilder, Profile, Registry, StoredManifest};

/// Two registries and what is to be copied: an index of two platforms with a referrer, and a second image that
/// shares a layer with it, so that something is mounted.
struct Scene {
    source: Arc<Registry>,
    destination: Arc<Registry>,
    images: Vec<(&'static str, Image)>,
    referrer: Image,
}

fn scene() -> Scene {
    let platforms = ["linux/amd64", "linux/arm64"];
    let index = ImageBuilder::new("index")
        .platforms(&platforms)
        .layers(&[900])
        .shared_layer("base", 1_200_000)
        .build();
    let single = ImageBuilder::new("single").layers(&[700]).shared_layer("base", 1_200_000).build();
    let registry = |host| Arc::new(Registry::without_server(Profile::default(), host));
    let (source, destination) = (registry("source.example"), registry("copy.example"));
    let referrer = about(index.digest());
    source.add("library/index", "referrer", &referrer);
    source.add("library/index", "1", &index);
    source.add("library/single", "1", &single);
    Scene {
        source,
        destination,
        images: vec![("library/index", index), ("library/single", single)],
        referrer,
    }
}

fn about(subject: &Digest) -> Image {
    let mut image = ImageBuilder::new("sbom").layers(&[40]).build();
    let own = image.manifests.remove(0);
    let text = String::from_utf8(own.bytes.to_vec()).unwrap();
    let about = format!(
        "\"subject\":{{\"mediaType\":\"{}\",\"digest\":\"{subject}\",\"size\":10}}, \"config\"",
        media_type::OCI_INDEX
    );
    let bytes = bytes::Bytes::from(text.replacen("\"config\"", &about, 1));
    let digest = Digest::of(mirror_oci::Algorithm::Sha256, &bytes);
    image.manifests.push(StoredManifest { digest, media_type: own.media_type, bytes });
    image
}

const RETRY_POLICY: RetryPolicy =
    RetryPolicy { idle: Duration::from_secs(30), first_pause: Duration::from_millis(250) };

fn host(registry: &Arc<Registry>) -> Arc<Host> {
    let options =
        HostOptions { concurrency: 4, retry_policy: RETRY_POLICY, ..HostOptions::default() };
    let (name, answering) = (registry.host().parse().unwrap(), registry.clone());
    let wire = Wire::new(tower::service_fn(move |request: http::Request<Body>| {
        let registry = answering.clone();
        async move {
            let broken = |error: std::io::Error| ErrorKind::Broken(error.to_string());
            tokio::time::sleep(Duration::from_millis(5)).await;
            let response = registry.answer(request).await.map_err(broken)?;
            Ok(response.map(|body| Body::new(body.map_err(broken))))
        }
    }));
    Arc::new(Host::new(&world(wire), Arc::new(Credentials::default()), &name, &options).unwrap())
}

fn world(wire: Wire) -> World {
    World::simulated(wire, std::time::SystemTime::UNIX_EPOCH, 1)
}

/// One run over all images, each on its own.
async fn run(scene: &Scene, spool: &Path) -> Vec<Result<(), CopyError>> {
    let copier = Copier::new(
        spool,
        None,
        &world(Wire::new(tower::service_fn(|_| async { Err(ErrorKind::Dns) }))),
        mirror_registry::Listener::default(),
    )
    .unwrap();
    let (from, to) = (host(&scene.source), host(&scene.destination));
    let mut outcomes = Vec::new();
    for (number, (repository, _)) in scene.images.iter().enumerate() {
        let at = |host: &Arc<Host>, access| {
            Remote::new(host.clone(), repository.parse().unwrap(), access)
        };
        let (cache, room) = (Arc::default(), Arc::default());
        let origin = Origin {
            store: Store::Remote(at(&from, Access::Pull)),
            first: Vec::new(),
            cache,
            room,
        };
        let outcome = async {
            let root = origin
                .resolve(
                    &mirror_oci::Version::Floating("1".parse().unwrap()),
                    None,
                    mirror_copy::Purpose::Copy,
                )
                .await?;
            let graph = Arc::new(Graph::read(&origin, &root, &Platforms::All).await?);
            let tag = Some("1".parse().unwrap());
            let target = CopyTarget { store: Store::Remote(at(&to, Access::PullPush)), tag };
            let referrers = ReferrerPolicy::Require;
            let job = CopyJob {
                number,
                origin: origin.clone(),
                graph,
                target,
                referrers,
                parts: Parts::Image,
                present: None,
                missing: Default::default(),
                expected: None,
                looked: tokio::time::Instant::now(),
            };
            copier.expect(&job.graph.blobs);
            copier.copy(&job).await.map(|_| ())
        };
        outcomes.push(outcome.await);
    }
    outcomes
}

fn assert_no_half_images(scene: &Scene, context: &str) {
    for tag in scene.destination.tags() {
        let (repository, _) = tag.rsplit_once(':').unwrap();
        let Some((_, image)) = scene.images.iter().find(|(name, _)| *name == repository) else {
            continue;
        };
        if tag.ends_with(":1") {
            assert!(
                scene.destination.holds(repository, image),
                "{context}: {tag} is half an image"
            );
        }
    }
}

fn assert_all_there(scene: &Scene, context: &str) {
    for (repository, image) in &scene.images {
        assert!(scene.destination.holds(repository, image), "{context}: {repository} is not whole");
        let tag = scene.destination.manifest(repository, "1").map(|manifest| manifest.digest);
        assert_eq!(tag.as_ref(), Some(image.digest()), "{context}: {repository}");
    }
    assert!(
        scene.destination.holds("library/index", &scene.referrer),
        "{context}: the referrer is missing"
    );
}

fn faults() -> Vec<Fault> {
    vec![
        Fault::refuse(500, "UNKNOWN", "once"),
        Fault::refuse(403, "DENIED", "once"),
        Fault::Throttle(0),
        Fault::Reset,
        Fault::Cut(10),
        Fault::WrongBytes,
        Fault::Hang,
    ]
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Side {
    Source,
    Destination,
}

/// The `k`th request of one side fails, once or from then on.
async fn one_case(side: Side, k: usize, fault: Fault, for_good: bool) {
    let context = format!("{side:?} request {k}: {fault:?}, for good: {for_good}");
    let scene = scene();
    let spool = tempfile::tempdir().unwrap();
    let registry = if side == Side::Source { &scene.source } else { &scene.destination };
    let count = AtomicUsize::new(0);
    registry.set_faults(move |_| {
        let number = count.fetch_add(1, Ordering::Relaxed);
        (number == k || (for_good && number > k)).then(|| fault.clone())
    });
    let limit = Duration::from_secs(3600);
    let outcomes = tokio::time::timeout(limit, run(&scene, spool.path())).await;
    let outcomes = outcomes.unwrap_or_else(|_| panic!("{context}: no end"));
    for error in outcomes.iter().filter_map(|outcome| outcome.as_ref().err()) {
        assert!(!error.to_string().is_empty());
    }
    assert_no_half_images(&scene, &context);
    registry.clear_faults();
    let again = run(&scene, spool.path()).await;
    assert!(again.iter().all(Result::is_ok), "{context}: {again:?}");
    assert_all_there(&scene, &context);
}

async fn sweep(cases: Vec<(Side, usize, Fault, bool)>) {
    let run = |(side, k, fault, for_good)| one_case(side, k, fault, for_good);
    stream::iter(cases).map(run).buffer_unordered(12).collect::<()>().await;
}

async fn requests_of_a_clean_run() -> [(Side, usize); 2] {
    let scene = scene();
    let spool = tempfile::tempdir().unwrap();
    assert!(run(&scene, spool.path()).await.iter().all(Result::is_ok));
    assert_all_there(&scene, "a clean run");
    [
        (Side::Source, scene.source.take_requests().len()),
        (Side::Destination, scene.destination.take_requests().len()),
    ]
}

#[tokio::test(start_paused = true)]
async fn each_request_fails_once() {
    let mut cases = Vec::new();
    for (side, requests) in requests_of_a_clean_run().await {
        assert!(requests > 20, "{side:?} saw {requests} requests only");
        for k in 0..requests {
            cases.extend(faults().into_iter().map(|fault| (side, k, fault, false)));
        }
    }
    sweep(cases).await;
}

#[tokio::test(start_paused = true)]
async fn each_request_and_all_after_it_fail() {
    let mut cases = Vec::new();
    for (side, requests) in requests_of_a_clean_run().await {
        for k in (0..requests).step_by(3) {
            let faults = [Fault::refuse(500, "UNKNOWN", "dead"), Fault::Reset, Fault::WrongBytes];
            cases.extend(faults.into_iter().map(|fault| (side, k, fault, true)));
        }
    }
    sweep(cases).await;
}
