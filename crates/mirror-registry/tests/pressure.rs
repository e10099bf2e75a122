//! Slow lines: no fault of theirs, unless others wait for what they hold.
#![expect(clippy::unwrap_used, reason = "tests may panic")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::stream;
use mirror_failure::{ErrorKind, RequestError, RetryPolicy};
use mirror_oci::{Algorithm, Digest, Endpoint, Repository};
use mirror_registry::{
    Access, Credentials, Host, HostOptions, HostRole, Mount, Pressure, Remote, Supply, UploadBody,
};
use mirror_testkit::{Image, ImageBuilder, Proxy, Registry, Weather};

/// A registry behind a line of 48 KiB a second: enough not to be taken for dead, too little while others wait.
fn slow(registry: &Registry) -> (Proxy, Arc<Host>) {
    let weather = Weather { rate: 48 << 10, ..Weather::default() };
    let proxy = Proxy::start(registry.host().parse().unwrap(), weather);
    let endpoint: Endpoint = format!("http://{}", proxy.host()).parse().unwrap();
    let options = HostOptions {
        endpoint: Some(endpoint),
        role: HostRole::Destination,
        retry_policy: RetryPolicy {
            idle: Duration::from_millis(500),
            first_pause: Duration::from_millis(10),
        },
        ..HostOptions::default()
    };
    let client = mirror_registry::World::real();
    let name = registry.host().parse().unwrap();
    let host = Host::new(&client, Arc::new(Credentials::default()), &name, &options).unwrap();
    (proxy, Arc::new(host))
}

fn at(host: &Arc<Host>, repository: &Repository) -> Remote {
    Remote::new(host.clone(), repository.clone(), Access::PullPush)
}

fn stocked(size: usize) -> (Registry, Image) {
    let (registry, image) = (Registry::start(), ImageBuilder::new("slow").layers(&[size]).build());
    registry.add("library/app", "1", &image);
    (registry, image)
}

async fn read(host: &Arc<Host>, image: &Image, pressure: &Pressure) -> Result<usize, RequestError> {
    let (digest, bytes) = image.blobs.iter().max_by_key(|(_, bytes)| bytes.len()).unwrap();
    let repository = "library/app".parse().unwrap();
    let remote = at(host, &repository);
    let mut reader = remote.read_blob(digest, bytes.len() as u64, 0, pressure);
    let mut read = 0;
    while let Some(chunk) = reader.chunk().await? {
        read += chunk.len();
    }
    Ok(read)
}

async fn send(host: &Arc<Host>, size: usize, pressure: &Pressure) -> Result<(), RequestError> {
    let content = Bytes::from(vec![7; size]);
    let digest = Digest::of(Algorithm::Sha256, &content);
    let supply = || {
        let pieces = content.chunks(16 << 10).map(|piece| Ok(content.slice_ref(piece)));
        let pieces: Vec<Result<Bytes, std::io::Error>> = pieces.collect();
        Supply::Stored(Box::pin(async move { Ok(Box::pin(stream::iter(pieces)) as UploadBody) }))
    };
    let repository = "library/app".parse().unwrap();
    let remote = at(host, &repository);
    let sent = remote.upload_blob(&digest, size as u64, &Mount::Never, pressure, supply);
    sent.await.map(|_| ())
}

#[tokio::test(flavor = "multi_thread")]
async fn alone_a_slow_line_is_waited_for() {
    let (registry, image) = stocked(150 << 10);
    let (_proxy, host) = slow(&registry);
    assert_eq!(read(&host, &image, &Pressure::default()).await.unwrap(), 150 << 10);
    send(&host, 150 << 10, &Pressure::default()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn while_others_wait_it_is_tried_anew_and_given_up() {
    let (registry, image) = stocked(8 << 20);
    let (_proxy, host) = slow(&registry);
    let pressure = Pressure::default();
    let _waiting = pressure.waiting();
    // What is left of the first connection may fill the line for the next.
    let ended = |error: &RequestError| {
        matches!(error.kind(), ErrorKind::TooSlow { .. } | ErrorKind::TimedOut(_))
    };
    let started = Instant::now();
    let error = read(&host, &image, &pressure).await.unwrap_err();
    assert!(ended(&error), "{error}");
    assert!(error.to_string().contains("(5 attempts in "), "{error}");
    assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
    let (_proxy, host) = slow(&registry);
    let error = send(&host, 32 << 20, &pressure).await.unwrap_err();
    assert!(ended(&error), "{error}");
    // Without anybody who waits the same line is good enough.
    let (_proxy, host) = slow(&registry);
    let nobody = Pressure::default();
    let still = tokio::time::timeout(Duration::from_secs(6), read(&host, &image, &nobody)).await;
    assert!(still.is_err(), "{still:?}");
}
