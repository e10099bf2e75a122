//! The distribution API of the test registry.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::BodyExt;
use hyper::body::Body;
use mirror_oci::{Digest, Tag};
use tokio::time::Instant;

use crate::auth::Verdict;
use crate::body::{Breakable, Ending};
use crate::ecr_routes;
use crate::fault::{Exchange, Fault};
use crate::lists;
use crate::message::{Asked, Reply, refusal, reply, split_query};
use crate::state::{Recorded, State};
use crate::store::{Repository, Unfit};
use crate::uploads::{end_session, finish_upload, patch_upload, start_upload, upload_status};

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
        at: Instant::now(),
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
    let exchange = Exchange {
        number,
        method: asked.method.to_string(),
        path: asked.path.clone(),
        query,
        authorization: asked.header("authorization").map(str::to_owned),
        length: asked.header("content-length").and_then(|it| it.parse().ok()).unwrap_or(0),
    };
    let _busy = Busy::new(&state);
    let fault = state.faults.lock().unwrap().as_ref().and_then(|rule| rule(&exchange));
    match fault {
        Some(Fault::Reset) => return Err(io::Error::other("reset")),
        Some(Fault::Hang) => std::future::pending::<()>().await,
        Some(Fault::Delay(time)) => tokio::time::sleep(time).await,
        _ => {}
    }
    let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
    let mut reply = replied(&state, &asked, body, fault.as_ref());
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

/// What is answered: what a fault says, or what is right.
fn replied(state: &State, asked: &Asked, body: Bytes, fault: Option<&Fault>) -> Reply {
    match fault {
        Some(Fault::Answer(status, content_type, body)) => {
            reply(*status).with("content-type", *content_type).body(body.clone().into())
        }
        Some(Fault::Reply(status, headers, body)) => {
            Reply { status: *status, headers: headers.clone(), body: body.clone() }
        }
        Some(Fault::Challenge(challenge)) => {
            refusal(401, "UNAUTHORIZED").with("www-authenticate", challenge.clone())
        }
        Some(Fault::Redirect(url)) => reply(307).with("location", url.clone()),
        Some(Fault::Throttle(seconds)) => {
            refusal(429, "TOOMANYREQUESTS").with("retry-after", seconds.to_string())
        }
        _ if too_many(state) => refusal(429, "TOOMANYREQUESTS").with("retry-after", "1"),
        _ if asked.path == "/v2/" => base(state, asked),
        _ => route(state, asked, body),
    }
}

/// Whether there were as many requests in the last second as it answers in one.
fn too_many(state: &State) -> bool {
    let Some(rate) = state.profile.rate else { return false };
    let mut recent = state.recent.lock().unwrap();
    recent.retain(|request| request.elapsed() < Duration::from_secs(1));
    let too_many = recent.len() >= rate;
    if !too_many {
        recent.push(Instant::now());
    }
    too_many
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
    if head && !response.headers().contains_key("content-length") {
        response.headers_mut().insert("content-length", size.into());
    }
    response
}

/// Whether somebody may use this registry at all.
fn base(state: &State, asked: &Asked) -> Reply {
    if state.profile.silent.is_none() || asked.header("authorization").is_some() {
        return reply(200);
    }
    match judge(state, asked, "x", "pull") {
        Verdict::Challenge(challenge) => {
            refusal(401, "UNAUTHORIZED").with("www-authenticate", challenge)
        }
        Verdict::Allowed => reply(200),
    }
}

fn judge(state: &State, asked: &Asked, repository: &str, action: &str) -> Verdict {
    let own = match state.profile.token_services {
        true => format!("{}/token-of/{repository}", state.own),
        false => state.own.clone(),
    };
    let header = asked.header("authorization");
    let issued = state.issued.lock().unwrap();
    state.profile.auth.judge((header, asked.at), repository, action, &own, &issued)
}

/// A token, of the token service of all repositories or of one.
fn token(state: &State, asked: &Asked) -> Reply {
    let only = asked.path.strip_prefix("/token-of/").and_then(|it| it.strip_suffix("/token"));
    let token = state.profile.auth.token(
        asked.header("authorization"),
        &asked.query,
        only,
        &state.own,
        &mut state.issued.lock().unwrap(),
    );
    match token {
        Some(json) => reply(200).with("content-type", "application/json").body(json.into()),
        None => refusal(401, "UNAUTHORIZED"),
    }
}

fn route(state: &State, asked: &Asked, body: Bytes) -> Reply {
    if asked.path == "/token" || asked.path.starts_with("/token-of/") {
        return token(state, asked);
    }
    let Some(rest) = asked.path.strip_prefix("/v2/") else { return refusal(404, "NOT_FOUND") };
    let Some((repository, what)) = split_path(rest) else { return refusal(404, "NOT_FOUND") };
    let writes = !matches!(asked.method, Method::GET | Method::HEAD);
    let action = if writes { "push" } else { "pull" };
    if let Verdict::Challenge(challenge) = judge(state, asked, repository, action) {
        if let Some(status) = state.profile.silent
            && asked.header("authorization").is_none()
        {
            return refusal(status, if status == 404 { "NAME_UNKNOWN" } else { "DENIED" });
        }
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
        ("blobs", &Method::POST) => start_upload(state, asked, repository, body),
        ("blobs", &Method::PATCH) => patch_upload(state, asked, repository, id, body),
        ("blobs", &Method::PUT) => finish_upload(state, asked, repository, id, body),
        ("manifests", &Method::DELETE) => delete_manifest(state, repository, id),
        ("blobs", &Method::DELETE) => delete_blob(state, asked, repository, id),
        ("blobs", &Method::GET) if id.starts_with("uploads/") => {
            upload_status(state, repository, id)
        }
        ("blobs", &Method::GET | &Method::HEAD) => get_blob(state, asked, repository, id),
        ("tags", &Method::GET) => lists::tags(state, asked, repository),
        ("referrers", &Method::GET) => lists::referrers(state, asked, repository, id),
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
        *state.refused_pulls.lock().unwrap() += 1;
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
    let reference = digest.as_deref().unwrap_or(id);
    let settled = |repository: &Repository| repository.settled(reference, state.profile.settles);
    let is_settled = store.repositories.get(repository).is_some_and(settled);
    let found = store.manifest(repository, reference).filter(|_| is_settled);
    let Some(manifest) = found else {
        let missing = state.profile.missing;
        let refusal = refusal(missing, if missing == 404 { "MANIFEST_UNKNOWN" } else { "DENIED" });
        let realm = state.profile.auth.realm(&state.own);
        let challenge = format!(
            "Bearer realm=\"{realm}\",service=\"test\",scope=\"repository:{repository}:pull,push\",error=\"insufficient_scope\""
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
    if id.parse::<Tag>().is_err() && id.parse::<Digest>().is_err() {
        return refusal(400, "DIGEST_INVALID");
    }
    let media_type = asked.header("content-type").unwrap_or_default();
    let document: serde_json::Value = serde_json::from_slice(&body).unwrap_or_default();
    let subject = document["subject"]["digest"].as_str().filter(|_| state.profile.referrers);
    let stored =
        state.store.lock().unwrap().put_manifest(repository, id, media_type, body, &state.profile);
    match stored {
        Ok(digest) => {
            let stored = reply(201)
                .with("location", state.location(&format!("/v2/{repository}/manifests/{digest}")))
                .with("docker-content-digest", digest.to_string());
            match subject {
                Some(subject) => stored.with("oci-subject", subject),
                None => stored,
            }
        }
        Err(Unfit::Lacks(missing)) => {
            refusal(404, "MANIFEST_BLOB_UNKNOWN").with("x-missing", missing)
        }
        Err(Unfit::WrongDigest) => refusal(400, "DIGEST_INVALID"),
        Err(Unfit::NoManifest) => refusal(400, "MANIFEST_INVALID"),
    }
}

fn delete_manifest(state: &State, repository: &str, id: &str) -> Reply {
    match state.store.lock().unwrap().delete_manifest(repository, id) {
        true => reply(202),
        false => refusal(404, "MANIFEST_UNKNOWN"),
    }
}

fn delete_blob(state: &State, asked: &Asked, repository: &str, id: &str) -> Reply {
    if id.starts_with("uploads/") {
        return reply(if end_session(state, asked, id) { 204 } else { 404 });
    }
    match state.store.lock().unwrap().delete_blob(repository, id) {
        true => reply(202),
        false => refusal(404, "BLOB_UNKNOWN"),
    }
}

fn get_blob(state: &State, asked: &Asked, repository: &str, id: &str) -> Reply {
    let store = state.store.lock().unwrap();
    let settled = |repository: &Repository| repository.settled(id, state.profile.settles);
    if !store.has_blob(repository, id) || !store.repositories.get(repository).is_some_and(settled) {
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

/// `library/x/manifests/1` → `library/x`, `manifests/1`.
fn split_path(rest: &str) -> Option<(&str, &str)> {
    ["/manifests/", "/blobs/", "/tags/", "/referrers/"].iter().find_map(|mark| {
        let at = rest.find(mark)?;
        Some((&rest[..at], &rest[at + 1..]))
    })
}
