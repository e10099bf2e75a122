//! A tag that was looked at long ago is looked at again before it is written.
#![expect(clippy::unwrap_used, reason = "tests may panic")]

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use mirror_copy::{
    Copied, Copier, CopyError, CopyJob, CopyTarget, Graph, Origin, Parts, ReferrerPolicy, Store,
};
use mirror_oci::{Digest, Platforms};
use mirror_registry::{Access, Credentials, Host, HostOptions, Remote};
use mirror_testkit::{Image, ImageBuilder, Registry};
use tokio::time::Instant;

const APP: &str = "library/app";

fn app(registry: &Registry, access: Access) -> Remote {
    let options = HostOptions::default();
    let client = mirror_registry::World::real();
    let name = registry.host().parse().unwrap();
    let host = Host::new(&client, Arc::new(Credentials::default()), &name, &options);
    Remote::new(Arc::new(host.unwrap()), APP.parse().unwrap(), access)
}

/// Copies an image that was planned `ago`, when the destination had `expected`.
async fn copy(
    (from, to): (&Registry, &Registry),
    image: &Image,
    expected: Option<&Digest>,
    ago: Duration,
) -> Result<Copied, CopyError> {
    let (cache, room) = (Arc::default(), Arc::default());
    let origin =
        Origin { store: Store::Remote(app(from, Access::Pull)), first: Vec::new(), cache, room };
    let graph = Arc::new(Graph::read(&origin, image.digest(), &Platforms::All).await.unwrap());
    let spool = tempfile::tempdir().unwrap();
    let copier = Copier::new(
        spool.path(),
        None,
        &mirror_registry::World::real(),
        mirror_registry::Listener::default(),
    )
    .unwrap();
    let store = Store::Remote(app(to, Access::PullPush));
    let target = CopyTarget { store, tag: Some("1".parse().unwrap()) };
    let job = CopyJob {
        number: 0,
        origin,
        graph,
        target,
        referrers: ReferrerPolicy::Leave,
        parts: Parts::Image,
        present: None,
        missing: BTreeSet::new(),
        expected: expected.cloned().map_or(mirror_copy::Found::Nothing, mirror_copy::Found::Digest),
        looked: Instant::now().checked_sub(ago).unwrap(),
    };
    copier.expect(&job.graph.blobs);
    copier.copy(&job).await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_somebody_pushed_meanwhile_is_not_undone() {
    let (old, new, theirs) = (
        ImageBuilder::new("old").build(),
        ImageBuilder::new("new").build(),
        ImageBuilder::new("theirs").build(),
    );
    let long = Duration::from_secs(301);
    let (from, to) = (Registry::start(), Registry::start());
    from.add(APP, "1", &new);
    let at = |registry: &Registry| registry.manifest(APP, "1").map(|manifest| manifest.digest);

    // Nothing was there, and something is now.
    to.add(APP, "1", &theirs);
    let error = copy((&from, &to), &new, None, long).await.unwrap_err();
    assert_eq!(error.moved(), Some(Some(theirs.digest())), "{error}");
    assert_eq!(at(&to).as_ref(), Some(theirs.digest()));
    // Another image was there than is now.
    let error = copy((&from, &to), &new, Some(old.digest()), long).await.unwrap_err();
    assert_eq!(error.moved(), Some(Some(theirs.digest())), "{error}");
    // It was there and is gone.
    let empty = Registry::start();
    let error = copy((&from, &empty), &new, Some(old.digest()), long).await.unwrap_err();
    assert_eq!(error.moved(), Some(None), "{error}");
    // It is as it was, or is what we want already.
    copy((&from, &to), &new, Some(theirs.digest()), long).await.unwrap();
    assert_eq!(at(&to).as_ref(), Some(new.digest()));
    copy((&from, &to), &new, Some(old.digest()), long).await.unwrap();
    // A look of a moment ago costs no other.
    to.take_requests();
    copy((&from, &to), &new, None, Duration::ZERO).await.unwrap();
    assert!(to.take_requests().iter().all(|request| request.method != "HEAD"));
}
