//! `mirror add`

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::Args;
use mirror_engine::look::tags;
use mirror_failure::{Failure, count, printable};
use mirror_oci::{Digest, Name, Tag, Version};
use mirror_plan::report::{Diagnostic, Level};
use mirror_tree::{Code, Entry, Rules, is_docker_hub_alias, of_web_page};

use crate::error::{CommandError, Problem};
use crate::exit::Exit;
use crate::load::{Loaded, load_unpinned};
use crate::place::place;
use crate::{bots, edit, elsewhere, print};

/// Write entries into the tree.
///
/// Each image gets a file in the folder that matches its reference. Of several versions the newest goes there, and the
/// others into variant folders that keep them where they are, such as `postgres/13`; another variant of the image goes into one such as
/// `postgres/alpine`. Asks the registry whether the tag exists. Takes addresses of web pages, such as
/// `https://hub.docker.com/_/postgres:16`, for the images they are about. Never overwrites a file. What can't be added is
/// listed, and the rest is added all the same.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  mirror add postgres:14 quay.io/prometheus/node-exporter:v1.8.1
  mirror add --pin redis:7.4      with the digest that the tag has now
  xargs mirror add < list.txt     thousands of them")]
pub(crate) struct AddArguments {
    /// The images to mirror, as in a FROM line.
    #[arg(required = true, value_name = "REFERENCE")]
    pub(crate) references: Vec<String>,

    /// Append the digest that each tag has now.
    #[arg(long, conflicts_with = "offline")]
    pub(crate) pin: bool,

    /// Don't ask whether the tags exist.
    #[arg(long)]
    pub(crate) offline: bool,
}

pub(crate) fn run(images: Option<&Path>, command: &AddArguments) -> Result<Exit, CommandError> {
    let loaded = load_unpinned(images);
    loaded.configured()?;
    let mut rules = loaded.config.rules;
    // The digest comes in a moment.
    rules.require_digest &= !command.pin;
    let (new, mut problems) = parsed(&command.references, &rules);
    let mut new = missing(new, &loaded, &mut problems);
    let mut exit = if problems.is_empty() { Exit::Done } else { Exit::Usage };
    if !command.offline && !new.is_empty() {
        let before = problems.len();
        look_up(&mut new, &loaded, command.pin, &mut problems)?;
        if problems.len() > before {
            exit = Exit::Failed;
        }
    }
    place(&loaded, &mut new);
    let added = write(&loaded, &new)?;
    if problems.is_empty() {
        return Ok(Exit::Done);
    }
    let refused = problems.len();
    let what = match added {
        0 => "nothing was added".to_owned(),
        some => format!("{} added, {} not", count(some as u64, "image"), refused),
    };
    Err(CommandError::of(problems, exit).so(what))
}

/// Those that are not in the tree yet, saying where the others are.
pub(super) fn missing(new: Vec<Entry>, loaded: &Loaded, problems: &mut Vec<Problem>) -> Vec<Entry> {
    let mut left = Vec::new();
    let mut known: BTreeMap<String, &Entry> = BTreeMap::new();
    for entry in &loaded.entries {
        known.entry(identity(entry)).or_insert(entry);
    }
    for entry in new {
        let Some(old) = known.get(&identity(&entry)) else {
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
    left
}

/// What an entry is about: its tag, or without one its digest.
fn identity(entry: &Entry) -> String {
    match entry.version.tag() {
        Some(tag) => format!("{}:{tag}", entry.name),
        None => format!("{}{}", entry.name, entry.version),
    }
}

/// The entries that references stand for, in files yet to be named, and what is wrong with the others. Warnings are no
/// reason not to add: they are printed.
pub(super) fn parsed(references: &[String], rules: &Rules) -> (Vec<Entry>, Vec<Problem>) {
    let mut found: BTreeMap<String, usize> = BTreeMap::new();
    let mut entries: Vec<Entry> = Vec::new();
    let (mut problems, mut warnings) = (Vec::new(), Vec::new());
    for reference in references {
        if reference.chars().any(|c| c.is_whitespace() || c.is_control()) {
            let what = format!("`{}` is not an image reference", printable(reference));
            let help = "name images one by one: postgres:14 redis:7";
            problems.push(Problem::new(what, "it has a space in it", Some(help)));
            continue;
        }
        let reference = of_web_page(reference).unwrap_or_else(|| reference.clone());
        let reference = match reference.split_once('/') {
            Some((host, rest)) if is_docker_hub_alias(host) => format!("docker.io/{rest}"),
            _ => reference,
        };
        let parsed = mirror_tree::parse("", format!("FROM {reference}\n").as_bytes(), rules);
        let diagnostics = parsed.diagnostics.iter();
        let diagnostics: Vec<Diagnostic> = diagnostics
            // It is written in the short form.
            .filter(|one| one.code != Code::SpelledOut)
            .map(|one| Diagnostic::of_tree("<command line>", one))
            .collect();
        let good = diagnostics.iter().all(|one| one.severity == Level::Warning);
        let list = if good { &mut warnings } else { &mut problems };
        list.extend(diagnostics.into_iter().map(|one| Problem::Diagnostic(Box::new(one))));
        let (Some(from), true) = (parsed.from, good) else { continue };
        let entry = as_written(from.name, from.version);
        match found.get(&identity(&entry)).and_then(|at| entries.get(*at)) {
            None => {
                found.insert(identity(&entry), entries.len());
                entries.push(entry);
            }
            Some(other) if other.version == entry.version => {}
            Some(other) => {
                let what = format!("could not add {}{}", entry.name, entry.version);
                let why = format!("it is named twice, also as {}{}", other.name, other.version);
                problems.push(Problem::new(what, why, Some("name the one to mirror")));
            }
        }
    }
    print::problems(&warnings);
    (entries, problems)
}

/// An entry in the spelling that everybody knows, which bots have rules for.
fn as_written(name: Name, version: Version) -> Entry {
    let reference = format!("{}{version}", name.familiar());
    let span = 5..5 + reference.len();
    let source = format!("FROM {reference}\n").into();
    Entry { file: String::new(), name, version, platform: None, span, source }
}

/// Asks for each tag, and takes out those that are not there. What can't be asked is believed, unless its digest is wanted.
fn look_up(
    new: &mut Vec<Entry>,
    loaded: &Loaded,
    pin: bool,
    problems: &mut Vec<Problem>,
) -> Result<(), CommandError> {
    let asked: Vec<_> = new
        .iter()
        .filter_map(|entry| Some((entry.name.clone(), entry.version.tag()?.clone())))
        .collect();
    let found = super::in_runtime(async {
        let official = elsewhere::candidate(new, loaded);
        let mut sources = new.clone();
        sources.extend(official.iter().map(|(_, other)| other.clone()));
        let connections = super::connect(&sources, loaded).await?;
        let found = tags::digests(asked, &connections).await;
        if let Some(official) = &official {
            elsewhere::hint(official, &found, &connections, loaded).await;
        }
        Ok(found)
    });
    let found = found.map_err(|error| error.so("nothing was added"))?;
    let mut unasked: BTreeMap<String, Failure> = BTreeMap::new();
    new.retain_mut(|entry| {
        let Some(tag) = entry.version.tag().cloned() else { return true };
        let Some(outcome) = found.get(&(entry.name.clone(), tag.clone())) else { return true };
        match outcome {
            Ok(digest) => {
                if let (true, Version::Floating(_)) = (pin, &entry.version) {
                    *entry = pinned(entry, &tag, digest);
                }
                true
            }
            Err(failure) if pin && entry.version.digest().is_none() || failure.is_gone() => {
                let what = format!("could not add {}:{tag}", entry.name);
                let help = failure.help.as_deref();
                problems.push(Problem::new(what, failure.message.clone(), help));
                false
            }
            Err(failure) => {
                unasked.entry(entry.name.registry.to_string()).or_insert_with(|| failure.clone());
                true
            }
        }
    });
    for (registry, failure) in unasked {
        print::message(&format!(
            "could not ask {registry} whether tags exist: {}",
            failure.message
        ));
    }
    Ok(())
}

fn pinned(entry: &Entry, tag: &Tag, digest: &Digest) -> Entry {
    let reference = format!("{}:{tag}@{digest}", entry.written_name());
    let version =
        reference.parse::<mirror_oci::Reference>().ok().and_then(|parsed| parsed.version());
    as_written(entry.name.clone(), version.unwrap_or_else(|| entry.version.clone()))
}

/// Writes them, all or none, and says how many there are.
fn write(loaded: &Loaded, new: &[Entry]) -> Result<usize, CommandError> {
    let path = |entry: &Entry| (loaded.images.join(&entry.file), entry.source.to_string());
    let files: Vec<(PathBuf, String)> = new.iter().map(path).collect();
    if let Err((path, error)) = edit::create_all(&files) {
        let help = "check the permissions of the folders above it";
        let what = format!("could not write {}", path.display());
        let error = CommandError::usage(what, mirror_failure::io_reason(&error), Some(help));
        return Err(error.so("nothing was added"));
    }
    for entry in new {
        let shown = printable(&format!("{}/{}", loaded.shown, entry.file));
        print::data(&format!("{shown}: {}", entry.source));
    }
    if !files.is_empty() {
        bots::remind(&loaded.images);
    }
    Ok(files.len())
}
