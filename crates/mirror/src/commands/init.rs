//! `mirror init`

use std::path::{Path, PathBuf};
use std::str::FromStr;

use clap::Args;
use mirror_failure::printable;
use mirror_forge::{CommitId, RepositoryName};
use mirror_oci::Registry;
use mirror_plan::provider::ecr::EcrRegistry;
use mirror_tree::{Bot, Entry};

use super::add;
use crate::bot_files;
use crate::bots;
use crate::error::CommandError;
use crate::exit::Exit;
use crate::load::{Loaded, load_unpinned};
use crate::place::place;
use crate::{edit, print};

/// Turn a repository into a mirror.
///
/// Writes a tree, its configuration and that of Dependabot; with `--workflows`, also the workflows. Asks no questions,
/// and never changes a file that exists.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  mirror init
      a tree to try, copied into the folder mirror-store
  mirror init --registry registry.example.com redis:7.4 quay.io/prometheus/prometheus:v3.5.0
      two images for a registry of your own
  mirror init --registry 123456789012.dkr.ecr.eu-central-1.amazonaws.com \\
      --workflows OWNER/REPOSITORY@COMMIT
      with workflows that call those of mirror's repository, or of your copy")]
pub(crate) struct InitArguments {
    /// The images to mirror, as in a FROM line. Defaults to one small image to try.
    #[arg(value_name = "REFERENCE")]
    pub(crate) references: Vec<String>,

    /// The registry to copy to. Defaults to an OCI image layout in the folder mirror-store.
    #[arg(long, value_name = "HOST")]
    pub(crate) registry: Option<Registry>,

    /// The repository with mirror's workflows, and the full id of a commit, so that nobody can change what runs.
    /// Writes short workflows that call them.
    #[arg(long, value_name = "OWNER/REPOSITORY@COMMIT", requires = "registry")]
    pub(crate) workflows: Option<Workflows>,

    /// Write workflows for GitHub Enterprise Server, where jobs can't hand files to each other.
    #[arg(long, requires = "workflows")]
    pub(crate) enterprise_server: bool,
}

/// A commit of a repository on GitHub.
#[derive(Debug, Clone)]
pub(crate) struct Workflows {
    repository: RepositoryName,
    commit: CommitId,
}

impl FromStr for Workflows {
    type Err = String;

    fn from_str(text: &str) -> Result<Workflows, String> {
        let (repository, commit) =
            text.split_once('@').ok_or("the form is OWNER/REPOSITORY@COMMIT")?;
        Ok(Workflows { repository: repository.parse()?, commit: commit.parse()? })
    }
}

const EXAMPLE: &str = "busybox:1.37.0";
const WORKFLOWS: [(&str, &str); 3] = [
    ("plan", include_str!("init/plan.yml")),
    ("comment", include_str!("init/comment.yml")),
    ("apply", include_str!("init/apply.yml")),
];
const SERVER_WORKFLOWS: [(&str, &str); 2] = [
    ("plan", include_str!("init/plan-server.yml")),
    ("apply", include_str!("init/apply-server.yml")),
];

pub(crate) fn run(images: Option<&Path>, command: &InitArguments) -> Result<Exit, CommandError> {
    let images = images.unwrap_or(Path::new("images"));
    let images = std::path::absolute(images).unwrap_or_else(|_| images.to_owned());
    let loaded = load_unpinned(Some(&images));
    loaded.configured()?;
    let example = [EXAMPLE.to_owned()];
    let references = if command.references.is_empty() && loaded.entries.is_empty() {
        &example[..]
    } else {
        &command.references[..]
    };
    let (new, mut problems) = add::parsed(references, &loaded.config.rules);
    let mut entries = add::missing(new, &loaded, &mut problems);
    if !problems.is_empty() {
        return Err(CommandError::of(problems, Exit::Usage).so("nothing was written"));
    }
    place(&loaded, &mut entries);
    let root = bot_files::root(&images);
    // A tree may be all that there is in its repository.
    let above = if images == root { root.as_path() } else { images.parent().unwrap_or(&images) };
    let above = above.to_owned();
    let mut files = vec![(images.join("mirror.toml"), configuration(command.registry.as_ref()))];
    let path = |entry: &Entry| (images.join(&entry.file), entry.source.to_string());
    files.extend(entries.iter().map(path));
    let wanted =
        Loaded { entries: loaded.entries.iter().cloned().chain(entries).collect(), ..loaded };
    // Whoever has Renovate doesn't want to be told everything twice.
    if bots::file(Bot::Renovate, &wanted).existing.is_none() {
        let file = bots::file(Bot::Dependabot, &wanted);
        files.extend(file.wanted.ok().map(|text| (file.path, text)));
    }
    let workflows = workflows(command, &root, &images)?;
    belong_here(&workflows, &root)?;
    files.extend(workflows);
    files.push((above.join(".gitignore"), "/mirror-store\n/mirror.plan\n".to_owned()));
    write(files, (&root, &images), command)?;
    advise(&above, &root, &images, command);
    Ok(Exit::Done)
}

/// The workflows that call those of a commit, for the tree where it is.
fn workflows(
    command: &InitArguments,
    root: &Path,
    images: &Path,
) -> Result<Vec<(PathBuf, String)>, CommandError> {
    let Some(Workflows { repository, commit }) = &command.workflows else { return Ok(Vec::new()) };
    let folder = images.strip_prefix(root).unwrap_or(images).display().to_string();
    // GitHub would put something in its place.
    if folder.contains("${{") {
        let why =
            format!("the folder {} has an expression of GitHub's in its name", printable(&folder));
        let help = "rename it";
        return Err(CommandError::usage("nothing was written", why, Some(help)));
    }
    // What is at its usual place goes without saying; anything else may have to be quoted.
    let line = match folder.as_str() {
        "images" => String::new(),
        "" => "      images: \".\"\n".to_owned(),
        folder => format!("      images: {}\n", serde_json::Value::from(folder)),
    };
    let kinds: &[(&str, &str)] =
        if command.enterprise_server { &SERVER_WORKFLOWS } else { &WORKFLOWS };
    let made = kinds.iter().map(|(name, text)| {
        let text = text.replace("@REPOSITORY@", repository.as_str());
        let text = text.replace("@COMMIT@", commit.as_str());
        let text = text.replace("      images: @IMAGES@\n", &line);
        (root.join(format!(".github/workflows/mirror-{name}.yml")), text)
    });
    Ok(made.collect())
}

/// Workflows that are there already have to be for this tree, on this kind of server: a repository has those of one tree.
fn belong_here(workflows: &[(PathBuf, String)], root: &Path) -> Result<(), CommandError> {
    let says = |text: &str| {
        let called = text.lines().find_map(|line| line.trim().strip_prefix("uses: "));
        let called = called.and_then(|called| called.split('@').next()?.rsplit('/').next());
        let tree = text.lines().find_map(|line| line.trim().strip_prefix("images: "));
        (
            called.unwrap_or_default().to_owned(),
            tree.unwrap_or("images").trim_matches('"').to_owned(),
        )
    };
    for (path, wanted) in workflows {
        let Ok(text) = std::fs::read_to_string(path) else { continue };
        let (there, wanted) = (says(&text), says(wanted));
        if there == wanted || there.0.is_empty() {
            continue;
        }
        let shown = printable(&path.strip_prefix(root).unwrap_or(path).display().to_string());
        let why = format!(
            "{shown} is for the tree {} and calls {}; this one is {} and needs {}",
            printable(&there.1),
            printable(&there.0),
            printable(&wanted.1),
            wanted.0
        );
        let help = "a repository has the workflows of one tree: add the images there, or remove those workflows";
        return Err(CommandError::usage("nothing was written", why, Some(help)));
    }
    Ok(())
}

fn write(
    files: Vec<(PathBuf, String)>,
    (root, images): (&Path, &Path),
    command: &InitArguments,
) -> Result<(), CommandError> {
    let shown = |path: &Path| {
        let path = path.strip_prefix(root).unwrap_or(path);
        printable(&path.display().to_string())
    };
    let (kept, new): (Vec<_>, Vec<_>) =
        files.into_iter().partition(|(path, _)| path.symlink_metadata().is_ok());
    if let Err((path, error)) = edit::create_all(&new) {
        let help = "check the permissions of the folders above it";
        let what = format!("could not write {}", shown(&path));
        let error = CommandError::usage(what, mirror_failure::io_reason(&error), Some(help));
        return Err(error.so("nothing was written"));
    }
    kept.iter().for_each(|(path, _)| print::message(&format!("kept {}", shown(path))));
    new.iter().for_each(|(path, _)| print::message(&format!("wrote {}", shown(path))));
    // Elsewhere it is not found by itself.
    let named = match images.file_name().is_some_and(|name| name == "images")
        && images.parent() == Some(root)
    {
        true => String::new(),
        false => format!(", with --images {}", quoted(&shown(images))),
    };
    print::message(&format!(
        "\nnext{named}: mirror check, mirror plan, mirror apply; more images: mirror add REFERENCE",
    ));
    if command.workflows.is_some() {
        print::message(
            "on GitHub, require the check `mirror / mirror` for merges; mirror's README says which settings there are",
        );
    } else {
        print::message(
            "to run this on GitHub: mirror init --registry HOST --workflows OWNER/REPOSITORY@COMMIT, with mirror's repository or \
             your copy of it",
        );
    }
    Ok(())
}

/// A path as a shell takes it; the folder itself has no name.
fn quoted(path: &str) -> String {
    match path {
        "" => ".".to_owned(),
        path => format!("'{}'", path.replace('\'', r"'\''")),
    }
}

/// What is to be done about files that were there already.
fn advise(above: &Path, root: &Path, images: &Path, command: &InitArguments) {
    let text = |path: PathBuf| std::fs::read_to_string(path).unwrap_or_default();
    if command.registry.is_none() && !text(above.join(".gitignore")).contains("mirror-store") {
        print::message("add the line /mirror-store to .gitignore: copies go there");
    }
    let named = command.registry.as_ref().map(Registry::as_str);
    if named.is_some_and(|name| !text(images.join("mirror.toml")).contains(name)) {
        let shown = printable(
            &images.strip_prefix(root).unwrap_or(images).join("mirror.toml").display().to_string(),
        );
        let text = format!("{shown} was there, and says nothing of that registry: add it there");
        print::message(&text);
    }
    let other = bots::file(Bot::Dependabot, &load_unpinned(Some(images)));
    if other.existing.is_some() && !other.is_ours() {
        let shown = other.shown;
        print::message(&format!(
            "{shown} says nothing of the images: `mirror bots` adds that to it"
        ));
    }
    bots::remind(images);
}

fn configuration(registry: Option<&Registry>) -> String {
    let Some(registry) = registry else {
        return "# Copies go to an OCI image layout. For a registry, write its host: registry = \"registry.example.com\"\n\
                [[destination]]\nname = \"try\"\nlayout = \"./mirror-store\"\n"
            .to_owned();
    };
    let ecr = match EcrRegistry::of(registry) {
        Some(_) => {
            "\n# Repositories are made as they are needed; images/README.md of mirror lists all settings.\n\
                    [destination.ecr]\nimmutable_tags = false\nscan_on_push = true\n"
        }
        None => "",
    };
    format!("[[destination]]\nname = \"prod\"\nregistry = \"{registry}\"\n{ecr}")
}
