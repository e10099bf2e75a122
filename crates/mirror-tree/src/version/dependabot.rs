//! How Dependabot reads a tag, and which one it takes next.
//!
//! After `docker/lib/dependabot/docker/tag.rb`, `version.rb` and `update_checker.rb` of
//! <https://github.com/dependabot/dependabot-core> at 54c10285aafe (2026-08-22), without what its service switches on by
//! experiments.

use std::cmp::Ordering;
use std::collections::BTreeSet;

use super::number::Number;
use super::pattern::{Pattern, pattern};
use super::update::Update;

/// A tag in which Dependabot sees a version.
///
/// ```
/// use mirror_tree::version::DependabotTag;
///
/// let tag = DependabotTag::of("16.3-alpine3.20").ok_or("it has a version")?;
/// assert_eq!((tag.fixed(), tag.numbers()), (("", "-alpine3.20"), 2));
/// let all = ["16.4-alpine3.21", "16.4-alpine3.20", "17.0-alpine3.20"];
/// assert_eq!(tag.next(all, None, |_| true), Some("17.0-alpine3.20"));
/// assert!(DependabotTag::of("RELEASE.2022-03-26T06-49-28Z").is_none());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DependabotTag<'a> {
    tag: &'a str,
    prefix: &'a str,
    version: &'a str,
    suffix: &'a str,
}

const VERSION: &str =
    r"v?(?P<version>[0-9]+(?:[_.][0-9]+)*(?:\.[a-z0-9]+|(?:(?:-[a-z]+)+-[0-9]+)+|-(?:kb)?[0-9]+)*)";

static WITH_PREFIX: Pattern =
    pattern!(&format!(r"(?i)^(?P<prefix>[a-z][a-z0-9.\-_]*-)?{VERSION}$"));
static WITH_SUFFIX: Pattern = pattern!(&format!(r"(?i)^{VERSION}(?P<suffix>-[a-z][a-z0-9.\-]*)?$"));
static WITH_BOTH: Pattern =
    pattern!(&format!(r"(?i)^(?P<prefix>[a-z\-_]+-)?{VERSION}(?P<suffix>-[a-z\-]+)?$"));
static AT_A_COMMIT: Pattern = pattern!(r"(?:^|-g?)[0-9a-f]{7,}$");
static YEAR: Pattern = pattern!(r"^[12][0-9]{3}(?:[.\-]|$)");
static DAY: Pattern = pattern!(r"^[12](?:[0-9]{5}|[0-9]{7})(?:[.\-]|$)");
static DIGITS: Pattern = pattern!(r"^[0-9]+$");
static WORDS_WITH_BUILD: Pattern = pattern!(r"(?i)(?:(?:-[a-z]+)+-[0-9]+)+");
static BUILD: Pattern = pattern!(r"-[0-9]+");
static WORD: Pattern = pattern!(r"-[a-z]+");
static KB: Pattern = pattern!(r"(?i)kb");
static EARLY: Pattern = pattern!(
    r"(?i:alpha|beta|rc[0-9]*|dev|preview|\bpre\b|nightly|snapshot|canary|unstable|\.post[0-9]+)|[0-9][a-z][0-9]*|[a-z]+[0-9]+$"
);

/// Which tags can be compared.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Format {
    AtCommit,
    Year,
    Day,
    Build,
    Words(String),
    Normal,
}

impl<'a> DependabotTag<'a> {
    /// Reads a tag; nothing when Dependabot sees no version in it.
    pub fn of(tag: &'a str) -> Option<DependabotTag<'a>> {
        let patterns = [&WITH_PREFIX, &WITH_SUFFIX, &WITH_BOTH];
        let found = patterns.iter().find_map(|pattern| pattern.get()?.captures(tag))?;
        let part = |name: &str| found.name(name).map_or("", |part| part.as_str());
        Some(DependabotTag {
            tag,
            prefix: part("prefix"),
            version: part("version"),
            suffix: part("suffix"),
        })
    }

    /// What it holds fixed, in front of the version and behind it.
    pub fn fixed(&self) -> (&'a str, &'a str) {
        (self.prefix, if self.format() == Format::AtCommit { "" } else { self.suffix })
    }

    /// What it can propose when the registry has it: by its numbers, without those that are kept.
    pub fn updates(&self) -> Vec<Update> {
        Update::of(self.numbers())
    }

    /// How many numbers it reads; an update part behind `_`, as in `17.0.2_8`, is one of them.
    pub fn numbers(&self) -> usize {
        self.segments().iter().flat_map(|segment| segment.split('_')).count()
    }

    /// The tag that it proposes of those that a registry has and `allowed` does not ignore. `latest` is what the tag
    /// `latest` is called beside; what is newer counts as a pre-release.
    pub fn next<'b>(
        &self,
        all: impl IntoIterator<Item = &'b str>,
        latest: Option<&str>,
        allowed: impl Fn(&str) -> bool,
    ) -> Option<&'b str> {
        let limit = latest.and_then(DependabotTag::of);
        let limit = limit.filter(DependabotTag::is_canonical).map(|tag| tag.order());
        let early = |tag: &DependabotTag<'_>| {
            tag.looks_early() || limit.as_ref().is_some_and(|limit| tag.order() > *limit)
        };
        let current = self.order();
        let is_rolling = self.format() == Format::Normal && self.segments().len() <= 2;
        let all: Vec<&str> = all.into_iter().collect();
        let components = self.components(&all);
        let mut found: Vec<(GemVersion, bool, DependabotTag<'b>)> = all
            .into_iter()
            .filter_map(DependabotTag::of)
            .filter(|other| other.is_comparable(self))
            .filter(|other| components.is_none_or_same(other.tag))
            .map(|other| (other.order(), other.segments().len() == self.segments().len(), other))
            .filter(|(order, ..)| *order >= current)
            .filter(|(.., other)| !is_rolling || other.segments().len() <= self.segments().len())
            .filter(|(.., other)| early(self) || !early(other))
            .filter(|(.., other)| other.tag == self.tag || allowed(other.tag))
            .collect();
        found.sort_by(|a, b| (&a.0, a.1, a.2.version).cmp(&(&b.0, b.1, b.2.version)));
        let best = found.pop()?;
        (best.2.tag != self.tag && best.0 > current).then_some(best.2.tag)
    }

    fn format(&self) -> Format {
        if AT_A_COMMIT.is_match(self.tag) {
            Format::AtCommit
        } else if YEAR.is_match(self.version) {
            Format::Year
        } else if DAY.is_match(self.version) {
            Format::Day
        } else if DIGITS.is_match(self.version) {
            Format::Build
        } else if let Some(words) =
            WORDS_WITH_BUILD.get().and_then(|pattern| pattern.find(self.version))
        {
            let form = BUILD.get().map(|pattern| pattern.replace_all(words.as_str(), "-#"));
            Format::Words(form.unwrap_or_default().into_owned())
        } else {
            Format::Normal
        }
    }

    /// Whether this one, of a registry, can follow the other.
    fn is_comparable(&self, current: &DependabotTag<'_>) -> bool {
        let (mine, theirs) = (self.format(), current.format());
        let same = self.prefix == current.prefix && mine == theirs;
        if theirs == Format::AtCommit {
            return same;
        }
        let bare = [self.prefix, self.suffix, current.prefix, current.suffix];
        let dated = |format: &Format| matches!(format, Format::Year | Format::Day);
        let mixed =
            mine == Format::Build && dated(&theirs) || dated(&mine) && theirs == Format::Build;
        same && self.suffix == current.suffix || mixed && bare.iter().all(|part| part.is_empty())
    }

    fn looks_early(&self) -> bool {
        let parts = [self.version, self.suffix];
        self.format() != Format::AtCommit && parts.iter().any(|part| EARLY.is_match(part))
    }

    /// Whether it is nothing but a version; what else `latest` is beside is not looked at.
    fn is_canonical(&self) -> bool {
        let numeric = self.numeric();
        self.tag.strip_suffix("-sdk").unwrap_or(self.tag) == numeric
            || self.tag.strip_prefix("jdk-") == Some(&numeric)
    }

    fn numeric(&self) -> String {
        let without = |pattern: &Pattern, text: &str| match pattern.get() {
            Some(pattern) => pattern.replace_all(text, "").into_owned(),
            None => text.to_owned(),
        };
        without(&WORD, &without(&KB, self.version)).to_lowercase()
    }

    fn segments(&self) -> Vec<String> {
        self.numeric().split(['.', '-']).map(str::to_owned).collect()
    }

    fn order(&self) -> GemVersion {
        GemVersion::of(&self.numeric())
    }

    /// The words of this tag that others of the repository share, which a successor must have too.
    fn components(&self, all: &[&str]) -> Components {
        let parts = all.iter().flat_map(|tag| tag.split(['-', '.', '/']));
        let shared: BTreeSet<String> = parts
            .filter(|part| part.len() > 1 && !is_version_part(part))
            .map(str::to_owned)
            .collect();
        let mine = shared.iter().filter(|part| has_word(self.tag, part)).cloned().collect();
        Components { shared, mine }
    }
}

struct Components {
    shared: BTreeSet<String>,
    mine: Vec<String>,
}

impl Components {
    fn is_none_or_same(&self, tag: &str) -> bool {
        self.mine.is_empty()
            || self.shared.iter().filter(|part| has_word(tag, part)).eq(self.mine.iter())
    }
}

static VERSION_PART: Pattern = pattern!(
    r"^[0-9]+$|^[0-9]+\.[0-9]+$|^v[0-9]+|^(?:rc|jre)$|(?i:^kb[0-9]+$)|^g[0-9a-f]{5,}$|[0-9]+_[0-9]+"
);

fn is_version_part(part: &str) -> bool {
    let mixed = part.bytes().all(|b| b.is_ascii_alphanumeric())
        && part.bytes().any(|b| b.is_ascii_digit())
        && part.bytes().any(|b| b.is_ascii_alphabetic());
    mixed || VERSION_PART.is_match(part)
}

/// Whether `part` stands in a tag between signs that are part of no word.
fn has_word(tag: &str, part: &str) -> bool {
    let word = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric() || c == '_');
    tag.match_indices(part).any(|(at, found)| {
        let before = tag.get(..at).and_then(|text| text.chars().next_back());
        let after = tag.get(at + found.len()..).and_then(|text| text.chars().next());
        let (first, last) = (found.chars().next(), found.chars().next_back());
        word(before) != word(first) && word(last) != word(after)
    })
}

/// A version as RubyGems compares it, with an update part behind `_`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct GemVersion {
    release: Vec<Segment>,
    update: Vec<Segment>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Segment {
    Word(String),
    Number(Number),
}

impl GemVersion {
    fn of(text: &str) -> GemVersion {
        let (release, update) = text.split_once('_').unwrap_or((text, ""));
        let update = if update.starts_with(|c: char| c.is_ascii_digit()) { update } else { "" };
        GemVersion { release: segments(release), update: segments(update) }
    }
}

fn segments(text: &str) -> Vec<Segment> {
    let mut found: Vec<Segment> = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let digits = first.is_ascii_digit();
        let of_kind = |c: char| c.is_ascii_alphanumeric() && c.is_ascii_digit() == digits;
        let end = rest.find(|c| !of_kind(c)).unwrap_or(rest.len());
        let (part, behind) = rest.split_at(end.max(first.len_utf8()));
        if digits {
            found.push(Segment::Number(Number::of(part)));
        } else if first.is_ascii_alphabetic() {
            found.push(Segment::Word(part.to_owned()));
        }
        rest = behind;
    }
    // Zeros at the end of the numbers, and of all, say nothing.
    let zero = |segment: Option<&Segment>| matches!(segment, Some(Segment::Number(number)) if number.value() == 0);
    let words = found.iter().position(|segment| matches!(segment, Segment::Word(_)));
    let mut tail = words.map_or_else(Vec::new, |at| found.split_off(at));
    while zero(found.last()) {
        found.pop();
    }
    while zero(tail.last()) {
        tail.pop();
    }
    [found, tail].concat()
}

fn compare(one: &[Segment], other: &[Segment]) -> Ordering {
    let zero = Segment::Number(Number::of("0"));
    for at in 0..one.len().max(other.len()) {
        let (one, other) = (one.get(at).unwrap_or(&zero), other.get(at).unwrap_or(&zero));
        let order = match (one, other) {
            (Segment::Word(one), Segment::Word(other)) => one.cmp(other),
            (Segment::Number(one), Segment::Number(other)) => one.cmp(other),
            (Segment::Word(_), Segment::Number(_)) => Ordering::Less,
            (Segment::Number(_), Segment::Word(_)) => Ordering::Greater,
        };
        if order != Ordering::Equal {
            return order;
        }
    }
    Ordering::Equal
}

impl Ord for GemVersion {
    fn cmp(&self, other: &GemVersion) -> Ordering {
        compare(&self.release, &other.release).then_with(|| compare(&self.update, &other.update))
    }
}

impl PartialOrd for GemVersion {
    fn partial_cmp(&self, other: &GemVersion) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_valid() {
        for pattern in [
            &WITH_PREFIX,
            &WITH_SUFFIX,
            &WITH_BOTH,
            &AT_A_COMMIT,
            &YEAR,
            &DAY,
            &DIGITS,
            &WORDS_WITH_BUILD,
            &BUILD,
            &WORD,
            &KB,
            &EARLY,
            &VERSION_PART,
        ] {
            assert!(pattern.get().is_some());
        }
    }
}
