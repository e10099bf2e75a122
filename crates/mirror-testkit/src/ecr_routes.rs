//! What ECR's registries do differently on the distribution API.

use std::time::Duration;

use http::Method;
use tokio::time::Instant;

use crate::ecr_calls;
use crate::state::State;
use crate::store::Store;

/// Manifests that may be put in a second: the quota, and as many saved up.
const PUT_IMAGE: usize = 20;

/// Status, code and message, where ECR refuses.
type Refused = (u16, &'static str, String);

/// Why a request is refused before it does anything.
pub(crate) fn refused(
    state: &State,
    method: &Method,
    repository: &str,
    what: &str,
    authorization: Option<&str>,
) -> Option<Refused> {
    let mut store = state.store.lock().unwrap();
    let token = authorization.and_then(|header| header.strip_prefix("Basic "));
    let known = store
        .ecr
        .tokens
        .iter()
        .find(|(password, _)| Some(ecr_calls::encoded(password).as_str()) == token);
    match known {
        None => return Some((401, "UNAUTHORIZED", "Not Authorized".to_owned())),
        Some((_, false)) => {
            let message = "Your authorization token has expired. Reauthenticate and try again.";
            return Some((403, "DENIED", message.to_owned()));
        }
        Some((_, true)) => {}
    }
    if !store.ecr.repositories.contains_key(repository) {
        let message =
            format!("The repository with name '{repository}' does not exist in the registry");
        return Some((404, "NAME_UNKNOWN", message));
    }
    match (method, what.split_once('/')) {
        (&Method::PUT, Some(("manifests", tag))) => put_manifest(&mut store, repository, tag),
        // Some manifests get this, though referrers are supported: aws/containers-roadmap#2783.
        (&Method::PATCH, _) => Some((405, "UNSUPPORTED", "chunks are not taken".to_owned())),
        _ => None,
    }
}

fn put_manifest(store: &mut Store, repository: &str, tag: &str) -> Option<Refused> {
    store.ecr.pushes.retain(|push| push.elapsed() < Duration::from_secs(1));
    if store.ecr.pushes.len() >= PUT_IMAGE {
        return Some((429, "TOOMANYREQUESTS", "Rate exceeded".to_owned()));
    }
    store.ecr.pushes.push(Instant::now());
    let kept = &store.ecr.repositories[repository];
    let filters = kept.filters.iter().filter_map(|filter| filter["filter"].as_str());
    let excepted = filters.into_iter().any(|filter| match filter.split_once('*') {
        Some((before, after)) => tag.starts_with(before) && tag.ends_with(after),
        None => filter == tag,
    });
    let immutable = match kept.mutability.as_deref() {
        Some("IMMUTABLE") => true,
        Some("IMMUTABLE_WITH_EXCLUSION") => !excepted,
        Some("MUTABLE_WITH_EXCLUSION") => excepted,
        _ => false,
    };
    // Identical content is refused as well.
    let taken =
        store.repositories.get(repository).is_some_and(|found| found.tags.contains_key(tag));
    (immutable && taken).then(|| {
        let message = format!("The image tag '{tag}' already exists in the '{repository}' repository and cannot be overwritten because the tag is immutable.");
        (400, "TAG_INVALID", message)
    })
}

/// Only what a pushed manifest names, and only where the account wants it: aws/containers-roadmap#2860.
pub(crate) fn may_mount(store: &Store, from: &str, digest: &str) -> bool {
    let named = store.repositories.get(from).is_some_and(|repository| {
        repository
            .manifests
            .values()
            .any(|manifest| String::from_utf8_lossy(&manifest.bytes).contains(digest))
    });
    store.ecr.mounting && named
}
