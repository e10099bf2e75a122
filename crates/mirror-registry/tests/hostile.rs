//! Registries that mean harm, or are broken as if they did.
#![expect(clippy::unwrap_used, reason = "tests may panic")]

use std::os::unix::fs::MetadataExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use mirror_failure::{ErrorKind, RequestError, RetryPolicy};
use mirror_oci::{Algorithm, Digest, Repository, Tag, media_type};
use mirror_registry::{
    Access, Body, Credentials, Host, HostOptions, Login, LoginSource, ManifestRef, Mount, Pressure,
    Recall, Remote, Secret, Supply, UploadBody, Wire, World,
};
use mirror_testkit::{AuthProfile, Fault, ImageBuilder, Profile, Registry};

/// Short pauses: what is tested is how often, not how long.
const RETRY_POLICY: RetryPolicy =
    RetryPolicy { idle: Duration::from_secs(10), first_pause: Duration::from_millis(10) };

fn host(registry: &Registry) -> Arc<Host> {
    patient_host(registry, RETRY_POLICY)
}

fn patient_host(registry: &Registry, retry_policy: RetryPolicy) -> Arc<Host> {
    let options = HostOptions { concurrency: 8, retry_policy, ..HostOptions::default() };
    let variable = format!("MIRROR_AUTH_{}", registry.host().replace(['.', ':'], "_"));
    let credentials = Credentials::new([(variable, "me:secret".to_owned())], Vec::new());
    let name = registry.host().parse().unwrap();
    let host = Host::new(&mirror_registry::World::real(), Arc::new(credentials), &name, &options);
    Arc::new(host.unwrap())
}

fn at(host: &Arc<Host>, repository: &Repository) -> Remote {
    Remote::new(host.clone(), repository.clone(), Access::Pull)
}

fn names() -> (Repository, Tag) {
    ("library/app".parse().unwrap(), "1.0".parse().unwrap())
}

fn basic() -> Profile {
    Profile { auth: AuthProfile::Basic("me".into(), "secret".into()), ..Profile::default() }
}

async fn read(host: &Arc<Host>, digest: &Digest, size: u64) -> Result<u64, RequestError> {
    let (repository, _) = names();
    let remote = at(host, &repository);
    let mut reader = remote.read_blob(digest, size, 0, &Pressure::default());
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
    at(&host, &repository)
        .upload_blob(&digest, 7, &from, &Pressure::default(), || supply(b"content"))
        .await
        .unwrap();
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
        let options = HostOptions {
            retry_policy: RETRY_POLICY,
            login: Some(login),
            ..HostOptions::default()
        };
        let credentials = Arc::new(Credentials::new([], Vec::new()));
        let client = mirror_registry::World::real();
        let name = registry.host().parse().unwrap();
        let host = Arc::new(Host::new(&client, credentials, &name, &options).unwrap());
        at(&host, &repository).head_manifest(ManifestRef::Tag(&tag)).await
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
        retry_policy: RETRY_POLICY,
        login: Some(login),
        token_realm: thief.endpoint().parse().ok(),
        ..HostOptions::default()
    };
    let credentials = Arc::new(Credentials::new([], Vec::new()));
    let client = mirror_registry::World::real();
    let host = Host::new(&client, credentials, &registry.host().parse().unwrap(), &options);
    let host = Arc::new(host.unwrap());
    let (repository, tag) = names();
    let error = at(&host, &repository).head_manifest(ManifestRef::Tag(&tag)).await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::ForeignRealm(_)), "{error}");
    assert_eq!(thief.take_requests().len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_that_leads_to_another_one_is_followed_as_a_stranger() {
    // As lscr.io leads to ghcr.io (google/go-containerregistry#2333).
    let behind = |realm: Option<String>| {
        let auth = AuthProfile::Bearer {
            user: "me".into(),
            password: "secret".into(),
            anonymous_pull: true,
            lifetime: Duration::from_secs(3600),
            realm,
        };
        let registry = Registry::with(Profile { auth, ..Profile::default() });
        registry.add("library/app", "1.0", &ImageBuilder::new("x").build());
        registry
    };
    let gateway = Registry::with(basic());
    let host = host(&gateway);
    let lead_to = |target: &Registry| {
        let target = target.endpoint();
        gateway.set_faults(move |exchange| {
            let leads = exchange.number > 0;
            leads.then(|| Fault::Redirect(format!("{target}{}", exchange.path)))
        });
    };
    let (repository, tag) = names();
    let target = behind(None);
    lead_to(&target);
    let _ = at(&host, &repository).head_manifest(ManifestRef::Tag(&tag)).await;
    for _ in 0..3 {
        at(&host, &repository).get_manifest(ManifestRef::Tag(&tag)).await.unwrap();
    }
    let requests = target.take_requests();
    let sent: Vec<_> = requests.iter().filter_map(|asked| asked.authorization.clone()).collect();
    assert!(!sent.is_empty() && sent.iter().all(|header| header.starts_with("Bearer token-")));
    assert_eq!(requests.iter().filter(|asked| asked.path == "/token").count(), 1, "one token");
    assert_eq!(requests.iter().filter(|asked| asked.status == 401).count(), 1, "one refusal");

    // Nor does it name a token service elsewhere.
    let elsewhere = behind(None);
    let target = behind(Some(format!("{}/token", elsewhere.endpoint())));
    lead_to(&target);
    let error = at(&host, &repository).get_manifest(ManifestRef::Tag(&tag)).await.unwrap_err();
    assert_eq!(error.status(), Some(401));
    assert!(elsewhere.take_requests().is_empty());
}

/// The name of the test that runs again where one address is public and the other isn't.
const PUBLIC: &str = "203.0.113.1";

#[test]
fn a_public_address_does_not_lead_to_a_private_one() {
    // In a network of its own, which has nothing but the loopback device and a public address on it.
    let root = std::fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0);
    let script = format!(
        "ip link set lo up && ip addr add {PUBLIC}/32 dev lo && exec {} --exact --ignored inside_a_network_of_its_own",
        std::env::current_exe().unwrap().display()
    );
    if mirror_testkit::missing_tool("ip") {
        return;
    }
    let how = if root { "-n" } else { "-rn" };
    let ran =
        std::process::Command::new("unshare").args([how, "sh", "-c", &script]).output().unwrap();
    let said =
        String::from_utf8_lossy(&ran.stdout).into_owned() + &String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.success() && said.contains("1 passed"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a_public_address_does_not_lead_to_a_private_one runs it"]
async fn inside_a_network_of_its_own() {
    let (inner, image) = (Registry::start(), ImageBuilder::new("x").build());
    inner.add("library/app", "1.0", &image);
    let answers = |location: String| {
        let listener = std::net::TcpListener::bind((PUBLIC, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            use std::io::{Read, Write};
            for stream in listener.incoming() {
                let Ok(mut stream) = stream else { continue };
                let _ = stream.read(&mut [0; 4096]);
                let answer = format!(
                    "HTTP/1.1 307 Temporary Redirect\r\nLocation: {location}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
                );
                let _ = stream.write_all(answer.as_bytes());
            }
        });
        format!("http://{address}")
    };
    let port = inner.host().rsplit(':').next().unwrap().to_owned();
    let ask = async |target: &str, private_redirects: bool| {
        let endpoint = answers(format!("{target}:{port}/v2/library/app/manifests/1.0"));
        let options = HostOptions {
            retry_policy: RETRY_POLICY,
            endpoint: endpoint.parse().ok(),
            private_redirects,
            ..HostOptions::default()
        };
        let credentials = Arc::new(Credentials::new([], Vec::new()));
        let name = "registry.example".parse().unwrap();
        let host = Arc::new(Host::new(&World::real(), credentials, &name, &options).unwrap());
        let (repository, tag) = names();
        at(&host, &repository).get_manifest(ManifestRef::Tag(&tag)).await
    };
    for target in
        ["http://127.0.0.1", "http://localhost", "http://2130706433", "http://[::ffff:127.0.0.1]"]
    {
        let error = ask(target, false).await.unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::PrivateAddress(_)), "{target}: {error}");
    }
    assert!(inner.take_requests().is_empty());
    assert_eq!(ask("http://127.0.0.1", true).await.unwrap().digest(), image.digest());
}

#[tokio::test(flavor = "multi_thread")]
async fn redirect_loops_end() {
    let registry = Registry::start();
    let target = registry.endpoint();
    registry.set_faults(|_| Some(Fault::Answer(307, "text/plain", String::new())));
    let host = host(&registry);
    let (repository, tag) = names();
    let error = at(&host, &repository).get_manifest(ManifestRef::Tag(&tag)).await.unwrap_err();
    assert!(error.to_string().contains("the response has no Location"), "{error}");

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
    let error = at(&host, &repository).get_manifest(ManifestRef::Tag(&tag)).await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Manifest(_)), "{error}");
    // A blob that is longer than its descriptor says is refused where it should have ended.
    let error = read(&host, &image.blobs[0].0, 50_000).await.unwrap_err();
    assert!(error.to_string().contains("longer than the 50000 bytes"), "{error}");
    // An error body of any size is no more than an error.
    registry.set_faults(|_| Some(Fault::Answer(403, "application/json", "x".repeat(10 << 20))));
    let error = at(&host, &repository).get_manifest(ManifestRef::Tag(&tag)).await.unwrap_err();
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
        // The manifest itself is hashed, whatever the header says.
        let found = at(&host, &repository).head_manifest(ManifestRef::Tag(&tag)).await.unwrap();
        assert_eq!(found.as_ref(), Some(image.digest()));
        let manifest = at(&host, &repository).get_manifest(ManifestRef::Tag(&tag)).await.unwrap();
        assert_eq!(manifest.digest(), image.digest());
    }
    let other = Digest::of(Algorithm::Sha256, b"other");
    let said = other.to_string();
    registry.set_faults(move |_| Some(Fault::Header("docker-content-digest", said.clone())));
    let error = at(&host, &repository)
        .head_manifest(ManifestRef::Digest(image.digest()))
        .await
        .unwrap_err();
    assert!(error.to_string().contains("asked for sha256:"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_of_a_registry_cannot_forge_output() {
    let registry = Registry::start();
    registry.set_faults(|_| Some(Fault::refuse(403, "DENIED", "a\\nerror: forged\\u001b[2J")));
    let (repository, tag) = names();
    let error = at(&host(&registry), &repository)
        .get_manifest(ManifestRef::Tag(&tag))
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
    let host = patient_host(&registry, RetryPolicy { idle: pause * 10, first_pause: pause });
    let (repository, tag) = names();
    let started = Instant::now();
    // Each byte comes in time, but the whole would take a minute, and a real attacker's for ever.
    let error = read(&host, &image.blobs[0].0, 3000).await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::TimedOut(_)), "{error}");
    let error = at(&host, &repository).get_manifest(ManifestRef::Tag(&tag)).await.unwrap_err();
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
    let error = at(&host, &repository).get_manifest(ManifestRef::Tag(&tag)).await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Manifest(_)), "{error}");
    let error =
        at(&host, &repository).referrers(image.digest(), Recall::Trusted).await.unwrap_err();
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
    assert_eq!(at(&host, &repository).get_manifest(which).await.unwrap().digest(), image.digest());
    // An empty file as gzip packs it.
    let packed = "\u{1f}\u{8b}\u{8}\0\0\0\0\0\0\u{3}\u{3}\0\0\0\0\0\0\0\0\0";
    registry
        .set_faults(move |_| Some(Fault::Answer(200, media_type::OCI_MANIFEST, packed.to_owned())));
    for which in [which, ManifestRef::Tag(&tag)] {
        let error = at(&host, &repository).get_manifest(which).await.unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Manifest(_)), "{error}");
    }
}

/// Bytes that are here already.
fn supply(content: &'static [u8]) -> Supply {
    Supply::Stored(Box::pin(async move {
        Ok(Box::pin(stream::iter([Ok(Bytes::from_static(content))])) as UploadBody)
    }))
}

/// A web site in the place of a registry, whose pages never come to their end.
#[tokio::test(start_paused = true)]
async fn a_page_is_known_by_its_headers_and_not_waited_for() {
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = asked.clone();
    let wire = Wire::new(tower::service_fn(move |_: http::Request<Body>| {
        counted.fetch_add(1, Ordering::Relaxed);
        let page = stream::iter([Ok(Bytes::from("<html>"))]).chain(stream::pending());
        let response = http::Response::builder().header("content-type", "text/html; charset=utf-8");
        std::future::ready(Ok(response.body(Body::stream(page)).unwrap()))
    }));
    let world = World::simulated(wire, std::time::SystemTime::UNIX_EPOCH, 1);
    let (name, options) = ("registry.example".parse().unwrap(), HostOptions::default());
    let host = Host::new(&world, Arc::new(Credentials::default()), &name, &options).unwrap();
    let (repository, tag) = names();
    let remote = at(&Arc::new(host), &repository);
    let (began, digest) = (tokio::time::Instant::now(), Digest::of(Algorithm::Sha256, b"x"));
    assert_eq!(remote.referrers(&digest, Recall::Trusted).await.unwrap(), None);
    let error = remote.get_manifest(ManifestRef::Tag(&tag)).await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::NotARegistry(_)), "{error}");
    assert_eq!((began.elapsed(), asked.load(Ordering::Relaxed)), (Duration::ZERO, 2));
}
