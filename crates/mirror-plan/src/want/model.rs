//! What the tree asks for, as values; and a want as it is written in plans and reports: flat, in texts, and checked when
//! it is read.

use std::collections::{BTreeMap, BTreeSet};

use mirror_oci::{
    Digest, Name, Platform, Platforms, Reference, Registry, Repository, Tag, Version,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::location::Location;
use crate::want::resource::RepositoryWant;

/// One entry for one destination.
///
/// ```
/// use mirror_plan::want::Want;
///
/// let want: Want = serde_json::from_value(serde_json::json!({
///     "file": "docker.io/library/redis/Dockerfile",
///     "source": "docker.io/library/redis:7.2",
///     "source_registry": "docker.io",
///     "destination": "prod",
///     "location": {"registry": "registry.example.com"},
///     "repository": "docker.io/library/redis",
///     "tag": "7.2",
/// }))?;
/// assert_eq!(want.source.reference(), "docker.io/library/redis:7.2");
/// assert_eq!(want.source.tagged(), want.target.shown());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(into = "Record", try_from = "Record")]
#[schemars(with = "Record")]
pub struct Want {
    /// The file of the tree that asks for it.
    pub file: String,
    /// What to copy.
    pub source: Source,
    /// Where to.
    pub target: Target,
}

/// What to copy.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Source {
    /// Registry and repository.
    pub name: Name,
    /// Tag or digest.
    pub version: Version,
    /// Which platforms of it.
    pub platforms: Platforms,
}

impl std::fmt::Display for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}{}", self.name.familiar(), self.version)
    }
}

impl Source {
    /// The reference, fully spelled.
    pub fn reference(&self) -> String {
        format!("{}{}", self.name, self.version)
    }

    /// The same without digest: what a person calls it.
    pub fn tagged(&self) -> String {
        let tag = self.version.tag().map(|tag| format!(":{tag}")).unwrap_or_default();
        format!("{}{tag}", self.name)
    }
}

/// Where a copy goes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Target {
    /// Name of the destination.
    pub destination: String,
    /// Where that is.
    pub location: Location,
    /// The repository there.
    pub repository: Repository,
    /// The tag there; none for a source that is a digest alone.
    pub tag: Option<Tag>,
    /// What it is known by without a tag: the digest that the tree names.
    pub digest: Option<Digest>,
}

impl Target {
    /// `repository:tag` at the destination, or the repository alone.
    pub fn shown(&self) -> String {
        let tag = self.tag.as_ref().map(|tag| format!(":{tag}"));
        format!("{}{}", self.repository, tag.unwrap_or_default())
    }
}

/// All wants of a tree, and those that cannot be.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wants {
    /// In the order of the tree, then of the destinations.
    pub wants: Vec<Want>,
    /// Wants that exclude each other; none of them is in `wants`.
    pub collisions: Vec<Collision>,
    /// The wants that exclude each other.
    pub contended: Vec<Want>,
    /// What entries would be at the destinations that they don't go to. They may have gone there once: an image that its
    /// source has lost is looked for there as well.
    pub elsewhere: Vec<Want>,
    /// Repositories that they need, at destinations where those have to be made; sorted.
    pub repositories: Vec<RepositoryWant>,
    /// What the tree wanted at an earlier commit and no longer wants, where that was looked at.
    pub unwanted: Vec<Unwanted>,
    /// Wants that are not looked at before the merge; none of them is in `wants`.
    pub postponed: Vec<Postponed>,
    /// By file: the reference it had at that commit, if it is about the same image and has another version.
    pub previous: BTreeMap<String, String>,
    /// By file: digests that it had before that commit, as far as history goes.
    pub earlier: BTreeMap<String, BTreeSet<Digest>>,
}

/// Wants that exclude each other, or one that can't be expressed at its destination.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Collision {
    /// The files of the tree that collide.
    pub files: Vec<String>,
    /// Name of the destination.
    pub destination: String,
    /// What they both want there, `repository:tag`.
    pub target: String,
    /// Why it cannot be.
    pub reason: String,
}

/// A want that is not looked at before the merge, or not with credentials.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Postponed {
    /// Which want.
    #[serde(flatten)]
    pub want: Want,
    /// What of it is new in the pull request.
    pub reason: String,
}

/// An image that the tree wanted and no longer wants. It stays where it is.
///
/// ```
/// use mirror_plan::want::Unwanted;
///
/// let unwanted: Unwanted = serde_json::from_value(serde_json::json!({
///     "file": "docker.io/library/redis/Dockerfile",
///     "source": "docker.io/library/redis:7.2",
///     "destination": "prod",
///     "repository": "docker.io/library/redis",
///     "tag": "7.2",
/// }))?;
/// assert_eq!(unwanted.target(), "docker.io/library/redis:7.2");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Unwanted {
    /// The file that wanted it.
    pub file: String,
    /// The reference that was in it, fully spelled.
    pub source: String,
    /// Name of the destination.
    pub destination: String,
    /// The repository there.
    #[schemars(with = "String")]
    pub repository: Repository,
    /// The tag there; none for a digest alone.
    #[schemars(with = "Option<String>")]
    pub tag: Option<Tag>,
}

impl Unwanted {
    /// `repository:tag` at the destination, or `repository@digest`.
    pub fn target(&self) -> String {
        let digest = || self.source.split_once('@').map(|(_, digest)| format!("@{digest}"));
        let version = self.tag.as_ref().map(|tag| format!(":{tag}")).or_else(digest);
        format!("{}{}", self.repository, version.unwrap_or_default())
    }
}

/// A want in JSON.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Want")]
pub(crate) struct Record {
    /// The file of the tree.
    file: String,
    /// The reference in it, fully spelled.
    source: String,
    /// The registry it comes from.
    #[schemars(with = "String")]
    source_registry: Registry,
    /// Platforms that are wanted: one, whose manifest is copied without its index, or some of an index; without it, the image as
    /// it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    wanted_platforms: Option<WantedPlatforms>,
    /// Name of the destination.
    destination: String,
    /// Where that is.
    location: Location,
    /// The repository there.
    #[schemars(with = "String")]
    repository: Repository,
    /// The tag there; none for a digest alone.
    #[schemars(with = "Option<String>")]
    tag: Option<Tag>,
}

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
enum WantedPlatforms {
    One(#[schemars(with = "String")] Platform),
    Some(#[schemars(with = "Vec<String>")] Vec<Platform>),
}

impl From<Want> for Record {
    fn from(want: Want) -> Record {
        let Want { file, source, target } = want;
        Record {
            file,
            source: source.reference(),
            source_registry: source.name.registry,
            wanted_platforms: match source.platforms {
                Platforms::All => None,
                Platforms::One(platform) => Some(WantedPlatforms::One(platform)),
                Platforms::Some(platforms) => Some(WantedPlatforms::Some(platforms)),
            },
            destination: target.destination,
            location: target.location,
            repository: target.repository,
            tag: target.tag,
        }
    }
}

impl TryFrom<Record> for Want {
    type Error = String;

    fn try_from(record: Record) -> Result<Want, String> {
        let Record { file, source, source_registry, destination, location, .. } = record;
        let wrong = |why: String| format!("the source `{source}` of {file} {why}");
        let reference: Reference =
            source.parse().map_err(|why| wrong(format!("is not an image reference: {why}")))?;
        let version = reference.version();
        let version: Version =
            version.ok_or_else(|| wrong("has neither tag nor digest".to_owned()))?;
        if reference.name.registry != source_registry {
            return Err(wrong(format!("is not at {source_registry}")));
        }
        let platforms = match record.wanted_platforms {
            None => Platforms::All,
            Some(WantedPlatforms::One(platform)) => Platforms::One(platform),
            Some(WantedPlatforms::Some(platforms)) if platforms.is_empty() => {
                return Err(format!("no platform of {file} is wanted"));
            }
            Some(WantedPlatforms::Some(platforms)) => Platforms::Some(platforms),
        };
        let source = Source { name: reference.name, version, platforms };
        if source.version.tag() != record.tag.as_ref() {
            return Err(format!("the tag of {file} is not that of its source"));
        }
        let target = Target {
            destination,
            location,
            repository: record.repository,
            digest: record.tag.is_none().then(|| source.version.digest().cloned()).flatten(),
            tag: record.tag,
        };
        Ok(Want { file, source, target })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn written_and_read_back() {
        let digest = format!("sha256:{}", "a".repeat(64));
        for (source, platforms, expected) in [
            ("docker.io/library/app:1".to_owned(), Platforms::All, None),
            (
                format!("quay.io/a/b:1@{digest}"),
                Platforms::One("linux/arm64".parse().unwrap()),
                Some(r#""wanted_platforms":"linux/arm64""#),
            ),
            (
                format!("quay.io/a/b@{digest}"),
                Platforms::Some(vec!["linux/amd64".parse().unwrap()]),
                Some(r#""wanted_platforms":["linux/amd64"]"#),
            ),
        ] {
            let reference: Reference = source.parse().unwrap();
            let version = reference.version().unwrap();
            let tag = version.tag().cloned();
            let target = Target {
                destination: "prod".to_owned(),
                location: Location::Layout("mirrored".to_owned()),
                repository: "a/b".parse().unwrap(),
                digest: tag.is_none().then(|| version.digest().cloned()).flatten(),
                tag,
            };
            let source = Source { name: reference.name, version, platforms };
            let want = Want { file: "a/Dockerfile".to_owned(), source, target };
            let json = serde_json::to_string(&want).unwrap();
            assert!(json.contains(r#""location":{"layout":"mirrored"}"#), "{json}");
            let contains = expected.is_none_or(|expected| json.contains(expected));
            assert!(contains && json.contains("wanted_platforms") == expected.is_some(), "{json}");
            assert_eq!(serde_json::from_str::<Want>(&json).unwrap(), want);
        }
    }

    #[test]
    fn what_is_no_want_is_refused() {
        let good = r#"{"file":"f","source":"docker.io/library/app:1","source_registry":"docker.io",
            "destination":"d","location":{"registry":"r.io"},"repository":"app","tag":"1"}"#;
        serde_json::from_str::<Want>(good).unwrap();
        for (part, other, why) in [
            ("app:1", "app", "the source `docker.io/library/app` of f has neither tag nor digest"),
            (
                "app:1",
                "APP:1",
                "the source `docker.io/library/APP:1` of f is not an image reference: ",
            ),
            (
                r#""docker.io","#,
                r#""quay.io","#,
                "the source `docker.io/library/app:1` of f is not at quay.io",
            ),
            (r#""tag":"1""#, r#""tag":"2""#, "the tag of f is not that of its source"),
            (r#""tag":"1""#, r#""tag":null"#, "the tag of f is not that of its source"),
        ] {
            let error = serde_json::from_str::<Want>(&good.replacen(part, other, 1)).unwrap_err();
            assert!(error.to_string().starts_with(why), "{error}");
        }
    }
}
