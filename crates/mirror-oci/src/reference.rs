//! Names of images, per distribution/reference, read strictly.
//!
//! ```text
//! reference  := name [ ":" tag ] [ "@" digest ]
//! name       := [ registry "/" ] repository
//! registry   := host [ ":" port ]
//! host       := label { "." label } | "[" IPv6 address "]"
//! label      := alphanumeric [ { alphanumeric | "-" } alphanumeric ]
//! repository := component { "/" component }                  at most 255 characters
//! component  := lower-alphanumeric+ { separator lower-alphanumeric+ }
//! separator  := "." | "_" | "__" | "-"+
//! tag        := word { word | "." | "-" }                     at most 128 characters
//! digest     := "sha256:" 64 hex | "sha512:" 128 hex
//! ```
//!
//! The grammar is that of <https://github.com/distribution/reference/blob/main/reference.go>. Stricter: hosts are
//! lower-case. The first component is a registry when it has a dot or a colon or is `localhost`; otherwise the
//! registry is `docker.io`, whose one-component repositories live under `library/`. Sixty-four hex digits are
//! refused as a name, because Docker reads them as an image id.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::grammar::{
    MAX_REPOSITORY, check_registry, check_repository, check_tag, error, too_long,
};
use crate::reference_error::{ReferenceError, ReferenceErrorKind};

const DOCKER_HUB: &str = "docker.io";

/// What a `FROM` line or a command line names, as far as the grammar goes: tag and digest are both optional here.
///
/// ```
/// use mirror_oci::Reference;
///
/// let postgres: Reference = "postgres:14.2".parse()?;
/// assert_eq!(postgres.to_string(), "docker.io/library/postgres:14.2");
/// assert_eq!(postgres.name.familiar(), "postgres");
/// assert_eq!(postgres.version().and_then(|version| version.tag().cloned()), postgres.tag);
///
/// let bare: Reference = "quay.io/prometheus/prometheus".parse()?;
/// assert_eq!(bare.version(), None);
/// let wrong = "postgres:14 2".parse::<Reference>().unwrap_err();
/// assert_eq!(wrong.span, 11..12);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Reference {
    /// The registry and the repository that it names.
    pub name: Name,
    /// The part behind `:`.
    pub tag: Option<Tag>,
    /// The part behind `@`.
    pub digest: Option<Digest>,
}

impl Reference {
    /// The version it asks for, if it asks for one.
    pub fn version(&self) -> Option<Version> {
        match (&self.tag, &self.digest) {
            (tag, Some(digest)) => {
                Some(Version::Pinned(Pinned { tag: tag.clone(), digest: digest.clone() }))
            }
            (Some(tag), None) => Some(Version::Floating(tag.clone())),
            (None, None) => None,
        }
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.name.fmt(f)?;
        self.tag.iter().try_for_each(|tag| write!(f, ":{tag}"))?;
        self.digest.iter().try_for_each(|digest| write!(f, "@{digest}"))
    }
}

/// A registry and a repository in it, fully spelled: `docker.io/library/postgres`.
///
/// ```
/// use mirror_oci::Reference;
///
/// let name = "quay.io/prometheus/prometheus:v2".parse::<Reference>()?.name;
/// assert_eq!((name.registry.as_str(), name.repository.as_str()), ("quay.io", "prometheus/prometheus"));
/// assert_eq!(name.familiar(), "quay.io/prometheus/prometheus");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name {
    /// The registry, by the name people write (`docker.io`).
    pub registry: Registry,
    /// The repository in it.
    pub repository: Repository,
}

impl Name {
    /// The short spelling that Docker shows: without `docker.io/` and `library/`.
    pub fn familiar(&self) -> String {
        let repository = self.repository.as_str();
        if self.registry.as_str() != DOCKER_HUB {
            return self.to_string();
        }
        repository
            .strip_prefix("library/")
            .filter(|rest| !rest.contains('/'))
            .unwrap_or(repository)
            .to_owned()
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.registry, self.repository)
    }
}

/// Which image of a repository is meant.
///
/// ```
/// use mirror_oci::{Algorithm, Digest, Reference, Version};
///
/// let digest = Digest::of(Algorithm::Sha256, b"manifest");
/// let pinned: Reference = format!("redis:7@{digest}").parse()?;
/// let version = pinned.version().ok_or("a tag and a digest")?;
/// assert_eq!(version.digest(), Some(&digest));
/// assert_eq!(version.tag().map(|tag| tag.as_str()), Some("7"));
///
/// let floating = Version::Floating("7".parse()?);
/// assert_eq!((floating.to_string(), floating.digest()), (":7".to_owned(), None));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Version {
    /// Whatever the tag names at the moment.
    Floating(Tag),
    /// One image for ever.
    Pinned(Pinned),
}

impl Version {
    /// The tag, where there is one.
    pub fn tag(&self) -> Option<&Tag> {
        match self {
            Version::Floating(tag) => Some(tag),
            Version::Pinned(pinned) => pinned.tag.as_ref(),
        }
    }

    /// The digest, where it is pinned.
    pub fn digest(&self) -> Option<&Digest> {
        match self {
            Version::Floating(_) => None,
            Version::Pinned(pinned) => Some(&pinned.digest),
        }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.tag().iter().try_for_each(|tag| write!(f, ":{tag}"))?;
        self.digest().iter().try_for_each(|digest| write!(f, "@{digest}"))
    }
}

/// A digest, and the tag it was found under.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Pinned {
    /// The tag beside the digest; it says what to call the copy, the digest says what it is.
    pub tag: Option<Tag>,
    /// Which version of a repository is wanted.
    pub digest: Digest,
}

macro_rules! checked_text {
    ($(#[$meta:meta])* $name:ident, $check:path) => {
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = ReferenceError;

            fn from_str(text: &str) -> Result<$name, ReferenceError> {
                $check(text, 0)?;
                Ok($name(text.to_owned()))
            }
        }

        impl TryFrom<String> for $name {
            type Error = ReferenceError;

            fn try_from(text: String) -> Result<$name, ReferenceError> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(value: $name) -> String {
                value.0
            }
        }
    };
}

checked_text!(
    /// A registry: host and optional port, lower-case.
    ///
    /// ```
    /// use mirror_oci::Registry;
    ///
    /// let registry: Registry = "localhost:5000".parse()?;
    /// assert_eq!((registry.host(), registry.port()), ("localhost", Some(5000)));
    /// assert!(registry.is_loopback());
    /// assert_eq!(Registry::docker_hub().as_str(), "docker.io");
    /// assert!("https://r.io".parse::<Registry>().is_err());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    Registry,
    check_registry
);
checked_text!(
    /// A repository: the path of an image in its registry.
    ///
    /// ```
    /// use mirror_oci::Repository;
    ///
    /// let repository: Repository = "library/postgres".parse()?;
    /// assert_eq!(repository.as_str(), "library/postgres");
    /// assert!("Library/Postgres".parse::<Repository>().is_err());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    Repository,
    check_repository
);
checked_text!(
    /// A tag of a repository, such as `14.2`.
    ///
    /// ```
    /// use mirror_oci::Tag;
    ///
    /// assert_eq!("14.2".parse::<Tag>()?.as_str(), "14.2");
    /// assert!("-14".parse::<Tag>().is_err());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    Tag,
    check_tag
);

impl Registry {
    /// Docker Hub, `docker.io`.
    pub fn docker_hub() -> Registry {
        Registry(DOCKER_HUB.to_owned())
    }

    /// The host without the port, and without the brackets of an IPv6 address.
    pub fn host(&self) -> &str {
        let host = if self.0.starts_with('[') {
            self.0.rsplit_once("]").map_or(self.0.as_str(), |(host, _)| host)
        } else {
            self.0.split_once(':').map_or(self.0.as_str(), |(host, _)| host)
        };
        host.strip_prefix('[').unwrap_or(host)
    }

    /// The port, if one is written.
    pub fn port(&self) -> Option<u16> {
        let after_host = self.0.rsplit_once(']').map_or(self.0.as_str(), |(_, rest)| rest);
        after_host.rsplit_once(':').and_then(|(_, port)| port.parse().ok())
    }

    /// Whether it is on this machine, where registries speak plain HTTP.
    pub fn is_loopback(&self) -> bool {
        let host = self.host();
        let address = host.parse::<std::net::IpAddr>();
        host == "localhost" || address.is_ok_and(|address| address.is_loopback())
    }
}

impl FromStr for Reference {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Reference, ReferenceError> {
        let (rest, digest) = match text.split_once('@') {
            None => (text, None),
            Some((rest, digest)) => {
                let span = rest.len() + 1..text.len();
                if digest.is_empty() {
                    return error(ReferenceErrorKind::Empty("digest"), rest.len()..text.len());
                }
                let digest = digest
                    .parse()
                    .map_err(|e| ReferenceError { kind: ReferenceErrorKind::Digest(e), span })?;
                (rest, Some(digest))
            }
        };
        let slash = rest.rfind('/').map_or(0, |at| at + 1);
        let colon = rest.get(slash..).and_then(|last| last.find(':')).map(|at| slash + at);
        let (name, tag) = match colon.and_then(|at| Some((rest.get(..at)?, rest.get(at + 1..)?))) {
            None => (rest, None),
            Some((name, tag)) => {
                check_tag(tag, name.len() + 1)?;
                (name, Some(Tag(tag.to_owned())))
            }
        };
        Ok(Reference { name: parse_name(name)?, tag, digest })
    }
}

fn parse_name(text: &str) -> Result<Name, ReferenceError> {
    if text.is_empty() {
        return error(ReferenceErrorKind::Empty("name"), 0..0);
    }
    let (registry, path, offset) = match text.split_once('/') {
        Some((first, path)) if is_registry(first) => {
            check_registry(first, 0)?;
            (first, path, first.len() + 1)
        }
        _ => (DOCKER_HUB, text, 0),
    };
    let registry = if registry == "index.docker.io" { DOCKER_HUB } else { registry };
    check_repository(path, offset)?;
    let repository = if registry == DOCKER_HUB && !path.contains('/') {
        format!("library/{path}")
    } else {
        path.to_owned()
    };
    if offset == 0 && is_image_id(path) {
        return error(ReferenceErrorKind::ImageId, 0..path.len());
    }
    if repository.len() > MAX_REPOSITORY {
        return error(too_long("repository", MAX_REPOSITORY), offset..text.len());
    }
    Ok(Name { registry: Registry(registry.to_owned()), repository: Repository(repository) })
}

fn is_registry(first: &str) -> bool {
    first == "localhost" || first.contains(['.', ':']) || first.starts_with('[')
}

fn is_image_id(path: &str) -> bool {
    path.len() == 64 && path.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
#[path = "reference_tests.rs"]
mod tests;
