//! Registries that mean harm, or are broken as if they did.
#![expect(clippy::unwrap_used, reason = "tests may panic")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::stream;
use mirror_oci::{Algorithm, Digest, Repository, Tag, media_type};
use mirror_registry::Patience;
use mirror_registry::{
    Credentials, Error, ErrorKind, Host, HostOptions, Login, LoginSource, ManifestRef, Mount,
    Secret, Supply, UploadBody,
};
use mirror_testkit::{AuthProfile, Fault, ImageBuilder, Profile, Registry};

/// Short pauses: what is tested is how often, not how long.
const PATIENCE: Patience =
    Patience { idle: Duration::from_secs(10), first_pause: Duration::from_millis(10) };

fn host(registry: &Registry) -> Host {
    patient_host(registry, PATIENCE)
}

fn patient_host(registry: &Registry, patience: Patience) -> Host {
    let options = HostOptions { concurrency: 8, patience, ..HostOptions::default() };
    let variable = format!("MIRROR_AUTH_{}", registry.host().replace(['.', ':'], "_"));
    let credentials = Credentials::new([(variable, "me:secret".to_owned())], Vec::new());
    let name = registry.host().parse().unwrap();
    Host::new(mirror_registry::HttpClient::new().unwrap(), Arc::new(credentials), &name, &options)
        .unwrap()
}

fn names() -> (Repository, Tag) {
    ("library/app".parse().unwrap(), "1.0".parse().unwrap())
}

fn basic() -> Profile {
    Profile { auth: AuthProfile::Basic("me".into(), "secret".into()), ..Profile::default() }
}

async fn read(host: &Host, digest: &Digest, size: u64) -> Result<u64, Error> {
    let (repository, _) = names();
    let mut reader = host.read_blob(&repository, digest, size, 0);
    let mut read = 0;
    while let Some(chunk) = reader.chunk().await? {
        read += chunk.len() as u64;
    }
    Ok(read)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_location_elsewhere_gets_no_credentials() {
    let (registry, elsewhere) = (Registry::with(basic()), Registry::start());
    let host = host(&registry);
    let location = format!("{}/v2/library/app/blobs/uploads/1?_state=secret", elsewhere.endpoint());
    registry.set_faults(move |exchange| {
        (exchange.method == "POST").then(|| Fault::Header("location", location.clone()))
    });
    let (repository, _) = names();
    let digest = Digest::of(Algorithm::Sha256, b"content");
    let from = Mount::From(repository.clone());
    host.upload_blob(&repository, &digest, 7, &from, || supply(b"content")).await.unwrap();
    let requests = elsewhere.take_requests();
    assert_eq!(requests.len(), 1);
    assert_eq!(requests[0].authorization, None);
    assert!(registry.take_requests().iter().any(|request| request.authorization.is_some()));
}

/// Somebody who makes logins for one registry alone.
fn login_for(allowed: &'static str, asked: Arc<AtomicUsize>) -> LoginSource {
    LoginSource::new(
        move |endpoint| endpoint.to_string() == allowed,
        move || {
            asked.fetch_add(1, Ordering::Relaxed);
            let (user, password) = ("AWS".to_owned(), Secret::new("made"));
            let login = Login { user, password, lifetime: Duration::from_secs(3600) };
            Box::pin(async move { Ok(Some(login)) })
        },
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_that_was_made_goes_where_it_belongs_and_nowhere_else() {
    let registry = Registry::with(Profile {
        auth: AuthProfile::Basic("AWS".into(), "made".into()),
        ..Profile::default()
    });
    let image = ImageBuilder::new("x").build();
    registry.add("library/app", "1.0", &image);
    let (repository, tag) = names();
    let ask = async |login: LoginSource| {
        let options =
            HostOptions { patience: PATIENCE, login: Some(login), ..HostOptions::default() };
        let credentials = Arc::new(Credentials::new([], Vec::new()));
        let client = mirror_registry::HttpClient::new().unwrap();
        let name = registry.host().parse().unwrap();
        let host = Host::new(client, credentials, &name, &options).unwrap();
        host.head_manifest(&repository, ManifestRef::Tag(&tag)).await
    };
    let asked = Arc::new(AtomicUsize::new(0));
    let own: &'static str = registry.endpoint().leak();
    assert!(ask(login_for(own, asked.clone())).await.unwrap().is_some());
    assert_eq!(asked.load(Ordering::Relaxed), 1);
    registry.take_requests();
    let error = ask(login_for("https://registry.example", asked.clone())).await.unwrap_err();
    assert_eq!(error.status(), Some(401));
    assert_eq!(asked.load(Ordering::Relaxed), 1, "nobody is asked for a login that can't be sent");
    assert!(registry.take_requests().iter().all(|request| request.authorization.is_none()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_that_was_made_does_not_go_to_a_token_service_elsewhere() {
    let thief =
        Registry::with(Profile { auth: AuthProfile::bearer("AWS", "made"), ..Profile::default() });
    let mut auth = AuthProfile::bearer("AWS", "made");
    if let AuthProfile::Bearer { realm, .. } = &mut auth {
        *realm = Some(format!("{}/token", thief.endpoint()));
    }
    let registry = Registry::with(Profile { auth, ..Profile::default() });
    let login = login_for(registry.endpoint().leak(), Arc::default());
    // Not even where the configuration names it.
    let options = HostOptions {
        patience: PATIENCE,
        login: Some(login),
        token_realm: thief.endpoint().parse().ok(),
        ..HostOptions::default()
    };
    let credentials = Arc::new(Credentials::new([], Vec::new()));
    let client = mirror_registry::HttpClient::new().unwrap();
    let host = Host::new(client, credentials, &registry.host().parse().unwrap(), &options).unwrap();
    let (repository, tag) = names();
    let error = host.head_manifest(&repository, ManifestRef::Tag(&tag)).await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::ForeignRealm(_)), "{error}");
    assert_eq!(thief.take_requests().len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn redirect_loops_end() {
    let registry = Registry::start();
    let target = registry.endpoint();
    registry.set_faults(|_| Some(Fault::Answer(307, "text/plain", String::new())));
    let host = host(&registry);
    let (repository, tag) = names();
    let error = host.get_manifest(&repository, ManifestRef::Tag(&tag)).await.unwrap_err();
    assert!(error.to_string().contains("the answer has no Location"), "{error}");

    let looping = Registry::with(Profile { blob_redirect: Some(target), ..Profile::default() });
    let image = ImageBuilder::new("x").build();
    looping.add("library/app", "1.0", &image);
    let own = looping.endpoint();
    looping.set_faults(move |exchange| {
        exchange
            .path
            .contains("/blobs/")
            .then(|| Fault::Header("location", format!("{own}{}", exchange.path)))
    });
    let host = self::host(&looping);
    let error = read(&host, &image.blobs[0].0, 300).await.unwrap_err();
    assert!(error.to_string().contains("too many redirects"), "{error}");
    assert!(looping.take_requests().len() < 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_are_capped() {
    let registry = Registry::start();
    let giant = Bytes::from(vec![b' '; 5 << 20]);
    registry.add_manifest("library/app", "1.0", media_type::OCI_MANIFEST, giant);
    let image = ImageBuilder::new("x").layers(&[100_000]).build();
    registry.add("library/other", "1.0", &image);
    registry.add("library/app", "2.0", &image);
    let host = host(&registry);
    let (repository, tag) = names();
    let error = host.get_manifest(&repository, ManifestRef::Tag(&tag)).await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Manifest(_)), "{error}");
    // A blob that is longer than its descriptor says is refused where it should have ended.
    let error = read(&host, &image.blobs[0].0, 50_000).await.unwrap_err();
    assert!(error.to_string().contains("longer than the 50000 bytes"), "{error}");
    // An error body of any size is no more than an error.
    registry.set_faults(|_| Some(Fault::Answer(403, "application/json", "x".repeat(10 << 20))));
    let error = host.get_manifest(&repository, ManifestRef::Tag(&tag)).await.unwrap_err();
    assert_eq!(error.status(), Some(403));
}

#[tokio::test(flavor = "multi_thread")]
async fn digest_headers_are_not_believed() {
    let registry = Registry::start();
    let image = ImageBuilder::new("x").build();
    registry.add("library/app", "1.0", &image);
    let host = host(&registry);
    let (repository, tag) = names();
    for wrong in
        ["sha256:../../../../etc/passwd", "nonsense", "md5:d41d8cd98f00b204e9800998ecf8427e"]
    {
        registry
            .set_faults(move |_| Some(Fault::Header("docker-content-digest", wrong.to_owned())));
        let error = host.head_manifest(&repository, ManifestRef::Tag(&tag)).await.unwrap_err();
        assert!(error.to_string().contains("docker-content-digest"), "{error}");
        // The manifest itself is hashed, whatever the header says.
        let manifest = host.get_manifest(&repository, ManifestRef::Tag(&tag)).await.unwrap();
        assert_eq!(manifest.digest(), image.digest());
    }
    let other = Digest::of(Algorithm::Sha256, b"other");
    let said = other.to_string();
    registry.set_faults(move |_| Some(Fault::Header("docker-content-digest", said.clone())));
    let error =
        host.head_manifest(&repository, ManifestRef::Digest(image.digest())).await.unwrap_err();
    assert!(error.to_string().contains("asked for sha256:"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_of_a_registry_cannot_forge_output() {
    let registry = Registry::start();
    registry.set_faults(|_| Some(Fault::refuse(403, "DENIED", "a\\nerror: forged\\u001b[2J")));
    let (repository, tag) = names();
    let error = host(&registry)
        .get_manifest(&repository, ManifestRef::Tag(&tag))
        .await
        .unwrap_err()
        .to_string();
    assert!(!error.contains(['\n', '\u{1b}']), "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_drips_is_given_up() {
    let registry = Registry::start();
    let image = ImageBuilder::new("x").layers(&[3000]).build();
    registry.add("library/app", "1.0", &image);
    let pause = Duration::from_millis(20);
    registry.set_faults(move |_| Some(Fault::Drip(pause)));
    let host = patient_host(&registry, Patience { idle: pause * 10, first_pause: pause });
    let (repository, tag) = names();
    let started = Instant::now();
    // Each byte comes in time, but the whole would take a minute, and a real attacker's for ever.
    let error = read(&host, &image.blobs[0].0, 3000).await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::TimedOut(_)), "{error}");
    let error = host.get_manifest(&repository, ManifestRef::Tag(&tag)).await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::TimedOut(_)), "{error}");
    assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_without_end_are_left() {
    let registry = Registry::start();
    let image = ImageBuilder::new("x").layers(&[3000]).build();
    registry.add("library/app", "1.0", &image);
    registry.set_faults(|_| Some(Fault::Endless));
    let host = host(&registry);
    let (repository, tag) = names();
    let error = read(&host, &image.blobs[0].0, 3000).await.unwrap_err();
    assert!(error.to_string().contains("longer than the 3000 bytes"), "{error}");
    let error = host.get_manifest(&repository, ManifestRef::Tag(&tag)).await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Manifest(_)), "{error}");
    let error = host.referrers(&repository, image.digest()).await.unwrap_err();
    assert!(error.to_string().contains("longer than 4 MiB"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn packed_answers_are_no_manifests() {
    let registry = Registry::start();
    let image = ImageBuilder::new("x").build();
    registry.add("library/app", "1.0", &image);
    let host = host(&registry);
    let (repository, tag) = names();
    let which = ManifestRef::Digest(image.digest());
    // The header alone is harmless: some storage remembers how layers are packed.
    registry.set_faults(|_| Some(Fault::Header("content-encoding", "gzip".to_owned())));
    assert_eq!(host.get_manifest(&repository, which).await.unwrap().digest(), image.digest());
    // An empty file as gzip packs it.
    let packed = "\u{1f}\u{8b}\u{8}\0\0\0\0\0\0\u{3}\u{3}\0\0\0\0\0\0\0\0\0";
    registry
        .set_faults(move |_| Some(Fault::Answer(200, media_type::OCI_MANIFEST, packed.to_owned())));
    for which in [which, ManifestRef::Tag(&tag)] {
        let error = host.get_manifest(&repository, which).await.unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Manifest(_)), "{error}");
    }
}

/// Bytes that are here already.
fn supply(content: &'static [u8]) -> Supply {
    Supply::Stored(Box::pin(async move {
        Ok(Box::pin(stream::iter([Ok(Bytes::from_static(content))])) as UploadBody)
    }))
}
