//! Newer tags of images that no bot proposes, and tags that were pushed again under a digest of the tree.

use std::collections::BTreeSet;

use futures_util::{StreamExt, stream};
use mirror_failure::{Failure, Side};
use mirror_oci::{Digest, Name, Tag, Version};
use mirror_plan::config::Config;
use mirror_plan::report::{
    Looked, MovedTag, NewerTag, OUTDATED_FORMAT, Outdated, TagsFailure, newer, stuck,
};
use mirror_tree::{Entry, Untracked};

use crate::connections::Connections;
use crate::look::tags;

/// Lists of tags that are read at once.
const AT_ONCE: usize = 16;

/// Looks at the tags that no bot updates, and at those beside digests.
///
/// # Cancellation
/// Can be dropped at any time: nothing is changed.
pub async fn look(entries: &[Entry], connections: &Connections, config: &Config) -> Outdated {
    let mut found = look_at_tags(entries, connections, config).await;
    look_beside_digests(entries, connections, &mut found).await;
    found
}

/// Looks at the tags that no bot updates.
///
/// # Cancellation
/// Can be dropped at any time: nothing is changed.
pub async fn look_at_tags(
    entries: &[Entry],
    connections: &Connections,
    config: &Config,
) -> Outdated {
    let stuck: Vec<(&Entry, Untracked)> =
        entries.iter().filter_map(|entry| Some((entry, stuck(entry, config)?))).collect();
    let mut found =
        Outdated { format_version: OUTDATED_FORMAT, looked_at: stuck.len(), ..Outdated::default() };
    let looks = stream::iter(&stuck).map(|(entry, why)| successor(entry, why, connections, config));
    for outcome in looks.buffered(AT_ONCE).collect::<Vec<_>>().await {
        match outcome {
            Ok(Looked::Newer(newer)) => found.images.push(newer),
            Ok(Looked::Incomparable(tag)) => found.incomparable.push(tag),
            Ok(Looked::Newest) => {}
            Err(failure) => found.failures.push(failure),
        }
    }
    found
}

/// Asks what tags are now that have a digest beside them.
async fn look_beside_digests(entries: &[Entry], connections: &Connections, found: &mut Outdated) {
    let pinned = |entry: &Entry| {
        let Version::Pinned(pinned) = &entry.version else { return None };
        Some(((entry.name.clone(), pinned.tag.clone()?), pinned.digest.clone()))
    };
    let asked: BTreeSet<(Name, Tag)> =
        entries.iter().filter_map(|entry| Some(pinned(entry)?.0)).collect();
    let seen = tags::digests(asked, connections).await;
    let looks = entries.iter().filter_map(|entry| {
        let (asked, digest) = pinned(entry)?;
        let now = seen.get(&asked)?;
        Some(beside(entry, asked.1, digest, now, connections))
    });
    let looks = stream::iter(looks.collect::<Vec<_>>()).buffered(AT_ONCE);
    for looked in looks.collect::<Vec<_>>().await {
        found.pinned += 1;
        match looked {
            Ok(moved) => found.moved.extend(moved),
            Err(failure) => found.failures.push(failure),
        }
    }
}

/// Whether a tag is another image than the digest beside it. That of one platform's manifest in the index which the tag is
/// now will do; where only a look into that index tells, it costs a pull.
async fn beside(
    entry: &Entry,
    tag: Tag,
    pinned: Digest,
    now: &Result<Digest, Failure>,
    connections: &Connections,
) -> Result<Option<MovedTag>, TagsFailure> {
    let (file, name) = (entry.file.clone(), entry.name.to_string());
    let failed = |failure| TagsFailure { file: file.clone(), name: name.clone(), failure };
    let upstream = match now {
        Ok(now) => Some(now.clone()),
        Err(failure) if failure.is_gone() => None,
        Err(failure) => return Err(failed(failure.clone())),
    };
    if let Some(now) = &upstream {
        // A digest by another hash function can't be compared without reading the manifest, which is a pull.
        if *now == pinned || now.algorithm() != pinned.algorithm() {
            return Ok(None);
        }
        let origin = connections.origin(&entry.name).map_err(failed)?;
        let child = origin.is_child(now, &pinned).await;
        if child.map_err(|error| failed(error.into()))? {
            return Ok(None);
        }
    }
    Ok(Some(MovedTag { file, name, tag: tag.to_string(), pinned, upstream }))
}

async fn successor(
    entry: &Entry,
    why: &Untracked,
    connections: &Connections,
    config: &Config,
) -> Result<Looked, TagsFailure> {
    let reason = entry.version.tag().map(|tag| why.message(tag.as_str())).unwrap_or_default();
    // None of the others is newer than a commit.
    if *why == Untracked::Commit {
        return Ok(newer(entry, &reason, &[], config).0);
    }
    let failed =
        |failure| TagsFailure { file: entry.file.clone(), name: entry.name.to_string(), failure };
    let remote =
        connections.remote(&entry.name.registry, &entry.name.repository).map_err(failed)?;
    let listed = remote.tags().await;
    let tags = listed.map_err(|error| failed(Failure::new(Side::Source, "", &error.into())))?;
    let valid = tags.iter().map(String::as_str).filter(|tag| tag.parse::<Tag>().is_ok());
    let valid: Vec<&str> = valid.collect();
    let (looked, outlier) = newer(entry, &reason, &valid, config);
    match outlier {
        Some(outlier) if is_latest(entry, outlier, &valid, connections).await => {
            Ok(with_major(looked, entry, outlier, reason))
        }
        _ => Ok(looked),
    }
}

/// Whether a tag is the image that `latest` is.
async fn is_latest(entry: &Entry, tag: &str, listed: &[&str], connections: &Connections) -> bool {
    const LATEST: &str = "latest";
    if !listed.contains(&LATEST) {
        return false;
    }
    let asked =
        [LATEST, tag].into_iter().filter_map(|tag| Some((entry.name.clone(), tag.parse().ok()?)));
    let found = tags::digests(asked, connections).await;
    let mut found = found.into_values().map(Result::ok);
    matches!((found.next(), found.next()), (Some(Some(one)), Some(Some(other))) if one == other)
}

/// The same with a newer major version.
fn with_major(looked: Looked, entry: &Entry, major: &str, reason: String) -> Looked {
    let Some(tag) = entry.version.tag() else { return looked };
    let newest = match looked {
        Looked::Newer(found) => NewerTag { major: Some(major.to_owned()), ..found },
        _ => NewerTag {
            file: entry.file.clone(),
            name: entry.name.to_string(),
            tag: tag.to_string(),
            newest: None,
            major: Some(major.to_owned()),
            proposed: None,
            reason,
        },
    };
    Looked::Newer(newest)
}
