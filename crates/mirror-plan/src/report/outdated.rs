//! Newer tags of images that no bot proposes them for.

use mirror_failure::Failure;
use mirror_oci::Digest;
use mirror_tree::{Entry, Untracked, untracked};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What `mirror outdated` found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Outdated {
    /// Version of this format; 1.
    pub format_version: u32,
    /// How many images have a tag that no bot updates.
    pub looked_at: usize,
    /// Those that have a newer tag, in the order of the tree.
    pub images: Vec<NewerTag>,
    /// How many images have a digest beside their tag.
    #[serde(default)]
    pub pinned: usize,
    /// Those whose tag is not that digest any more, in the order of the tree.
    #[serde(default)]
    pub moved: Vec<MovedTag>,
    /// Those whose tags could not be read.
    pub failures: Vec<TagsFailure>,
}

/// An image whose tag has a successor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NewerTag {
    /// The file of the tree.
    pub file: String,
    /// The image, fully spelled, without tag.
    pub name: String,
    /// The tag it has.
    pub tag: String,
    /// The newest tag of the same form.
    pub newest: String,
    /// Why no bot proposes it.
    pub reason: String,
}

/// A tag that was pushed again, or deleted, under a digest of the tree. Bots may not propose the new digest
/// (dependabot/dependabot-core#15103).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MovedTag {
    /// The file of the tree.
    pub file: String,
    /// The image, fully spelled, without tag.
    pub name: String,
    /// The tag that the entry names.
    pub tag: String,
    /// The digest in the tree, which is what is mirrored.
    #[schemars(with = "String")]
    pub pinned: Digest,
    /// The digest that the tag has now; none, when it is gone.
    #[schemars(with = "Option<String>")]
    pub upstream: Option<Digest>,
}

/// An image whose tags could not be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TagsFailure {
    /// The file of the tree.
    pub file: String,
    /// The image, fully spelled.
    pub name: String,
    /// Why the tags could not be read.
    #[serde(flatten)]
    pub failure: Failure,
}

/// Why no bot updates the tag of an entry, if none does.
///
/// ```
/// use mirror_plan::report::stuck;
/// # use mirror_tree::{Entry, Rules, parse};
/// # let (file, text) = ("docker.io/library/postgres/Dockerfile", "FROM postgres:16.3-alpine3.20\n");
/// # let from = parse(file, text.as_bytes(), &Rules::default()).from.ok_or("a good line")?;
/// # let entry = Entry {
/// #     file: file.to_owned(), name: from.name, version: from.version,
/// #     platform: None, span: from.span, source: text.into(),
/// # };
///
/// assert!(stuck(&entry).is_some(), "alpine3.20 is held fixed");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn stuck(entry: &Entry) -> Option<Untracked> {
    untracked(entry.version.tag()?.as_str())
}

/// The newest tag of the same form as `tag`: the same letters and signs, and greater numbers from left to right. A
/// commit has no such form, and a tag that differs in more than numbers is another image. The first `kept` numbers are
/// to stay as they are.
///
/// ```
/// use mirror_plan::report::newest;
///
/// let tags = ["16.3-alpine3.20", "16.4-alpine3.21", "17.0-alpine3.21", "16.4-bookworm"];
/// assert_eq!(newest("16.3-alpine3.20", 0, tags.into_iter()), Some("17.0-alpine3.21"));
/// assert_eq!(newest("16.3-alpine3.20", 1, tags.into_iter()), Some("16.4-alpine3.21"));
/// ```
pub fn newest<'a>(tag: &str, kept: usize, all: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let (form, current) = taken_apart(tag)?;
    let same = all.filter_map(|other| {
        let (other_form, numbers) = taken_apart(other)?;
        let stays = numbers.get(..kept) == current.get(..kept);
        (other_form == form && stays && numbers > current).then_some((numbers, other))
    });
    same.max().map(|(_, other)| other)
}

/// Letters and signs with a gap for each number, and the numbers.
fn taken_apart(tag: &str) -> Option<(String, Vec<u64>)> {
    let mut form = String::new();
    let mut numbers = Vec::new();
    let mut digits = String::new();
    for c in tag.chars().chain(['\0']) {
        if c.is_ascii_digit() {
            digits.push(c);
            continue;
        }
        if !digits.is_empty() {
            numbers.push(digits.parse().ok()?);
            digits.clear();
            form.push('#');
        }
        form.push(c);
    }
    Some((form, numbers))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn same_form_greater_numbers() {
        let all = [
            "16.3-alpine3.20",
            "16.4-alpine3.21",
            "17.0-alpine3.19",
            "17.1-bookworm",
            "latest",
            "17rc1-alpine3.22",
            "RELEASE.2022-03-26T06-49-28Z",
            "RELEASE.2023-01-02T09-40-09Z",
            "RELEASE.2023-01-02T09-40-09Z.fips",
            "99999999999999999999999",
        ];
        for (tag, expected) in [
            ("16.3-alpine3.20", Some("17.0-alpine3.19")),
            ("17.0-alpine3.19", None),
            ("RELEASE.2022-03-26T06-49-28Z", Some("RELEASE.2023-01-02T09-40-09Z")),
            ("sha-1a2b3c4", None),
            ("1", None),
        ] {
            assert_eq!(newest(tag, 0, all.iter().copied()), expected, "{tag}");
        }
        assert_eq!(newest("16.3-alpine3.20", 1, all.iter().copied()), Some("16.4-alpine3.21"));
        assert_eq!(newest("16.3-alpine3.20", 2, all.iter().copied()), None);
    }
}
