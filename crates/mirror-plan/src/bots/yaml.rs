//! Whether a splice has left alone what others wrote. What is text to whoever splices is YAML here.

use saphyr::{LoadableYamlNode, Yaml};

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
        (Some(all), Some(some), ..) => some.iter().all(|item| all.contains(item)),
        (_, _, Some(all), Some(some)) => {
            some.iter().all(|(key, value)| all.get(key) == Some(value))
        }
        _ => false,
    }
}
