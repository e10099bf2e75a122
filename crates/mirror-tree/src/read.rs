//! The walk over a tree.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::io::Read;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use mirror_oci::{Name, Platform, Version};
use walkdir::{DirEntry, WalkDir};

use crate::diagnostic::{Code, Fix, TreeDiagnostic};
use crate::dockerfile::{self, MAX_BYTES};
use crate::folder::{folder_mismatch, variant_mismatch};
use crate::line::name_of;
use crate::rules::Rules;
use crate::version::Keep;

/// A folder of Dockerfiles, read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tree {
    /// One for each good file, sorted by file.
    pub entries: Vec<Entry>,
    /// What is wrong with the others, sorted by file.
    pub diagnostics: Vec<TreeDiagnostic>,
}

/// One Dockerfile: which image is wanted, and where that is written.
///
/// ```
/// use mirror_tree::{Entry, Rules, parse};
///
/// let (file, text) = ("docker.io/library/redis/Dockerfile", "FROM redis:7.2\n");
/// let from = parse(file, text.as_bytes(), &Rules::default()).from.ok_or("a good line")?;
/// let entry = Entry {
///     file: file.to_owned(), name: from.name, version: from.version,
///     platform: None, span: from.span, source: text.into(),
/// };
/// assert_eq!((entry.written(), entry.written_name()), ("redis:7.2", "redis"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The file, relative to the tree, with `/` between the parts.
    pub file: String,
    /// Registry and repository, fully spelled.
    pub name: Name,
    /// The tag, the digest, or both.
    pub version: Version,
    /// The one platform to mirror, if not all.
    pub platform: Option<Platform>,
    /// Where the reference stands in the file, in bytes.
    pub span: Range<usize>,
    /// The text of the file.
    pub source: Arc<str>,
}

impl Entry {
    /// The reference as the file writes it.
    pub fn written(&self) -> &str {
        self.source.get(self.span.clone()).unwrap_or_default()
    }

    /// Its name, as the file writes it: without tag and digest.
    pub fn written_name(&self) -> &str {
        name_of(self.written())
    }
}

/// Reads the tree below `root`. What can't be understood is a diagnostic, never a failure of the whole.
///
/// ```
/// use mirror_tree::{Rules, read};
///
/// let folder = std::env::temp_dir().join(format!("mirror-tree-{}", std::process::id()));
/// let entry = folder.join("docker.io/library/redis");
/// std::fs::create_dir_all(&entry)?;
/// std::fs::write(entry.join("Dockerfile"), "FROM redis:7.4\n")?;
/// let tree = read(&folder, &Rules::default());
/// std::fs::remove_dir_all(&folder)?;
/// assert_eq!(tree.entries.len(), 1);
/// assert!(tree.diagnostics.is_empty());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn read(root: &Path, rules: &Rules) -> Tree {
    let mut tree = Tree::default();
    match fs::metadata(root) {
        Ok(metadata) if metadata.is_dir() => {}
        outcome => {
            let why =
                outcome.err().map_or("it is not a folder".to_owned(), |error| error.to_string());
            let mut problem = plain(Code::TreeMissing, "", format!("there is no tree: {why}"));
            problem.help = Some(
                "create `images/<registry>/<repository>/Dockerfile`, one for each image".into(),
            );
            tree.diagnostics.push(problem);
            return tree;
        }
    }
    let mut seen = 0_usize;
    // What is hidden is not part of the tree: `.git`, editors' folders.
    let hidden =
        |step: &DirEntry| step.depth() > 0 && step.file_name().to_string_lossy().starts_with('.');
    for step in WalkDir::new(root)
        .min_depth(1)
        .sort_by_file_name()
        .into_iter()
        .filter_entry(|step| !hidden(step))
    {
        match step {
            Ok(step) => seen += usize::from(visit(root, &step, rules, &mut tree)),
            Err(error) => {
                let file = error.path().map(|path| relative(root, path)).unwrap_or_default();
                let why = error.io_error().map_or_else(|| error.to_string(), ToString::to_string);
                tree.diagnostics.push(unreadable(&file, &why));
                seen += 1;
            }
        }
    }
    if seen == 0 {
        let mut problem = plain(Code::TreeEmpty, "", "the tree holds no Dockerfile".into());
        problem.help = Some(
            "create `docker.io/library/postgres/Dockerfile` with the line `FROM postgres:14.2`"
                .into(),
        );
        tree.diagnostics.push(problem);
    }
    spread_moves(root, &mut tree);
    mark_neighbours(&mut tree);
    mark_duplicates(&mut tree);
    tree.diagnostics.sort_by(|a, b| {
        let key = |d: &TreeDiagnostic| {
            (d.file.clone(), d.span.as_ref().map_or(0, |span| span.start), d.code)
        };
        key(a).cmp(&key(b))
    });
    tree
}

/// Whether both bots take a file of this name for a Dockerfile: `Dockerfile`, `Dockerfile.<x>`, `<x>.Dockerfile`,
/// the same with `Containerfile`, and their lower-case forms.
///
/// ```
/// use mirror_tree::is_dockerfile_name;
///
/// assert!(is_dockerfile_name("Dockerfile.slim") && !is_dockerfile_name("Dockerfile~"));
/// ```
pub fn is_dockerfile_name(name: &str) -> bool {
    ["Dockerfile", "dockerfile", "Containerfile", "containerfile"].iter().any(|word| {
        name == *word
            || name.strip_prefix(word).is_some_and(|rest| rest.len() > 1 && rest.starts_with('.'))
            || name.strip_suffix(word).is_some_and(|rest| rest.len() > 1 && rest.ends_with('.'))
    })
}

/// Takes one step of the walk; true when it was, or should have been, an entry.
fn visit(root: &Path, step: &DirEntry, rules: &Rules, tree: &mut Tree) -> bool {
    let file = relative(root, step.path());
    let name = step.file_name().to_string_lossy();
    let name = &*name;
    let kind = step.file_type();
    let accepted = is_dockerfile_name(name) && !name.ends_with(".dockerignore");
    let lower = name.to_ascii_lowercase();
    // `Dockerfile.dockerignore` is BuildKit's.
    let similar = (lower.contains("dockerfile") || lower.contains("containerfile"))
        && !lower.ends_with(".dockerignore");
    if kind.is_symlink() {
        let to_folder = fs::metadata(step.path()).is_ok_and(|target| target.is_dir());
        // A dangling link or a loop has no target to look at; its name decides.
        if !(similar || to_folder || fs::metadata(step.path()).is_err()) {
            return false;
        }
        let mut problem =
            plain(Code::SymbolicLink, &file, "symbolic links are not followed".into());
        problem.help = Some("put a file of its own in its place".into());
        tree.diagnostics.push(problem);
        return true;
    }
    if kind.is_dir() {
        // `docker/dockerfile` is a real repository; with upper-case letters it can only be a mistake.
        if !(accepted && name.starts_with(|c: char| c.is_ascii_uppercase())) {
            return false;
        }
        not_a_file(tree, &file, "a folder");
        return true;
    }
    if step.file_name().to_str().is_none() && similar {
        let problem = plain(Code::FileName, &file, "the name of this file is not UTF-8".into());
        tree.diagnostics.push(TreeDiagnostic { help: Some("rename it".into()), ..problem });
        return true;
    }
    if !accepted {
        if similar {
            let mut problem = plain(
                Code::FileName,
                &file,
                format!("not both bots take `{name}` for a Dockerfile"),
            );
            problem.help = Some("name it `Dockerfile`, or move it out of the tree".into());
            tree.diagnostics.push(problem);
        }
        return similar;
    }
    if !kind.is_file() {
        not_a_file(tree, &file, "a pipe, socket or device");
        return true;
    }
    match read_capped(step.path()) {
        Ok(bytes) => add_file(root, file, &bytes, rules, tree),
        Err(error) => tree.diagnostics.push(unreadable(&file, &error.to_string())),
    }
    true
}

/// One byte more than is parsed, however large the file is.
fn read_capped(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(512);
    fs::File::open(path)?.take(MAX_BYTES as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn add_file(root: &Path, file: String, bytes: &[u8], rules: &Rules, tree: &mut Tree) {
    let parsed = dockerfile::parse(&file, bytes, rules);
    let blocked = parsed.diagnostics.iter().any(|d| d.severity() == crate::Severity::Error);
    tree.diagnostics.extend(parsed.diagnostics);
    let (Some(from), Some(source)) = (parsed.from, parsed.text) else { return };
    let misplaced = folder_mismatch(&file, &source, &from, |to| is_free(root, to))
        .or_else(|| variant_mismatch(&file, &source, &from));
    if let Some(mut problem) = misplaced {
        // What builds something belongs where it is.
        problem.fix.take_if(|_| blocked);
        tree.diagnostics.push(problem);
    } else if !blocked {
        let dockerfile::FromLine { name, version, platform, span } = from;
        tree.entries.push(Entry { file, name, version, platform, span, source });
    }
}

/// Whether a file can be put there without overwriting anything or leaving the tree through a link.
///
/// ```
/// use mirror_tree::is_free;
///
/// let folder = std::env::temp_dir().join(format!("mirror-free-{}", std::process::id()));
/// std::fs::create_dir_all(&folder)?;
/// std::fs::write(folder.join("Dockerfile"), "FROM redis:7\n")?;
/// let free = (is_free(&folder, "Dockerfile"), is_free(&folder, "v8/Dockerfile"));
/// std::fs::remove_dir_all(&folder)?;
/// assert_eq!(free, (false, true));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn is_free(root: &Path, target: &str) -> bool {
    let mut path = root.to_owned();
    let mut parts = target.split('/').peekable();
    while let Some(part) = parts.next() {
        path.push(part);
        match fs::symlink_metadata(&path) {
            Ok(found) if parts.peek().is_some() && found.is_dir() => {}
            Ok(_) => return false,
            Err(_) => return true,
        }
    }
    false
}

/// Of moves that would put several files into one folder, those go to variant folders that have a name for it; of the
/// others, one goes where it belongs, and the rest is left to a person.
fn spread_moves(root: &Path, tree: &mut Tree) {
    let folder = |file: &str| file.rsplit_once('/').map_or("", |(folder, _)| folder).to_owned();
    let mut wanted: BTreeMap<String, usize> = BTreeMap::new();
    for problem in &tree.diagnostics {
        if let Some(Fix::Move(to)) = &problem.fix {
            *wanted.entry(folder(to)).or_default() += 1;
        }
    }
    let mut taken: BTreeSet<String> =
        tree.entries.iter().map(|entry| folder(&entry.file)).collect();
    for problem in &mut tree.diagnostics {
        let Some(Fix::Move(to)) = &problem.fix else { continue };
        let target = folder(to);
        let alone = wanted.get(&target) == Some(&1);
        let variant = variant_of(&problem.file).map(|name| format!("{target}/{name}/Dockerfile"));
        let variant = variant.filter(|to| !alone && is_free(root, to));
        let to = [variant.as_ref(), Some(to)];
        let to = to.into_iter().flatten().find(|to| taken.insert(folder(to))).cloned();
        problem.help = Some(match &to {
            Some(to) => format!("move it to `{to}`"),
            None => {
                format!("move it to a variant folder of its own, `{target}/<variant>/Dockerfile`")
            }
        });
        problem.fix = to.map(Fix::Move);
    }
}

/// What tells a Dockerfile from others beside it: `alpine` of `Dockerfile.alpine` or `alpine.Dockerfile`. One with a number
/// would say how far the entry may move.
fn variant_of(file: &str) -> Option<&str> {
    let name = file.rsplit('/').next()?;
    let (first, second) = name.split_once('.')?;
    let lower = first.to_ascii_lowercase();
    let variant =
        if matches!(lower.as_str(), "dockerfile" | "containerfile") { second } else { first };
    let plain = variant.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    (plain && Keep::of_variant(variant).is_none()).then_some(variant)
}

/// Dependabot merges the files of one folder into one dependency, and can fail over them.
fn mark_neighbours(tree: &mut Tree) {
    let mut folders: BTreeMap<&str, Vec<&Entry>> = BTreeMap::new();
    for entry in &tree.entries {
        folders
            .entry(entry.file.rsplit_once('/').map_or("", |(folder, _)| folder))
            .or_default()
            .push(entry);
    }
    let mut found = Vec::new();
    for (folder, entries) in folders {
        let [first, others @ ..] = entries.as_slice() else { continue };
        if others.is_empty() {
            continue;
        }
        let message = format!(
            "{} Dockerfiles in one folder: Dependabot merges them into one dependency",
            entries.len()
        );
        let mut problem = plain(Code::SeveralFiles, &first.file, message);
        problem.help = Some(format!("give each a variant folder: `{folder}/<variant>/Dockerfile`"));
        found.push(problem);
    }
    tree.diagnostics.append(&mut found);
}

fn mark_duplicates(tree: &mut Tree) {
    let mut first: HashMap<(&Name, &Version, &Option<Platform>), &Entry> = HashMap::new();
    for entry in &tree.entries {
        let earlier = *first.entry((&entry.name, &entry.version, &entry.platform)).or_insert(entry);
        if std::ptr::eq(earlier, entry) {
            continue;
        }
        tree.diagnostics.push(TreeDiagnostic {
            code: Code::DuplicateEntry,
            file: entry.file.clone(),
            source: Some(entry.source.clone()),
            span: Some(entry.span.clone()),
            message: format!("`{}` names the same image", earlier.file),
            help: Some("delete one of the two".into()),
            fix: None,
        });
    }
}

fn plain(code: Code, file: &str, message: String) -> TreeDiagnostic {
    TreeDiagnostic {
        code,
        file: file.to_owned(),
        source: None,
        span: None,
        message,
        help: None,
        fix: None,
    }
}

fn unreadable(file: &str, why: &str) -> TreeDiagnostic {
    let problem = plain(Code::Unreadable, file, format!("can't be read: {why}"));
    TreeDiagnostic {
        help: Some("check its permissions, and those of the folders above".into()),
        ..problem
    }
}

fn not_a_file(tree: &mut Tree, file: &str, what: &str) {
    let problem =
        plain(Code::NotAFile, file, format!("has the name of a Dockerfile, but is {what}"));
    tree.diagnostics
        .push(TreeDiagnostic { help: Some("put a file in its place".into()), ..problem });
}

fn relative(root: &Path, path: &Path) -> String {
    let path = path.strip_prefix(root).unwrap_or(path);
    let parts: Vec<_> = path.components().map(|part| part.as_os_str().to_string_lossy()).collect();
    parts.join("/")
}
