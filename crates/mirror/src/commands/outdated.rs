//! `mirror outdated`

use std::collections::BTreeSet;
use std::path::Path;

use clap::Args;
use futures_util::{StreamExt, stream};
use mirror_engine::Connections;
use mirror_engine::look::tags;
use mirror_failure::{Failure, Side};
use mirror_oci::{Digest, Name, Tag, Version};
use mirror_plan::bots::kept_numbers;
use mirror_plan::report::{MovedTag, NewerTag, TagsFailure, newest, stuck};
use mirror_tree::{Entry, Untracked};

use crate::args::{Format, Only};
use crate::error::CommandError;
use crate::exit::Exit;
use crate::load::load;
use crate::print;

/// Lists of tags that are read at once.
const AT_ONCE: usize = 16;

/// List newer tags that no bot proposes, and tags that were pushed again.
///
/// Looks at the tags that `mirror check` reports as `untracked-tag`, reads the tags that their repositories have, and names the
/// newest of the same form: the same letters and signs, with greater numbers. Which one to take is for a person to say.
/// Where a digest stands beside a tag, asks what the tag is now, by requests that don't count as pulls: bots may leave
/// an image alone whose tag was pushed again.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  mirror outdated                  docker.io/minio/minio:RELEASE.2022-03-26T06-49-28Z → RELEASE.2025-…
  mirror outdated --format json    for scripts, or for `mirror issue`; the schema is
                                   crates/mirror-plan/schemas/outdated.schema.json
  mirror outdated --exit-code      the same, ending with 3 when there is one")]
pub(crate) struct OutdatedArguments {
    /// How to print.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: Format,

    /// End with code 3 when there is a newer tag, or one was pushed again.
    #[arg(long)]
    pub(crate) exit_code: bool,

    #[command(flatten)]
    pub(crate) only: Only,
}

pub(crate) fn run(
    images: Option<&Path>,
    command: &OutdatedArguments,
) -> Result<Exit, CommandError> {
    let mut loaded = load(images);
    print::note(loaded.usable()?);
    print::note(loaded.narrow(&command.only, None)?);
    let mut entries = loaded.entries.clone();
    entries.retain(|entry| command.only.includes(&entry.name));
    let stuck: Vec<(Entry, Untracked)> =
        entries.iter().filter_map(|entry| Some((entry.clone(), stuck(entry)?))).collect();
    super::in_runtime(async {
        let connections = super::connect(&entries, &loaded).await?;
        let mut found = mirror_plan::report::Outdated {
            format_version: 1,
            looked_at: stuck.len(),
            ..Default::default()
        };
        let looks = stream::iter(&stuck).map(|(entry, why)| look(entry, why, &connections));
        for outcome in looks.buffered(AT_ONCE).collect::<Vec<_>>().await {
            match outcome {
                Ok(newer) => found.images.extend(newer),
                Err(failure) => found.failures.push(failure),
            }
        }
        look_beside_digests(&entries, &connections, &mut found).await;
        match command.format {
            Format::Text => print::data(&found.render()),
            Format::Json => print::json(&found),
        }
        Ok(if !found.failures.is_empty() {
            Exit::Failed
        } else if command.exit_code && !(found.images.is_empty() && found.moved.is_empty()) {
            Exit::Pending
        } else {
            Exit::Done
        })
    })
}

/// Asks what tags are now that have a digest beside them.
async fn look_beside_digests(
    entries: &[Entry],
    connections: &Connections,
    found: &mut mirror_plan::report::Outdated,
) {
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

async fn look(
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
