//! Repositories: what they are like, and how they are made.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_ecr::types::{
    EncryptionConfiguration, EncryptionType, ImageScanningConfiguration, ImageTagMutability,
    ImageTagMutabilityExclusionFilter, ImageTagMutabilityExclusionFilterType,
    Repository as Described, Tag,
};
use futures_util::{StreamExt, stream};
use mirror_failure::RequestError;
use mirror_oci::Repository;
use mirror_plan::provider::{Provider, Setting, Settings};
use mirror_plan::want::RepositoryState;
use serde_json::{Value, json};

use crate::Ecr;
use crate::error::translate;

/// Repositories in one answer.
const PAGE: i32 = 1000;
/// Most names in one question.
const NAMED: usize = 100;
/// Repositories that are asked about at once, where each has to be asked about.
const AT_ONCE: usize = 16;

impl Ecr {
    /// What repositories are like, with those settings that are `wanted` of them; nothing for one that is missing.
    ///
    /// One call for each thousand repositories of the registry; one more for each policy or set of tags that is
    /// wanted, since ECR tells those one by one.
    ///
    /// # Errors
    /// When AWS refuses or can't be reached; for one repository, where the trouble is with that.
    pub async fn repositories(
        &self,
        wanted: &BTreeMap<Repository, BTreeSet<Setting>>,
    ) -> Result<BTreeMap<Repository, Result<Option<RepositoryState>, RequestError>>, RequestError>
    {
        let found = match self.described(wanted).await {
            // Another account gives rights by repository, and none to list all of them.
            Err(error) if error.status() == Some(403) => self.described_by_name(wanted).await?,
            found => found?,
        };
        let complete = stream::iter(found).map(|(repository, state)| async {
            let settings = wanted.get(&repository);
            let state = match state {
                None => Ok(None),
                Some(state) => self.complete(&repository, state, settings).await.map(Some),
            };
            (repository, state)
        });
        Ok(complete.buffer_unordered(AT_ONCE).collect().await)
    }

    /// All repositories of the registry, of which those that are wanted are kept.
    async fn described(
        &self,
        wanted: &BTreeMap<Repository, BTreeSet<Setting>>,
    ) -> Result<BTreeMap<Repository, Option<RepositoryState>>, RequestError> {
        let mut found: BTreeMap<Repository, Option<RepositoryState>> =
            wanted.keys().map(|repository| (repository.clone(), None)).collect();
        let mut next = None;
        loop {
            let question = async || {
                let call = self.client.ecr.describe_repositories();
                let call = call
                    .registry_id(&self.client.registry.account)
                    .max_results(PAGE)
                    .set_next_token(next.clone());
                let resource = self.client.registry.arn("*");
                call.send()
                    .await
                    .map_err(|error| translate("ecr:DescribeRepositories", &resource, error))
            };
            let page = self.host.retrying(question).await?;
            keep(page.repositories(), &mut found);
            next = page.next_token().map(str::to_owned);
            if next.is_none() {
                return Ok(found);
            }
        }
    }

    /// The same, asked for by name, a hundred at a time. One that is missing makes an error of the whole answer, which names
    /// it.
    async fn described_by_name(
        &self,
        wanted: &BTreeMap<Repository, BTreeSet<Setting>>,
    ) -> Result<BTreeMap<Repository, Option<RepositoryState>>, RequestError> {
        let mut found: BTreeMap<Repository, Option<RepositoryState>> =
            wanted.keys().map(|repository| (repository.clone(), None)).collect();
        let names: Vec<String> = wanted.keys().map(ToString::to_string).collect();
        for chunk in names.chunks(NAMED) {
            let mut open = chunk.to_vec();
            while !open.is_empty() {
                let question = async || {
                    let call = self.client.ecr.describe_repositories();
                    let call = call
                        .registry_id(&self.client.registry.account)
                        .set_repository_names(Some(open.clone()));
                    let name = if open.len() == 1 { open.first() } else { None };
                    let resource = self.client.registry.arn(name.map_or("*", String::as_str));
                    call.send()
                        .await
                        .map_err(|error| translate("ecr:DescribeRepositories", &resource, error))
                };
                match self.host.retrying(question).await {
                    Ok(page) => {
                        keep(page.repositories(), &mut found);
                        open.clear();
                    }
                    Err(error) if error.code() == Some("RepositoryNotFoundException") => {
                        let told = error.to_string();
                        let known = open.len();
                        open.retain(|name| !told.contains(&format!("'{name}'")));
                        if open.len() == known {
                            return Err(error);
                        }
                    }
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(found)
    }

    /// The same, and what wanted lifecycle policies would delete where they differ from those that are there.
    ///
    /// # Errors
    /// As [`Ecr::repositories`].
    pub async fn previewed(
        &self,
        wanted: &BTreeMap<Repository, Settings>,
    ) -> Result<BTreeMap<Repository, Result<Option<RepositoryState>, RequestError>>, RequestError>
    {
        let asked = wanted.iter().map(|(repository, settings)| {
            (repository.clone(), settings.keys().copied().collect::<BTreeSet<Setting>>())
        });
        let found = self.repositories(&asked.collect()).await?;
        let previewed = stream::iter(found).map(|(repository, state)| async {
            let policy = wanted.get(&repository);
            let policy = policy.and_then(|settings| settings.get(&Setting::LifecyclePolicy));
            let state = match (state, policy) {
                (Ok(Some(state)), Some(policy)) => {
                    Ok(Some(self.preview(&repository, state, policy).await))
                }
                (state, _) => state,
            };
            (repository, state)
        });
        Ok(previewed.buffer_unordered(AT_ONCE).collect().await)
    }

    /// Asks what a lifecycle policy would delete, before it is made the repository's.
    async fn preview(
        &self,
        repository: &Repository,
        mut state: RepositoryState,
        policy: &Value,
    ) -> RepositoryState {
        let wanted = Settings::from([(Setting::LifecyclePolicy, policy.clone())]);
        let provider = Provider::Ecr(self.client.registry.clone());
        if provider.changes(&wanted, &state.settings).is_empty() {
            return state;
        }
        match self.would_expire(repository, policy).await {
            Ok(expiring) => state.expiring = expiring,
            Err(error) => state.no_preview = Some(error.to_string()),
        }
        state
    }

    /// Adds what is told for one repository at a time.
    async fn complete(
        &self,
        repository: &Repository,
        mut state: RepositoryState,
        settings: Option<&BTreeSet<Setting>>,
    ) -> Result<RepositoryState, RequestError> {
        for setting in settings.into_iter().flatten() {
            let value = self.setting(repository, *setting).await?;
            state.settings.extend(value.map(|value| (*setting, value)));
        }
        Ok(state)
    }

    /// Makes a repository with those settings that are given with its making. One that is there by now is fine:
    /// another run was faster; then the settings are made one by one.
    ///
    /// # Errors
    /// When AWS refuses or can't be reached.
    ///
    /// # Cancellation
    /// When the future is dropped, the repository may be there without its settings; the next look finds that.
    pub async fn create(
        &self,
        repository: &Repository,
        settings: &Settings,
    ) -> Result<bool, RequestError> {
        self.host.retrying(async || self.create_once(repository, settings).await).await
    }

    async fn create_once(
        &self,
        repository: &Repository,
        settings: &Settings,
    ) -> Result<bool, RequestError> {
        let mut call = self
            .client
            .ecr
            .create_repository()
            .registry_id(&self.client.registry.account)
            .repository_name(repository.as_str());
        if let Some(value) = settings.get(&Setting::ImmutableTags) {
            let (mutability, filters) = mutability(value);
            call = call.image_tag_mutability(mutability);
            call = call.set_image_tag_mutability_exclusion_filters(
                Some(filters).filter(|filters| !filters.is_empty()),
            );
        }
        if let Some(Value::String(key)) = settings.get(&Setting::Encryption) {
            call = call.set_encryption_configuration(Some(encryption(key)));
        }
        if let Some(Value::Bool(scan)) = settings.get(&Setting::ScanOnPush) {
            let scanning = ImageScanningConfiguration::builder().scan_on_push(*scan).build();
            call = call.image_scanning_configuration(scanning);
        }
        call = call.set_tags(settings.get(&Setting::Tags).map(tags));
        match call.send().await {
            Ok(_) => Ok(true),
            Err(error)
                if error
                    .as_service_error()
                    .is_some_and(|e| e.is_repository_already_exists_exception()) =>
            {
                Ok(false)
            }
            Err(error) => {
                let resource = self.client.registry.arn(repository.as_str());
                Err(translate("ecr:CreateRepository", &resource, error))
            }
        }
    }
}

/// Settings that come with the description of a repository.
/// Takes what an answer says of repositories that are wanted.
fn keep(described: &[Described], found: &mut BTreeMap<Repository, Option<RepositoryState>>) {
    for described in described {
        let name = described.repository_name().and_then(|name| name.parse::<Repository>().ok());
        let Some(state) = name.and_then(|name| found.get_mut(&name)) else { continue };
        *state = Some(RepositoryState { settings: told(described), ..Default::default() });
    }
}

fn told(described: &Described) -> Settings {
    let mut settings = Settings::new();
    let filters = described.image_tag_mutability_exclusion_filters();
    let mut patterns: Vec<&str> =
        filters.iter().map(ImageTagMutabilityExclusionFilter::filter).collect();
    patterns.sort_unstable();
    let immutable = match described.image_tag_mutability() {
        Some(ImageTagMutability::Immutable) => json!(true),
        Some(ImageTagMutability::ImmutableWithExclusion) => json!({ "except": patterns }),
        Some(ImageTagMutability::MutableWithExclusion) => json!({ "only": patterns }),
        _ => json!(false),
    };
    settings.insert(Setting::ImmutableTags, immutable);
    let encryption = described.encryption_configuration();
    let kind = encryption.map(EncryptionConfiguration::encryption_type);
    let key = encryption.and_then(|encryption| encryption.kms_key());
    let encryption = match (kind, key) {
        (None | Some(EncryptionType::Aes256), _) => "AES256",
        (Some(_), Some(key)) => key,
        (Some(_), None) => "KMS",
    };
    settings.insert(Setting::Encryption, json!(encryption));
    let scan = described.image_scanning_configuration().is_some_and(|scan| scan.scan_on_push());
    settings.insert(Setting::ScanOnPush, json!(scan));
    settings
}

/// `immutable_tags` in the words of ECR.
pub(crate) fn mutability(
    value: &Value,
) -> (ImageTagMutability, Vec<ImageTagMutabilityExclusionFilter>) {
    let except = value.get("except").and_then(Value::as_array);
    let patterns = except.into_iter().flatten().filter_map(Value::as_str);
    let filters: Vec<_> = patterns
        .filter_map(|pattern| {
            ImageTagMutabilityExclusionFilter::builder()
                .filter_type(ImageTagMutabilityExclusionFilterType::Wildcard)
                .filter(pattern)
                .build()
                .ok()
        })
        .collect();
    let mutability = match value {
        Value::Bool(false) => ImageTagMutability::Mutable,
        _ if filters.is_empty() => ImageTagMutability::Immutable,
        _ => ImageTagMutability::ImmutableWithExclusion,
    };
    (mutability, filters)
}

fn encryption(key: &str) -> EncryptionConfiguration {
    let builder = EncryptionConfiguration::builder();
    let builder = match key {
        "AES256" => builder.encryption_type(EncryptionType::Aes256),
        "KMS" => builder.encryption_type(EncryptionType::Kms),
        arn => builder.encryption_type(EncryptionType::Kms).kms_key(arn),
    };
    // The type is all it needs.
    builder.build().unwrap_or_else(|_| unreachable!("the type of encryption is set"))
}

pub(crate) fn tags(value: &Value) -> Vec<Tag> {
    let pairs = value.as_object().into_iter().flatten();
    let pairs = pairs.filter_map(|(key, value)| Some((key, value.as_str()?)));
    pairs.filter_map(|(key, value)| Tag::builder().key(key).value(value).build().ok()).collect()
}
