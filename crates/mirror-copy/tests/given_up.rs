//! What goes on, and what is held, when nobody wants it any more or others are in the way.
#![expect(clippy::unwrap_used, reason = "tests may panic")]

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use mirror_copy::{
    Copier, CopyJob, CopyTarget, Graph, InLayout, Layout, ManifestSpool, Moved, Origin, Parts,
    ReferrerPolicy, SpooledGraph, Store, Traffic,
};
use mirror_oci::{Algorithm, Digest, Platforms, media_type};
use mirror_registry::{Access, Credentials, Host, HostOptions, Listener, Remote, Threads, World};
use mirror_testkit::{Fault, Image, ImageBuilder, Registry, StoredManifest};

const APP: &str = "library/app";

fn origin(from: &Registry) -> Origin {
    let (world, name) = (World::real(), from.host().parse().unwrap());
    let host = Host::new(&world, Arc::new(Credentials::default()), &name, &HostOptions::default());
    let remote = Remote::new(Arc::new(host.unwrap()), APP.parse().unwrap(), Access::Pull);
    let (cache, room) = (Arc::default(), Arc::default());
    Origin { store: Store::Remote(remote), first: Vec::new(), cache, room }
}

fn job(origin: &Origin, graph: Graph, layout: &Arc<Layout>, tag: &str) -> CopyJob {
    let inside = InLayout { layout: layout.clone(), repository: APP.parse().unwrap() };
    CopyJob {
        number: 0,
        origin: origin.clone(),
        graph: Arc::new(graph),
        target: CopyTarget { store: Store::Layout(inside), tag: Some(tag.parse().unwrap()) },
        referrers: ReferrerPolicy::Leave,
        parts: Parts::Image,
        present: None,
        missing: BTreeSet::new(),
        expected: mirror_copy::Found::Nothing,
        looked: tokio::time::Instant::now(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn downloads_end_with_the_copier() {
    // In memory, in a buffer, in a file.
    for size in [500_000, 3 << 20, 40 << 20] {
        let (from, folder) = (Registry::start(), tempfile::tempdir().unwrap());
        let image = ImageBuilder::new("x").layers(&[size]).build();
        from.add(APP, "1", &image);
        let origin = origin(&from);
        let graph = Graph::read(&origin, image.digest(), &Platforms::All).await.unwrap();
        let layout = Arc::new(Layout::open(&folder.path().join("s"), Threads::Apart).unwrap());
        let fetched = Arc::new(AtomicU64::new(0));
        let counted = fetched.clone();
        let traffic = Listener::new(move |Traffic { moved, .. }| {
            if let Moved::Fetched(bytes) = moved {
                counted.fetch_add(bytes, Ordering::Relaxed);
            }
        });
        let (spool, world) = (folder.path().join("spool"), World::real());
        let copier = Copier::new(&spool, None, &world, traffic).unwrap();
        let late = Fault::Delay(Duration::from_secs(1));
        from.set_faults(move |exchange| exchange.path.contains("/blobs/").then(|| late.clone()));
        let job = job(&origin, graph, &layout, "1");
        copier.expect(&job.graph.blobs);
        let copied = tokio::time::timeout(Duration::from_millis(300), copier.copy(&job)).await;
        assert!(copied.is_err(), "it is given up in the middle");
        drop((copier, job));
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert_eq!(fetched.load(Ordering::Relaxed), 0, "{size}: fetched for nobody");
    }
}

/// An index of almost 4 MiB with these children.
fn padded(name: &str, children: &[StoredManifest]) -> StoredManifest {
    let kind = media_type::OCI_INDEX;
    let child = |child: &StoredManifest| {
        let (digest, size) = (&child.digest, child.bytes.len());
        format!(r#"{{"mediaType":"{kind}","digest":"{digest}","size":{size}}}"#)
    };
    let list: Vec<String> = children.iter().map(child).collect();
    let pad = "a".repeat(if children.is_empty() { (4 << 20) - 400 } else { 1 });
    let text = format!(
        r#"{{"manifests":[{}],"mediaType":"{kind}","annotations":{{"n":"{name}","x":"{pad}"}}}}"#,
        list.join(",")
    );
    let bytes = bytes::Bytes::from(text);
    let digest = Digest::of(Algorithm::Sha256, &bytes);
    StoredManifest { digest, media_type: kind.to_owned(), bytes }
}

#[tokio::test(flavor = "multi_thread")]
async fn large_images_that_are_loaded_wait_for_each_other() {
    let (from, folder) = (Registry::start(), tempfile::tempdir().unwrap());
    let origin = origin(&from);
    let spool = Arc::new(ManifestSpool::in_folder(folder.path()));
    let mut waiting = Vec::new();
    // Sixty MiB each: four have no more than 256 MiB beyond the share of each.
    for number in 0..5 {
        let children: Vec<StoredManifest> =
            (0..15).map(|child| padded(&format!("{number} {child}"), &[])).collect();
        let root = padded(&format!("{number}"), &children);
        let digest = root.digest.clone();
        let manifests = children.into_iter().chain([root]).collect();
        from.add(APP, &format!("{number}"), &Image { blobs: Vec::new(), manifests });
        let graph = Graph::read(&origin, &digest, &Platforms::All).await.unwrap();
        waiting.push(SpooledGraph::keep(&graph, &spool, &origin.room).unwrap());
    }
    let mut loaded = Vec::new();
    for graph in waiting.iter().take(4) {
        loaded.push(graph.load(&origin.room).await.unwrap());
    }
    let fifth = waiting.last().unwrap().load(&origin.room);
    let mut fifth = std::pin::pin!(fifth);
    let early = tokio::time::timeout(Duration::from_millis(200), fifth.as_mut()).await;
    assert!(early.is_err(), "there is no room for it");
    loaded.pop();
    assert_eq!(fifth.await.unwrap().manifests().count(), 16);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_that_others_hold_is_no_reason_to_rest() {
    let (from, folder) = (Registry::start(), tempfile::tempdir().unwrap());
    let origin = origin(&from);
    let store = folder.path().join("s");
    let layout = Arc::new(Layout::open(&store, Threads::Apart).unwrap());
    let (spool, world) = (folder.path().join("spool"), World::real());
    let copier = Copier::new(&spool, None, &world, Listener::default()).unwrap();
    let mut took = Vec::new();
    for tag in ["1", "2"] {
        let image = ImageBuilder::new(tag).build();
        from.add(APP, tag, &image);
        let graph = Graph::read(&origin, image.digest(), &Platforms::All).await.unwrap();
        let job = job(&origin, graph, &layout, tag);
        copier.expect(&job.graph.blobs);
        if tag == "1" {
            std::fs::create_dir_all(&store).unwrap();
            let lock = std::fs::File::create(store.join(".index.json.lock")).unwrap();
            lock.lock().unwrap();
            std::thread::spawn(move || {
                std::thread::sleep(Duration::from_secs(1));
                drop(lock);
            });
        }
        let began = std::time::Instant::now();
        copier.copy(&job).await.unwrap();
        took.push(began.elapsed());
    }
    assert!(took[0] >= Duration::from_millis(900), "{took:?}: it holds the lock that is meant");
    assert!(took[1] < Duration::from_secs(5), "{took:?}");
}
