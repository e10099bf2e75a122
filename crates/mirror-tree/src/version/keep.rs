//! How far a tag may move.

use std::fmt;

use regex_lite::Regex;

use super::number::Number;
use super::reading::{Part, Reading};

/// What an entry stays on, whatever its registry has.
///
/// ```
/// use mirror_tree::version::Keep;
///
/// let keep = Keep::of_variant("jdk-17").ok_or("it has a number")?;
/// assert!(keep.allows("jdk-17.0.11") && !keep.allows("jdk-18.0.1") && !keep.allows("17.0.11"));
/// assert!("16.3".parse::<Keep>()?.allows("16.3.9-alpine"));
/// assert!("RELEASE.2024-*".parse::<Keep>()?.allows("RELEASE.2024-05-01T01-11-10Z"));
///
/// let keep = "16.3".parse::<Keep>()?.or(Keep::Nothing);
/// assert_eq!(keep.expression().as_deref(), Some("^v?16\\.3([^0-9]|$)"));
/// assert_eq!(keep.beyond().as_deref(), Some(">= 16.4.a"));
/// assert!(keep.holds_all("16.3-alpine") && !keep.holds_all("16.3.1"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Default)]
pub enum Keep {
    /// Nothing: any newer version will do.
    #[default]
    Nothing,
    /// The first numbers, behind a prefix.
    Numbers(KeptNumbers),
    /// The tag; its digest may change.
    Exact,
    /// Tags that a pattern matches.
    Pattern(KeptPattern),
}

/// The first numbers of a version, and what stands in front of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptNumbers {
    prefix: Vec<Part>,
    /// As written: what stands in front, and the numbers.
    written: (String, String),
    numbers: Vec<Number>,
}

/// A pattern of tags, as it is written and as a regular expression.
#[derive(Debug, Clone)]
pub struct KeptPattern {
    written: String,
    expression: String,
    compiled: Regex,
}

/// Why a text says nothing about what to keep.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeepError(String);

impl fmt::Display for KeepError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for KeepError {}

impl std::str::FromStr for Keep {
    type Err = KeepError;

    /// `16`, `16.3`, `exact`, a glob such as `RELEASE.2024-*`, or a regular expression between slashes.
    fn from_str(text: &str) -> Result<Keep, KeepError> {
        if text == "exact" {
            return Ok(Keep::Exact);
        }
        if let Some(inner) = text.strip_prefix('/').and_then(|rest| rest.strip_suffix('/')) {
            return Keep::pattern(text, inner.to_owned());
        }
        if text.contains(['[', ']', '{', '}']) {
            let why =
                "brackets mean nothing in a glob: write a regular expression, `/^16\\.[3-9]/`";
            return Err(KeepError(why.to_owned()));
        }
        if text.contains(['*', '?']) {
            let literal = |c: char| match c {
                '*' => ".*".to_owned(),
                '?' => ".".to_owned(),
                c => escaped(&c.to_string()),
            };
            return Keep::pattern(
                text,
                format!("^{}$", text.chars().map(literal).collect::<String>()),
            );
        }
        let numbers = Keep::of_variant(text)
            .filter(|_| text.starts_with(|c: char| c.is_ascii_alphanumeric()));
        let why =
            "it does not start with the numbers of a version, is no pattern, and is not `exact`";
        numbers.ok_or_else(|| KeepError(why.to_owned()))
    }
}

impl Keep {
    fn pattern(written: &str, expression: String) -> Result<Keep, KeepError> {
        let compiled = Regex::new(&expression)
            .map_err(|error| KeepError(format!("it is not a regular expression: {error}")))?;
        Ok(Keep::Pattern(KeptPattern { written: written.to_owned(), expression, compiled }))
    }

    /// What the name of a variant folder says; nothing, if it has no version in it.
    pub fn of_variant(name: &str) -> Option<Keep> {
        let reading = Reading::of(name);
        if !reading.has_version()
            || !reading.parts.iter().any(|part| matches!(part, Part::Version { .. }))
        {
            return None;
        }
        let numbers = reading.numbers().to_vec();
        // The version as it is written: its first digit, and digits and dots from there.
        let prefix = written_prefix(name, &reading)?;
        let rest = name.get(prefix.len()..).unwrap_or_default();
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let written = rest.get(..end).unwrap_or_default().trim_end_matches('.');
        if Number::list(written) != numbers {
            return None;
        }
        let prefix = prefix.trim_end_matches(['v', 'V']).to_owned();
        let kept = KeptNumbers {
            prefix: reading.prefix().to_vec(),
            written: (prefix, written.to_owned()),
            numbers,
        };
        Some(Keep::Numbers(kept))
    }

    /// Whether a tag is within what is kept. Of an exact one nobody here knows which it is: none is.
    pub fn allows(&self, tag: &str) -> bool {
        match self {
            Keep::Nothing => true,
            Keep::Exact => false,
            Keep::Pattern(pattern) => pattern.compiled.is_match(tag),
            Keep::Numbers(kept) => {
                let reading = Reading::of(tag);
                reading.prefix() == kept.prefix && reading.numbers().starts_with(&kept.numbers)
            }
        }
    }

    /// How many numbers of a version stay as they are.
    pub fn numbers(&self) -> usize {
        match self {
            Keep::Numbers(kept) => kept.numbers.len(),
            Keep::Nothing | Keep::Exact | Keep::Pattern(_) => 0,
        }
    }

    /// Whether `tag` has no number left that may change.
    pub fn holds_all(&self, tag: &str) -> bool {
        match self {
            Keep::Exact => true,
            Keep::Numbers(kept) => {
                let reading = Reading::of(tag);
                let moves = |part: &Part| matches!(part, Part::Stage { .. } | Part::Counter { .. });
                reading.numbers().len() <= kept.numbers.len() && !reading.parts.iter().any(moves)
            }
            Keep::Nothing | Keep::Pattern(_) => false,
        }
    }

    /// What a folder and the configuration say together: the folder decides where it has a number, unless the tag is to stay
    /// as it is.
    #[must_use]
    pub fn or(self, configured: Keep) -> Keep {
        match (self, configured) {
            (_, Keep::Exact) => Keep::Exact,
            (Keep::Nothing, configured) => configured,
            (folder, _) => folder,
        }
    }

    /// A regular expression for the tags that are within, as Renovate's `allowedVersions` takes one; nothing for all,
    /// and for an exact one.
    pub fn expression(&self) -> Option<String> {
        match self {
            Keep::Nothing | Keep::Exact => None,
            Keep::Pattern(pattern) => Some(pattern.expression.clone()),
            Keep::Numbers(kept) => {
                let (prefix, numbers) = (escaped(&kept.written.0), escaped(&kept.written.1));
                Some(format!("^{prefix}v?{numbers}([^0-9]|$)"))
            }
        }
    }

    /// The versions that are beyond, as a range in Dependabot's `ignore`; nothing where there are none, or none that a
    /// range can say.
    pub fn beyond(&self) -> Option<String> {
        match self {
            Keep::Nothing | Keep::Pattern(_) => None,
            Keep::Exact => Some("> 0".to_owned()),
            Keep::Numbers(kept) => {
                let mut numbers = kept.numbers.clone();
                let last = numbers.pop()?;
                let next = last.next();
                let numbers: Vec<String> =
                    numbers.into_iter().chain([next]).map(|number| number.to_string()).collect();
                // What is lower than every version that starts with these numbers, pre-releases too.
                Some(format!(">= {}.a", numbers.join(".")))
            }
        }
    }
}

impl KeptNumbers {
    /// What stands in front of the version, without a `v`, and its numbers, as written.
    pub(super) fn written(&self) -> (&str, &str) {
        (&self.written.0, &self.written.1)
    }
}

impl fmt::Display for Keep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Keep::Nothing => f.write_str("nothing"),
            Keep::Exact => f.write_str("exact"),
            Keep::Pattern(pattern) => f.write_str(&pattern.written),
            Keep::Numbers(kept) => write!(f, "{}{}", kept.written.0, kept.written.1),
        }
    }
}

/// What stands in front of the version in a name, to the letter.
fn written_prefix<'a>(name: &'a str, reading: &Reading) -> Option<&'a str> {
    let skipped = reading.prefix().iter().filter_map(|part| match part {
        Part::Fixed(text) => Some(text.as_str()),
        _ => None,
    });
    let mut at = 0;
    for word in skipped {
        at += name.get(at..)?.to_ascii_lowercase().find(&word.to_ascii_lowercase())? + word.len();
    }
    let digit = name.get(at..)?.find(|c: char| c.is_ascii_digit())?;
    name.get(..at + digit)
}

/// A text as a regular expression that matches it alone.
fn escaped(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        if !c.is_ascii_alphanumeric() && !matches!(c, '_' | '-' | '/') && c.is_ascii() {
            out.push('\\');
        }
        out.push(c);
    }
    out
}
