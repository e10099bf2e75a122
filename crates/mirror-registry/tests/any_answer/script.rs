//! A registry that answers from a script, and what must hold whatever the script says. Also run by the fuzz targets.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use bytes::Bytes;
use futures_util::stream;
use http::{Request, Response};
use mirror_failure::{ErrorKind, RequestError};
use mirror_oci::{Algorithm, Digest, RawManifest, Tag, media_type};
use mirror_registry::{
    Access, Body, Credentials, Host, HostOptions, ManifestRef, Mount, Pressure, Recall, Remote,
    Supply, UploadBody, Wire, World,
};

/// The registry that is asked, with credentials that nobody else may see.
const NAME: &str = "r.example";
/// Of `me:secret`.
const LOGIN: &str = "Basic bWU6c2VjcmV0";
/// More requests than any verb needs, with all attempts and all pages.
const MOST_REQUESTS: usize = 2_000;

const BLOB: &[u8] = b"0123456789";

/// Responses in the order in which they are given: a line with the status, lines with headers, an empty line, and the
/// body up to the next line that is `%`. What can't be a response is left out.
fn responses(text: &str) -> VecDeque<Response<Bytes>> {
    text.split("\n%\n").filter_map(response).collect()
}

fn response(text: &str) -> Option<Response<Bytes>> {
    let (head, body) = text.split_once("\n\n").unwrap_or((text, ""));
    let mut lines = head.lines();
    let mut response = Response::builder().status(lines.next()?.parse::<u16>().ok()?);
    for (name, value) in lines.filter_map(|line| line.split_once(": ")) {
        response = response.header(name, value);
    }
    response.body(Bytes::copy_from_slice(body.as_bytes())).ok()
}

/// Answers from the script, and looks at what is sent.
#[derive(Clone)]
struct Scripted {
    responses: Arc<Mutex<VecDeque<Response<Bytes>>>>,
    requests: Arc<Mutex<usize>>,
}

impl Scripted {
    fn answer(&self, request: &Request<Body>) -> Result<Response<Body>, ErrorKind> {
        let (uri, sent) = (request.uri(), request.headers().get("authorization"));
        let at_home =
            uri.scheme_str() == Some("https") && uri.authority().is_some_and(|a| a == NAME);
        let ours = sent.is_some_and(|sent| sent == LOGIN);
        assert!(at_home || !ours, "{uri} gets the password");
        let mut requests = self.requests.lock().unwrap();
        *requests += 1;
        assert!(*requests < MOST_REQUESTS, "it never ends");
        let next = self.responses.lock().unwrap().pop_front();
        next.map(|response| response.map(Body::from)).ok_or(ErrorKind::Dns)
    }
}

/// Takes one step of the protocol, chosen by `verb`, at a registry that answers like this.
pub(crate) fn act(verb: u8, text: &str) {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.enable_time().start_paused(true).build().unwrap().block_on(step(verb, text));
}

async fn step(verb: u8, text: &str) {
    let scripted =
        Scripted { responses: Arc::new(Mutex::new(responses(text))), requests: Arc::default() };
    let service = tower::service_fn(move |request: Request<Body>| {
        let answer = scripted.answer(&request);
        async move { answer }
    });
    let world = World::simulated(Wire::new(service), SystemTime::UNIX_EPOCH, 1);
    let variable = ("MIRROR_AUTH_R_EXAMPLE".to_owned(), "me:secret".to_owned());
    let credentials = Arc::new(Credentials::new([variable], Vec::new()));
    let name = NAME.parse().unwrap();
    let host = Host::new(&world, credentials, &name, &HostOptions::default()).unwrap();
    let remote = Remote::new(Arc::new(host), "app".parse().unwrap(), Access::PullPush);
    let (tag, digest) = ("1".parse::<Tag>().unwrap(), Digest::of(Algorithm::Sha256, BLOB));
    let (by_tag, by_digest) = (ManifestRef::Tag(&tag), ManifestRef::Digest(&digest));
    match verb % 10 {
        0 => shown(remote.head_manifest(by_tag).await),
        1 => shown(remote.get_manifest(by_tag).await),
        2 => {
            let found = remote.get_manifest(by_digest).await;
            assert!(found.is_err() || found.unwrap().digest() == &digest);
        }
        3 => shown(remote.tags().await),
        4 => shown(remote.referrers(&digest, Recall::Ignored).await),
        5 => read(&remote, &digest, 0).await,
        6 => read(&remote, &digest, 5).await,
        7 => upload(&remote, &digest, &Mount::From("other".parse().unwrap())).await,
        8 => upload(&remote, &digest, &Mount::Never).await,
        _ => {
            let index = r#"{"manifests":[]}"#;
            let manifest = RawManifest::digested(index.into(), media_type::OCI_INDEX).unwrap();
            shown(remote.put_manifest(by_tag, &manifest).await);
        }
    }
}

/// What fails can be shown.
fn shown<T>(outcome: Result<T, RequestError>) {
    if let Err(error) = outcome {
        assert!(!error.to_string().is_empty());
    }
}

/// A reader gives as many bytes as there are to be, or fails.
async fn read(remote: &Remote, digest: &Digest, from: u64) {
    let size = BLOB.len() as u64;
    let mut reader = remote.read_blob(digest, size, from, &Pressure::default());
    let mut left = size - from;
    let ended: Result<(), RequestError> = loop {
        match reader.chunk().await {
            Ok(Some(bytes)) => left = left.checked_sub(bytes.len() as u64).unwrap(),
            Ok(None) => break Ok(()),
            Err(error) => break Err(error),
        }
    };
    assert!(ended.is_err() || left == 0, "{left} bytes are missing");
    shown(ended);
}

async fn upload(remote: &Remote, digest: &Digest, mount: &Mount) {
    let supply = || {
        Supply::Stored(Box::pin(async {
            Ok(Box::pin(stream::iter([Ok(Bytes::from_static(BLOB))])) as UploadBody)
        }))
    };
    let size = BLOB.len() as u64;
    shown(remote.upload_blob(digest, size, mount, &Pressure::default(), supply).await);
    remote.host().end_sessions().await;
}
