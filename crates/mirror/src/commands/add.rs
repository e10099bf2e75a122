//! `mirror add`

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use clap::Args;
use mirror_engine::look::tags;
use mirror_failure::printable;
use mirror_oci::Version;
use mirror_plan::report::{Diagnostic, Level};
use mirror_tree::{Entry, Rules, is_dockerfile_name};

use crate::error::{CommandError, Problem};
use crate::exit::Exit;
use crate::load::{Loaded, load_unpinned};
use crate::{bots, edit, print};

/// Write entries into the tree.
///
/// Each image gets a file in the folder that matches its reference, or, if another version has that, in a variant
/// folder such as `postgres/13`. Never overwrites a file. Writes either all entries or none.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  mirror add postgres:14 quay.io/prometheus/node-exporter:v1.8.1
  mirror add --pin redis:7.4      with the digest that the tag has now")]
pub(crate) struct AddArguments {
    /// The images to mirror, as in a FROM line.
    #[arg(required = true, value_name = "REFERENCE")]
    pub(crate) references: Vec<String>,

    /// Append the digest that each tag has now.
    #[arg(long)]
    pub(crate) pin: bool,
}

pub(crate) fn run(images: Option<&Path>, command: &AddArguments) -> Result<Exit, CommandError> {
    let loaded = load_unpinned(images);
    let mut rules = loaded.config.rules;
    // The digest comes in a moment.
    rules.require_digest &= !command.pin;
    let new = parsed(&command.references, &rules)?;
    let mut new = missing(new, &loaded)?;
    if command.pin {
        pin(&mut new, &loaded)?;
    }
    write(&loaded, new)
}

/// What is said of all that was asked for, when a part of it can't be.
const NOTHING: &str = "nothing was added";

/// Those that are not in the tree yet, saying where the others are.
///
/// # Errors
/// When one is there with another digest.
pub(super) fn missing(new: Vec<Entry>, loaded: &Loaded) -> Result<Vec<Entry>, CommandError> {
    let mut left = Vec::new();
    let mut problems = Vec::new();
    for entry in new {
        let Some(old) = loaded.entries.iter().find(|old| same_place(old, &entry)) else {
            left.push(entry);
            continue;
        };
        let file = printable(&format!("{}/{}", loaded.shown, old.file));
        let (name, version) = (&entry.name, &entry.version);
        if version.digest().is_some() && version.digest() != old.version.digest() {
            let what = format!("could not add {name}{version}");
            let help = "change it there, or let `mirror pin` write the digest that the tag has now";
            let why = format!("{file} has that tag, as {}", old.version);
            problems.push(Problem::new(what, why, Some(help)));
        } else {
            print::message(&format!("{name}{version} is in the tree already: {file}"));
        }
    }
    all_or_nothing(left, problems)
}

fn all_or_nothing<T>(found: T, problems: Vec<Problem>) -> Result<T, CommandError> {
    match problems.is_empty() {
        true => Ok(found),
        false => Err(CommandError::of(problems, Exit::Usage).so(NOTHING)),
    }
}

/// Whether two entries are about one tag, or without tags about one digest.
fn same_place(one: &Entry, other: &Entry) -> bool {
    let version = |entry: &Entry| match entry.version.tag() {
        Some(tag) => tag.to_string(),
        None => entry.version.to_string(),
    };
    one.name == other.name && version(one) == version(other)
}

/// The entries that references stand for, in files yet to be named.
///
/// # Errors
/// When one of them is wrong.
pub(super) fn parsed(references: &[String], rules: &Rules) -> Result<Vec<Entry>, CommandError> {
    let mut found: Vec<Entry> = Vec::new();
    let (mut problems, mut good) = (Vec::new(), true);
    for reference in references {
        if reference.chars().any(|c| c.is_whitespace() || c.is_control()) {
            let what = format!("`{}` is not an image reference", printable(reference));
            let help = "name images one by one: postgres:14 redis:7";
            problems.push(Problem::new(what, "it has a space in it", Some(help)));
            good = false;
            continue;
        }
        let content = format!("FROM {reference}\n");
        let parsed = mirror_tree::parse("", content.as_bytes(), rules);
        for tree_diagnostic in &parsed.diagnostics {
            let diagnostic = Diagnostic::of_tree("<command line>", tree_diagnostic);
            good &= diagnostic.severity == Level::Warning;
            problems.push(Problem::Diagnostic(Box::new(diagnostic)));
        }
        if let (Some(from), Some(source)) = (parsed.from, parsed.text) {
            let mirror_tree::FromLine { name, version, platform, span } = from;
            let entry = Entry { file: String::new(), name, version, platform, span, source };
            if !found.iter().any(|old| same_place(old, &entry)) {
                found.push(entry);
            }
        }
    }
    if good {
        // Warnings are no reason not to.
        print::problems(&std::mem::take(&mut problems));
    }
    all_or_nothing(found, problems)
}

fn pin(new: &mut [Entry], loaded: &Loaded) -> Result<(), CommandError> {
    loaded.configured()?;
    let unpinned = new.iter().filter(|entry| entry.version.digest().is_none());
    let asked: Vec<_> = unpinned
        .filter_map(|entry| Some((entry.name.clone(), entry.version.tag()?.clone())))
        .collect();
    let found = super::in_runtime(async {
        let connections = super::connect(new, loaded).await?;
        Ok(tags::digests(asked, &connections).await)
    });
    let found = found.map_err(|error| error.so(NOTHING))?;
    let mut problems = Vec::new();
    for entry in new {
        let Version::Floating(tag) = entry.version.clone() else { continue };
        match found.get(&(entry.name.clone(), tag.clone())) {
            Some(Ok(digest)) => {
                entry.source = format!("{}@{digest}\n", entry.source.trim_end()).into();
            }
            Some(Err(failure)) => {
                let what = format!("could not add {}:{tag}", entry.name);
                let help = failure.help.as_deref();
                problems.push(Problem::new(what, failure.message.clone(), help));
            }
            None => {}
        }
    }
    all_or_nothing((), problems).map_err(|error| error.ending(Exit::Failed))
}

/// The same entries in the files that they go to.
///
/// # Errors
/// When one has no folder left.
pub(super) fn placed(loaded: &Loaded, mut new: Vec<Entry>) -> Result<Vec<Entry>, CommandError> {
    let mut taken = BTreeSet::new();
    for entry in &mut new {
        let Some(file) = free_place(loaded, entry, &mut taken) else {
            let what = format!("could not add {}{}", entry.name, entry.version);
            let why = format!("its folders are taken: {}", folders(entry).join(", "));
            let help = "write the file by hand, in a variant folder of any other name";
            return Err(CommandError::usage(what, why, Some(help)).so(NOTHING));
        };
        entry.file = file;
    }
    Ok(new)
}

fn write(loaded: &Loaded, new: Vec<Entry>) -> Result<Exit, CommandError> {
    let new = placed(loaded, new)?;
    let path = |entry: &Entry| (loaded.images.join(&entry.file), entry.source.to_string());
    let files: Vec<(PathBuf, String)> = new.iter().map(path).collect();
    if let Err((path, error)) = edit::create_all(&files) {
        let help = "check the permissions of the folders above it";
        let what = format!("could not write {}", path.display());
        return Err(
            CommandError::usage(what, mirror_failure::io_reason(&error), Some(help)).so(NOTHING)
        );
    }
    for (path, content) in &files {
        let file = path.strip_prefix(&loaded.images).unwrap_or(path);
        let shown = printable(&format!("{}/{}", loaded.shown, file.display()));
        print::data(&format!("{shown}: {content}"));
    }
    if !files.is_empty() {
        bots::remind(&loaded.images);
    }
    Ok(Exit::Done)
}

/// The first folder for an entry that holds none yet.
fn free_place(loaded: &Loaded, entry: &Entry, taken: &mut BTreeSet<String>) -> Option<String> {
    let free = |folder: &String| {
        let file = format!("{folder}/Dockerfile");
        let here = fs::read_dir(loaded.images.join(folder)).into_iter().flatten().flatten();
        let empty = !here
            .into_iter()
            .any(|found| found.file_name().to_str().is_some_and(is_dockerfile_name));
        empty && mirror_tree::is_free(&loaded.images, &file)
    };
    let folder =
        folders(entry).into_iter().find(|folder| !taken.contains(folder) && free(folder))?;
    taken.insert(folder.clone());
    Some(format!("{folder}/Dockerfile"))
}

/// Where an entry may be, best first: its own folder, a variant for its major version, a variant for its tag.
fn folders(entry: &Entry) -> Vec<String> {
    let Entry { name, version, .. } = entry;
    let mut folders = vec![name.to_string()];
    if let Some(tag) = version.tag() {
        let numbers = tag.as_str().trim_start_matches('v');
        let major: String = numbers.chars().take_while(char::is_ascii_digit).collect();
        folders.extend(
            [major, tag.to_string()]
                .iter()
                .filter(|part| !part.is_empty())
                .map(|part| format!("{name}/{part}")),
        );
    }
    folders
}
