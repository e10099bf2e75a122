//! Reading the tree and its configuration.

use std::cell::RefCell;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use mirror_oci::{Algorithm, Digest};
use mirror_plan::{Config, Finding, Findings, Level, Wants, expand};
use mirror_tree::{Diagnostic, Tree};

use crate::environment;
use crate::exit::Exit;
use crate::print;

const FOLDER: &str = "images";
const CONFIG: &str = "mirror.toml";
const LARGEST_CONFIG: u64 = 1 << 20;

/// A tree with its configuration, and everything that is wrong with either.
pub(crate) struct Loaded {
    /// The folder of the tree.
    pub(crate) images: PathBuf,
    /// The folder that holds the tree; relative paths of the configuration start here.
    pub(crate) root: PathBuf,
    pub(crate) config: Config,
    pub(crate) wants: Wants,
    pub(crate) diagnostics: Vec<Diagnostic>,
    pub(crate) findings: Findings,
    /// Digests of what the tree wants, and of the configuration with the documents it names.
    pub(crate) digests: (Digest, Digest),
}

/// Reads the tree at `images`, or the nearest one.
pub(crate) fn load(images: Option<&Path>) -> Loaded {
    let images = images.map_or_else(nearest, |images| {
        std::path::absolute(images).unwrap_or_else(|_| images.to_owned())
    });
    let shown = shown(&images);
    let mut findings = Findings { format_version: 1, ..Findings::default() };
    let mut texts = Vec::new();
    let config = read_config(&images, &shown, &mut findings, &mut texts);
    let broken = config.is_none();
    let config = config.unwrap_or_default();
    let Tree { entries, diagnostics } = mirror_tree::read(&images, &config.rules);
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
    let config_digest = Digest::of(Algorithm::Sha256, texts.join("\0").as_bytes());
    let digests = (mirror_plan::tree_digest(&entries), config_digest);
    Loaded { images, root, config, wants, diagnostics, findings, digests }
}

impl Loaded {
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
    path.display().to_string().trim_end_matches('/').to_owned()
}

/// The configuration; the default when there is none, nothing when it is wrong.
fn read_config(
    images: &Path,
    shown: &str,
    findings: &mut Findings,
    texts: &mut Vec<String>,
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
    let documents = RefCell::new(vec![text.to_string()]);
    let beside = |name: &str| {
        let path = Path::new(name);
        let inside = path.components().all(|part| matches!(part, std::path::Component::Normal(_)));
        if !inside {
            return Err("it is not beside mirror.toml, or below".to_owned());
        }
        let text = read_small(&images.join(path));
        let text = text.map_err(|error| format!("can't be read: {error}"))?;
        documents.borrow_mut().push(text.clone());
        Ok(text)
    };
    let problems = match Config::parse_with(&text, &beside) {
        Ok(config) => {
            texts.extend(documents.into_inner());
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
