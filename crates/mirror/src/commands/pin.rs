//! `mirror pin`

use std::path::Path;

use clap::Args;
use mirror_engine::look::tags;
use mirror_failure::{count, printable};
use mirror_oci::{Digest, Name, Tag};
use mirror_tree::Entry;

use crate::args::Only;
use crate::change::Change;
use crate::error::CommandError;
use crate::exit::Exit;
use crate::load::load_unpinned;
use crate::print;

/// Write the digests of tags into the tree.
///
/// Looks up each tag at its source and appends its digest, or replaces an older one. Nothing else in a file changes.
/// This costs no pulls.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  mirror pin                      add missing digests, and refresh those whose tag has moved
  mirror pin --check              only print them; ends with 3 if there are any
  mirror pin --only 'quay.io/**'  part of the tree")]
pub(crate) struct PinArguments {
    /// Only print what would be pinned, and end with code 3 if anything would.
    #[arg(long)]
    pub(crate) check: bool,

    #[command(flatten)]
    pub(crate) only: Only,
}

pub(crate) fn run(images: Option<&Path>, command: &PinArguments) -> Result<Exit, CommandError> {
    let mut loaded = load_unpinned(images);
    print::note(loaded.usable()?);
    // Entries with different files may be one want; each file gets its digest.
    print::note(loaded.narrow(&command.only, None)?);
    let mut entries = loaded.entries.clone();
    entries.retain(|entry| command.only.includes(&entry.name));
    super::in_runtime(async {
        let connections = super::connect(&entries, &loaded).await?;
        let found = tags::digests(entries.iter().filter_map(tag), &connections).await;
        let (mut changed, mut failed) = (0, 0);
        for entry in &entries {
            let Some(asked) = tag(entry) else { continue };
            let shown = printable(&format!("{}/{}", loaded.shown, entry.file));
            let what = if command.check { "could not look up" } else { "could not pin" };
            let mut fail = |why: &str, help: Option<&str>| {
                failed += 1;
                print::error(&format!("{what} {}:{} in {shown}", asked.0, asked.1), why, help);
            };
            match found.get(&asked) {
                Some(Ok(digest)) if is_pinned(entry, digest) => {}
                Some(Ok(digest)) => {
                    let change = Change::new(entry, asked.1.clone(), digest.clone());
                    let written = change.carry_out(&loaded, command.check);
                    match written {
                        Err(error) => fail(&mirror_failure::io_reason(&error), None),
                        Ok(()) => changed += 1,
                    }
                }
                Some(Err(failure)) => fail(&failure.message, failure.help.as_deref()),
                None => {}
            }
        }
        let verb = if command.check { "to pin" } else { "pinned" };
        let same = entries.len() - changed - failed;
        let rest = if failed > 0 { format!(", {failed} failed") } else { String::new() };
        print::message(&format!(
            "{} {verb}, {same} already up to date{rest}",
            count(changed as u64, "image")
        ));
        Ok(match (failed, changed) {
            (1.., _) => Exit::Failed,
            (0, 1..) if command.check => Exit::Pending,
            _ => Exit::Done,
        })
    })
}

/// What to look up; nothing for a digest without tag.
fn tag(entry: &Entry) -> Option<(Name, Tag)> {
    Some((entry.name.clone(), entry.version.tag()?.clone()))
}

/// Whether nothing is to be done. Whether a digest by another hash function is still that of the tag, only the manifest
/// would tell.
fn is_pinned(entry: &Entry, digest: &Digest) -> bool {
    let pinned = entry.version.digest();
    pinned.is_some_and(|pinned| pinned == digest || pinned.algorithm() != digest.algorithm())
}
