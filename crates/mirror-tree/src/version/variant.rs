//! Names for variant folders.

use super::keep::Keep;
use super::number::Number;
use super::reading::{Reading, is_commit};
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

    /// The words around the version, which name a variant of the image.
    fn variant(&self) -> String {
        let words = [self.prefix.trim_matches(['-', '_', '.']).to_owned(), lasting(self.suffix)];
        let words: Vec<String> = words.into_iter().filter(|word| !word.is_empty()).collect();
        words.join("-")
    }
}

/// What stands behind a version, without the numbers of distributions and builds: those change.
fn lasting(suffix: &str) -> String {
    let mut words: Vec<&str> = Vec::new();
    // A stage right behind the number, as in `3.14.0a1`.
    let attached = suffix.trim_start_matches(|c: char| c.is_ascii_alphabetic());
    let letters = suffix.get(..suffix.len() - attached.len()).unwrap_or_default();
    let suffix = match attached_stage(&letters.to_ascii_lowercase()) {
        Some(_) => attached.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.'),
        None => suffix,
    };
    for word in suffix.split(['-', '_']).filter(|word| !word.is_empty()) {
        let digits = |c: char| c.is_ascii_digit() || c == '.';
        let word = word.trim_matches('.');
        let name = word.trim_end_matches(digits);
        let lower = name.to_ascii_lowercase();
        let topic = topic(&lower);
        let early = attached_stage(&lower).is_some();
        match topic {
            // Builds, days, commits, and versions of something else.
            _ if is_commit(word) || name.trim_start_matches(['v', 'V']).is_empty() => {}
            _ if early && name.len() < word.len() => {}
            Some(Topic::Counter | Topic::Stage(_)) if name.len() < word.len() => {}
            Some(Topic::Distribution) => words.push(name),
            _ => words.push(word),
        }
    }
    words.join("-")
}

/// The words around the version of a tag, by which variants of an image differ: empty for a plain version, all of a tag
/// that has no version.
///
/// ```
/// use mirror_tree::version::variant;
///
/// assert_eq!(variant("20.11-alpine"), "alpine");
/// assert_eq!(variant("16.3.0-debian-12-r3"), "debian", "what changes with each version says nothing");
/// assert_eq!((variant("v20.11").as_str(), variant("jdk-17.0.2-slim").as_str()), ("", "jdk-slim"));
/// assert_eq!((variant("3.14.0a1").as_str(), variant("5.0.0-b1").as_str()), ("", ""), "a stage is none");
/// assert_eq!(variant("v4.9.0-20250709-266d5a01"), "", "nor is a day or a commit");
/// assert_eq!(variant("latest"), "latest");
/// ```
pub fn variant(tag: &str) -> String {
    Split::of(tag).map_or_else(|| tag.to_owned(), |split| split.variant())
}

/// Names for the variant folder of a tag beside others of the same variant, best first: as few of its numbers as none of
/// them begins with, and at last the tag itself, which is all there is where another one has the same numbers. Of those that
/// differ in their last number alone, the newest goes on.
///
/// ```
/// use mirror_tree::version::{Reading, variant_names};
///
/// let first = |tag: &str, others: [&str; 2]| {
///     let others = others.map(Reading::of);
///     variant_names(tag, &others.each_ref()).swap_remove(0)
/// };
/// assert_eq!(first("20.10.0", ["20.11.0", "22.1.0"]), "20.10");
/// assert_eq!((first("1.6.1", ["1.6.0", "2.0.0"]), first("1.6.0", ["1.6.1", "2.0.0"])), ("1.6".into(), "1.6.0".into()));
/// assert_eq!((first("5", ["5.7", "8"]), first("jdk-17.0.2", ["jdk-21", "jdk-11"])), ("5".into(), "jdk-17".into()));
/// assert_eq!(variant_names("latest", &[]), ["latest"]);
/// ```
pub fn variant_names(tag: &str, others: &[&Reading]) -> Vec<String> {
    let mut names = Vec::new();
    if let Some(split) = Split::of(tag) {
        let mine = Reading::of(tag).numbers().to_vec();
        let others: Vec<&[Number]> = others.iter().map(|other| other.numbers()).collect();
        let alone = (1..mine.len()).find(|count| {
            let start = mine.get(..*count);
            !others.iter().any(|other| other.get(..*count) == start)
        });
        let all = split.numbers.len();
        // `5` is newer than any `5.7`.
        let newer = |other: &&&[Number]| **other >= mine.as_slice() || mine.starts_with(other);
        let of_line =
            |start: &[Number]| others.iter().filter(newer).any(|other| other.starts_with(start));
        let leads = mine.split_last().filter(|(_, line)| !line.is_empty() && !of_line(line));
        let alone = alone.or(leads.map(|(_, line)| line.len()));
        let alone = alone.or((!others.contains(&mine.as_slice())).then_some(mine.len()));
        for count in alone.unwrap_or(all + 1)..=all {
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
