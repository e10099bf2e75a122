//! An alternative that sends wrong bytes costs another try, and nothing else.
#![expect(clippy::unwrap_used, reason = "tests may panic")]

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http_body_util::BodyExt;
use mirror_copy::{
    Copier, CopyJob, CopyTarget, Graph, InLayout, Layout, Origin, Parts, ReferrerPolicy, Store,
};
use mirror_failure::ErrorKind;
use mirror_oci::Platforms;
use mirror_registry::{Access, Body, Credentials, Host, HostOptions, Remote, Threads, Wire, World};
use mirror_testkit::{Fault, Image, ImageBuilder, Profile, Registry};

const APP: &str = "library/app";

/// A registry with an image, which spoils the first byte of large blobs if it is `wrong`.
fn remote(world: &World, image: &Image, wrong: bool) -> (World, Remote) {
    let registry = Arc::new(Registry::without_server(Profile::default(), "r.example"));
    registry.add(APP, "1", image);
    if wrong {
        registry.set_faults(|asked| asked.path.contains("/blobs/").then_some(Fault::WrongBytes));
    }
    let wire = Wire::new(tower::service_fn(move |request: http::Request<Body>| {
        let registry = registry.clone();
        async move {
            let broken = |error: std::io::Error| ErrorKind::Broken(error.to_string());
            let response = registry.answer(request).await.map_err(broken)?;
            // In pieces, as from a network.
            let bytes = response.map(|body| async { body.collect().await.unwrap().to_bytes() });
            let (parts, bytes) = response_parts(bytes).await;
            let pieces: Vec<_> = (0..bytes.len()).step_by(64 << 10).collect();
            let pieces = pieces.into_iter().map(move |at| {
                Ok::<_, ErrorKind>(bytes.slice(at..bytes.len().min(at + (64 << 10))))
            });
            Ok(http::Response::from_parts(parts, Body::stream(futures_util::stream::iter(pieces))))
        }
    }));
    let world = World { wire, ..world.clone() };
    let (name, options) = ("r.example".parse().unwrap(), HostOptions::default());
    let host = Host::new(&world, Arc::new(Credentials::default()), &name, &options).unwrap();
    let remote = Remote::new(Arc::new(host), APP.parse().unwrap(), Access::Pull);
    (world, remote)
}

async fn response_parts<F: Future<Output = bytes::Bytes>>(
    response: http::Response<F>,
) -> (http::response::Parts, bytes::Bytes) {
    let (parts, bytes) = response.into_parts();
    (parts, bytes.await)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_layout_gets_the_right_ones() {
    let image = ImageBuilder::new("large").layers(&[6 << 20]).build();
    let nobody = Wire::new(tower::service_fn(|_| async { Err(ErrorKind::Dns) }));
    // Readers and writers of one file at the same time.
    let world = World::simulated(nobody, SystemTime::UNIX_EPOCH, 1);
    let world = World { threads: Threads::Apart, ..world };
    for _ in 0..12 {
        let folder = tempfile::tempdir().unwrap();
        let (_, wrong) = remote(&world, &image, true);
        let (world, right) = remote(&world, &image, false);
        let copier = Copier::new(
            &folder.path().join("spool"),
            None,
            &world,
            mirror_registry::Listener::default(),
        )
        .unwrap();
        let (cache, room) = (Arc::default(), Arc::default());
        let origin =
            Origin { store: Store::Remote(right), first: vec![Store::Remote(wrong)], cache, room };
        let graph = Graph::read(&origin, image.digest(), &Platforms::All).await.unwrap();
        let graph = Arc::new(graph);
        let layout =
            |name: &str| Arc::new(Layout::open(&folder.path().join(name), Threads::Apart).unwrap());
        // Two that want one blob at the time go through a file.
        let jobs = ["one", "other"].map(|name| {
            let inside = InLayout { layout: layout(name), repository: APP.parse().unwrap() };
            let tag = Some("1".parse().unwrap());
            CopyJob {
                number: 0,
                origin: origin.clone(),
                graph: graph.clone(),
                target: CopyTarget { store: Store::Layout(inside), tag },
                referrers: ReferrerPolicy::Leave,
                parts: Parts::Image,
                present: None,
                missing: Default::default(),
                expected: mirror_copy::Found::Nothing,
                looked: tokio::time::Instant::now(),
            }
        });
        jobs.iter().for_each(|job| copier.expect(&job.graph.blobs));
        let copies = async { tokio::join!(copier.copy(&jobs[0]), copier.copy(&jobs[1])) };
        let (one, other) = tokio::time::timeout(Duration::from_secs(60), copies).await.unwrap();
        one.unwrap();
        other.unwrap();
    }
}
