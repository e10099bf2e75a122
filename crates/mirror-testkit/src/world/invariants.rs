//! What must hold, each with a name. Those of this file hold at every write and every request; those about reports and
//! exit codes are held by whoever runs the program.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{Request, header};
use mirror_oci::Digest;
use serde_json::Value;

use crate::store::Store;
use crate::world::inside::World;
use crate::world::script::Step;
use crate::world::upstream::place_of;
use crate::world::violation::Violation;

/// What must hold at a destination whenever something was written there.
pub(crate) fn at_write(world: &World, host: &str, path: &str) {
    let repository = path
        .strip_prefix("/v2/")
        .and_then(|path| ["/manifests/", "/blobs/"].iter().find_map(|mark| path.split_once(mark)));
    if let Some((repository, _)) = repository {
        no_tag_names_an_incomplete_image(world, host, repository);
    }
    what_is_the_companys_stays(world);
}

/// What must hold at all destinations at the end.
pub(crate) fn at_end(world: &World) {
    for host in world.story.destinations() {
        let repositories = world.registry_of(host).repositories();
        for repository in repositories {
            no_tag_names_an_incomplete_image(world, &host.authority, &repository);
        }
        every_byte_hashes(world, &host.authority);
    }
    what_is_the_companys_stays(world);
}

/// Whatever a tag of a destination names has all its parts, but for those that the registry has lost and platforms that
/// were not picked.
fn no_tag_names_an_incomplete_image(world: &World, host: &str, repository: &str) {
    let Some(registry) = world.registry(host) else { return };
    let state = registry.state();
    let store = state.store.lock().unwrap();
    let Some(found) = store.repositories.get(repository) else { return };
    let mut lacks = Vec::new();
    for (tag, digest) in &found.tags {
        let mut missing = Vec::new();
        let picked = picked(world, repository);
        collect_missing(&store, repository, digest, &picked, &mut missing);
        lacks.extend(missing.into_iter().map(|digest| (tag.clone(), digest)));
    }
    drop(store);
    for (tag, digest) in lacks {
        let lost = (host.to_owned(), repository.to_owned(), digest.clone());
        if !world.lock().lost.contains(&lost) {
            let what = format!("{host}/{repository}:{tag} lacks {digest}");
            world.violated(Violation::of("no tag names an incomplete image", what));
        }
    }
}

/// Platforms that are picked of the images of a repository; none where all are wanted.
fn picked(world: &World, repository: &str) -> Vec<&'static str> {
    let entries = world.story.entries.iter().enumerate();
    let ours = entries.filter(|(number, _)| place_of(world, *number).0 == repository);
    ours.flat_map(|(_, entry)| entry.platforms.clone()).collect()
}

fn collect_missing(
    store: &Store,
    repository: &str,
    digest: &str,
    picked: &[&str],
    missing: &mut Vec<String>,
) {
    let Some(manifest) = store.manifest(repository, digest) else {
        missing.push(digest.to_owned());
        return;
    };
    let document: Value = serde_json::from_slice(&manifest.bytes).unwrap_or_default();
    for child in document["manifests"].as_array().into_iter().flatten() {
        let platform = &child["platform"];
        let named = [&platform["os"], &platform["architecture"], &platform["variant"]];
        let named: Vec<&str> = named.into_iter().filter_map(Value::as_str).collect();
        let wanted = picked.is_empty() || picked.contains(&named.join("/").as_str());
        let child = child["digest"].as_str().unwrap_or_default();
        if wanted || store.manifest(repository, child).is_some() {
            collect_missing(store, repository, child, picked, missing);
        }
    }
    let layers = document["layers"].as_array().into_iter().flatten();
    for blob in layers.chain([&document["config"]]).filter(|blob| blob["urls"].is_null()) {
        let Some(blob) = blob["digest"].as_str() else { continue };
        if !store.has_blob(repository, blob) {
            missing.push(blob.to_owned());
        }
    }
}

/// Every blob and manifest of a destination is what its digest says.
fn every_byte_hashes(world: &World, host: &str) {
    let Some(registry) = world.registry(host) else { return };
    let state = registry.state();
    let store = state.store.lock().unwrap();
    let blobs = store.blobs.iter();
    let manifests = store.repositories.values().flat_map(|found| &found.manifests);
    let manifests = manifests.map(|(digest, manifest)| (digest, &manifest.bytes));
    for (digest, bytes) in blobs.chain(manifests) {
        let named: Digest = digest.parse().unwrap();
        if Digest::of(named.algorithm(), bytes) != named {
            world.violated(Violation::of("every byte hashes", format!("{digest} at {host}")));
        }
    }
}

/// Nothing that the company has put at a destination is changed or removed.
fn what_is_the_companys_stays(world: &World) {
    let theirs = world.lock().theirs.clone();
    for (host, repository, under, digest) in theirs {
        let Some(registry) = world.registry(&host) else { continue };
        let now = registry.manifest(&repository, &under).map(|manifest| manifest.digest);
        if now.as_ref() != Some(&digest) {
            let what = format!("{host}/{repository}:{under} was {digest}, and is {now:?}");
            world.violated(Violation::of("what is the company's stays", what));
        }
    }
}

/// Who has no pulls left asks for no more of them.
pub(crate) fn pulls_stay_within_the_budget(world: &World) {
    let waits = world.story.steps.iter().any(|step| match step {
        Step::Apply(run) | Step::ApplySaved(run) | Step::Shards(_, run) => run.waits,
        Step::Plan | Step::Save | Step::Verify(_) | Step::Wait(_) => false,
    });
    if waits {
        // It asks again and again, as it is meant to.
        return;
    }
    for host in world.story.hosts.iter().filter(|host| host.profile.pull_limit.is_some()) {
        // Each run finds out once, at most for as many requests as were on their way.
        let most = 64 * world.story.steps.len();
        let refused = world.registry_of(host).refused_pulls();
        if refused > most {
            let what = format!("{refused} pulls too many at {}", host.name);
            world.violated(Violation::of("counted pulls stay within the budget", what));
        }
    }
}

/// Each secret is seen only by the hosts it belongs to, and never without TLS.
pub(crate) fn secrets<B>(world: &World, host: &str, request: &Request<B>) {
    let text = |value: &header::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let sent = request.headers().get(header::AUTHORIZATION).map(text);
    let secure = request.uri().scheme_str() == Some("https");
    let seen = |what: String| {
        world.violated(Violation::of("a secret is seen by its own hosts only", what));
    };
    if let Some(sent) = &sent
        && !secure
    {
        seen(format!("{sent} without TLS at {host}"));
    }
    let place = world.places.get(host);
    if let (Some(sent), true) = (&sent, place.is_none_or(|place| place.is_cdn)) {
        seen(format!("{sent} at {host}, which serves blobs"));
    }
    let of_host = |name: &str| place.is_some_and(|place| place.trusted_by.contains(name));
    let all = sent.clone().unwrap_or_default() + &request.uri().to_string();
    for other in world.story.hosts.iter().filter(|other| !of_host(&other.name)) {
        let Some((user, password)) = &other.secret else { continue };
        let login = STANDARD.encode(format!("{user}:{password}"));
        if all.contains(&login) || all.contains(password.as_str()) {
            seen(format!("the password of {} at {host}", other.name));
        }
    }
    if let Some(token) = sent.as_deref().and_then(|sent| sent.strip_prefix("Bearer ")) {
        let known = place.is_some_and(|place| place.registry(&world.account).has_issued(token));
        if !known {
            seen(format!("the token {token} at {host}"));
        }
    }
    if sent.as_deref().is_some_and(|sent| {
        let login = sent.strip_prefix("Basic ").and_then(|login| STANDARD.decode(login).ok());
        login.is_some_and(|login| login.starts_with(b"AWS:"))
    }) && !host.ends_with(".amazonaws.com")
    {
        seen(format!("a login of AWS at {host}"));
    }
}
