//! Every verb against every status, and the steps of the protocol one by one.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests may panic")]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures_util::stream;
use mirror_failure::{RequestError, RetryPolicy};
use mirror_oci::{Algorithm, Digest, RawManifest, Repository, Tag};
use mirror_registry::{
    Access, Credentials, Host, HostOptions, HostRole, ManifestRef, Mount, Pressure, Remote, Supply,
    Upload, UploadBody,
};
use mirror_testkit::{Fault, Image, ImageBuilder, Registry};

/// Short pauses: what is tested is how often, not how long.
const RETRY_POLICY: RetryPolicy = RetryPolicy {
    idle: std::time::Duration::from_secs(10),
    first_pause: std::time::Duration::from_millis(10),
};

fn host(registry: &Registry) -> Arc<Host> {
    let options = HostOptions {
        concurrency: 8,
        role: HostRole::Destination,
        retry_policy: RETRY_POLICY,
        ..HostOptions::default()
    };
    let name = registry.host().parse().unwrap();
    let client = mirror_registry::World::real();
    let credentials = Arc::new(Credentials::default());
    Arc::new(Host::new(&client, credentials, &name, &options).unwrap())
}

fn repository() -> Repository {
    "library/app".parse().unwrap()
}

fn tag() -> Tag {
    "1.0".parse().unwrap()
}

fn at(host: &Arc<Host>, repository: &Repository) -> Remote {
    Remote::new(host.clone(), repository.clone(), Access::PullPush)
}

fn stocked() -> (Registry, Image) {
    let (registry, image) = (Registry::start(), ImageBuilder::new("protocol").build());
    registry.add("library/app", "1.0", &image);
    (registry, image)
}

async fn upload(host: &Arc<Host>, content: &'static [u8]) -> Result<Upload, RequestError> {
    let digest = Digest::of(Algorithm::Sha256, content);
    let (size, from) = (content.len() as u64, Mount::From(repository()));
    at(host, &repository())
        .upload_blob(&digest, size, &from, &Pressure::default(), || supply(content))
        .await
}

/// Bytes that are here already.
fn supply(content: &'static [u8]) -> Supply {
    Supply::Stored(Box::pin(async move {
        Ok(Box::pin(stream::iter([Ok(Bytes::from_static(content))])) as UploadBody)
    }))
}

async fn read_all(host: &Arc<Host>, image: &Image) -> Result<Vec<u8>, RequestError> {
    let (digest, expected) = &image.blobs[0];
    let repository = repository();
    let remote = at(host, &repository);
    let mut reader = remote.read_blob(digest, expected.len() as u64, 0, &Pressure::default());
    let mut bytes = Vec::new();
    while let Some(chunk) = reader.chunk().await? {
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

/// One line for each verb: how it ends when everything is answered with `status`, and after how many requests.
async fn outcomes(status: u16) -> Vec<String> {
    let (registry, image) = stocked();
    let host = host(&registry);
    registry.set_faults(move |_| Some(Fault::refuse(status, "CODE", "why")));
    let manifest =
        RawManifest::digested(image.manifests[0].bytes.clone(), &image.manifests[0].media_type)
            .unwrap();
    let (repository, tag) = (repository(), tag());
    let by_tag = ManifestRef::Tag(&tag);
    let show = |verb: &str, outcome: Result<String, RequestError>| {
        let outcome = outcome.map_err(|error| match error.status() {
            Some(status) => status.to_string(),
            None if error.is_deferred() => "deferred".to_owned(),
            None => "other".to_owned(),
        });
        let requests = registry.take_requests().len();
        format!(
            "{verb}: {} after {requests}",
            outcome.unwrap_or_else(|error| format!("error {error}"))
        )
    };
    vec![
        show(
            "head",
            at(&host, &repository)
                .head_manifest(by_tag)
                .await
                .map(|found| format!("{}", found.is_some())),
        ),
        show("get", at(&host, &repository).get_manifest(by_tag).await.map(|_| "manifest".into())),
        show(
            "put",
            at(&host, &repository).put_manifest(by_tag, &manifest).await.map(|()| "stored".into()),
        ),
        show("blob", read_all(&host, &image).await.map(|bytes| bytes.len().to_string())),
        show("upload", upload(&host, b"x").await.map(|upload| format!("{upload:?}"))),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_are_final_and_failures_are_tried_five_times() {
    let all = |text: &str, requests: usize| {
        ["head", "get", "put", "blob", "upload"]
            .map(|verb| format!("{verb}: error {text} after {requests}"))
            .to_vec()
    };
    // A refused mount may only mean that, so a plain upload is tried; without HEAD, a GET tells.
    let plain = |status: u16| format!("upload: error {status} after 2");
    for status in [401, 403, 405, 409, 413, 501] {
        let mut expected = all(&status.to_string(), 1);
        expected[4] = plain(status);
        // Without HEAD, or where its refusal may have a reason, a GET tells.
        let asks = usize::from(matches!(status, 405 | 409 | 413 | 501));
        expected[0] = format!("head: error {status} after {}", 1 + asks);
        // What may not be written may be there.
        let looks = if matches!(status, 403 | 405 | 409) { 1 + asks } else { 0 };
        expected[2] = format!("put: error {status} after {}", 1 + looks);
        assert_eq!(outcomes(status).await, expected, "{status}");
    }
    let missing = outcomes(404).await;
    assert_eq!(missing[0], "head: false after 1");
    assert_eq!(missing[1..4], all("404", 1)[1..4]);
    assert_eq!(missing[4], plain(404));
    // Each of these waits for its four pauses; they run side by side.
    let passing = [429, 500, 502, 503, 504]
        .map(|status| tokio::spawn(async move { (status, outcomes(status).await) }));
    for outcome in passing {
        let (status, outcomes) = outcome.await.unwrap();
        let mut expected = all(&status.to_string(), 5);
        if status == 429 {
            // That is said by the host, not of a request: it is not asked for the others.
            expected.truncate(1);
            expected.extend(all("deferred", 0).into_iter().skip(1));
        }
        assert_eq!(outcomes, expected, "{status}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fails_twice_succeeds() {
    for fault in [
        Fault::refuse(503, "UNAVAILABLE", ""),
        Fault::refuse(429, "TOOMANYREQUESTS", ""),
        Fault::Reset,
    ] {
        let (registry, image) = stocked();
        let host = host(&registry);
        let seen = Mutex::new(BTreeMap::new());
        registry.set_faults(move |exchange| {
            let mut seen = seen.lock().unwrap();
            let times = seen.entry(exchange.method.clone()).or_insert(0);
            *times += 1;
            (*times <= 2).then(|| fault.clone())
        });
        let (repository, tag) = (repository(), tag());
        let found = at(&host, &repository).head_manifest(ManifestRef::Tag(&tag)).await.unwrap();
        assert_eq!(found.as_ref(), Some(image.digest()));
        assert_eq!(read_all(&host, &image).await.unwrap(), *image.blobs[0].1);
        assert_eq!(upload(&host, b"content").await.unwrap(), Upload::Sent);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_exists_costs_one_request() {
    let (registry, _) = stocked();
    let host = host(&registry);
    assert_eq!(upload(&host, b"content").await.unwrap(), Upload::Sent);
    registry.take_requests();
    assert_eq!(upload(&host, b"content").await.unwrap(), Upload::Reused);
    assert_eq!(registry.take_requests().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mount_source_that_is_refused_becomes_an_upload() {
    for status in [400, 401, 403, 404] {
        let (registry, _) = stocked();
        let host = host(&registry);
        registry.set_faults(move |exchange| {
            (exchange.number == 0).then(|| Fault::refuse(status, "X", ""))
        });
        let digest = Digest::of(Algorithm::Sha256, b"content");
        let from = Mount::From("other/place".parse().unwrap());
        let upload = at(&host, &repository())
            .upload_blob(&digest, 7, &from, &Pressure::default(), || supply(b"content"))
            .await;
        assert_eq!(upload.unwrap(), Upload::Sent, "{status}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn retry_after_is_obeyed() {
    let (registry, image) = stocked();
    let host = host(&registry);
    registry.set_faults(|exchange| (exchange.number == 0).then_some(Fault::Throttle(1)));
    let started = std::time::Instant::now();
    let found = at(&host, &repository()).head_manifest(ManifestRef::Tag(&tag())).await.unwrap();
    assert_eq!(found.as_ref(), Some(image.digest()));
    assert!(started.elapsed().as_millis() >= 1000, "{:?}", started.elapsed());
    // Nobody waits for an hour.
    registry.take_requests();
    registry.set_faults(|_| Some(Fault::Throttle(3600)));
    let error = at(&host, &repository()).head_manifest(ManifestRef::Tag(&tag())).await.unwrap_err();
    assert_eq!((error.status(), registry.take_requests().len()), (Some(429), 1));
}
