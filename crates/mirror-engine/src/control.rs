//! Who answers for a registry beside the protocol: in bulk, and about what the protocol has no words for. Which cloud it is
//! shows in this file alone.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use mirror_ecr::{Ecr, private_login, private_presets, public_login, public_presets};
use mirror_failure::RequestError;
use mirror_oci::{Digest, Registry, Repository, Tag};
use mirror_plan::provider::{Provider, Setting, Settings};
use mirror_plan::want::RepositoryState;
use mirror_registry::{Host, LoginSource, Presets};

use crate::surroundings::Surroundings;

/// Who answers for a registry beside the protocol.
#[derive(Debug)]
pub(crate) enum ControlPlane {
    /// Amazon ECR answers, through the AWS SDK.
    Ecr(Ecr),
}

/// What is known of a registry by its name.
#[derive(Debug, Default)]
pub(crate) struct Behind {
    /// Who makes us a login, where no other source knows who we are.
    pub(crate) login: Option<LoginSource>,
    /// What it does beyond what all registries do.
    pub(crate) presets: Presets,
    client: Option<PlaneClient>,
}

#[derive(Debug)]
enum PlaneClient {
    Ecr(mirror_ecr::EcrClient),
}

/// What stands behind the name of a registry, asked in a role of its own if one is given.
pub(crate) async fn behind(
    registry: &Registry,
    role: Option<&str>,
    surroundings: &Surroundings,
) -> Behind {
    let aws = &surroundings.aws;
    match Provider::of(registry) {
        Provider::Plain => Behind::default(),
        Provider::EcrPublic => {
            Behind { login: Some(public_login(aws).await), presets: public_presets(), client: None }
        }
        Provider::Ecr(registry) => {
            let client = aws.client(&registry, role).await;
            Behind {
                login: Some(private_login(client.clone())),
                presets: private_presets(),
                client: Some(PlaneClient::Ecr(client)),
            }
        }
    }
}

impl Behind {
    /// Who answers beside the protocol, asked at the pace of the host.
    pub(crate) fn control_plane(self, host: &Arc<Host>) -> Option<ControlPlane> {
        match self.client? {
            PlaneClient::Ecr(client) => Some(ControlPlane::Ecr(Ecr::new(client, host.clone()))),
        }
    }
}

/// A repository, if it is there, or why that is not known.
pub(crate) type RepositoryFound = Result<Option<RepositoryState>, RequestError>;

impl ControlPlane {
    /// What repositories are like, with those settings that are wanted of them, and what those would do.
    ///
    /// # Errors
    /// When it refuses or can't be reached; for one repository, where the trouble is with that.
    pub(crate) async fn repositories(
        &self,
        wanted: &BTreeMap<Repository, Settings>,
    ) -> Result<BTreeMap<Repository, RepositoryFound>, RequestError> {
        match self {
            ControlPlane::Ecr(ecr) => ecr.previewed(wanted).await,
        }
    }

    /// The digests of tags in one repository, and which of `digests` are there.
    ///
    /// # Errors
    /// When it refuses or can't be reached.
    pub(crate) async fn images(
        &self,
        repository: &Repository,
        tags: &BTreeSet<Tag>,
        digests: &BTreeSet<Digest>,
    ) -> Result<(BTreeMap<Tag, Digest>, BTreeSet<Digest>), RequestError> {
        match self {
            ControlPlane::Ecr(ecr) => ecr.images(repository, tags, digests).await,
        }
    }

    /// Which of these blobs a repository has; nothing, if it can't tell.
    ///
    /// # Errors
    /// When it refuses or can't be reached.
    pub(crate) async fn present_blobs(
        &self,
        repository: &Repository,
        blobs: &[Digest],
    ) -> Result<Option<BTreeSet<Digest>>, RequestError> {
        match self {
            ControlPlane::Ecr(ecr) => ecr.layers(repository, blobs).await.map(Some),
        }
    }

    /// Makes a repository with those settings that are given with its making; false, if it is there by now.
    ///
    /// # Errors
    /// When it refuses or can't be reached.
    pub(crate) async fn create(
        &self,
        repository: &Repository,
        settings: &Settings,
    ) -> Result<bool, RequestError> {
        match self {
            ControlPlane::Ecr(ecr) => ecr.create(repository, settings).await,
        }
    }

    /// Makes one setting of a repository that is there.
    ///
    /// # Errors
    /// When it refuses or can't be reached.
    pub(crate) async fn set(
        &self,
        repository: &Repository,
        setting: Setting,
        value: &serde_json::Value,
    ) -> Result<(), RequestError> {
        match self {
            ControlPlane::Ecr(ecr) => ecr.set(repository, setting, value).await,
        }
    }

    /// Asks what only it can tell of what the registry does, before images are copied there.
    pub(crate) async fn learn_capabilities(&self) {
        match self {
            ControlPlane::Ecr(ecr) => ecr.learn_mounts().await,
        }
    }
}
