//! Reading the tree and its configuration.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use mirror_failure::printable;
use mirror_oci::{Algorithm, Digest};
use mirror_plan::config::{Config, DEFAULT_LAYOUT};
use mirror_plan::report::{Diagnostic, Diagnostics, Level};
use mirror_plan::want::{Scope, Wants, expand};
use mirror_tree::{Entry, Rules, Tree, TreeDiagnostic};

use crate::args::Only;
use crate::error::{CommandError, Problem};
use crate::exit::Exit;
use crate::{bot_files, environment, files, git};

const FOLDER: &str = "images";
pub(crate) const CONFIG: &str = "mirror.toml";
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
    pub(crate) tree_diagnostics: Vec<TreeDiagnostic>,
    pub(crate) diagnostics: Diagnostics,
    /// The files that the configuration consists of, relative to the tree.
    pub(crate) documents: Vec<String>,
    /// The same with their texts.
    pub(crate) texts: BTreeMap<String, String>,
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

fn load_by(given: Option<&Path>, rules: impl Fn(&Rules) -> Rules) -> Loaded {
    let images = given.map_or_else(nearest, |images| {
        std::path::absolute(images).unwrap_or_else(|_| images.to_owned())
    });
    let shown = shown(&images);
    let mut diagnostics = Diagnostics { format_version: 1, ..Diagnostics::default() };
    let mut documents = vec![(CONFIG.to_owned(), String::new())];
    // What is behind a link is not in the tree, nor is anything of it printed.
    let link = link_to(given, &images);
    diagnostics.diagnostics.extend(link.as_ref().map(|link| behind(link, &shown)));
    let config = match link {
        None => read_config(&images, &shown, &mut diagnostics, &mut documents),
        Some(_) => None,
    };
    let broken = config.is_none();
    let mut config = config.unwrap_or_default();
    if link.is_none() {
        config.rules.bots = bot_files::in_use(&images);
    }
    let tree = match link {
        None => mirror_tree::read(&images, &rules(&config.rules)),
        Some(_) => Tree::default(),
    };
    let unused = config.unused_globs(tree.entries.iter().map(|entry| &entry.name));
    let Tree { entries, diagnostics: tree_diagnostics } = config.judge(tree);
    let of_tree = tree_diagnostics.iter().map(|one| Diagnostic::of_tree(&shown, one));
    diagnostics.diagnostics.extend(of_tree);
    // With a broken configuration nobody knows where anything goes.
    let wants = if broken { Wants::default() } else { expand(&entries, &config) };
    diagnostics.diagnostics.extend(
        unused.iter().map(|glob| Diagnostic::of_unused_glob(&format!("{shown}/{CONFIG}"), glob)),
    );
    diagnostics.diagnostics.extend(
        wants.collisions.iter().map(|collision| Diagnostic::of_collision(&shown, collision)),
    );
    diagnostics.diagnostics.extend(unread_config(&images, &shown));
    let root = images.parent().filter(|parent| !parent.as_os_str().is_empty());
    let root = root.map_or_else(|| PathBuf::from("."), Path::to_owned);
    diagnostics.diagnostics.extend(missing_certificates(&config, &root, &shown));
    let at = |one: &Diagnostic| one.position.map_or((0, 0), |at| (at.line, at.column));
    diagnostics.diagnostics.sort_by(|a, b| (&a.file, at(a)).cmp(&(&b.file, at(b))));
    diagnostics.entries = entries.len();
    let by_name = documents.iter().cloned().collect();
    let (documents, texts): (Vec<String>, Vec<String>) = documents.into_iter().unzip();
    let config_digest = Digest::of(Algorithm::Sha256, texts.join("\0").as_bytes());
    let digests = (mirror_plan::plan::tree_digest(&entries), config_digest);
    Loaded {
        images,
        shown,
        root,
        config,
        entries,
        wants,
        tree_diagnostics,
        diagnostics,
        documents,
        texts: by_name,
        digests,
    }
}

impl Loaded {
    /// Stops here when the configuration is broken.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn configured(&self) -> Result<(), CommandError> {
        self.without(|diagnostic| diagnostic.code == "config")
    }

    /// Where images go when nobody has said so.
    pub(crate) fn default_destination(&self) -> Option<String> {
        self.config.is_without_destination.then(|| {
            format!(
                "no destination is configured in {}/{CONFIG}: images go to the image layout {DEFAULT_LAYOUT}",
                self.shown
            )
        })
    }

    /// Leaves a part of what is wanted, and says what there is to know of that.
    ///
    /// # Errors
    /// When nobody can tell what has changed, or nothing is left.
    pub(crate) fn narrow(
        &mut self,
        only: &Only,
        since: Option<&str>,
    ) -> Result<Option<&'static str>, CommandError> {
        let changes = since.map(|revision| {
            git::changes(&self.images, revision, &self.documents, &self.config.rules).map_err(
                |error| {
                    let what =
                        format!("could not tell what has changed since {}", printable(revision));
                    CommandError::usage(what, error.why, Some(&error.help))
                },
            )
        });
        let changes = changes.transpose()?;
        let scope = Scope { only: only.only.clone(), changes };
        let everything = scope.changes.as_ref().is_some_and(|changes| changes.configuration);
        let wants = std::mem::take(&mut self.wants);
        self.wants = scope.narrow(wants, &self.config);
        let nothing = self.wants.wants.is_empty() && self.wants.collisions.is_empty();
        if !only.only.is_empty() && since.is_none() && nothing {
            let help = "globs are matched against names such as docker.io/library/postgres, or postgres for short";
            let why = "`--only` matches no image of the tree";
            return Err(CommandError::usage("nothing is planned", why, Some(help)));
        }
        Ok(everything.then_some(
            "the configuration has changed since that commit, or may have: everything is planned",
        ))
    }

    /// Stops here when something is wrong that makes the tree unusable. Collisions don't: the others go on.
    ///
    /// Otherwise says how many warnings there are.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn usable(&self) -> Result<Option<String>, CommandError> {
        let usable = self.without(|diagnostic| diagnostic.code != "conflict");
        usable.map_err(|error| error.so("nothing was done: the tree has errors"))?;
        let warnings = self.diagnostics.count(Level::Warning);
        Ok((warnings > 0).then(|| {
            let noun = mirror_failure::count(warnings as u64, "warning");
            format!("{noun} about the tree: `mirror check` shows them")
        }))
    }

    /// Stops at errors of a kind.
    fn without(&self, of_kind: impl Fn(&Diagnostic) -> bool) -> Result<(), CommandError> {
        let errors = self.diagnostics.diagnostics.iter();
        let errors = errors.filter(|one| one.severity == Level::Error && of_kind(one));
        let problems: Vec<Problem> =
            errors.map(|one| Problem::Diagnostic(Box::new(one.clone()))).collect();
        if problems.is_empty() { Ok(()) } else { Err(CommandError::of(problems, Exit::Usage)) }
    }
}

/// Files with certificates that are named, and not here: they may be on the machine that mirrors.
fn missing_certificates(config: &Config, root: &Path, shown: &str) -> Vec<Diagnostic> {
    let named = config.registries.values().flat_map(|registry| {
        let (client, key) = registry.client_certificate.clone().unzip();
        let files: [(_, Option<PathBuf>); 3] = [
            ("ca", registry.ca.clone()),
            ("client_certificate", client),
            ("client_key", key.flatten()),
        ];
        files.into_iter().filter_map(|(setting, path)| Some((setting, path?)))
    });
    let missing = named.filter(|(_, path)| !root.join(path).exists());
    let file = format!("{shown}/{CONFIG}");
    let diagnostic = |(setting, path): (&str, PathBuf)| {
        Diagnostic::of_missing_file(&file, setting, &path.display().to_string())
    };
    missing.map(diagnostic).collect()
}

/// A configuration beside the tree: many look for it there.
fn unread_config(images: &Path, shown: &str) -> Option<Diagnostic> {
    let beside = images.with_file_name(CONFIG);
    let found = images.is_dir() && beside.symlink_metadata().is_ok_and(|found| found.is_file());
    let belongs = format!("{shown}/{CONFIG}");
    found.then(|| Diagnostic::of_unread_config(&self::shown(&beside), &belongs))
}

/// `images` here or in the nearest folder above; `images` here if there is none.
fn nearest() -> PathBuf {
    let here = environment::current_folder().unwrap_or_default();
    let found = here.ancestors().map(|folder| folder.join(FOLDER)).find(|folder| folder.is_dir());
    found.unwrap_or_else(|| here.join(FOLDER))
}

/// A link on the way to the tree: below the current folder, where it may be part of a repository, and at the end.
fn link_to(given: Option<&Path>, images: &Path) -> Option<PathBuf> {
    let here = environment::current_folder().unwrap_or_default();
    // A slash at the end would have the link followed.
    let images: PathBuf = images.components().collect();
    let below = images.strip_prefix(&here).ok();
    let below = below.filter(|_| given.is_some_and(Path::is_relative));
    let above = below.and_then(|below| files::link_below(&here, below));
    above.or_else(|| images.is_symlink().then(|| images.clone()))
}

/// What there is to say of a tree that a link leads to.
fn behind(link: &Path, shown: &str) -> Diagnostic {
    let link = self::shown(link);
    let problem = mirror_plan::config::ConfigProblem {
        span: None,
        message: format!("`{link}` is a link, and {}", files::LINK),
        help: Some("put the folder itself in its place, or name it with `--images`".to_owned()),
    };
    Diagnostic::of_config(shown, &"".into(), &problem)
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
    diagnostics: &mut Diagnostics,
    documents: &mut Vec<(String, String)>,
) -> Option<Config> {
    let file = format!("{shown}/{CONFIG}");
    let text: Arc<str> = match files::read_below(images, Path::new(CONFIG), LARGEST_CONFIG) {
        Ok(text) => text.into(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Some(Config::default());
        }
        Err(error) => {
            let problem = mirror_plan::config::ConfigProblem {
                span: None,
                message: format!("can't be read: {error}"),
                help: None,
            };
            diagnostics.diagnostics.push(Diagnostic::of_config(&file, &"".into(), &problem));
            return None;
        }
    };
    let read = RefCell::new(vec![(CONFIG.to_owned(), text.to_string())]);
    let beside = |name: &str| {
        let name = document(name)?;
        let text = files::read_below(images, Path::new(&name), LARGEST_CONFIG);
        let text = text.map_err(|error| format!("can't be read: {error}"))?;
        read.borrow_mut().push((name, text.clone()));
        Ok(text)
    };
    let problems = match Config::parse_with(&text, &beside) {
        Ok(config) => {
            *documents = read.into_inner();
            return Some(config);
        }
        Err(problems) => problems,
    };
    diagnostics
        .diagnostics
        .extend(problems.iter().map(|problem| Diagnostic::of_config(&file, &text, problem)));
    None
}

/// The name of a document that the configuration names, as Git would write it.
pub(crate) fn document(name: &str) -> Result<String, String> {
    let path = Path::new(name);
    let inside = path.components().all(|part| matches!(part, std::path::Component::Normal(_)));
    if !inside {
        return Err("it is not beside mirror.toml, or below".to_owned());
    }
    let parts: Vec<_> = path.components().map(|part| part.as_os_str().to_string_lossy()).collect();
    Ok(parts.join("/"))
}
