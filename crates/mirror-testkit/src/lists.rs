//! Lists of the test registry: tags, referrers; in pages, where it has those.

use serde_json::{Value, json};

use crate::message::{Asked, Reply, refusal, reply};
use crate::state::State;

pub(crate) fn tags(state: &State, asked: &Asked, repository: &str) -> Reply {
    let store = state.store.lock().unwrap();
    let Some(found) = store.repositories.get(repository) else {
        return refusal(404, "NAME_UNKNOWN");
    };
    let tags: Vec<String> = found.tags.keys().cloned().collect();
    let last = asked.query("last");
    let start = last.map_or(0, |last| tags.partition_point(|tag| tag.as_str() <= last));
    let most = asked.query("n").and_then(|n| n.parse().ok());
    let most = [most, state.profile.page].into_iter().flatten().min();
    let page: Vec<&String> = tags.iter().skip(start).take(most.unwrap_or(usize::MAX)).collect();
    let more = start + page.len() < tags.len();
    let next = page.last().filter(|_| more).map(|last| {
        format!("/v2/{repository}/tags/list?n={}&last={last}", most.unwrap_or_default())
    });
    let body = json!({ "name": repository, "tags": page }).to_string();
    linked(state, reply(200).with("content-type", "application/json").body(body.into()), next)
}

pub(crate) fn referrers(state: &State, asked: &Asked, repository: &str, id: &str) -> Reply {
    if !state.profile.referrers {
        return refusal(state.profile.missing, "NOT_FOUND");
    }
    let store = state.store.lock().unwrap();
    let manifests =
        store.repositories.get(repository).into_iter().flat_map(|found| found.manifests.values());
    let about = manifests.filter_map(|manifest| {
        let document: Value = serde_json::from_slice(&manifest.bytes).unwrap_or_default();
        (document["subject"]["digest"] == id).then(|| {
            let kind = document["artifactType"].as_str();
            let kind = kind.or(document["config"]["mediaType"].as_str());
            json!({
                "mediaType": manifest.media_type, "digest": manifest.digest.as_str(),
                "size": manifest.bytes.len(), "artifactType": kind,
                "annotations": document["annotations"],
            })
        })
    });
    let wanted = asked.query("artifactType");
    let all: Vec<Value> = about
        .filter(|entry| wanted.is_none_or(|wanted| entry["artifactType"] == wanted))
        .map(without_nothing)
        .collect();
    let start = asked.query("from").and_then(|from| from.parse().ok()).unwrap_or(0);
    let page: Vec<Value> =
        all.iter().skip(start).take(state.profile.page.unwrap_or(usize::MAX)).cloned().collect();
    let end = start + page.len();
    let next = (end < all.len()).then(|| format!("/v2/{repository}/referrers/{id}?from={end}"));
    let body = json!({
        "schemaVersion": 2, "mediaType": mirror_oci::media_type::OCI_INDEX, "manifests": page,
    });
    let answer = reply(200).with("content-type", mirror_oci::media_type::OCI_INDEX);
    let answer = match wanted {
        Some(_) => answer.with("oci-filters-applied", "artifactType"),
        None => answer,
    };
    linked(state, answer.body(body.to_string().into()), next)
}

/// Without keys that have no value.
fn without_nothing(mut entry: Value) -> Value {
    if let Some(entry) = entry.as_object_mut() {
        entry.retain(|_, value| !value.is_null());
    }
    entry
}

fn linked(state: &State, answer: Reply, next: Option<String>) -> Reply {
    match next {
        Some(next) => answer.with("link", format!("<{}>; rel=\"next\"", state.location(&next))),
        None => answer,
    }
}
