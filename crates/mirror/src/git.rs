//! What has changed in the tree since a commit. Git itself is asked: it knows clones of every kind.

use std::collections::BTreeMap;
use std::io::{Seek, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use mirror_plan::Changes;
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
        found.configuration |=
            documents.contains(&path) || now.as_ref().is_some_and(|now| documents.contains(now));
        let then = (!status.starts_with('A')).then_some(path).filter(|path| is_entry(path));
        // What was copied from is still there.
        earlier.extend(then.clone().filter(|_| !status.starts_with('C')));
        if let Some(now) = now.filter(|now| is_entry(now)) {
            found.files.insert(now, then);
        }
    }
    let untracked = git(images, ["ls-files", "--others", "--exclude-standard", "-z"])?;
    for path in untracked.split('\0').filter(|path| !path.is_empty()) {
        found.configuration |= documents.iter().any(|document| document == path);
        if is_entry(path) {
            found.files.insert(path.to_owned(), None);
        }
    }
    found.before = entries(images, &commit, earlier, rules)?;
    Ok(found)
}

/// Whether the tree takes this path for an entry: what is hidden is no part of it.
fn is_entry(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    is_dockerfile_name(name) && !path.split('/').any(|part| part.starts_with('.'))
}

/// The commit that a revision stands for.
fn commit(images: &Path, revision: &str) -> Result<String, GitError> {
    let refuse = |why: String| GitError {
        why,
        help: format!(
            "name a commit, branch or tag. A shallow clone lacks older ones: `git fetch --depth 1 origin {revision}` \
             brings one"
        ),
    };
    if revision.is_empty() || revision.starts_with('-') || revision.contains(char::is_control) {
        return Err(refuse(format!("`{}` is no revision", mirror_plan::printable(revision))));
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
    // One process for all of them. Git ends a name at the end of the line.
    let files: Vec<String> = files.into_iter().filter(|file| !file.contains('\n')).collect();
    let prefix = git(images, ["rev-parse", "--show-prefix"])?;
    let prefix = prefix.trim_end_matches('\n');
    let questions: String = files.iter().map(|file| format!("{commit}:{prefix}{file}\n")).collect();
    let asked = tempfile::tempfile().and_then(|mut asked| {
        asked.write_all(questions.as_bytes())?;
        asked.rewind()?;
        Ok(asked)
    });
    let asked = asked.map_err(|error| unable(&error.to_string()))?;
    let answers = run(images, ["cat-file", "--batch"], Stdio::from(asked))?;
    let mut rest = answers.as_slice();
    let mut found = BTreeMap::new();
    for file in files {
        let Some((head, after)) = split_line(rest) else { break };
        rest = after;
        // `<id> blob <size>`; anything else has no content.
        let mut words = head.split(' ').skip(1);
        let kind = words.next();
        let Some(size) = words.next().and_then(|size| size.parse::<usize>().ok()) else { continue };
        let Some((content, after)) = rest.split_at_checked(size) else { break };
        rest = after.get(1..).unwrap_or_default();
        if kind != Some("blob") {
            continue;
        }
        let parsed = mirror_tree::parse(&file, content, rules);
        if let (Some(from), Some(source)) = (parsed.from, parsed.text) {
            let mirror_tree::FromLine { name, version, platform, span } = from;
            let entry = Entry { file: file.clone(), name, version, platform, span, source };
            found.insert(file, entry);
        }
    }
    Ok(found.into_values().collect())
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
    let output = command.output().map_err(|error| unable(&format!("git: {error}")))?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let said: Vec<&str> = said.lines().take(3).collect();
    Err(unable(&mirror_plan::printable(&said.join(" "))))
}

fn unable(why: &str) -> GitError {
    let help = "changes are found by git: the tree must be in a clone, and git installed";
    GitError { why: why.to_owned(), help: help.to_owned() }
}
