//! Uploads of blobs to the test registry.

use bytes::Bytes;
use mirror_oci::Digest;
use tokio::time::Instant;

use crate::ecr_routes;
use crate::message::{Asked, Reply, refusal, reply};
use crate::state::State;

pub(crate) fn start_upload(state: &State, asked: &Asked, repository: &str) -> Reply {
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

/// Takes the bytes of a session, all of them at once.
pub(crate) fn patch_upload(state: &State, repository: &str, id: &str, body: Bytes) -> Reply {
    let mut store = state.store.lock().unwrap();
    let number = id.strip_prefix("uploads/").and_then(|number| number.parse().ok());
    let Some(number) = number.filter(|number| store.open_sessions.contains_key(number)) else {
        return refusal(404, state.profile.gone);
    };
    store.patched.insert(number, body);
    reply(202).with("location", format!("/v2/{repository}/blobs/{id}?_state=secret"))
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
    if asked.query("_state") != Some("secret") || !end_session(state, id) {
        return refusal(404, state.profile.gone);
    }
    let number = id.strip_prefix("uploads/").and_then(|number| number.parse::<u64>().ok());
    let patched = number.and_then(|number| state.store.lock().unwrap().patched.remove(&number));
    let body = patched.filter(|_| body.is_empty()).unwrap_or(body);
    if Digest::of(digest.algorithm(), &body) != digest {
        return refusal(400, "DIGEST_INVALID");
    }
    state.store.lock().unwrap().put_blob(repository, digest.as_str(), body);
    reply(201).with("location", format!("/v2/{repository}/blobs/{digest}"))
}

/// Whether there was such a session.
pub(crate) fn end_session(state: &State, id: &str) -> bool {
    let number = id.strip_prefix("uploads/").and_then(|number| number.parse().ok());
    let opened =
        number.and_then(|number: u64| state.store.lock().unwrap().open_sessions.remove(&number));
    // Another registry may have sent its client here.
    opened.map_or(state.profile.sessions.0 == usize::MAX, |opened| {
        opened.elapsed() < state.profile.sessions.1
    })
}
