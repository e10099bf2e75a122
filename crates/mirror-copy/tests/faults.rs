//! The fault sweep: a clean run is counted, then each of its requests fails once in every way that requests fail.
//! Whatever happens, a run ends with success or an error, no tag names half an image, and the next run converges; what may
//! be survived once is survived. Several images go to two registries and a layout at once, and share a layer that takes a
//! file of the spool. Without a socket and with the clock paused, so that no machine is too slow for it. With `--nocapture`
//! it prints which request survives which fault.
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests may panic")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::{StreamExt, stream};
use http_body_util::BodyExt;
use mirror_copy::{
    Copier, CopyError, CopyJob, CopyTarget, Graph, InLayout, Layout, Origin, Parts, ReferrerPolicy,
    Store,
};
use mirror_failure::{ErrorKind, RetryPolicy};
use mirror_oci::{Digest, Platforms, media_type};
use mirror_registry::{Access, Body, Credentials, Host, HostOptions, Remote, Wire, World};
use mirror_testkit::{Fault, Image, ImageBuilder, Profile, Registry, StoredManifest};

/// Three registries and what is to be copied: an index of two platforms with a referrer, and a second image that
/// shares a layer with it, so that something is mounted.
struct Scene {
    source: Arc<Registry>,
    /// The faults are at the first one.
    destinations: [Arc<Registry>; 2],
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
    let source = registry("source.example");
    let destinations = [registry("copy.example"), registry("other.example")];
    let referrer = about(index.digest());
    source.add("library/index", "referrer", &referrer);
    source.add("library/index", "1", &index);
    source.add("library/single", "1", &single);
    Scene {
        source,
        destinations,
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

/// One image for one target, read and ready to be copied.
async fn job(
    number: usize,
    origin: &Origin,
    target: Result<CopyTarget, CopyError>,
) -> Result<CopyJob, CopyError> {
    let version = mirror_oci::Version::Floating("1".parse().unwrap());
    let root = origin.resolve(&version, None, mirror_copy::Purpose::Copy).await?;
    let graph = Arc::new(Graph::read(origin, &root, &Platforms::All).await?);
    Ok(CopyJob {
        number,
        origin: origin.clone(),
        graph,
        target: target?,
        referrers: ReferrerPolicy::Require,
        parts: Parts::Image,
        present: None,
        missing: BTreeSet::new(),
        expected: mirror_copy::Found::Nothing,
        looked: tokio::time::Instant::now(),
    })
}

/// One run over all images and targets at once.
async fn run(scene: &Scene, folder: &Path) -> Vec<Result<(), CopyError>> {
    let nowhere = Wire::new(tower::service_fn(|_| async { Err(ErrorKind::Dns) }));
    let traffic = mirror_registry::Listener::default();
    let copier = Copier::new(&folder.join("spool"), None, &world(nowhere), traffic).unwrap();
    let (from, to) = (host(&scene.source), scene.destinations.each_ref().map(host));
    let layout = Layout::open(&folder.join("store"), mirror_registry::Threads::Here);
    let layout = Arc::new(layout.unwrap());
    let mut jobs = Vec::new();
    for (repository, _) in &scene.images {
        let at = |host: &Arc<Host>, access| {
            Remote::new(host.clone(), repository.parse().unwrap(), access)
        };
        let (cache, room) = (Arc::default(), Arc::default());
        let store = Store::Remote(at(&from, Access::Pull));
        let origin = Origin { store, first: Vec::new(), cache, room };
        let remotes = to.iter().map(|host| Store::Remote(at(host, Access::PullPush)));
        let inside = InLayout { layout: layout.clone(), repository: repository.parse().unwrap() };
        for store in remotes.chain([Store::Layout(inside)]) {
            let target = CopyTarget { store, tag: Some("1".parse().unwrap()) };
            jobs.push(job(jobs.len(), &origin, Ok(target)).await);
        }
    }
    // What several images share is announced before the first of them is copied, as the engine does it.
    jobs.iter().flatten().for_each(|job| copier.expect(&job.graph.blobs));
    let copies = jobs.iter().map(|job| async {
        match job {
            Ok(job) => copier.copy(job).await.map(drop),
            Err(error) => Err(error.clone()),
        }
    });
    futures_util::future::join_all(copies).await
}

fn assert_no_half_images(scene: &Scene, context: &str) {
    for destination in &scene.destinations {
        for tag in destination.tags() {
            let (repository, _) = tag.rsplit_once(':').unwrap();
            let image = scene.images.iter().find(|(name, _)| *name == repository);
            if let Some((_, image)) = image.filter(|_| tag.ends_with(":1")) {
                assert!(destination.holds(repository, image), "{context}: {tag} is half an image");
            }
        }
    }
}

fn assert_all_there(scene: &Scene, folder: &Path, context: &str) {
    let layout = Layout::open(&folder.join("store"), mirror_registry::Threads::Here).unwrap();
    for (repository, image) in &scene.images {
        for registry in &scene.destinations {
            assert!(registry.holds(repository, image), "{context}: {repository} is not whole");
            let tag = registry.manifest(repository, "1").map(|manifest| manifest.digest);
            assert_eq!(tag.as_ref(), Some(image.digest()), "{context}: {repository}");
        }
        let found = layout.whole_digest_of(&format!("{repository}:1"), &Platforms::All).unwrap();
        assert_eq!(found.as_ref(), Some(image.digest()), "{context}: {repository} in the layout");
    }
    for registry in &scene.destinations {
        let holds = registry.holds("library/index", &scene.referrer);
        assert!(holds, "{context}: the referrer is missing");
    }
}

/// Faults, what the table calls them, and whether a request that meets one once is to survive it.
fn faults() -> [(&'static str, Fault, bool); 7] {
    [
        ("500", Fault::refuse(500, "UNKNOWN", "once"), true),
        ("429", Fault::Throttle(0), true),
        ("reset", Fault::Reset, true),
        ("cut", Fault::Cut(10), true),
        ("hang", Fault::Hang, true),
        // Whoever sends wrong bytes may do that on purpose, and whoever says no means it.
        ("wrong bytes", Fault::WrongBytes, false),
        ("403", Fault::refuse(403, "DENIED", "once"), false),
    ]
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Side {
    Source,
    Destination,
}

/// What became of a fault.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Met {
    /// Which request, `source GET blob`.
    request: String,
    fault: &'static str,
    survived: bool,
}

/// What a request is about.
fn kind(side: Side, method: &str, path: &str) -> String {
    let about = ["/blobs/uploads/", "/blobs/", "/manifests/", "/referrers/"];
    let about = about.iter().find(|about| path.contains(**about)).map_or("other", |about| *about);
    let about = about.trim_matches('/').trim_start_matches("blobs/");
    format!("{side:?} {method} {about}").to_lowercase()
}

/// The `k`th request of one side fails, once or from then on.
async fn one_case(side: Side, k: usize, named: (&'static str, Fault, bool), for_good: bool) -> Met {
    let (name, fault, survivable) = named;
    let scene = scene();
    let folder = tempfile::tempdir().unwrap();
    let registry =
        if side == Side::Source { &scene.source } else { scene.destinations.first().unwrap() };
    let (count, hit) = (AtomicUsize::new(0), Arc::new(Mutex::new(String::new())));
    let told = hit.clone();
    registry.set_faults(move |exchange| {
        let number = count.fetch_add(1, Ordering::Relaxed);
        if number == k {
            *told.lock().unwrap() = kind(side, &exchange.method, &exchange.path);
        }
        (number == k || (for_good && number > k)).then(|| fault.clone())
    });
    let limit = Duration::from_secs(3600);
    let outcomes = tokio::time::timeout(limit, run(&scene, folder.path())).await;
    let request = hit.lock().unwrap().clone();
    let context = format!("{request}, number {k}: {name}, for good: {for_good}");
    let outcomes = outcomes.unwrap_or_else(|_| panic!("{context}: no end"));
    let errors = outcomes.iter().filter_map(|outcome| outcome.as_ref().err());
    let errors: Vec<String> = errors.map(ToString::to_string).collect();
    assert!(for_good || !survivable || errors.is_empty(), "{context}: {errors:?}");
    assert!(errors.iter().all(|error| !error.is_empty()));
    assert_no_half_images(&scene, &context);
    registry.clear_faults();
    let again = run(&scene, folder.path()).await;
    assert!(again.iter().all(Result::is_ok), "{context}: {again:?}");
    assert_all_there(&scene, folder.path(), &context);
    Met { request, fault: name, survived: errors.is_empty() }
}

type Case = (Side, usize, (&'static str, Fault, bool), bool);

async fn sweep(cases: Vec<Case>) -> Vec<Met> {
    let run = |(side, k, fault, for_good)| one_case(side, k, fault, for_good);
    stream::iter(cases).map(run).buffer_unordered(12).collect().await
}

/// The numbers of all different requests of a clean run, of which there may be one for each target.
async fn requests_of_a_clean_run() -> [(Side, Vec<usize>); 2] {
    let scene = scene();
    let folder = tempfile::tempdir().unwrap();
    let outcomes = run(&scene, folder.path()).await;
    assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
    assert_all_there(&scene, folder.path(), "a clean run");
    let [destination, _] = &scene.destinations;
    let different = |registry: &Registry| {
        let mut seen = BTreeSet::new();
        let requests = registry.take_requests().into_iter().enumerate();
        let new = requests.filter(|(_, one)| {
            seen.insert((one.method.clone(), one.path.clone(), one.query.clone()))
        });
        new.map(|(number, _)| number).collect()
    };
    [(Side::Source, different(&scene.source)), (Side::Destination, different(destination))]
}

/// For each kind of request and each fault, how often it was survived, of how often it was met.
fn table(all: &[Met]) -> String {
    let mut met: BTreeMap<&str, BTreeMap<&str, (usize, usize)>> = BTreeMap::new();
    for one in all {
        let cell = met.entry(&one.request).or_default().entry(one.fault).or_default();
        *cell = (cell.0 + usize::from(one.survived), cell.1 + 1);
    }
    let names = faults().map(|(name, ..)| name);
    let mut text = format!("{:32}", "survived, of all");
    names.iter().for_each(|name| text += &format!("{name:>12}"));
    for (request, cells) in met {
        text += &format!("\n{request:32}");
        for name in names {
            let (survived, all) = cells.get(name).copied().unwrap_or_default();
            text += &format!("{:>12}", format!("{survived}/{all}"));
        }
    }
    text
}

#[tokio::test(start_paused = true)]
async fn each_request_fails_once() {
    let mut cases = Vec::new();
    for (side, requests) in requests_of_a_clean_run().await {
        assert!(requests.len() > 15, "{side:?} saw {requests:?} only");
        for k in requests {
            cases.extend(faults().into_iter().map(|fault| (side, k, fault, false)));
        }
    }
    println!("{}", table(&sweep(cases).await));
}

#[tokio::test(start_paused = true)]
async fn each_request_and_all_after_it_fail() {
    let mut cases = Vec::new();
    for (side, requests) in requests_of_a_clean_run().await {
        for k in requests.into_iter().step_by(3) {
            let dead = faults()
                .into_iter()
                .filter(|(name, ..)| matches!(*name, "500" | "reset" | "wrong bytes"));
            cases.extend(dead.map(|fault| (side, k, fault, true)));
        }
    }
    let met = sweep(cases).await;
    assert!(met.iter().any(|one| !one.survived));
}
