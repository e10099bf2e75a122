//! `mirror check`

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, Write};
use std::path::Path;

use clap::{Args, ValueEnum};
use mirror_failure::printable;
use mirror_plan::bots::BotRules;
use mirror_plan::report::Level;
use mirror_render::ci::System;
use mirror_render::people::render_diagnostics;
use mirror_tree::{Fix, TreeDiagnostic};

use crate::error::CommandError;
use crate::exit::Exit;
use crate::load::{Loaded, load};
use crate::{edit, print};

/// A correction can uncover the next one; more rounds than this are a mistake of ours.
const MOST_ROUNDS: usize = 8;

/// Validate the tree and its configuration, without network.
///
/// Reports all problems at once. images/README.md explains the codes.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  mirror check                    print all problems, with the lines concerned
  mirror check --fix              correct whatever needs no judgement
  mirror check --format github    annotate a pull request")]
pub(crate) struct CheckArguments {
    /// Output format.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: CheckFormat,

    /// Correct whatever needs no judgement: move files to the folder that matches their FROM line, normalise FROM
    /// lines.
    #[arg(long)]
    pub(crate) fix: bool,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum CheckFormat {
    /// For people, with the lines concerned.
    #[default]
    Text,
    /// For scripts.
    Json,
    /// Workflow commands that GitHub shows beside the lines.
    Github,
}

pub(crate) fn run(images: Option<&Path>, command: &CheckArguments) -> Result<Exit, CommandError> {
    let mut loaded = load(images);
    let mut stuck = BTreeSet::new();
    if command.fix {
        for _ in 0..MOST_ROUNDS {
            if fix(&loaded, &mut stuck) == 0 {
                break;
            }
            loaded = load(images);
        }
    }
    let diagnostics = &loaded.diagnostics;
    match command.format {
        CheckFormat::Text => print::data(&render_diagnostics(diagnostics)),
        CheckFormat::Json => print::json(diagnostics),
        CheckFormat::Github => {
            print::data(&System::GitHub.annotations(diagnostics).unwrap_or_default());
        }
    }
    let rules = BotRules::new("", &loaded.entries, &loaded.config);
    print::note(super::bots::still(rules.standing_still()));
    if command.format != CheckFormat::Github {
        print::annotations(|| diagnostics.clone());
    }
    let errors =
        diagnostics.diagnostics.iter().filter(|diagnostic| diagnostic.severity == Level::Error);
    match errors.map(|diagnostic| diagnostic.code == "conflict").reduce(|all, one| all && one) {
        None => Ok(Exit::Done),
        Some(true) => Ok(Exit::Conflict),
        Some(false) => Ok(Exit::Usage),
    }
}

/// Applies one correction to each file concerned, and says how many files that were. What can't be corrected is told
/// and left; the others go on.
fn fix(loaded: &Loaded, stuck: &mut BTreeSet<String>) -> usize {
    let mut by_file: BTreeMap<&str, Vec<&TreeDiagnostic>> = BTreeMap::new();
    for tree_diagnostic in
        loaded.tree_diagnostics.iter().filter(|tree_diagnostic| tree_diagnostic.fix.is_some())
    {
        by_file.entry(&tree_diagnostic.file).or_default().push(tree_diagnostic);
    }
    let mut fixed = 0;
    for (file, tree_diagnostics) in by_file {
        if stuck.contains(file) {
            continue;
        }
        // A line is corrected before the file moves: the move depends on what the line says.
        let replace =
            tree_diagnostics.iter().rev().find(|d| matches!(d.fix, Some(Fix::Replace { .. })));
        let Some(tree_diagnostic) = replace.or(tree_diagnostics.first()) else { continue };
        let outcome = match tree_diagnostic.fix.as_ref() {
            Some(Fix::Replace { span, text }) => {
                replace_in(loaded, tree_diagnostic, span.clone(), text)
            }
            Some(Fix::Move(to)) => move_to(loaded, file, to),
            None => continue,
        };
        match outcome {
            Ok(done) => fixed += usize::from(done),
            Err(error) => {
                stuck.insert(file.to_owned());
                let what = format!(
                    "could not correct {}",
                    printable(&loaded.images.join(file).display().to_string())
                );
                print::error(&what, &mirror_failure::io_reason(&error), Some("correct it by hand"));
            }
        }
    }
    fixed
}

fn replace_in(
    loaded: &Loaded,
    tree_diagnostic: &TreeDiagnostic,
    span: std::ops::Range<usize>,
    text: &str,
) -> io::Result<bool> {
    let path = loaded.images.join(&tree_diagnostic.file);
    edit::replace(&path, tree_diagnostic.source.as_deref(), span, text)?;
    print::message(&format!(
        "corrected {}: {}",
        printable(&path.display().to_string()),
        tree_diagnostic.code
    ));
    Ok(true)
}

/// Moves a file to a place that is still free. Two files may want the same one: the second stays.
fn move_to(loaded: &Loaded, file: &str, to: &str) -> io::Result<bool> {
    if !mirror_tree::is_free(&loaded.images, to) {
        return Ok(false);
    }
    let (from, to) = (loaded.images.join(file), loaded.images.join(to));
    if let Some(parent) = to.parent() {
        fs::create_dir_all(parent)?;
    }
    // `create_new` refuses to overwrite, a rename doesn't; the copy takes the permissions along.
    let content = fs::read(&from)?;
    let mut new = match fs::File::create_new(&to) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(false),
        outcome => outcome?,
    };
    let copied = new
        .write_all(&content)
        .and_then(|()| new.set_permissions(fs::metadata(&from)?.permissions()));
    let moved = copied.and_then(|()| fs::remove_file(&from));
    if let Err(error) = moved {
        let _ = fs::remove_file(&to);
        return Err(error);
    }
    edit::remove_empty_folders(&from, &loaded.images);
    let (from, to) = (from.display().to_string(), to.display().to_string());
    print::message(&format!("moved {} to {}", printable(&from), printable(&to)));
    Ok(true)
}
