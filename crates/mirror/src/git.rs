//! What has changed in the tree since a commit. Git itself is asked: it knows clones of every kind.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Seek, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use mirror_oci::Digest;
use mirror_plan::want::Changes;
use mirror_tree::{Entry, Rules, is_dockerfile_name};

/// Why Git could not tell.
#[derive(Debug)]
pub(crate) struct GitError {
    pub(crate) why: String,
    pub(crate) help: String,
}

/// What has changed below `images` from `revision` to the files as they are now, whether committed or not.
/// `documents` are the files that the configuration consists of.
pub(crate) fn changes(
    images: &Path,
    revision: &str,
    documents: &[String],
    rules: &Rules,
) -> Result<Changes, GitError> {
    let commit = commit(images, revision)?;
    // Where the shown path is that of a link or a bare clone, Git's own words say more than ours.
    let options = ["--name-status", "-z", "--find-renames", "--no-ext-diff", "--relative"];
    let arguments = ["diff"].iter().chain(&options).copied().chain([commit.as_str(), "--", "."]);
    let listed = git(images, arguments)?;
    let mut found = Changes::default();
    let mut earlier: Vec<String> = Vec::new();
    let mut fields = listed.split('\0');
    while let Some(status) = fields.next().filter(|status| !status.is_empty()) {
        let Some(path) = fields.next().map(str::to_owned) else { break };
        let now = match status.chars().next() {
            Some('R' | 'C') => fields.next().map(str::to_owned),
            Some('D') => None,
            _ => Some(path.clone()),
        };
        // A folder is a clone in the clone: nobody tells what has changed in there.
        found.configuration |= documents.contains(&path)
            || images.join(&path).is_dir()
            || now.as_ref().is_some_and(|now| documents.contains(now));
        let then = (!status.starts_with('A')).then_some(path).filter(|path| is_entry(path));
        // What was copied from is still there.
        earlier.extend(then.clone().filter(|_| !status.starts_with('C')));
        if let Some(now) = now.filter(|now| is_entry(now)) {
            found.files.insert(now, then);
        }
    }
    // What is ignored is in the tree all the same.
    let untracked = git(images, ["ls-files", "--others", "-z"])?;
    for path in untracked.split('\0').filter(|path| !path.is_empty()) {
        found.configuration |= documents.iter().any(|document| document == path);
        if is_entry(path) {
            found.files.insert(path.to_owned(), None);
        }
    }
    found.before = entries(images, &commit, earlier, rules)?;
    found.earlier = digests(images, &commit, &found.files)?;
    Ok(found)
}

/// The commit that is checked out, if the files below `images` are as they are there.
pub(crate) fn clean_head(images: &Path) -> Result<String, GitError> {
    let head = commit(images, "HEAD")?;
    let changed = git(images, ["status", "--porcelain", "-z", "--", "."])?;
    match changed.split('\0').find_map(|line| line.get(3..)) {
        None => Ok(head),
        Some(file) => Err(GitError {
            why: format!("`{}` differs from the commit", mirror_failure::printable(file)),
            help: "commit and push the changes first, or discard them".to_owned(),
        }),
    }
}

/// The digests that files named at any commit up to this one, under the names that they have and had.
fn digests(
    images: &Path,
    commit: &str,
    files: &BTreeMap<String, Option<String>>,
) -> Result<BTreeMap<String, BTreeSet<Digest>>, GitError> {
    let changed = files.iter().filter(|(_, then)| then.is_some());
    let names = changed.flat_map(|(now, then)| then.iter().chain([now]));
    // Paths are read line by line.
    let names: BTreeSet<&String> = names.filter(|name| !name.contains('\n')).collect();
    if names.is_empty() {
        return Ok(BTreeMap::new());
    }
    let prefix = git(images, ["rev-parse", "--show-prefix"])?;
    let prefix = prefix.trim_end_matches('\n');
    let paths = names.iter().map(|name| format!(":(literal,top){prefix}{name}\n"));
    let asked: String = [commit.to_owned(), "\n--\n".to_owned()].into_iter().chain(paths).collect();
    let options = [
        "-c",
        "core.quotePath=off",
        "log",
        "--stdin",
        "--format=",
        "--patch",
        "--unified=0",
        "--no-renames",
        "--no-ext-diff",
        "--no-textconv",
        "--no-color",
        "--relative",
        "--src-prefix=",
        "--dst-prefix=",
    ];
    let output = run(images, options, Stdio::from(file_of(&asked)?))?;
    let text = String::from_utf8_lossy(&output);
    let mut found: BTreeMap<String, BTreeSet<Digest>> = BTreeMap::new();
    let mut file = "";
    for line in text.lines() {
        if let Some(name) = line.strip_prefix("+++ ") {
            file = name;
        } else if let Some(added) = line.strip_prefix('+') {
            let digests =
                added.split_whitespace().filter_map(|word| word.split_once('@')?.1.parse().ok());
            found.entry(file.to_owned()).or_default().extend(digests);
        }
    }
    // What a file was called before is its own past.
    for (now, then) in files {
        let past =
            then.as_ref().filter(|then| *then != now).and_then(|then| found.get(then).cloned());
        if let Some(past) = past {
            found.entry(now.clone()).or_default().extend(past);
        }
    }
    Ok(found)
}

/// A file that holds a text, for a program to read.
fn file_of(text: &str) -> Result<std::fs::File, GitError> {
    let file = tempfile::tempfile().and_then(|mut file| {
        file.write_all(text.as_bytes())?;
        file.rewind()?;
        Ok(file)
    });
    file.map_err(|error| unable(&error.to_string()))
}

/// A tree as it was at a commit.
pub(crate) struct AtCommit<'a> {
    images: &'a Path,
    commit: String,
    /// Plain files below the tree; links and clones in the clone are none.
    files: BTreeSet<String>,
}

/// What a path was at a commit.
pub(crate) enum FileAtCommit {
    /// No path of the repository.
    Outside,
    /// There was no such file.
    Missing,
    There(Vec<u8>),
}

impl AtCommit<'_> {
    /// Finds the commit that a revision stands for, and what was there.
    pub(crate) fn of<'a>(images: &'a Path, revision: &str) -> Result<AtCommit<'a>, GitError> {
        let commit = commit(images, revision)?;
        let listed = git(images, ["ls-tree", "-r", "-z", &commit, "--", "."])?;
        // `100644 blob <id>\t<path>`
        let plain = listed.split('\0').filter_map(|line| {
            let (kind, path) = line.split_once('\t')?;
            kind.starts_with("100").then(|| path.to_owned())
        });
        Ok(AtCommit { images, files: plain.collect(), commit })
    }

    /// The text of a file; none where there was no such file.
    pub(crate) fn text(&self, file: &str) -> Result<Option<String>, GitError> {
        if !self.files.contains(file) {
            return Ok(None);
        }
        let prefix = git(self.images, ["rev-parse", "--show-prefix"])?;
        let object = format!("{}:{}{file}", self.commit, prefix.trim_end_matches('\n'));
        let bytes = run(self.images, ["cat-file", "blob", &object], Stdio::null())?;
        Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
    }

    /// A file by its path from the folder that holds the tree.
    pub(crate) fn beside(&self, path: &Path) -> Result<FileAtCommit, GitError> {
        let path = Path::new("..").join(path);
        let path = path.to_str().ok_or_else(|| unable("a path is not UTF-8"))?;
        let Ok(listed) = git(self.images, ["ls-tree", "-z", &self.commit, "--", path]) else {
            return Ok(FileAtCommit::Outside);
        };
        // A link leads to what may be another file in each commit.
        if !listed.starts_with("100") {
            return Ok(FileAtCommit::Missing);
        }
        let object = format!("{}:{path}", self.commit);
        let bytes = run(self.images, ["cat-file", "blob", &object], Stdio::null())?;
        Ok(FileAtCommit::There(bytes))
    }

    /// The entries that were there. What was broken wanted nothing.
    pub(crate) fn entries(&self, rules: &Rules) -> Result<Vec<Entry>, GitError> {
        let files = self.files.iter().filter(|file| is_entry(file)).cloned().collect();
        entries(self.images, &self.commit, files, rules)
    }
}

/// Whether the tree takes this path for an entry: what is hidden is no part of it.
fn is_entry(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    // A name that is not UTF-8 is an error of the tree, and was none of its entries.
    is_dockerfile_name(name)
        && !path.contains(char::REPLACEMENT_CHARACTER)
        && !path.split('/').any(|part| part.starts_with('.'))
}

/// The commit that a revision stands for.
fn commit(images: &Path, revision: &str) -> Result<String, GitError> {
    // One that is counted from another can't be fetched by itself.
    let fetch = if revision.is_empty()
        || revision.contains(['~', '^', ':', '@', ' '])
        || revision == "HEAD"
    {
        "run `git fetch --deepen 10`".to_owned()
    } else {
        format!("run `git fetch --depth 1 origin {revision}`")
    };
    let refuse = |why: String| GitError {
        why,
        help: format!("name a commit, branch or tag. A shallow clone lacks older ones: {fetch}"),
    };
    if revision.is_empty() || revision.starts_with('-') || revision.contains(char::is_control) {
        return Err(refuse(format!(
            "`{}` is not a Git revision",
            mirror_failure::printable(revision)
        )));
    }
    // Without this, what is wrong with the repository would look like a missing commit.
    git(images, ["rev-parse", "--git-dir"])?;
    let wanted = format!("{revision}^{{commit}}");
    // `--verify` is content with any forty digits, so the commit is looked for as well.
    let found = git(images, ["rev-parse", "--verify", "--quiet", &wanted])
        .and_then(|id| git(images, ["cat-file", "-e", id.trim()]).map(|_| id.trim().to_owned()));
    found.map_err(|_| refuse(format!("the commit `{revision}` is not in this clone")))
}

/// The entries that files were at a commit. One that was broken then wanted nothing.
fn entries(
    images: &Path,
    commit: &str,
    files: Vec<String>,
    rules: &Rules,
) -> Result<Vec<Entry>, GitError> {
    let mut found = BTreeMap::new();
    // One process for all of them. Git ends a name at the end of the line, so that some need one of their own.
    let (single, files): (Vec<String>, Vec<String>) =
        files.into_iter().partition(|file| file.contains('\n'));
    let prefix = git(images, ["rev-parse", "--show-prefix"])?;
    let prefix = prefix.trim_end_matches('\n');
    let questions: String = files.iter().map(|file| format!("{commit}:{prefix}{file}\n")).collect();
    let asked = file_of(&questions)?;
    let answers = run(images, ["cat-file", "--batch"], Stdio::from(asked))?;
    let mut rest = answers.as_slice();
    for file in files {
        let Some((head, after)) = split_line(rest) else { break };
        rest = after;
        if head.ends_with(" missing") {
            return Err(partial(&format!("it lacks what {file} was")));
        }
        // `<id> blob <size>`; a folder or a clone in the clone is no entry.
        let mut words = head.split(' ').skip(1);
        let kind = words.next();
        let Some(size) = words.next().and_then(|size| size.parse::<usize>().ok()) else { continue };
        let Some((content, after)) = rest.split_at_checked(size) else { break };
        rest = after.get(1..).unwrap_or_default();
        if kind != Some("blob") {
            continue;
        }
        found.extend(entry(&file, content, rules).map(|entry| (file, entry)));
    }
    for file in single {
        let object = format!("{commit}:{prefix}{file}");
        let content = run(images, ["cat-file", "blob", &object], Stdio::null())?;
        found.extend(entry(&file, &content, rules).map(|entry| (file, entry)));
    }
    Ok(found.into_values().collect())
}

fn entry(file: &str, content: &[u8], rules: &Rules) -> Option<Entry> {
    let parsed = mirror_tree::parse(file, content, rules);
    let mirror_tree::FromLine { name, version, platform, span } = parsed.from?;
    Some(Entry { file: file.to_owned(), name, version, platform, span, source: parsed.text? })
}

fn split_line(bytes: &[u8]) -> Option<(&str, &[u8])> {
    let end = bytes.iter().position(|byte| *byte == b'\n')?;
    let (line, rest) = bytes.split_at_checked(end)?;
    Some((std::str::from_utf8(line).ok()?, rest.get(1..)?))
}

fn git<'a>(
    folder: &Path,
    arguments: impl IntoIterator<Item = &'a str>,
) -> Result<String, GitError> {
    let output = run(folder, arguments, Stdio::null())?;
    Ok(String::from_utf8_lossy(&output).into_owned())
}

fn run<'a>(
    folder: &Path,
    arguments: impl IntoIterator<Item = &'a str>,
    input: Stdio,
) -> Result<Vec<u8>, GitError> {
    let mut command = Command::new("git");
    // A missing object must not start a download, nor a prompt for a password.
    command.arg("-C").arg(folder).args(arguments).stdin(input).env("GIT_NO_LAZY_FETCH", "1");
    // What it says is read below.
    command.env("LC_ALL", "C");
    // Hooks have these set, for the folder that they run in.
    for name in ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX"] {
        command.env_remove(name);
    }
    let output = command.output().map_err(|error| unable(&format!("git: {error}")))?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let said: Vec<&str> = said.lines().take(10).map(str::trim).collect();
    let said = mirror_failure::printable(&said.join(" "));
    // What Git says where it would have fetched, if it had been let.
    Err(if said.contains("promisor remote") { partial(&said) } else { unable(&said) })
}

fn partial(why: &str) -> GitError {
    GitError {
        why: mirror_failure::printable(&format!("this clone is a partial one: {why}")),
        help: "fetch the files of earlier commits: `git fetch --refetch --no-filter`".to_owned(),
    }
}

pub(crate) fn unable(why: &str) -> GitError {
    let said = |words: &[&str]| words.iter().any(|word| why.contains(word));
    // The second is what Git before 2.36 said.
    let help = if said(&["dubious ownership", "unsafe repository"]) {
        "the clone belongs to another user, as it does in containers. If you trust it, say so to Git with the command above"
    } else if said(&["Unknown option", "unknown option", "nvalid option", "unrecognized argument"])
    {
        "this Git is too old: install version 1.9 or later"
    } else {
        "changes are found by git: the tree must be in a clone, and git installed"
    };
    GitError { why: why.to_owned(), help: help.to_owned() }
}
