//! Settings that ECR tells and takes one by one.

use std::time::Duration;

use aws_sdk_ecr::types::{ImageScanningConfiguration, LifecyclePolicyPreviewStatus};
use mirror_failure::RequestError;
use mirror_oci::Repository;
use mirror_plan::provider::Setting;
use mirror_plan::want::Expiring;
use serde_json::{Map, Value, json};

use crate::error::translate;
use crate::repositories::{mutability, tags};
use crate::{Ecr, EcrClient};

/// Pages of a preview, a hundred images each.
const MOST_PAGES: u32 = 2000;
/// How long and how often a preview is waited for. It takes seconds, more for thousands of images.
const PREVIEW: (Duration, u32) = (Duration::from_millis(500), 60);

impl Ecr {
    /// A setting that is not told with the others; nothing when there is none.
    pub(crate) async fn setting(
        &self,
        repository: &Repository,
        setting: Setting,
    ) -> Result<Option<Value>, RequestError> {
        let question = async || match setting {
            Setting::LifecyclePolicy => self.lifecycle_policy(repository).await,
            Setting::RepositoryPolicy => self.repository_policy(repository).await,
            Setting::Tags => self.tags(repository).await,
            Setting::ImmutableTags | Setting::Encryption | Setting::ScanOnPush => Ok(None),
        };
        self.host.retrying(question).await
    }

    /// Makes one setting of a repository that is there.
    ///
    /// # Errors
    /// When AWS refuses or can't be reached.
    ///
    /// # Cancellation
    /// When the future is dropped, the setting may be made or not; the next look finds that.
    pub async fn set(
        &self,
        repository: &Repository,
        setting: Setting,
        value: &Value,
    ) -> Result<(), RequestError> {
        self.host.retrying(async || self.set_once(repository, setting, value).await).await
    }

    async fn set_once(
        &self,
        repository: &Repository,
        setting: Setting,
        value: &Value,
    ) -> Result<(), RequestError> {
        let (ecr, account) = (&self.client.ecr, &self.client.registry.account);
        let (name, resource) = (repository.as_str(), self.client.registry.arn(repository.as_str()));
        match setting {
            Setting::ImmutableTags => {
                let (mutability, filters) = mutability(value);
                let call =
                    ecr.put_image_tag_mutability().registry_id(account).repository_name(name);
                let filters = Some(filters).filter(|filters| !filters.is_empty());
                let call = call
                    .image_tag_mutability(mutability)
                    .set_image_tag_mutability_exclusion_filters(filters);
                let done = call.send().await.map(|_| ());
                done.map_err(|error| translate("ecr:PutImageTagMutability", &resource, error))
            }
            Setting::ScanOnPush => {
                let scan = ImageScanningConfiguration::builder()
                    .scan_on_push(value.as_bool().unwrap_or_default());
                let call = ecr.put_image_scanning_configuration().registry_id(account);
                let call = call.repository_name(name).image_scanning_configuration(scan.build());
                let done = call.send().await.map(|_| ());
                done.map_err(|error| {
                    translate("ecr:PutImageScanningConfiguration", &resource, error)
                })
            }
            Setting::LifecyclePolicy => {
                let call = ecr.put_lifecycle_policy().registry_id(account).repository_name(name);
                let done = call.lifecycle_policy_text(value.to_string()).send().await.map(|_| ());
                done.map_err(|error| translate("ecr:PutLifecyclePolicy", &resource, error))
            }
            Setting::RepositoryPolicy => {
                let call = ecr.set_repository_policy().registry_id(account).repository_name(name);
                let done = call.policy_text(value.to_string()).send().await.map(|_| ());
                done.map_err(|error| translate("ecr:SetRepositoryPolicy", &resource, error))
            }
            Setting::Tags => {
                let call = ecr.tag_resource().resource_arn(&resource).set_tags(Some(tags(value)));
                let done = call.send().await.map(|_| ());
                done.map_err(|error| translate("ecr:TagResource", &resource, error))
            }
            Setting::Encryption => Err(RequestError::unusable(
                format!("encryption of {resource}"),
                "it is fixed when a repository is made",
            )),
        }
    }

    async fn lifecycle_policy(
        &self,
        repository: &Repository,
    ) -> Result<Option<Value>, RequestError> {
        let call =
            self.client.ecr.get_lifecycle_policy().registry_id(&self.client.registry.account);
        match call.repository_name(repository.as_str()).send().await {
            Ok(answer) => Ok(document(answer.lifecycle_policy_text())),
            Err(error)
                if error.as_service_error().is_some_and(|e| {
                    e.is_lifecycle_policy_not_found_exception()
                        || e.is_repository_not_found_exception()
                }) =>
            {
                Ok(None)
            }
            Err(error) => {
                let resource = self.client.registry.arn(repository.as_str());
                Err(translate("ecr:GetLifecyclePolicy", &resource, error))
            }
        }
    }

    async fn repository_policy(
        &self,
        repository: &Repository,
    ) -> Result<Option<Value>, RequestError> {
        let call =
            self.client.ecr.get_repository_policy().registry_id(&self.client.registry.account);
        match call.repository_name(repository.as_str()).send().await {
            Ok(answer) => Ok(document(answer.policy_text())),
            Err(error)
                if error.as_service_error().is_some_and(|e| {
                    e.is_repository_policy_not_found_exception()
                        || e.is_repository_not_found_exception()
                }) =>
            {
                Ok(None)
            }
            Err(error) => {
                let resource = self.client.registry.arn(repository.as_str());
                Err(translate("ecr:GetRepositoryPolicy", &resource, error))
            }
        }
    }

    async fn tags(&self, repository: &Repository) -> Result<Option<Value>, RequestError> {
        let resource = self.client.registry.arn(repository.as_str());
        let call = self.client.ecr.list_tags_for_resource().resource_arn(&resource);
        let answer = match call.send().await {
            Err(error)
                if error
                    .as_service_error()
                    .is_some_and(|e| e.is_repository_not_found_exception()) =>
            {
                return Ok(None);
            }
            outcome => outcome,
        };
        let answer =
            answer.map_err(|error| translate("ecr:ListTagsForResource", &resource, error))?;
        let pairs = answer.tags().iter().map(|tag| (tag.key().to_owned(), json!(tag.value())));
        Ok(Some(Value::Object(pairs.collect::<Map<_, _>>())))
    }

    /// The images that a lifecycle policy would delete, if it were the repository's.
    ///
    /// # Errors
    /// When AWS refuses, can't be reached, or is not done with it in half a minute.
    pub async fn would_expire(
        &self,
        repository: &Repository,
        policy: &Value,
    ) -> Result<Vec<Expiring>, RequestError> {
        let (ecr, account) = (&self.client.ecr, &self.client.registry.account);
        let resource = self.client.registry.arn(repository.as_str());
        self.host.retrying(async || self.begin_preview(repository, policy).await).await?;
        let mut expiring = Vec::new();
        let mut next: Option<String> = None;
        let mut looks = 0;
        for _ in 0..MOST_PAGES {
            let question = async || {
                let call = ecr.get_lifecycle_policy_preview().registry_id(account);
                let call = call.repository_name(repository.as_str()).set_next_token(next.clone());
                let answer = call.send().await;
                answer.map_err(|error| translate("ecr:GetLifecyclePolicyPreview", &resource, error))
            };
            let page = self.host.retrying(question).await?;
            match page.status() {
                Some(LifecyclePolicyPreviewStatus::Complete) => {}
                Some(LifecyclePolicyPreviewStatus::InProgress) if looks < PREVIEW.1 => {
                    looks += 1;
                    tokio::time::sleep(PREVIEW.0).await;
                    continue;
                }
                status => {
                    return Err(self.no_preview(repository, &format!("it ended as {status:?}")));
                }
            }
            let asked = page.lifecycle_policy_text();
            if asked.is_some_and(|asked| document(Some(asked)).as_ref() != Some(policy)) {
                return Err(self.no_preview(repository, "somebody else asks about another policy"));
            }
            expiring.extend(page.preview_results().iter().filter_map(|result| {
                let digest = result.image_digest()?.parse().ok()?;
                let tags = result.image_tags().iter().filter_map(|tag| tag.parse().ok());
                Some(Expiring { digest, tags: tags.collect() })
            }));
            next = page.next_token().map(str::to_owned);
            if next.is_none() {
                return Ok(expiring);
            }
        }
        Err(self.no_preview(repository, "it has no end"))
    }

    async fn begin_preview(
        &self,
        repository: &Repository,
        policy: &Value,
    ) -> Result<(), RequestError> {
        let EcrClient { ecr, registry, .. } = &self.client;
        let call = ecr.start_lifecycle_policy_preview().registry_id(&registry.account);
        let call = call.repository_name(repository.as_str());
        match call.lifecycle_policy_text(policy.to_string()).send().await {
            Ok(_) => Ok(()),
            // Another run asks at this moment; its answer is ours if the policy is.
            Err(error)
                if error
                    .as_service_error()
                    .is_some_and(|e| e.is_lifecycle_policy_preview_in_progress_exception()) =>
            {
                Ok(())
            }
            Err(error) => {
                let resource = registry.arn(repository.as_str());
                Err(translate("ecr:StartLifecyclePolicyPreview", &resource, error))
            }
        }
    }

    fn no_preview(&self, repository: &Repository, why: &str) -> RequestError {
        let resource = self.client.registry.arn(repository.as_str());
        RequestError::unusable(format!("ecr:GetLifecyclePolicyPreview on {resource}"), why)
    }
}

/// A document that is no JSON is shown as the text it is.
fn document(text: Option<&str>) -> Option<Value> {
    text.map(|text| serde_json::from_str(text).unwrap_or_else(|_| json!(text)))
}
