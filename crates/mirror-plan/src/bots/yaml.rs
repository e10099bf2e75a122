//! Whether a splice has left alone what others wrote. What is text to whoever splices is YAML here.

use saphyr::{LoadableYamlNode, Yaml};

use super::BotRules;
use crate::config::glob::Glob;

/// Keys below which some of the items are ours.
const OURS: [&str; 2] = ["registries", "updates"];

/// Refuses a text that is not one mapping in YAML, or nothing at all.
///
/// # Errors
/// What it is instead.
pub(super) fn is_mapping(text: &str) -> Result<(), String> {
    let documents = documents(text).map_err(|why| format!("it is not valid YAML: {why}"))?;
    match documents.as_slice() {
        [] => Ok(()),
        [one] if one.is_mapping() => Ok(()),
        [_] => Err("it is not a mapping with keys such as `updates`".to_owned()),
        _ => Err("it has several YAML documents; leave one".to_owned()),
    }
}

/// Compares a file without our part with the same file with it.
///
/// # Errors
/// When the second says anything else of what others wrote.
pub(super) fn keeps(others: &str, written: &str) -> Result<(), String> {
    if says_the_same(others, written) == Some(true) {
        return Ok(());
    }
    Err("nothing can be put there without changing what it says; write its keys at the start of lines, and its lists in \
         block style"
        .to_owned())
}

/// Whether two texts say the same.
pub(super) fn is_same(one: &str, other: &str) -> bool {
    match (documents(one), documents(other)) {
        (Ok(one), Ok(other)) => one == other,
        _ => false,
    }
}

/// Whether all of a file is in another one, and nothing beside it but what may be ours; nothing when one is no mapping.
fn says_the_same(others: &str, written: &str) -> Option<bool> {
    let (theirs, all) = (documents(others).ok()?, documents(written).ok()?);
    let ([theirs], [all]) = (theirs.as_slice(), all.as_slice()) else { return None };
    let (theirs, all) = (theirs.as_mapping()?, all.as_mapping()?);
    let ours = |key: &Yaml<'_>| key.as_str().is_some_and(|key| OURS.contains(&key));
    let kept = theirs.iter().all(|(key, value)| {
        all.get(key).is_some_and(|now| now == value || ours(key) && holds(now, value))
    });
    let added = all.keys().filter(|key| !theirs.contains_key(*key)).all(ours);
    Some(kept && added)
}

fn documents(text: &str) -> Result<Vec<Yaml<'_>>, String> {
    Yaml::load_from_str(text).map_err(|why| why.to_string())
}

/// Whether all items of a list or mapping are in another one. Nothing at all has none.
fn holds(all: &Yaml<'_>, some: &Yaml<'_>) -> bool {
    if some.is_null() {
        return true;
    }
    match (all.as_sequence(), some.as_sequence(), all.as_mapping(), some.as_mapping()) {
        // In their order, with ours between them.
        (Some(all), Some(some), ..) => {
            let mut rest = all.iter();
            some.iter().all(|item| rest.any(|other| other == item))
        }
        (_, _, Some(all), Some(some)) => {
            some.iter().all(|(key, value)| all.get(key) == Some(value))
        }
        _ => false,
    }
}

/// A folder of the tree that somebody else's entry covers, and by which pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Overlap {
    pub(super) folder: String,
    pub(super) pattern: String,
}

/// The first entry for docker of a `dependabot.yml` that looks after folders of the tree. Only `directory` and
/// `directories` say so; one for another branch is another matter.
pub(super) fn overlap(text: &str, rules: &BotRules) -> Option<Overlap> {
    let folders: Vec<String> =
        rules.entries.iter().map(|rule| cleaned(&rules.path(&rule.folder))).collect();
    docker_patterns(text).iter().find_map(|pattern| {
        let glob = cleaned(pattern).parse::<Glob>().ok()?;
        let folder = folders.iter().find(|folder| glob.matches(folder))?;
        Some(Overlap { folder: format!("/{folder}"), pattern: pattern.clone() })
    })
}

/// Whether an entry for docker looks at folders of a tree, whatever is in it.
pub(super) fn looks_after(text: &str, images: &str) -> bool {
    let tree = cleaned(images);
    let inside = |pattern: &str| {
        let pattern = cleaned(pattern);
        let below = format!("{tree}/");
        let deep = pattern
            .parse::<Glob>()
            .is_ok_and(|glob| glob.matches(&cleaned(&format!("{tree}/a/b/c"))));
        tree.is_empty() || pattern.starts_with(&below) || deep
    };
    docker_patterns(text).iter().any(|pattern| inside(pattern))
}

/// The folders that entries for docker look at. One for another branch is another matter.
fn docker_patterns(text: &str) -> Vec<String> {
    let Ok(documents) = documents(text) else { return Vec::new() };
    let updates = documents.first().and_then(|document| document.as_mapping_get("updates"));
    let updates = updates.and_then(Yaml::as_sequence).into_iter().flatten();
    let docker = updates.filter(|entry| {
        field(entry, "package-ecosystem").and_then(Yaml::as_str) == Some("docker")
            && field(entry, "target-branch").is_none()
    });
    let patterns = docker.flat_map(|entry| {
        let list = field(entry, "directories").and_then(Yaml::as_sequence);
        let one = field(entry, "directory").into_iter();
        list.into_iter().flatten().chain(one).filter_map(Yaml::as_str)
    });
    patterns.map(str::to_owned).collect()
}

/// A field of a mapping, its own or one that `<<` brings in.
fn field<'a, 'b>(mapping: &'a Yaml<'b>, name: &str) -> Option<&'a Yaml<'b>> {
    mapping.as_mapping_get(name).or_else(|| {
        let merged = mapping.as_mapping_get("<<")?;
        match merged.as_sequence() {
            Some(several) => several.iter().find_map(|one| one.as_mapping_get(name)),
            None => merged.as_mapping_get(name),
        }
    })
}

/// A path from the top of the repository, without `.`, `..` and doubled slashes.
fn cleaned(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    parts.join("/")
}
