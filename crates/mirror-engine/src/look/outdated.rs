//! Newer tags of images that no bot proposes, and tags that were pushed again under a digest of the tree.

use std::collections::BTreeSet;

use futures_util::{StreamExt, stream};
use mirror_failure::{Failure, Side};
use mirror_oci::{Digest, Name, Tag, Version};
use mirror_plan::bots::kept_numbers;
use mirror_plan::report::{MovedTag, NewerTag, Outdated, TagsFailure, newest, stuck};
use mirror_tree::{Entry, Untracked};

use crate::connections::Connections;
use crate::look::tags;

/// Lists of tags that are read at once.
const AT_ONCE: usize = 16;

/// Looks at the tags that no bot updates, and at those beside digests.
///
/// # Cancellation
/// Can be dropped at any time: nothing is changed.
pub async fn look(entries: &[Entry], connections: &Connections) -> Outdated {
    let stuck: Vec<(&Entry, Untracked)> =
        entries.iter().filter_map(|entry| Some((entry, stuck(entry)?))).collect();
    let mut found = Outdated { format_version: 1, looked_at: stuck.len(), ..Outdated::default() };
    let looks = stream::iter(&stuck).map(|(entry, why)| newer(entry, why, connections));
    for outcome in looks.buffered(AT_ONCE).collect::<Vec<_>>().await {
        match outcome {
            Ok(newer) => found.images.extend(newer),
            Err(failure) => found.failures.push(failure),
        }
    }
    look_beside_digests(entries, connections, &mut found).await;
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

async fn newer(
    entry: &Entry,
    why: &Untracked,
    connections: &Connections,
) -> Result<Option<NewerTag>, TagsFailure> {
    // None of the others is newer than a commit.
    let Some(tag) = entry.version.tag().filter(|_| *why != Untracked::Commit) else {
        return Ok(None);
    };
    let listed = match connections.remote(&entry.name.registry, &entry.name.repository) {
        Ok(remote) => {
            let tags = remote.tags().await;
            tags.map_err(|error| Failure::new(Side::Source, "", &error.into()))
        }
        Err(failure) => Err(failure),
    };
    let (file, name) = (entry.file.clone(), entry.name.to_string());
    let tags = match listed {
        Ok(tags) => tags,
        Err(failure) => return Err(TagsFailure { file, name, failure }),
    };
    let valid = tags.iter().map(String::as_str).filter(|tag| tag.parse::<Tag>().is_ok());
    Ok(newest(tag.as_str(), kept_numbers(entry), valid).map(|newest| NewerTag {
        file,
        name,
        tag: tag.to_string(),
        newest: newest.to_owned(),
        reason: why.message(tag.as_str()),
    }))
}
