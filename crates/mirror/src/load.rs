//! Reading the tree and its configuration.

use std::cell::RefCell;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use mirror_oci::{Algorithm, Digest};
use mirror_plan::{Config, Finding, Findings, Level, Scope, Wants, expand, printable};
use mirror_tree::{Diagnostic, Entry, Rules, Tree};

use crate::cli::Only;
use crate::exit::Exit;
use crate::print;
use crate::{environment, git};

const FOLDER: &str = "images";
const CONFIG: &str = "mirror.toml";
const LARGEST_CONFIG: u64 = 1 << 20;

/// A tree with its configuration, and everything that is wrong with either.
pub(crate) struct Loaded {
    /// The folder of the tree.
    pub(crate) images: PathBuf,
    /// The same, as a person would write it.
    pub(crate) shown: String,
    /// The folder that holds the tree; relative paths of the configuration start here.
    pub(crate) root: PathBuf,
    pub(crate) config: Config,
    pub(crate) entries: Vec<Entry>,
    pub(crate) wants: Wants,
    pub(crate) diagnostics: Vec<Diagnostic>,
    pub(crate) findings: Findings,
    /// The files that the configuration consists of, relative to the tree.
    pub(crate) documents: Vec<String>,
    /// Digests of what the tree wants, and of the configuration with the documents it names.
    pub(crate) digests: (Digest, Digest),
}

/// Reads the tree at `images`, or the nearest one.
pub(crate) fn load(images: Option<&Path>) -> Loaded {
    load_by(images, |rules| *rules)
}

/// The same, for whoever is about to write digests: a missing one is no error.
pub(crate) fn load_unpinned(images: Option<&Path>) -> Loaded {
    load_by(images, |rules| Rules { require_digest: false, ..*rules })
}

fn load_by(images: Option<&Path>, rules: impl Fn(&Rules) -> Rules) -> Loaded {
    let images = images.map_or_else(nearest, |images| {
        std::path::absolute(images).unwrap_or_else(|_| images.to_owned())
    });
    let shown = shown(&images);
    let mut findings = Findings { format_version: 1, ..Findings::default() };
    let mut documents = vec![(CONFIG.to_owned(), String::new())];
    let config = read_config(&images, &shown, &mut findings, &mut documents);
    let broken = config.is_none();
    let config = config.unwrap_or_default();
    let Tree { entries, diagnostics } = mirror_tree::read(&images, &rules(&config.rules));
    findings
        .findings
        .extend(diagnostics.iter().map(|diagnostic| Finding::of_tree(&shown, diagnostic)));
    // With a broken configuration nobody knows where anything goes.
    let wants = if broken { Wants::default() } else { expand(&entries, &config) };
    let unused = config.unused_globs(entries.iter().map(|entry| &entry.name));
    findings.findings.extend(
        unused.iter().map(|glob| Finding::of_unused_glob(&format!("{shown}/{CONFIG}"), glob)),
    );
    findings
        .findings
        .extend(wants.collisions.iter().map(|collision| Finding::of_collision(&shown, collision)));
    findings.findings.sort_by(|a, b| {
        let key = |finding: &Finding| finding.position.map_or((0, 0), |at| (at.line, at.column));
        (&a.file, key(a)).cmp(&(&b.file, key(b)))
    });
    findings.entries = entries.len();
    let root = images.parent().filter(|parent| !parent.as_os_str().is_empty());
    let root = root.map_or_else(|| PathBuf::from("."), Path::to_owned);
    let (documents, texts): (Vec<String>, Vec<String>) = documents.into_iter().unzip();
    let config_digest = Digest::of(Algorithm::Sha256, texts.join("\0").as_bytes());
    let digests = (mirror_plan::tree_digest(&entries), config_digest);
    Loaded {
        images,
        shown,
        root,
        config,
        entries,
        wants,
        diagnostics,
        findings,
        documents,
        digests,
    }
}

impl Loaded {
    /// Stops here when the configuration is broken.
    pub(crate) fn configured(&self) -> Result<(), Exit> {
        let broken =
            |finding: &&Finding| finding.severity == Level::Error && finding.code == "config";
        let broken: Vec<&Finding> = self.findings.findings.iter().filter(broken).collect();
        broken.iter().for_each(|finding| print::message(print::finding(finding).trim_end()));
        if broken.is_empty() { Ok(()) } else { Err(Exit::Usage) }
    }

    /// Leaves a part of what is wanted.
    pub(crate) fn narrow(&mut self, only: &Only, since: Option<&str>) -> Result<(), Exit> {
        let changes = since.map(|revision| {
            git::changes(&self.images, revision, &self.documents, &self.config.rules).map_err(
                |error| {
                    let what =
                        format!("could not tell what has changed since {}", printable(revision));
                    print::error(&what, &error.why, Some(&error.help));
                    Exit::Usage
                },
            )
        });
        let mut changes = changes.transpose()?;
        // What is behind a link is not in the tree.
        if self.images.join(CONFIG).is_symlink() {
            changes.iter_mut().for_each(|changes| changes.configuration = true);
        }
        let scope = Scope { only: only.only.clone(), changes };
        if scope.changes.as_ref().is_some_and(|changes| changes.configuration) {
            print::message(
                "the configuration has changed since that commit, or may have: everything is planned",
            );
        }
        let wants = std::mem::take(&mut self.wants);
        self.wants = scope.narrow(wants, &self.config);
        let nothing = self.wants.wants.is_empty() && self.wants.collisions.is_empty();
        if !only.only.is_empty() && since.is_none() && nothing {
            let help = "globs are matched against names such as docker.io/library/postgres, or postgres in short";
            print::error("nothing is planned", "`--only` matches no image of the tree", Some(help));
            return Err(Exit::Usage);
        }
        Ok(())
    }

    /// Stops here when something is wrong that makes the tree unusable. Collisions don't: the others go on.
    pub(crate) fn usable(&self) -> Result<(), Exit> {
        let blocking =
            |finding: &&Finding| finding.severity == Level::Error && finding.code != "conflict";
        let blocked: Vec<&Finding> = self.findings.findings.iter().filter(blocking).collect();
        if blocked.is_empty() {
            let warnings = self.findings.count(Level::Warning);
            if warnings > 0 {
                let noun = mirror_plan::count(warnings as u64, "warning");
                print::message(&format!("{noun} about the tree: `mirror check` shows them"));
            }
            return Ok(());
        }
        blocked.iter().for_each(|finding| print::message(print::finding(finding).trim_end()));
        print::message("nothing was done: the tree has errors");
        Err(Exit::Usage)
    }
}

/// `images` here or in the nearest folder above; `images` here if there is none.
fn nearest() -> PathBuf {
    let here = environment::current_folder().unwrap_or_default();
    let found = here.ancestors().map(|folder| folder.join(FOLDER)).find(|folder| folder.is_dir());
    found.unwrap_or_else(|| here.join(FOLDER))
}

/// The path as a person would write it: relative, where the tree is below the current folder.
fn shown(images: &Path) -> String {
    let here = environment::current_folder().unwrap_or_default();
    let path = images.strip_prefix(&here).unwrap_or(images);
    let text = path.display().to_string();
    if text.is_empty() { ".".to_owned() } else { text.trim_end_matches('/').to_owned() }
}

/// The configuration; the default when there is none, nothing when it is wrong.
fn read_config(
    images: &Path,
    shown: &str,
    findings: &mut Findings,
    documents: &mut Vec<(String, String)>,
) -> Option<Config> {
    let file = format!("{shown}/{CONFIG}");
    let text: Arc<str> = match read_small(&images.join(CONFIG)) {
        Ok(text) => text.into(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Some(Config::default());
        }
        Err(error) => {
            let problem = mirror_plan::ConfigProblem {
                span: None,
                message: format!("can't be read: {error}"),
                help: None,
            };
            findings.findings.push(Finding::of_config(&file, &"".into(), &problem));
            return None;
        }
    };
    let read = RefCell::new(vec![(CONFIG.to_owned(), text.to_string())]);
    let beside = |name: &str| {
        let path = Path::new(name);
        let inside = path.components().all(|part| matches!(part, std::path::Component::Normal(_)));
        if !inside {
            return Err("it is not beside mirror.toml, or below".to_owned());
        }
        let text = read_small(&images.join(path));
        let text = text.map_err(|error| format!("can't be read: {error}"))?;
        // As Git would write it.
        let name: Vec<_> =
            path.components().map(|part| part.as_os_str().to_string_lossy()).collect();
        read.borrow_mut().push((name.join("/"), text.clone()));
        Ok(text)
    };
    let problems = match Config::parse_with(&text, &beside) {
        Ok(config) => {
            *documents = read.into_inner();
            return Some(config);
        }
        Err(problems) => problems,
    };
    findings
        .findings
        .extend(problems.iter().map(|problem| Finding::of_config(&file, &text, problem)));
    None
}

/// A text file of a reasonable size; not a pipe, a device or a link to one.
fn read_small(path: &Path) -> io::Result<String> {
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::other("it is not a file"));
    }
    let mut text = String::new();
    fs::File::open(path)?.take(LARGEST_CONFIG + 1).read_to_string(&mut text)?;
    if text.len() as u64 > LARGEST_CONFIG {
        return Err(io::Error::other("it is larger than 1 MiB"));
    }
    Ok(text)
}
