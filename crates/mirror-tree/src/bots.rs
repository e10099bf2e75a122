//! Which tags the bots can move to a newer version.
//!
//! Both read a version in a tag and hold the rest of it fixed: Dependabot prefix and suffix
//! (<https://github.com/dependabot/dependabot-core/blob/main/docker/lib/dependabot/docker/tag.rb>), Renovate what
//! follows the first dash
//! (<https://github.com/renovatebot/renovate/blob/main/lib/modules/versioning/docker/index.ts>). A fixed part that has
//! a version of its own, as in `16.3-alpine3.20`, goes out of use upstream, and then nothing is proposed any more.

use std::sync::LazyLock;

use regex_lite::{Captures, Regex};

/// Why no bot keeps a tag up to date.
///
/// ```
/// use mirror_tree::untracked;
///
/// let why = untracked("16.3-alpine3.20").ok_or("a part with a version of its own")?;
/// assert!(why.message("16.3-alpine3.20").starts_with("no bot changes `-alpine3.20` in"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Untracked {
    /// Neither bot sees a version in it.
    Unread,
    /// It names a commit, and nobody can tell which is newer.
    Commit,
    /// A part of it with a version of its own is held fixed.
    Fixed(String),
}

impl Untracked {
    /// In words, for the tag it was found for.
    pub fn message(&self, tag: &str) -> String {
        match self {
            Untracked::Unread => {
                format!("no bot updates `{tag}`: neither of them sees a version in it")
            }
            Untracked::Commit => {
                format!("no bot updates `{tag}`: it names a commit, and none is newer than another")
            }
            Untracked::Fixed(part) => format!(
                "no bot changes `{part}` in `{tag}`: the tag goes stale when upstream switches to another one"
            ),
        }
    }
}

/// Why no bot keeps `tag` up to date, if none does. A tag without any digit, such as `latest`, is not looked at:
/// with a digest beside it the digest is moved, without one it floats.
///
/// ```
/// use mirror_tree::{Untracked, untracked};
///
/// assert_eq!(untracked("14.2"), None);
/// assert_eq!(untracked("latest"), None);
/// assert_eq!(untracked("RELEASE.2024-01-01T00-00-00Z"), Some(Untracked::Unread));
/// ```
pub fn untracked(tag: &str) -> Option<Untracked> {
    if !tag.contains(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let fixed: Vec<String> =
        [dependabot_fixes(tag), renovate_fixes(tag)].into_iter().flatten().collect();
    if fixed.iter().any(|part| !part.contains(|c: char| c.is_ascii_digit())) {
        return None;
    }
    // What the bot that gets further holds fixed.
    match fixed.into_iter().min_by_key(String::len) {
        Some(part) => Some(Untracked::Fixed(part)),
        None if COMMIT.is_match(tag) => Some(Untracked::Commit),
        None => Some(Untracked::Unread),
    }
}

const VERSION: &str =
    r"v?[0-9]+(?:\.[0-9]+)*(?:_[0-9]+|\.[a-z0-9]+|(?:(?:-[a-z]+)+-[0-9]+)+|-(?:kb)?[0-9]+)*";

static DEPENDABOT: LazyLock<[Option<Regex>; 3]> = LazyLock::new(|| {
    [
        format!(r"(?i)^(?P<prefix>[a-z][a-z0-9.\-]*-)?{VERSION}$"),
        format!(r"(?i)^{VERSION}(?P<suffix>-[a-z][a-z0-9.\-]*)?$"),
        format!(r"(?i)^(?P<prefix>[a-z\-]+-)?{VERSION}(?P<suffix>-[a-z\-]+)?$"),
    ]
    .map(|pattern| Regex::new(&pattern).ok())
});

static RENOVATE: LazyLock<Pattern> =
    LazyLock::new(|| Pattern::new(r"^v?\d+(?:\.\d+)*\w*(?P<suffix>-.*)?$"));
static COMMIT: LazyLock<Pattern> =
    LazyLock::new(|| Pattern::new(r"^(?:sha-|git-|commit-|g)?[0-9a-f]{7,40}$"));
/// Dependabot lets the commit at the end of a tag change.
static AT_A_COMMIT: LazyLock<Pattern> = LazyLock::new(|| Pattern::new(r"-g?[0-9a-f]{7,}$"));

/// A pattern of ours; a test proves that all of them are valid.
struct Pattern(Option<Regex>);

impl Pattern {
    fn new(text: &str) -> Pattern {
        Pattern(Regex::new(text).ok())
    }

    fn is_match(&self, text: &str) -> bool {
        self.0.as_ref().is_some_and(|pattern| pattern.is_match(text))
    }
}

/// What Dependabot holds fixed; `None` when it sees no version.
fn dependabot_fixes(tag: &str) -> Option<String> {
    let found = DEPENDABOT.iter().flatten().find_map(|pattern| pattern.captures(tag))?;
    let part = |name: &str| named(&found, name);
    let suffix = if AT_A_COMMIT.is_match(tag) { "" } else { part("suffix") };
    Some(format!("{}{suffix}", part("prefix")))
}

/// What Renovate holds fixed; `None` when it sees no version.
fn renovate_fixes(tag: &str) -> Option<String> {
    let digits = tag.bytes().all(|byte| byte.is_ascii_digit());
    if COMMIT.is_match(tag) && !digits {
        return None;
    }
    let found = RENOVATE.0.as_ref()?.captures(tag)?;
    Some(named(&found, "suffix").to_owned())
}

fn named<'a>(found: &Captures<'a>, name: &str) -> &'a str {
    found.name(name).map_or("", |part| part.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn real_tags() {
        assert!(DEPENDABOT.iter().all(Option::is_some));
        assert!([&RENOVATE, &COMMIT, &AT_A_COMMIT].iter().all(|pattern| pattern.0.is_some()));
        let fixed = |part: &str| Some(Untracked::Fixed(part.to_owned()));
        for (tag, expected) in [
            // Seen and moved by at least one.
            ("14.2", None),
            ("v1.8.1", None),
            ("24.04", None),
            ("3", None),
            ("16.3-alpine", None),
            ("1.16.5-rootless", None),
            ("17.0.1-jdk-slim", None),
            ("jdk-17.0.2", None),
            ("20220801", None),
            ("bullseye-20220801-slim", None),
            ("2022.8.1", None),
            ("1.2.3-4", None),
            ("1.0-3-gabcdef1", None),
            ("1.0rc1", None),
            // No number at all: not looked at.
            ("latest", None),
            ("stable-alpine", None),
            // Held fixed with a version of its own.
            ("16.3-alpine3.20", fixed("-alpine3.20")),
            ("24.18.0-alpine3.23", fixed("-alpine3.23")),
            ("6.5-php8.2-apache", fixed("-php8.2-apache")),
            ("1.7.4.3-r0", fixed("-r0")),
            ("1.0.0-rc.1", fixed("-rc.1")),
            ("11.2.0-debian-11-r5", fixed("-r5")),
            ("RELEASE.2022-08-02", fixed("RELEASE.2022-08-")),
            // Not seen.
            ("RELEASE.2022-08-02T23-59-16Z", Some(Untracked::Unread)),
            ("release_1_2", Some(Untracked::Unread)),
            ("sha-1a2b3c4", Some(Untracked::Commit)),
            ("0a1b2c3d4e5f60718293a4b5c6d7e8f901234567", Some(Untracked::Commit)),
        ] {
            assert_eq!(untracked(tag), expected, "{tag}");
        }
    }
}
