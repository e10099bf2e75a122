//! The distribution API of the test registry.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, SizeHint};
use mirror_oci::Digest;
use tokio::time::Instant;

use crate::auth::Verdict;
use crate::ecr_routes;
use crate::fault::{Exchange, Fault};
use crate::state::{Recorded, State};

/// A body that may end in another way than it should.
pub struct Breakable {
    bytes: Bytes,
    size: Option<u64>,
    ending: Ending,
}

enum Ending {
    Proper,
    Cut,
    Never,
    Slow(Duration, Pin<Box<tokio::time::Sleep>>),
}

impl Body for Breakable {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let this = &mut *self;
        if this.bytes.is_empty() {
            let cut = matches!(this.ending, Ending::Cut);
            return Poll::Ready(cut.then(|| Err(io::Error::other("cut"))));
        }
        let piece = match &mut this.ending {
            Ending::Proper | Ending::Cut => std::mem::take(&mut this.bytes),
            Ending::Never => this.bytes.clone(),
            Ending::Slow(pause, sleep) => {
                if sleep.as_mut().poll(context).is_pending() {
                    return Poll::Pending;
                }
                sleep.as_mut().reset(tokio::time::Instant::now() + *pause);
                this.bytes.split_to(1)
            }
        };
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn size_hint(&self) -> SizeHint {
        self.size.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

/// A request taken apart.
struct Asked {
    method: Method,
    path: String,
    query: Vec<(String, String)>,
    headers: HeaderMap,
}

impl Asked {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    fn query(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// An answer before it is sent.
struct Reply {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: Bytes,
}

fn reply(status: u16) -> Reply {
    Reply { status, headers: Vec::new(), body: Bytes::new() }
}

fn refusal(status: u16, code: &str) -> Reply {
    let body = format!(
        r#"{{"errors":[{{"code":"{code}","message":"{}"}}]}}"#,
        code.to_lowercase().replace('_', " ")
    );
    reply(status).with("content-type", "application/json").body(body.into())
}

impl Reply {
    fn with(mut self, name: &'static str, value: impl Into<String>) -> Reply {
        self.headers.push((name, value.into()));
        self
    }

    fn body(mut self, body: Bytes) -> Reply {
        self.body = body;
        self
    }
}

/// Answers one request, properly or with a fault. An error closes the connection.
pub(crate) async fn answer<B>(
    state: Arc<State>,
    request: Request<B>,
) -> Result<Response<Breakable>, io::Error>
where
    B: Body,
    B::Error: std::error::Error + Send + Sync + 'static,
{
    let (parts, body) = request.into_parts();
    let query = parts.uri.query().unwrap_or_default().to_owned();
    let asked = Asked {
        method: parts.method,
        path: parts.uri.path().to_owned(),
        query: split_query(&query),
        headers: parts.headers,
    };
    let number = {
        let mut requests = state.requests.lock().unwrap();
        requests.push(Recorded {
            method: asked.method.to_string(),
            path: asked.path.clone(),
            query: query.clone(),
            authorization: asked.header("authorization").map(str::to_owned),
            content_length: asked.header("content-length").and_then(|length| length.parse().ok()),
            range: asked.header("range").map(str::to_owned),
            status: 0,
        });
        requests.len() - 1
    };
    let exchange =
        Exchange { number, method: asked.method.to_string(), path: asked.path.clone(), query };
    let _busy = Busy::new(&state);
    let fault = state.faults.lock().unwrap().as_ref().and_then(|rule| rule(&exchange));
    match fault {
        Some(Fault::Reset) => return Err(io::Error::other("reset")),
        Some(Fault::Hang) => std::future::pending::<()>().await,
        Some(Fault::Delay(time)) => tokio::time::sleep(time).await,
        _ => {}
    }
    let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
    let mut reply = match fault {
        Some(Fault::Answer(status, content_type, ref body)) => {
            reply(status).with("content-type", content_type).body(body.clone().into())
        }
        Some(Fault::Redirect(ref url)) => reply(307).with("location", url.clone()),
        Some(Fault::Throttle(seconds)) => {
            refusal(429, "TOOMANYREQUESTS").with("retry-after", seconds.to_string())
        }
        _ if asked.path == "/v2/" => reply(200),
        _ => route(&state, &asked, body),
    };
    if let Some(Fault::Header(name, value)) = &fault {
        reply.headers.retain(|(known, _)| known != name);
        reply = reply.with(name, value.clone());
    }
    if let Some(recorded) = state.requests.lock().unwrap().get_mut(number) {
        recorded.status = reply.status;
    }
    if fault == Some(Fault::Lost) {
        return Err(io::Error::other("lost"));
    }
    Ok(send(&asked, reply, fault.as_ref()))
}

/// Counts a request that is being answered.
struct Busy<'a>(&'a State);

impl Busy<'_> {
    fn new(state: &State) -> Busy<'_> {
        let mut busy = state.busy.lock().unwrap();
        busy.0 += 1;
        busy.1 = busy.1.max(busy.0);
        Busy(state)
    }
}

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.0.busy.lock().unwrap().0 -= 1;
    }
}

fn send(asked: &Asked, reply: Reply, fault: Option<&Fault>) -> Response<Breakable> {
    let head = asked.method == Method::HEAD;
    let size = reply.body.len() as u64;
    let (mut bytes, mut sent) = (reply.body, Some(size));
    let mut ending = Ending::Proper;
    match fault {
        Some(Fault::Cut(after)) => {
            ending = Ending::Cut;
            bytes.truncate(*after);
        }
        Some(Fault::Endless) => {
            ending = Ending::Never;
            sent = None;
        }
        Some(Fault::Drip(pause)) => {
            ending = Ending::Slow(*pause, Box::pin(tokio::time::sleep(*pause)));
        }
        Some(Fault::WrongBytes) if !bytes.is_empty() => {
            let mut changed = bytes.to_vec();
            changed[0] ^= 1;
            bytes = changed.into();
        }
        _ => {}
    }
    let body = if head {
        Breakable { bytes: Bytes::new(), size: Some(0), ending: Ending::Proper }
    } else {
        Breakable { bytes, size: sent, ending }
    };
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::from_u16(reply.status).unwrap();
    for (name, value) in reply.headers {
        response.headers_mut().append(name, value.parse().unwrap());
    }
    if head {
        response.headers_mut().insert("content-length", size.into());
    }
    response
}

fn route(state: &State, asked: &Asked, body: Bytes) -> Reply {
    if asked.path == "/token" {
        let token = state.profile.auth.token(
            asked.header("authorization"),
            &asked.query,
            &mut state.issued.lock().unwrap(),
        );
        return match token {
            Some(json) => reply(200).with("content-type", "application/json").body(json.into()),
            None => refusal(401, "UNAUTHORIZED"),
        };
    }
    let Some(rest) = asked.path.strip_prefix("/v2/") else { return refusal(404, "NOT_FOUND") };
    let Some((repository, what)) = split_path(rest) else { return refusal(404, "NOT_FOUND") };
    let writes = !matches!(asked.method, Method::GET | Method::HEAD);
    let action = if writes { "push" } else { "pull" };
    let verdict = state.profile.auth.judge(
        asked.header("authorization"),
        repository,
        action,
        &state.own,
        &state.issued.lock().unwrap(),
    );
    if let Verdict::Challenge(challenge) = verdict {
        return refusal(401, "UNAUTHORIZED").with("www-authenticate", challenge);
    }
    if state.profile.ecr
        && let Some(refused) = ecr_routes::refused(
            state,
            &asked.method,
            repository,
            what,
            asked.header("authorization"),
        )
    {
        let (status, code, message) = refused;
        let body = format!(r#"{{"errors":[{{"code":"{code}","message":"{message}"}}]}}"#);
        let answer = reply(status).with("content-type", "application/json").body(body.into());
        return if status == 401 {
            answer.with("www-authenticate", "Basic realm=\"ecr\"")
        } else {
            answer
        };
    }
    if writes && state.profile.read_only {
        return refusal(405, "UNSUPPORTED");
    }
    let (kind, id) = what.split_once('/').unwrap_or((what, ""));
    match (kind, &asked.method) {
        ("manifests", &Method::GET | &Method::HEAD) => {
            pull(state, asked, || get_manifest(state, repository, id))
        }
        ("manifests", &Method::PUT) => put_manifest(state, asked, repository, id, body),
        ("blobs", &Method::POST) => start_upload(state, asked, repository),
        ("blobs", &Method::PUT) => finish_upload(state, asked, repository, id, body),
        ("blobs", &Method::DELETE) => reply(if end_session(state, id) { 204 } else { 404 }),
        ("blobs", &Method::GET | &Method::HEAD) => get_blob(state, asked, repository, id),
        ("tags", &Method::GET) => tags(state, repository),
        ("referrers", &Method::GET) => referrers(state, repository, id),
        _ => refusal(405, "UNSUPPORTED"),
    }
}

/// Docker Hub's limit: a GET counts, a HEAD doesn't, both tell what is left.
fn pull(state: &State, asked: &Asked, answer: impl FnOnce() -> Reply) -> Reply {
    let Some((limit, seconds)) = state.profile.pull_limit else { return answer() };
    let mut pulls = state.pulls.lock().unwrap();
    pulls.retain(|pull| pull.elapsed() < Duration::from_secs(seconds));
    let counts = asked.method == Method::GET;
    let left = limit - pulls.len() as u64;
    if counts && left == 0 {
        let message =
            "You have reached your pull rate limit. https://www.docker.com/increase-rate-limit";
        let body = format!(r#"{{"errors":[{{"code":"TOOMANYREQUESTS","message":"{message}"}}]}}"#);
        return reply(429).with("content-type", "application/json").body(body.into());
    }
    if counts {
        pulls.push(Instant::now());
    }
    let left = left - u64::from(counts);
    answer()
        .with("ratelimit-limit", format!("{limit};w={seconds}"))
        .with("ratelimit-remaining", format!("{left};w={seconds}"))
}

fn get_manifest(state: &State, repository: &str, id: &str) -> Reply {
    let store = state.store.lock().unwrap();
    let digest = state.profile.tags_are_digests.then(|| id.replacen("sha256-", "sha256:", 1));
    let Some(manifest) = store.manifest(repository, digest.as_deref().unwrap_or(id)) else {
        let missing = state.profile.missing;
        let refusal = refusal(missing, if missing == 404 { "MANIFEST_UNKNOWN" } else { "DENIED" });
        let scope = format!("repository:{repository}:pull,push");
        let challenge = format!(
            "Bearer realm=\"{}/token\",service=\"test\",scope=\"{scope}\",error=\"insufficient_scope\"",
            state.own
        );
        let challenged = missing == 401;
        return if challenged { refusal.with("www-authenticate", challenge) } else { refusal };
    };
    let answer = reply(200).with("content-type", &manifest.media_type).body(manifest.bytes.clone());
    if state.profile.digest_header {
        answer.with("docker-content-digest", manifest.digest.to_string())
    } else {
        answer
    }
}

fn put_manifest(state: &State, asked: &Asked, repository: &str, id: &str, body: Bytes) -> Reply {
    let media_type = asked.header("content-type").unwrap_or_default();
    match state.store.lock().unwrap().put_manifest(
        repository,
        id,
        media_type,
        body,
        state.profile.sparse,
    ) {
        Ok(digest) => reply(201).with("docker-content-digest", digest.to_string()),
        Err(missing) => refusal(404, "MANIFEST_BLOB_UNKNOWN").with("x-missing", missing),
    }
}

fn start_upload(state: &State, asked: &Asked, repository: &str) -> Reply {
    let mut store = state.store.lock().unwrap();
    if let (Some(status), Some(_)) = (state.profile.refuses_mounts, asked.query("mount")) {
        return refusal(status, "BLOB_UNKNOWN");
    }
    if let (Some(digest), Some(from)) = (asked.query("mount"), asked.query("from"))
        && !state.profile.ignores_mounts
        && (state.profile.mount || from == repository)
        && (!state.profile.ecr || ecr_routes::may_mount(&store, from, digest))
        && (store.has_blob(from, digest)
            || (state.profile.one_store && from == repository && store.blobs.contains_key(digest)))
    {
        store.repository(repository).blobs.insert(digest.to_owned());
        return reply(201).with("location", format!("/v2/{repository}/blobs/{digest}"));
    }
    let (most, kept) = state.profile.sessions;
    store.open_sessions.retain(|_, opened| opened.elapsed() < kept);
    if store.open_sessions.len() >= most {
        return refusal(429, "TOOMANYREQUESTS");
    }
    store.sessions += 1;
    let number = store.sessions;
    store.open_sessions.insert(number, Instant::now());
    reply(202).with(
        "location",
        format!("/v2/{repository}/blobs/uploads/{}?_state=secret", store.sessions),
    )
}

fn finish_upload(state: &State, asked: &Asked, repository: &str, id: &str, body: Bytes) -> Reply {
    let Some(digest) = asked.query("digest").and_then(|digest| digest.parse::<Digest>().ok())
    else {
        return refusal(400, "DIGEST_INVALID");
    };
    if asked.query("_state") != Some("secret") || !end_session(state, id) {
        return refusal(404, state.profile.gone);
    }
    if Digest::of(digest.algorithm(), &body) != digest {
        return refusal(400, "DIGEST_INVALID");
    }
    state.store.lock().unwrap().put_blob(repository, digest.as_str(), body);
    reply(201).with("location", format!("/v2/{repository}/blobs/{digest}"))
}

/// Whether there was such a session.
fn end_session(state: &State, id: &str) -> bool {
    let number = id.strip_prefix("uploads/").and_then(|number| number.parse().ok());
    let opened =
        number.and_then(|number: u64| state.store.lock().unwrap().open_sessions.remove(&number));
    // Another registry may have sent its client here.
    opened.map_or(state.profile.sessions.0 == usize::MAX, |opened| {
        opened.elapsed() < state.profile.sessions.1
    })
}

fn get_blob(state: &State, asked: &Asked, repository: &str, id: &str) -> Reply {
    let store = state.store.lock().unwrap();
    if !store.has_blob(repository, id) {
        return refusal(404, "BLOB_UNKNOWN");
    }
    if let Some(elsewhere) = &state.profile.blob_redirect {
        return reply(307).with("location", format!("{elsewhere}{}?signature=secret", asked.path));
    }
    let bytes = store.blobs[id].clone();
    let start = asked
        .header("range")
        .and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-')?.parse::<usize>().ok());
    match start {
        Some(start) if state.profile.ranges && start < bytes.len() => {
            let range = format!("bytes {start}-{}/{}", bytes.len() - 1, bytes.len());
            reply(206).with("content-range", range).body(bytes.slice(start..))
        }
        Some(_) if state.profile.ranges => refusal(416, "RANGE_INVALID"),
        _ => reply(200).with("content-type", "application/octet-stream").body(bytes),
    }
}

fn tags(state: &State, repository: &str) -> Reply {
    let store = state.store.lock().unwrap();
    let Some(found) = store.repositories.get(repository) else {
        return refusal(404, "NAME_UNKNOWN");
    };
    let tags: Vec<&String> = found.tags.keys().collect();
    let body = serde_json::json!({ "name": repository, "tags": tags }).to_string();
    reply(200).with("content-type", "application/json").body(body.into())
}

fn referrers(state: &State, repository: &str, id: &str) -> Reply {
    if !state.profile.referrers {
        return refusal(state.profile.missing, "NOT_FOUND");
    }
    let store = state.store.lock().unwrap();
    let manifests = store
        .repositories
        .get(repository)
        .into_iter()
        .flat_map(|repository| repository.manifests.values());
    let about = manifests.filter(|manifest| {
        let document: serde_json::Value =
            serde_json::from_slice(&manifest.bytes).unwrap_or_default();
        document["subject"]["digest"] == id
    });
    let list: Vec<_> = about
        .map(|manifest| serde_json::json!({ "mediaType": manifest.media_type, "digest": manifest.digest.as_str(), "size": manifest.bytes.len() }))
        .collect();
    let body = serde_json::json!({ "schemaVersion": 2, "mediaType": mirror_oci::media_type::OCI_INDEX, "manifests": list });
    reply(200).with("content-type", mirror_oci::media_type::OCI_INDEX).body(body.to_string().into())
}

/// `library/x/manifests/1` → `library/x`, `manifests/1`.
fn split_path(rest: &str) -> Option<(&str, &str)> {
    ["/manifests/", "/blobs/", "/tags/", "/referrers/"].iter().find_map(|mark| {
        let at = rest.find(mark)?;
        Some((&rest[..at], &rest[at + 1..]))
    })
}

fn split_query(query: &str) -> Vec<(String, String)> {
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    pairs.map(|(key, value)| (key.to_owned(), percent_decoded(value))).collect()
}

fn percent_decoded(value: &str) -> String {
    let mut out = Vec::new();
    let mut bytes = value.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'%' => {
                let hex: Vec<u8> = bytes.by_ref().take(2).collect();
                out.push(u8::from_str_radix(std::str::from_utf8(&hex).unwrap(), 16).unwrap());
            }
            b'+' => out.push(b' '),
            byte => out.push(byte),
        }
    }
    String::from_utf8(out).unwrap()
}
