//! The empty blob is in most signatures, and goes to a repository once.
#![expect(clippy::unwrap_used, reason = "tests may panic")]

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use mirror_copy::{Copier, CopyJob, CopyTarget, Graph, Origin, Parts, ReferrerPolicy, Store};
use mirror_oci::{Algorithm, Digest, Platforms, media_type};
use mirror_registry::{Access, Credentials, Host, HostOptions, Listener, Remote, World};
use mirror_testkit::{Image, ImageBuilder, Registry, StoredManifest};

const APP: &str = "library/app";

fn app(registry: &Registry, access: Access) -> Remote {
    let (world, name) = (World::real(), registry.host().parse().unwrap());
    let host = Host::new(&world, Arc::new(Credentials::default()), &name, &HostOptions::default());
    Remote::new(Arc::new(host.unwrap()), APP.parse().unwrap(), access)
}

/// Something about an image that has no content but its annotations.
fn about(subject: &Image, number: usize) -> Image {
    let empty = Bytes::from_static(b"{}");
    let digest = Digest::of(Algorithm::Sha256, &empty);
    let kind = "application/vnd.oci.empty.v1+json";
    let descriptor = format!(r#"{{"mediaType":"{kind}","digest":"{digest}","size":2}}"#);
    let image = format!(
        r#"{{"mediaType":"{}","digest":"{}","size":10}}"#,
        media_type::OCI_MANIFEST,
        subject.digest()
    );
    let bytes = Bytes::from(format!(
        r#"{{"schemaVersion":2,"mediaType":"{}","config":{descriptor},"layers":[{descriptor}],"subject":{image},"annotations":{{"n":"{number}"}}}}"#,
        media_type::OCI_MANIFEST
    ));
    let own = Digest::of(Algorithm::Sha256, &bytes);
    let media_type = media_type::OCI_MANIFEST.to_owned();
    let manifests = vec![StoredManifest { digest: own, media_type, bytes }];
    Image { blobs: vec![(digest, empty)], manifests }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_goes_once() {
    let (from, to, folder) = (Registry::start(), Registry::start(), tempfile::tempdir().unwrap());
    let origin = Origin {
        store: Store::Remote(app(&from, Access::Pull)),
        first: Vec::new(),
        cache: Arc::default(),
        room: Arc::default(),
    };
    let world = World::real();
    let copier = Copier::new(folder.path(), None, &world, Listener::default()).unwrap();
    let store = Store::Remote(app(&to, Access::PullPush));
    for number in 0..3 {
        let image = ImageBuilder::new(format!("image {number}")).build();
        from.add(APP, &format!("{number}"), &image);
        from.add(APP, &format!("about-{number}"), &about(&image, number));
        let graph = Graph::read(&origin, image.digest(), &Platforms::All).await.unwrap();
        let job = CopyJob {
            number,
            origin: origin.clone(),
            graph: Arc::new(graph),
            target: CopyTarget { store: store.clone(), tag: format!("{number}").parse().ok() },
            referrers: ReferrerPolicy::Copy,
            parts: Parts::Image,
            present: None,
            missing: BTreeSet::new(),
            expected: mirror_copy::Found::Nothing,
            looked: tokio::time::Instant::now(),
        };
        copier.expect(&job.graph.blobs);
        assert_eq!(copier.copy(&job).await.unwrap().warnings, []);
    }
    let empty = Digest::of(Algorithm::Sha256, b"{}");
    let asked = |registry: &Registry, method: &str| {
        let requests = registry.take_requests();
        let about = requests.iter().filter(|request| {
            request.path.contains(empty.hex()) || request.query.contains(empty.hex())
        });
        about.filter(|request| request.method == method).count()
    };
    assert_eq!((asked(&from, "GET"), asked(&to, "POST")), (1, 1));
}
