//! `mirror update`

use std::collections::BTreeSet;
use std::path::Path;

use clap::Args;
use mirror_engine::Connections;
use mirror_engine::look::{outdated, tags};
use mirror_failure::count;
use mirror_oci::{Name, Tag};
use mirror_plan::config::Config;
use mirror_plan::report::{NewerTag, Outdated};
use mirror_tree::Entry;

use crate::args::Only;
use crate::change::Change;
use crate::error::CommandError;
use crate::exit::Exit;
use crate::load::load_unpinned;
use crate::{forge, print, proposals};

/// Write newer tags that no bot proposes into the tree.
///
/// For each tag that `mirror outdated` lists with a successor, writes the successor and the digest that it has now. Stays
/// within what the folder or `keep` in mirror.toml holds, and never crosses to the next major version. Leaves alone what a
/// bot proposes an update for. Nothing else in a file changes. This costs no pulls.
///
/// With --propose, the tree stays as it is, and GitHub gets pull requests, grouped as mirror.toml says for the bots. They
/// also have the new digests of tags that were pushed again, unless Renovate proposes those, or a destination is
/// immutable. They are kept up to date, and closed when nothing is left of them. The login needs `contents: write` and
/// `pull-requests: write`. Checks start only on pull requests of a GitHub App or a person, not on those of a workflow's
/// own token: set MIRROR_GITHUB_APP_ID and MIRROR_GITHUB_APP_KEY.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  mirror update                      write them; `git diff` shows what changed
  mirror update --check              only print them; ends with 3 if there are any
  mirror update --only 'minio/**'    part of the tree
  mirror update --propose            pull requests, from a checkout of the default branch")]
pub(crate) struct UpdateArguments {
    /// Only print what would be written, and end with code 3 if anything would.
    #[arg(long)]
    pub(crate) check: bool,

    /// Keep pull requests at GitHub instead of writing.
    #[arg(long, conflicts_with_all = ["check", "only"])]
    pub(crate) propose: bool,

    #[command(flatten)]
    pub(crate) only: Only,

    #[command(flatten)]
    pub(crate) at: forge::At,
}

/// What was found out.
struct Found<'a> {
    changes: Vec<Change<'a>>,
    /// Entries that need a person, or a bot.
    left: usize,
    /// Files of entries that could not be looked up.
    failed: BTreeSet<&'a str>,
}

pub(crate) fn run(images: Option<&Path>, command: &UpdateArguments) -> Result<Exit, CommandError> {
    let mut loaded = load_unpinned(images);
    print::note(loaded.usable()?);
    print::note(loaded.narrow(&command.only, None)?);
    let base = command.propose.then(|| proposals::base(&loaded)).transpose()?;
    let mut entries = loaded.entries.clone();
    entries.retain(|entry| command.only.includes(&entry.name));
    super::in_runtime(async {
        let connections = super::connect(&entries, &loaded).await?;
        let looked = match command.propose {
            false => outdated::look_at_tags(&entries, &connections, &loaded.config).await,
            true => outdated::look(&entries, &connections, &loaded.config).await,
        };
        let found = changes(&looked, &entries, &loaded.config, &connections).await;
        if let Some(base) = &base {
            found.changes.iter().for_each(|change| change.show(&loaded));
            let ended =
                proposals::keep(&command.at, &loaded, base, &found.changes, &found.failed).await?;
            return Ok(if found.failed.is_empty() { ended } else { Exit::Failed });
        }
        let (mut changed, mut failed) = (0, found.failed.len());
        for change in &found.changes {
            let written = change.carry_out(&loaded, command.check);
            match written {
                Ok(()) => changed += 1,
                Err(error) => {
                    failed += 1;
                    let what = format!("could not update {}:{}", change.entry.name, change.to);
                    print::error(&what, &mirror_failure::io_reason(&error), None);
                }
            }
        }
        say(command.check, changed, found.left, failed);
        Ok(match (failed, changed) {
            (1.., _) => Exit::Failed,
            (0, 1..) if command.check => Exit::Pending,
            _ => Exit::Done,
        })
    })
}

/// What is to change, with the digests that tags have now. Says what could not be found out.
async fn changes<'a>(
    looked: &Outdated,
    entries: &'a [Entry],
    config: &Config,
    connections: &Connections,
) -> Found<'a> {
    let mut failed = BTreeSet::new();
    for failure in &looked.failures {
        let what = format!("could not look up the tags of {}", failure.name);
        print::error(&what, &failure.failure.message, failure.failure.help.as_deref());
        failed.extend(entry_of(entries, &failure.file).map(|entry| entry.file.as_str()));
    }
    let steps: Vec<(&Entry, Tag)> =
        looked.images.iter().filter_map(|newer| step(newer, entries)).collect();
    let asked = steps.iter().map(|(entry, next)| (entry.name.clone(), next.clone()));
    let digests = tags::digests(asked, connections).await;
    let mut changes = Vec::new();
    let left = looked.images.len() - steps.len();
    for (entry, to) in steps {
        let key: (Name, Tag) = (entry.name.clone(), to);
        match digests.get(&key) {
            Some(Ok(digest)) => changes.push(Change::new(entry, key.1, digest.clone())),
            Some(Err(failure)) => {
                let what = format!("could not update {}:{}", key.0, key.1);
                print::error(&what, &failure.message, failure.help.as_deref());
                failed.insert(&entry.file);
            }
            None => {}
        }
    }
    let moved = looked.moved.iter().filter_map(|moved| {
        let entry = entry_of(entries, &moved.file)?;
        // Renovate proposes it; Dependabot may not: https://github.com/dependabot/dependabot-core/pull/15103
        let theirs = config.rules.bots.renovate || config.is_immutable(entry);
        let digest = moved.upstream.clone().filter(|_| !theirs)?;
        Some(Change::new(entry, moved.tag.parse().ok()?, digest))
    });
    let moved: Vec<Change<'_>> = moved.collect();
    // The next tag comes with a digest of its own.
    let known: BTreeSet<&str> = changes.iter().map(|change| change.entry.file.as_str()).collect();
    let moved = moved.into_iter().filter(|change| !known.contains(change.entry.file.as_str()));
    let moved: Vec<Change<'_>> = moved.collect();
    changes.extend(moved);
    changes.sort_by(|one, other| one.entry.file.cmp(&other.entry.file));
    Found { changes, left, failed }
}

fn entry_of<'a>(entries: &'a [Entry], file: &str) -> Option<&'a Entry> {
    entries.iter().find(|entry| entry.file == file)
}

/// What to do about a tag: nothing where a bot proposes something, or only another major version is there.
fn step<'a>(newer: &NewerTag, entries: &'a [Entry]) -> Option<(&'a Entry, Tag)> {
    if newer.proposed.is_some() {
        return None;
    }
    let next = newer.newest.as_ref()?.parse().ok()?;
    Some((entry_of(entries, &newer.file)?, next))
}

fn say(check: bool, changed: usize, left: usize, failed: usize) {
    let verb = if check { "to update" } else { "updated" };
    let left = match left {
        0 => String::new(),
        left => format!(", {left} left to a bot or a person: `mirror outdated` lists them"),
    };
    let failed = if failed > 0 { format!(", {failed} failed") } else { String::new() };
    print::message(&format!("{} {verb}{left}{failed}", count(changed as u64, "image")));
}
