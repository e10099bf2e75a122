//! Newer tags of images that no bot proposes them for.

use mirror_failure::Failure;
use mirror_oci::Digest;
use mirror_tree::version::{DependabotTag, Incomparable, RenovateTag, Successors, successors};
use mirror_tree::{Bot, Bots, Entry, Untracked, untracked};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::Config;

/// The version of the format of [`Outdated`].
pub const OUTDATED_FORMAT: u32 = 2;

/// What `mirror outdated` found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Outdated {
    /// Version of this format; 2.
    pub format_version: u32,
    /// How many images have a tag that no bot updates.
    pub looked_at: usize,
    /// Those that have a newer tag, in the order of the tree.
    pub images: Vec<NewerTag>,
    /// Those with which no other tag can be compared.
    #[serde(default)]
    pub incomparable: Vec<IncomparableTag>,
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
    /// The newest of its successors with the same first number, or within the numbers that are kept.
    pub newest: Option<String>,
    /// The newest with a greater first number.
    #[serde(default)]
    pub major: Option<String>,
    /// What a bot proposes all the same.
    #[serde(default)]
    pub proposed: Option<String>,
    /// Why no bot proposes the newest.
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

/// A tag with which no other can be compared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct IncomparableTag {
    /// The file of the tree.
    pub file: String,
    /// The image, fully spelled, without tag.
    pub name: String,
    /// The tag it has.
    pub tag: String,
    /// Why not.
    pub reason: String,
}

/// Why no bot in use updates the tag of an entry, if none does and it is not to stay there.
///
/// ```
/// use mirror_plan::report::stuck;
/// use mirror_plan::config::Config;
/// # use mirror_tree::{Entry, Rules, parse};
/// # let (file, text) = ("docker.io/library/postgres/Dockerfile", "FROM postgres:16.3-alpine3.20\n");
/// # let from = parse(file, text.as_bytes(), &Rules::default()).from.ok_or("a good line")?;
/// # let entry = Entry {
/// #     file: file.to_owned(), name: from.name, version: from.version,
/// #     platform: None, span: from.span, source: text.into(),
/// # };
///
/// assert!(stuck(&entry, &Config::default()).is_some(), "alpine3.20 is held fixed");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn stuck(entry: &Entry, config: &Config) -> Option<Untracked> {
    let why = untracked(entry.written_name(), entry.version.tag()?.as_str(), config.rules.bots);
    why.filter(|_| !config.stands_still(entry))
}

/// What came of the tags of a registry for one entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Looked {
    /// There is a newer one.
    Newer(NewerTag),
    /// There is none.
    Newest,
    /// None can be compared with it.
    Incomparable(IncomparableTag),
}

/// Finds the successor of an entry's tag among those of its registry, within what is kept, and what a bot in use makes of
/// them.
///
/// `outlier` is a tag that is newer and counts something else, unless it is known to be what `latest` is.
///
/// ```
/// use mirror_plan::config::Config;
/// use mirror_plan::report::{Looked, newer};
/// # use mirror_tree::{Entry, Rules, parse};
/// # let (file, text) = ("docker.io/library/postgres/Dockerfile", "FROM postgres:16.3-alpine3.20\n");
/// # let from = parse(file, text.as_bytes(), &Rules::default()).from.ok_or("a good line")?;
/// # let entry = Entry {
/// #     file: file.to_owned(), name: from.name, version: from.version,
/// #     platform: None, span: from.span, source: text.into(),
/// # };
///
/// let tags = ["16.3-alpine3.20", "16.9-alpine3.22", "17.0-alpine3.19"];
/// let (looked, outlier) = newer(&entry, "held fixed", &tags, &Config::default());
/// let Looked::Newer(found) = looked else { return Err("there is one".into()) };
/// assert_eq!(found.newest.as_deref(), Some("16.9-alpine3.22"));
/// assert_eq!((found.proposed, outlier), (None, None));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn newer<'a>(
    entry: &Entry,
    reason: &str,
    tags: &[&'a str],
    config: &Config,
) -> (Looked, Option<&'a str>) {
    let Some(tag) = entry.version.tag().map(|tag| tag.as_str()) else {
        return (Looked::Newest, None);
    };
    let (file, name) = (entry.file.clone(), entry.name.to_string());
    let allowed = config.allowed(entry);
    match successors(tag, tags.iter().copied().filter(|tag| allowed(tag))) {
        Err(why) => {
            let why = match why {
                Incomparable::Commit => "it names a commit, and none is newer than another",
                Incomparable::Floats => "it names no version",
            };
            let reason = format!("cannot be compared: {why}");
            let tag = tag.to_owned();
            (Looked::Incomparable(IncomparableTag { file, name, tag, reason }), None)
        }
        Ok(Successors { newest: None, major: None, outlier }) => (Looked::Newest, outlier),
        Ok(Successors { newest, major, outlier }) => {
            let proposed = proposed(entry, tag, tags, config.rules.bots, &allowed);
            // A bot gets there by itself.
            if major.is_none() && newest.is_some() && newest == proposed.as_deref() {
                return (Looked::Newest, outlier);
            }
            let found = NewerTag {
                file,
                name,
                tag: tag.to_owned(),
                newest: newest.map(str::to_owned),
                major: major.map(str::to_owned),
                proposed,
                reason: reason.to_owned(),
            };
            (Looked::Newer(found), outlier)
        }
    }
}

/// What a bot in use takes of these tags.
fn proposed(
    entry: &Entry,
    tag: &str,
    tags: &[&str],
    bots: Bots,
    allowed: &impl Fn(&str) -> bool,
) -> Option<String> {
    let all = || tags.iter().copied();
    bots.in_use().find_map(|bot| match bot {
        Bot::Dependabot => DependabotTag::of(tag)?.next(all(), None, allowed).map(str::to_owned),
        Bot::Renovate => {
            let (minor, major) = RenovateTag::of(entry.written_name(), tag)?.next(all(), allowed);
            minor.or(major)
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(file: &str, reference: &str) -> Entry {
        let parsed: mirror_oci::Reference = reference.parse().unwrap();
        let version = parsed.version().unwrap();
        let (file, source, span) =
            (format!("{file}/Dockerfile"), reference.into(), 0..reference.len());
        Entry { file, version, name: parsed.name, platform: None, span, source }
    }

    #[test]
    fn within_what_is_kept_and_beside_what_a_bot_proposes() {
        let all = ["16.3-alpine3.20", "16.9-alpine3.22", "17.0-alpine3.19", "latest"];
        let postgres = entry("docker.io/library/postgres", "postgres:16.3-alpine3.20");
        let kept = entry("docker.io/library/postgres/16", "postgres:16.3-alpine3.20");
        let found = |entry: &Entry, tags: &[&str], config: &str| match newer(
            entry,
            "why",
            tags,
            &Config::parse(config).unwrap(),
        )
        .0
        {
            Looked::Newer(found) => Ok((found.newest, found.major, found.proposed)),
            Looked::Newest => Err("newest".to_owned()),
            Looked::Incomparable(found) => Err(found.reason),
        };
        let some = |text: &str| Some(text.to_owned());
        let newest = some("16.9-alpine3.22");
        assert_eq!(found(&postgres, &all, ""), Ok((newest.clone(), some("17.0-alpine3.19"), None)));
        assert_eq!(found(&kept, &all, ""), Ok((newest.clone(), None, None)));
        let exact = "[[image]]\nmatch = \"**\"\nkeep = \"exact\"";
        assert_eq!(found(&postgres, &all, exact), Err("newest".to_owned()));
        let more = [&all[..], &["16.4-alpine3.20"]].concat();
        assert_eq!(found(&kept, &more, ""), Ok((newest, None, some("16.4-alpine3.20"))));
        let commit = entry("docker.io/a/b", "a/b:sha-1a2b3c4");
        let why = "cannot be compared: it names a commit, and none is newer than another";
        assert_eq!(found(&commit, &all, ""), Err(why.to_owned()));
    }
}
