//! Look-ups in bulk: what there is, in as few calls as ECR allows.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_ecr::types::{ImageFailureCode, ImageIdentifier, LayerAvailability};
use mirror_failure::RequestError;
use mirror_oci::{Digest, Repository, Tag, media_type};
use mirror_registry::Mounts;

use crate::Ecr;
use crate::error::translate;

/// Most ids or digests in one call:
/// <https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_BatchGetImage.html>.
const AT_ONCE: usize = 100;

impl Ecr {
    /// The digests of tags in one repository, and which of `digests` are there. One call for each hundred. An image that is
    /// missing is not in the answer, nor is one that is archived: nobody can pull it.
    ///
    /// # Errors
    /// When AWS refuses or can't be reached. A missing repository has no images.
    pub async fn images(
        &self,
        repository: &Repository,
        tags: &BTreeSet<Tag>,
        digests: &BTreeSet<Digest>,
    ) -> Result<(BTreeMap<Tag, Digest>, BTreeSet<Digest>), RequestError> {
        let tags =
            tags.iter().map(|tag| ImageIdentifier::builder().image_tag(tag.as_str()).build());
        let digests = digests
            .iter()
            .map(|digest| ImageIdentifier::builder().image_digest(digest.as_str()).build());
        let ids: Vec<ImageIdentifier> = tags.chain(digests).collect();
        let mut found = (BTreeMap::new(), BTreeSet::new());
        for ids in ids.chunks(AT_ONCE) {
            let answer = self.host.retrying(async || self.batch_get(repository, ids).await).await;
            for id in answer? {
                let digest = id.image_digest().and_then(|digest| digest.parse::<Digest>().ok());
                let Some(digest) = digest else { continue };
                if let Some(tag) = id.image_tag().and_then(|tag| tag.parse().ok()) {
                    found.0.insert(tag, digest.clone());
                }
                found.1.insert(digest);
            }
        }
        Ok(found)
    }

    async fn batch_get(
        &self,
        repository: &Repository,
        ids: &[ImageIdentifier],
    ) -> Result<Vec<ImageIdentifier>, RequestError> {
        let call = self.client.ecr.batch_get_image();
        // Without these it translates what it has to what old clients know, with another digest.
        let types = [
            media_type::OCI_INDEX,
            media_type::OCI_MANIFEST,
            media_type::DOCKER_LIST,
            media_type::DOCKER_MANIFEST,
        ];
        let call = call
            .registry_id(&self.client.registry.account)
            .repository_name(repository.as_str())
            .set_image_ids(Some(ids.to_vec()))
            .set_accepted_media_types(Some(types.map(str::to_owned).to_vec()));
        match call.send().await {
            Ok(answer) => {
                let missing = [
                    Some(&ImageFailureCode::ImageNotFound),
                    // Archived: it is there, but nobody can pull it.
                    Some(&ImageFailureCode::ImageInaccessible),
                ];
                let failed =
                    answer.failures().iter().find(|f| !missing.contains(&f.failure_code()));
                if let Some(failed) = failed {
                    let resource = self.client.registry.arn(repository.as_str());
                    let code = failed.failure_code().map(|code| code.as_str().to_owned());
                    let reason = failed.failure_reason().map(str::to_owned);
                    let request = format!("ecr:BatchGetImage on {resource}");
                    return Err(RequestError::refused(request, 400, code, reason));
                }
                Ok(answer.images().iter().filter_map(|image| image.image_id().cloned()).collect())
            }
            Err(error)
                if error
                    .as_service_error()
                    .is_some_and(|e| e.is_repository_not_found_exception()) =>
            {
                Ok(Vec::new())
            }
            Err(error) => Err(translate(
                "ecr:BatchGetImage",
                &self.client.registry.arn(repository.as_str()),
                error,
            )),
        }
    }

    /// Which of these blobs a repository has. One call for each hundred.
    ///
    /// # Errors
    /// When AWS refuses or can't be reached.
    pub async fn layers(
        &self,
        repository: &Repository,
        digests: &[Digest],
    ) -> Result<BTreeSet<Digest>, RequestError> {
        let mut there = BTreeSet::new();
        for digests in digests.chunks(AT_ONCE) {
            let digests: Vec<String> = digests.iter().map(ToString::to_string).collect();
            let question = async || {
                let call = self.client.ecr.batch_check_layer_availability();
                let call = call
                    .registry_id(&self.client.registry.account)
                    .repository_name(repository.as_str())
                    .set_layer_digests(Some(digests.clone()));
                let resource = self.client.registry.arn(repository.as_str());
                call.send()
                    .await
                    .map_err(|error| translate("ecr:BatchCheckLayerAvailability", &resource, error))
            };
            let answer = self.host.retrying(question).await?;
            let available = answer
                .layers()
                .iter()
                .filter(|layer| layer.layer_availability() == Some(&LayerAvailability::Available));
            there
                .extend(available.filter_map(|layer| layer.layer_digest()?.parse::<Digest>().ok()));
        }
        Ok(there)
    }

    /// Asks whether the account lets blobs be mounted between repositories, and tells the host:
    /// <https://docs.aws.amazon.com/AmazonECR/latest/userguide/blob-mounting.html>. Not to be allowed to ask
    /// is a no.
    pub async fn learn_mounts(&self) {
        let question = async || {
            let call = self.client.ecr.get_account_setting().name("BLOB_MOUNTING");
            call.send().await.map_err(|error| translate("ecr:GetAccountSetting", "*", error))
        };
        let enabled = match self.host.retrying(question).await {
            Ok(answer) => answer.value() == Some("ENABLED"),
            Err(error) => {
                tracing::debug!(%error, "blobs are not mounted");
                false
            }
        };
        let mounts = if enabled { Mounts::OfManifests } else { Mounts::Nothing };
        self.host.capabilities().learn_mounts(mounts);
    }
}
