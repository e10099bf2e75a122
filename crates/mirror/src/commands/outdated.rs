//! `mirror outdated`

use std::path::Path;

use clap::Args;
use futures_util::{StreamExt, stream};
use mirror_oci::Tag;
use mirror_plan::{NewerTag, TagsFailure, kept_numbers, newest, stuck};
use mirror_tree::{BotProof, Entry};

use crate::cli::{Format, Only};
use crate::exit::Exit;
use crate::hosts::{Hosts, at_source};
use crate::load::load;
use crate::print;

/// Lists of tags that are read at once.
const AT_ONCE: usize = 16;

/// List newer tags that no bot proposes.
///
/// Looks at the tags that `mirror check` calls bot-proof, reads the tags that their repositories have, and names the
/// newest of the same form: the same letters and signs, with greater numbers. Which one to take is for a person to say.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  mirror outdated                  docker.io/minio/minio:RELEASE.2022-03-26T06-49-28Z → RELEASE.2025-…
  mirror outdated --format json    for scripts, or for `mirror issue`; the schema is
                                   crates/mirror-plan/schemas/outdated.schema.json
  mirror outdated --exit-code      the same, ending with 3 when there is one")]
pub(crate) struct Outdated {
    /// How to print.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: Format,

    /// End with code 3 when there is a newer tag.
    #[arg(long)]
    pub(crate) exit_code: bool,

    #[command(flatten)]
    pub(crate) only: Only,
}

pub(crate) fn run(images: Option<&Path>, command: &Outdated) -> Exit {
    let mut loaded = load(images);
    if let Err(exit) = loaded.usable().and_then(|()| loaded.narrow(&command.only, None)) {
        return exit;
    }
    let entries = loaded.entries.iter().filter(|entry| command.only.includes(&entry.name));
    let stuck: Vec<(Entry, BotProof)> =
        entries.filter_map(|entry| Some((entry.clone(), stuck(entry)?))).collect();
    super::in_runtime(async {
        let entries: Vec<Entry> = stuck.iter().map(|(entry, _)| entry.clone()).collect();
        let hosts = Hosts::sources(&entries, &loaded).await?;
        let mut found = mirror_plan::Outdated {
            format_version: 1,
            looked_at: stuck.len(),
            ..Default::default()
        };
        let looks = stream::iter(&stuck).map(|(entry, why)| look(entry, why, &hosts));
        for outcome in looks.buffered(AT_ONCE).collect::<Vec<_>>().await {
            match outcome {
                Ok(newer) => found.images.extend(newer),
                Err(failure) => found.failures.push(failure),
            }
        }
        match command.format {
            Format::Text => print::data(&found.render()),
            Format::Json => print::json(&found),
        }
        Ok(if !found.failures.is_empty() {
            Exit::Failed
        } else if command.exit_code && !found.images.is_empty() {
            Exit::Pending
        } else {
            Exit::Done
        })
    })
}

async fn look(
    entry: &Entry,
    why: &BotProof,
    hosts: &Hosts,
) -> Result<Option<NewerTag>, TagsFailure> {
    // None of the others is newer than a commit.
    let Some(tag) = entry.version.tag().filter(|_| *why != BotProof::Commit) else {
        return Ok(None);
    };
    let listed = match hosts.source(&entry.name) {
        Ok(source) => {
            let origin = source.origin;
            origin.host.tags(&origin.repository).await.map_err(|error| at_source(&error))
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
