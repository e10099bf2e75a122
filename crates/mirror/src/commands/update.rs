//! `mirror update`

use std::path::Path;

use clap::Args;
use mirror_engine::look::{outdated, tags};
use mirror_failure::{count, printable};
use mirror_oci::{Name, Tag};
use mirror_plan::report::NewerTag;
use mirror_tree::Entry;

use crate::args::Only;
use crate::error::CommandError;
use crate::exit::Exit;
use crate::load::{Loaded, load_unpinned};
use crate::{edit, print};

/// Write newer tags that no bot proposes into the tree.
///
/// For each tag that `mirror outdated` lists with a successor, writes the successor and the digest that it has now. Stays
/// within what the folder or `keep` in mirror.toml holds, and never crosses to the next major version. Leaves alone what a
/// bot proposes an update for. Nothing else in a file changes. This costs no pulls.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  mirror update                      write them; `git diff` shows what changed
  mirror update --check              only print them; ends with 3 if there are any
  mirror update --only 'minio/**'    part of the tree")]
pub(crate) struct UpdateArguments {
    /// Only print what would be written, and end with code 3 if anything would.
    #[arg(long)]
    pub(crate) check: bool,

    #[command(flatten)]
    pub(crate) only: Only,
}

/// An entry with the tag that comes next.
struct Step<'a> {
    entry: &'a Entry,
    next: Tag,
}

pub(crate) fn run(images: Option<&Path>, command: &UpdateArguments) -> Result<Exit, CommandError> {
    let mut loaded = load_unpinned(images);
    print::note(loaded.usable()?);
    print::note(loaded.narrow(&command.only, None)?);
    let mut entries = loaded.entries.clone();
    entries.retain(|entry| command.only.includes(&entry.name));
    super::in_runtime(async {
        let connections = super::connect(&entries, &loaded).await?;
        let found = outdated::look_at_tags(&entries, &connections, &loaded.config).await;
        for failed in &found.failures {
            let what = format!("could not look up the tags of {}", failed.name);
            print::error(&what, &failed.failure.message, failed.failure.help.as_deref());
        }
        let steps: Vec<Step<'_>> =
            found.images.iter().filter_map(|newer| step(newer, &entries)).collect();
        let asked = steps.iter().map(|step| (step.entry.name.clone(), step.next.clone()));
        let digests = tags::digests(asked, &connections).await;
        let (mut changed, mut failed) = (0, found.failures.len());
        for step in &steps {
            let key: (Name, Tag) = (step.entry.name.clone(), step.next.clone());
            let outcome = match digests.get(&key) {
                Some(Ok(digest)) => {
                    let text = format!("{}:{}@{digest}", step.entry.written_name(), step.next);
                    write(step, &text, &loaded, command.check)
                }
                Some(Err(failure)) => Err((failure.message.clone(), failure.help.clone())),
                None => continue,
            };
            match outcome {
                Ok(()) => changed += 1,
                Err((why, help)) => {
                    failed += 1;
                    let what = format!("could not update {}:{}", key.0, key.1);
                    print::error(&what, &why, help.as_deref());
                }
            }
        }
        say(command.check, changed, found.images.len() - steps.len(), failed);
        Ok(match (failed, changed) {
            (1.., _) => Exit::Failed,
            (0, 1..) if command.check => Exit::Pending,
            _ => Exit::Done,
        })
    })
}

/// What to do about a tag: nothing where a bot proposes something, or only another major version is there.
fn step<'a>(newer: &NewerTag, entries: &'a [Entry]) -> Option<Step<'a>> {
    if newer.proposed.is_some() {
        return None;
    }
    let next = newer.newest.as_ref()?.parse().ok()?;
    let entry = entries.iter().find(|entry| entry.file == newer.file)?;
    Some(Step { entry, next })
}

fn write(
    step: &Step<'_>,
    text: &str,
    loaded: &Loaded,
    check: bool,
) -> Result<(), (String, Option<String>)> {
    let Step { entry, .. } = step;
    let path = loaded.images.join(&entry.file);
    if !check {
        let source = Some(&*entry.source);
        edit::replace(&path, source, entry.span.clone(), text)
            .map_err(|error| (mirror_failure::io_reason(&error), None))?;
    }
    let shown = printable(&format!("{}/{}", loaded.shown, entry.file));
    print::data(&format!("{shown}: FROM {text}\n"));
    Ok(())
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
