//! `mirror remove`

use std::fs;
use std::path::Path;

use clap::Args;
use mirror_failure::{count, printable};
use mirror_oci::Reference;
use mirror_tree::Entry;

use crate::error::{CommandError, Problem};
use crate::exit::Exit;
use crate::load::{Loaded, load_unpinned};
use crate::{bots, print};

/// Take entries out of the tree.
///
/// Deletes the file of each entry, and folders that are empty then. Copies at the destinations stay: `mirror` deletes
/// nothing there. Removes either all of them or none.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  mirror remove postgres:14                     the entry with that tag
  mirror remove quay.io/prometheus/node-exporter    all entries of that image")]
pub(crate) struct RemoveArguments {
    /// The images, with a tag or without.
    #[arg(required = true, value_name = "REFERENCE")]
    pub(crate) references: Vec<String>,
}

/// What is said of all that was asked for, when a part of it can't be.
const NOTHING: &str = "nothing was removed";

pub(crate) fn run(images: Option<&Path>, command: &RemoveArguments) -> Result<Exit, CommandError> {
    let loaded = load_unpinned(images);
    let mut found: Vec<&Entry> = Vec::new();
    let mut problems = Vec::new();
    for text in &command.references {
        match matching(text, &loaded) {
            Ok(entries) => found.extend(entries),
            Err(problem) => problems.push(problem),
        }
    }
    if !problems.is_empty() {
        return Err(CommandError::of(problems, Exit::Usage).so(NOTHING));
    }
    found.sort_by(|a, b| a.file.cmp(&b.file));
    found.dedup_by(|a, b| a.file == b.file);
    for (number, entry) in found.iter().enumerate() {
        let path = loaded.images.join(&entry.file);
        if let Err(error) = fs::remove_file(&path) {
            let shown = printable(&path.display().to_string());
            let before = match number {
                0 => NOTHING.to_owned(),
                some => format!("{} removed before it", count(some as u64, "entry")),
            };
            let why = mirror_failure::io_reason(&error);
            let help = "check the permissions of its folder";
            return Err(CommandError::usage(
                format!("could not remove {shown}; {before}"),
                why,
                Some(help),
            ));
        }
        crate::edit::remove_empty_folders(&path, &loaded.images);
        let shown = printable(&format!("{}/{}", loaded.shown, entry.file));
        print::data(&format!("removed {shown}\n"));
    }
    print::message("copies at the destinations stay; delete them there if nobody needs them");
    if loaded.entries.len() > found.len() {
        bots::remind(&loaded.images);
    }
    Ok(Exit::Done)
}

/// The entries that a reference is about.
fn matching<'a>(text: &str, loaded: &'a Loaded) -> Result<Vec<&'a Entry>, Problem> {
    let what = || format!("could not remove {}", printable(text));
    let reference: Reference = text.parse().map_err(|error: mirror_oci::ReferenceError| {
        Problem::new(what(), error.to_string(), Some("write it as in a FROM line: postgres:14"))
    })?;
    let same = |entry: &&Entry| {
        entry.name == reference.name
            && reference.tag.as_ref().is_none_or(|tag| entry.version.tag() == Some(tag))
            && reference.digest.as_ref().is_none_or(|digest| entry.version.digest() == Some(digest))
    };
    let found: Vec<&Entry> = loaded.entries.iter().filter(same).collect();
    if !found.is_empty() {
        return Ok(found);
    }
    let others = loaded.entries.iter().filter(|entry| entry.name == reference.name);
    let others: Vec<String> = others.map(|entry| entry.version.to_string()).collect();
    let why = if others.is_empty() {
        "the tree has no such image".to_owned()
    } else {
        format!("the tree has it as {}", others.join(", "))
    };
    Err(Problem::new(
        what(),
        why,
        Some("`mirror check` and the folders below the tree list what is there"),
    ))
}
