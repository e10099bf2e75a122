//! Names for variant folders.

use super::keep::Keep;
use super::number::Number;
use super::reading::Reading;
use super::update::Update;
use super::words::{Topic, attached_stage, topic};

/// A tag in three parts as it is written: what stands in front of the version, its numbers, and what stands behind.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Split<'a> {
    prefix: &'a str,
    numbers: Vec<&'a str>,
    suffix: &'a str,
}

impl<'a> Split<'a> {
    fn of(tag: &'a str) -> Option<Split<'a>> {
        let Keep::Numbers(kept) = Keep::of_variant(tag)? else { return None };
        let (prefix, numbers) = kept.written();
        let at = tag.get(prefix.len()..)?.find(|c: char| c.is_ascii_digit())? + prefix.len();
        let written = tag.get(at..at + numbers.len())?;
        Some(Split {
            prefix: tag.get(..prefix.len())?,
            numbers: written.split('.').collect(),
            suffix: tag.get(at + numbers.len()..)?,
        })
    }

    /// The words around the version, which name a flavour of the image.
    fn flavour(&self) -> String {
        let words = [self.prefix.trim_matches(['-', '_', '.']).to_owned(), lasting(self.suffix)];
        let words: Vec<String> = words.into_iter().filter(|word| !word.is_empty()).collect();
        words.join("-")
    }
}

/// What stands behind a version, without the numbers of distributions and builds: those change.
fn lasting(suffix: &str) -> String {
    let mut words: Vec<&str> = Vec::new();
    let mut changes = false;
    // A stage right behind the number, as in `3.14.0a1`.
    let attached = suffix.trim_start_matches(|c: char| c.is_ascii_alphabetic());
    let letters = suffix.get(..suffix.len() - attached.len()).unwrap_or_default();
    let suffix = match attached_stage(&letters.to_ascii_lowercase()) {
        Some(_) => attached.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.'),
        None => suffix,
    };
    for word in suffix.split(['-', '_']).filter(|word| !word.is_empty()) {
        let digits = |c: char| c.is_ascii_digit() || c == '.';
        let name = word.trim_end_matches(digits);
        let topic = topic(&name.to_ascii_lowercase());
        match topic {
            _ if name.is_empty() && changes => {}
            Some(Topic::Counter | Topic::Stage(_)) if name.len() < word.len() => {}
            Some(Topic::Distribution) => words.push(name),
            _ => words.push(word),
        }
        changes = topic == Some(Topic::Distribution);
    }
    words.join("-")
}

/// The words around the version of a tag, by which flavours of an image differ: empty for a plain version, all of a tag
/// that has no version.
///
/// ```
/// use mirror_tree::version::flavour;
///
/// assert_eq!(flavour("20.11-alpine"), "alpine");
/// assert_eq!(flavour("16.3.0-debian-12-r3"), "debian", "what changes with each version says nothing");
/// assert_eq!((flavour("v20.11").as_str(), flavour("jdk-17.0.2-slim").as_str()), ("", "jdk-slim"));
/// assert_eq!(flavour("3.14.0a1"), "", "a stage is none");
/// assert_eq!(flavour("latest"), "latest");
/// ```
pub fn flavour(tag: &str) -> String {
    Split::of(tag).map_or_else(|| tag.to_owned(), |split| split.flavour())
}

/// Names for the variant folder of a tag beside others of the same flavour, best first: as few of its numbers as none of
/// them begins with, and at last the tag itself.
///
/// ```
/// use mirror_tree::version::variant_names;
///
/// assert_eq!(variant_names("20.10.0", &["20.11.0", "22.1.0"]).first().map(String::as_str), Some("20.10"));
/// assert_eq!(variant_names("5", &["5.7", "8"]).first().map(String::as_str), Some("5"));
/// assert_eq!(variant_names("jdk-17.0.2", &[]).first().map(String::as_str), Some("jdk-17"));
/// assert_eq!(variant_names("latest", &[]), ["latest"]);
/// ```
pub fn variant_names(tag: &str, others: &[&str]) -> Vec<String> {
    let mut names = Vec::new();
    if let Some(split) = Split::of(tag) {
        let mine = Reading::of(tag).numbers().to_vec();
        let others: Vec<Vec<Number>> =
            others.iter().map(|other| Reading::of(other).numbers().to_vec()).collect();
        let alone = (1..mine.len()).find(|count| {
            let start = mine.get(..*count);
            !others.iter().any(|other| other.get(..*count) == start)
        });
        for count in alone.unwrap_or(mine.len())..=split.numbers.len() {
            let numbers = split.numbers.get(..count).unwrap_or_default().join(".");
            let suffix = lasting(split.suffix);
            let dash = if suffix.is_empty() { "" } else { "-" };
            names.push(format!("{}{numbers}{dash}{suffix}", split.prefix));
        }
    }
    if names.last().is_none_or(|last| last != tag) {
        names.push(tag.to_owned());
    }
    names
}

/// The tag with the number that an update of a kind changes a little higher, to see whether a pattern lets such a one
/// through.
///
/// ```
/// use mirror_tree::version::{Update, samples};
///
/// assert_eq!(samples("v4.0.9-slim", Update::Minor), ["v4.1.9-slim", "v4.10.9-slim"]);
/// assert!(samples("latest", Update::Minor).is_empty());
/// ```
pub fn samples(tag: &str, update: Update) -> Vec<String> {
    let Some(split) = Split::of(tag) else { return Vec::new() };
    let letter = tag.get(split.prefix.len()..).filter(|rest| rest.starts_with(['v', 'V']));
    let letter = letter.and_then(|rest| rest.get(..1)).unwrap_or_default();
    let index = update.keeps();
    let Some(number) = split.numbers.get(index).and_then(|number| number.parse::<u64>().ok())
    else {
        return Vec::new();
    };
    let with = |step: u64| {
        let mut numbers: Vec<String> =
            split.numbers.iter().map(|number| (*number).to_owned()).collect();
        if let Some(changed) = numbers.get_mut(index) {
            *changed = number.saturating_add(step).to_string();
        }
        format!("{}{letter}{}{}", split.prefix, numbers.join("."), split.suffix)
    };
    [1, 10].map(with).to_vec()
}
