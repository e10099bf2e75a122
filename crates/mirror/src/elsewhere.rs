//! Whether Docker's official images could be pulled where nobody counts pulls.

use std::collections::BTreeMap;
use std::time::Duration;

use mirror_engine::Connections;
use mirror_engine::look::tags;
use mirror_failure::Failure;
use mirror_oci::{Digest, Name, Reference, Tag, Version};
use mirror_tree::Entry;

use crate::load::Loaded;
use crate::print;

const DOCKER_HUB: &str = "docker.io";

/// Who has all of them: <https://gallery.ecr.aws/docker/>. Its limits are rates alone:
/// <https://docs.aws.amazon.com/AmazonECR/latest/public/public-service-quotas.html>.
const HOST: &str = "public.ecr.aws";
const PLACE: &str = "public.ecr.aws/docker";

/// As long as a hint may keep anybody waiting.
const PATIENCE: Duration = Duration::from_secs(3);

/// An official image of Docker Hub that is asked about, and what it would be at ECR Public. One is enough: the hint is about
/// all of them.
pub(crate) fn candidate(new: &[Entry], loaded: &Loaded) -> Option<(Entry, Entry)> {
    if !is_open(loaded) {
        return None;
    }
    let official = new.iter().find(|entry| is_official(&entry.name))?;
    Some((official.clone(), at_ecr_public(&official.name, official.version.tag()?)?))
}

/// Says so if both have the same digest.
pub(crate) async fn hint(
    (official, other): &(Entry, Entry),
    digests: &BTreeMap<(Name, Tag), Result<Digest, Failure>>,
    connections: &Connections,
    loaded: &Loaded,
) {
    let Some(tag) = official.version.tag() else { return };
    let key = (official.name.clone(), tag.clone());
    let Some(Ok(digest)) = digests.get(&key) else { return };
    let key = (other.name.clone(), tag.clone());
    let look = tags::digests([key.clone()], connections);
    let mut found = tokio::time::timeout(PATIENCE, look).await.unwrap_or_default();
    if found.remove(&key).and_then(Result::ok).as_ref() == Some(digest) {
        print::message(&format!(
            "{PLACE} has {}:{tag} with the same digest, and does not count pulls: with `alternatives = [\"{PLACE}\"]` \
             below `[registry.\"{DOCKER_HUB}\"]` in {}/mirror.toml, official images come from there",
            official.name.familiar(),
            loaded.shown
        ));
    }
}

fn is_official(name: &Name) -> bool {
    name.registry.as_str() == DOCKER_HUB && name.repository.as_str().starts_with("library/")
}

/// Whether nobody has decided yet where images of Docker Hub come from. Whoever has a proxy for it may not reach others.
fn is_open(loaded: &Loaded) -> bool {
    let settings = |host: &str| {
        loaded.config.registries.iter().find(|(name, _)| name.as_str() == host).map(|(_, one)| one)
    };
    let hub = settings(DOCKER_HUB);
    let proxied = hub.is_some_and(|hub| hub.endpoint.is_some()) && settings(HOST).is_none();
    hub.is_none_or(|hub| hub.alternatives.is_empty()) && !proxied
}

fn at_ecr_public(name: &Name, tag: &Tag) -> Option<Entry> {
    let reference = format!("{PLACE}/{}:{tag}", name.repository);
    let parsed: Reference = reference.parse().ok()?;
    let version = Version::Floating(tag.clone());
    let span = 0..reference.len();
    let (file, source) = (String::new(), reference.into());
    Some(Entry { file, name: parsed.name, version, platform: None, span, source })
}
