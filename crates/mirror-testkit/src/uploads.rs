//! Uploads of blobs to the test registry.

use bytes::Bytes;
use mirror_oci::Digest;
use tokio::time::Instant;

use crate::ecr_routes;
use crate::message::{Asked, Reply, refusal, reply};
use crate::state::State;

pub(crate) fn start_upload(state: &State, asked: &Asked, repository: &str, body: Bytes) -> Reply {
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
        let location = state.location(&format!("/v2/{repository}/blobs/{digest}"));
        return reply(201).with("location", location);
    }
    let (most, kept) = state.profile.sessions;
    store.open_sessions.retain(|_, opened| opened.elapsed() < kept);
    if store.open_sessions.len() >= most {
        return refusal(429, "TOOMANYREQUESTS");
    }
    if let Some(digest) = asked.query("digest").and_then(|it| it.parse::<Digest>().ok())
        && asked.query("mount").is_none()
        && !body.is_empty()
    {
        if Digest::of(digest.algorithm(), &body) != digest {
            return refusal(400, "DIGEST_INVALID");
        }
        store.put_blob(repository, digest.as_str(), body);
        let location = state.location(&format!("/v2/{repository}/blobs/{digest}"));
        return reply(201).with("location", location);
    }
    store.sessions += 1;
    let number = store.sessions;
    store.open_sessions.insert(number, Instant::now());
    let path = format!("/v2/{repository}/blobs/uploads/{number}?_state=secret");
    reply(202).with("location", state.location(&path))
}

/// Takes bytes of a session: all of them at once, or chunk by chunk.
pub(crate) fn patch_upload(
    state: &State,
    asked: &Asked,
    repository: &str,
    id: &str,
    body: Bytes,
) -> Reply {
    if !goes_on(state, asked, id) {
        return refusal(416, "BLOB_UPLOAD_INVALID");
    }
    let mut store = state.store.lock().unwrap();
    let Some(number) = number_of(id).filter(|number| store.open_sessions.contains_key(number))
    else {
        return refusal(404, state.profile.gone);
    };
    let known = store.patched.get(&number).cloned().unwrap_or_default();
    let all = Bytes::from([known, body].concat());
    let end = all.len().saturating_sub(1);
    store.patched.insert(number, all);
    let path = format!("/v2/{repository}/blobs/{id}?_state=secret");
    reply(202).with("location", state.location(&path)).with("range", format!("0-{end}"))
}

/// The number of a session.
fn number_of(id: &str) -> Option<u64> {
    id.strip_prefix("uploads/")?.parse().ok()
}

/// Whether a chunk is the next one, where it says which it is.
fn goes_on(state: &State, asked: &Asked, id: &str) -> bool {
    let start = asked.header("content-range").and_then(|range| range.split('-').next());
    let store = state.store.lock().unwrap();
    let here = number_of(id).and_then(|number| store.patched.get(&number)).map_or(0, Bytes::len);
    start.is_none_or(|start| start.parse() == Ok(here))
}

/// How far a session has come.
pub(crate) fn upload_status(state: &State, repository: &str, id: &str) -> Reply {
    let store = state.store.lock().unwrap();
    let Some(number) = number_of(id).filter(|number| store.open_sessions.contains_key(number))
    else {
        return refusal(404, state.profile.gone);
    };
    let end = store.patched.get(&number).map_or(0, Bytes::len).saturating_sub(1);
    let path = format!("/v2/{repository}/blobs/{id}?_state=secret");
    reply(204).with("location", state.location(&path)).with("range", format!("0-{end}"))
}

pub(crate) fn finish_upload(
    state: &State,
    asked: &Asked,
    repository: &str,
    id: &str,
    body: Bytes,
) -> Reply {
    let Some(digest) = asked.query("digest").and_then(|digest| digest.parse::<Digest>().ok())
    else {
        return refusal(400, "DIGEST_INVALID");
    };
    if !goes_on(state, asked, id) {
        return refusal(416, "BLOB_UPLOAD_INVALID");
    }
    if asked.query("_state") != Some("secret") || !end_session(state, asked, id) {
        return refusal(404, state.profile.gone);
    }
    let patched =
        number_of(id).and_then(|number| state.store.lock().unwrap().patched.remove(&number));
    // Who wants a PATCH does not look at what comes with the PUT.
    let body = if state.profile.whole_puts { body } else { Bytes::new() };
    let body = match patched {
        Some(patched) => Bytes::from([patched, body].concat()),
        None => body,
    };
    let checked = !state.profile.unchecked || !state.profile.whole_puts;
    if checked && Digest::of(digest.algorithm(), &body) != digest {
        return refusal(400, "DIGEST_INVALID");
    }
    state.store.lock().unwrap().put_blob(repository, digest.as_str(), body);
    reply(201).with("location", state.location(&format!("/v2/{repository}/blobs/{digest}")))
}

/// Whether there was such a session when a request came.
pub(crate) fn end_session(state: &State, asked: &Asked, id: &str) -> bool {
    let opened =
        number_of(id).and_then(|number| state.store.lock().unwrap().open_sessions.remove(&number));
    // Another registry may have sent its client here.
    opened.map_or(state.profile.sessions.0 == usize::MAX, |opened| {
        asked.at.duration_since(opened) < state.profile.sessions.1
    })
}
