//! Repositories that a destination has to make and keep before images can go there.

use mirror_failure::Failure;
use mirror_oci::{Digest, Registry, Repository, Tag};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::provider::Provider;
use crate::provider::setting::{Setting, SettingChange, Settings};

/// A repository that images are to go to, where it does not make itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RepositoryWant {
    /// The destination, the registry and the name of the repository.
    pub at: RepositoryAt,
    /// Whether to make it when it is missing.
    pub create: bool,
    /// How it is to be. What is not in here is left alone.
    pub settings: Settings,
}

impl RepositoryWant {
    /// What stands behind its registry.
    pub(crate) fn provider(&self) -> Provider {
        Provider::of(&self.at.registry)
    }
}

/// Where a repository is.
#[derive(
    Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
pub struct RepositoryAt {
    /// Name of the destination.
    pub destination: String,
    /// The registry that it is at.
    #[schemars(with = "String")]
    pub registry: Registry,
    /// The repository in it.
    #[schemars(with = "String")]
    pub repository: Repository,
}

/// What a repository is like.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RepositoryState {
    /// Its settings, as far as they were asked for.
    pub settings: Settings,
    /// Images that a wanted lifecycle policy would delete, if that was asked.
    pub expiring: Vec<Expiring>,
    /// Why that could not be asked.
    pub no_preview: Option<String>,
}

/// An image that a lifecycle policy would delete.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expiring {
    /// The digest of the image.
    pub digest: Digest,
    /// All tags that the image has there.
    pub tags: Vec<Tag>,
}

/// A repository to make or to change, before images are copied there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RepositoryAction {
    /// The repository that changes.
    #[serde(flatten)]
    pub at: RepositoryAt,
    /// What is to become different.
    pub settings: Vec<SettingChange>,
}

/// What became of a repository.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RepositoryOutcome {
    /// The repository that it is about.
    #[serde(flatten)]
    pub at: RepositoryAt,
    /// Whether it was missing.
    pub create: bool,
    /// Everything that could not be done. The rest was.
    pub problems: Vec<RepositoryProblem>,
    /// Whether the run was stopped before its turn.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub cancelled: bool,
}

/// Something about a repository that could not be done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RepositoryProblem {
    /// The setting; none when the repository itself could not be made.
    pub setting: Option<Setting>,
    /// Why it could not be done.
    #[serde(flatten)]
    pub failure: Failure,
}
