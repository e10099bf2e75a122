//! What each call of ECR's control plane does.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::ecr_state::{ACCOUNT, Kept};
use crate::store::Store;

/// Repositories in one answer; ECR's own limit of 1,000 would leave pages untested.
const PAGE: usize = 60;

/// Why a call is refused.
pub(crate) struct Refusal {
    pub(crate) status: u16,
    pub(crate) code: String,
    pub(crate) message: String,
}

impl Refusal {
    pub(crate) fn new(code: &str, message: &str) -> Refusal {
        Refusal { status: 400, code: code.to_owned(), message: message.to_owned() }
    }
}

type Outcome = Result<Value, Refusal>;

/// Settings in the words of the API.
pub(crate) fn kept(input: &Value) -> Kept {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let tags = input["tags"].as_array().cloned().unwrap_or_default();
    Kept {
        mutability: text(&input["imageTagMutability"]),
        filters: input["imageTagMutabilityExclusionFilters"]
            .as_array()
            .cloned()
            .unwrap_or_default(),
        encryption: Some(input["encryptionConfiguration"].clone()).filter(Value::is_object),
        scan: input["imageScanningConfiguration"]["scanOnPush"].as_bool().unwrap_or_default(),
        lifecycle: text(&input["lifecyclePolicyText"]),
        policy: text(&input["policyText"]),
        preview: None,
        tags: tags
            .iter()
            .filter_map(|tag| Some((text(&tag["Key"])?, text(&tag["Value"])?)))
            .collect(),
    }
}

/// The token of a login as ECR packs it.
pub(crate) fn encoded(password: &str) -> String {
    STANDARD.encode(format!("AWS:{password}"))
}

/// Does what a call asks for.
pub(crate) fn perform(operation: &str, input: &Value, store: &mut Store, soon: u64) -> Outcome {
    match operation {
        "GetAuthorizationToken" => {
            let password = format!("password-{}", store.ecr.tokens.len());
            store.ecr.tokens.insert(password.clone(), true);
            let data = json!({ "authorizationToken": encoded(&password), "expiresAt": soon });
            return Ok(json!({ "authorizationData": [data] }));
        }
        "GetAccountSetting" => {
            let value = if store.ecr.mounting { "ENABLED" } else { "DISABLED" };
            return Ok(json!({ "name": input["name"], "value": value }));
        }
        _ => {}
    }
    if !matches!(input["registryId"].as_str(), None | Some(ACCOUNT)) {
        return Err(Refusal::new("AccessDeniedException", "not authorized for this registry"));
    }
    match operation {
        "DescribeRepositories" => describe(input, store),
        "CreateRepository" => create(input, store),
        "BatchGetImage" => batch_get_image(input, store),
        "BatchCheckLayerAvailability" => layers(input, store),
        "TagResource" | "ListTagsForResource" => tags(operation, input, store),
        _ => settings(operation, input, store),
    }
}

fn arn(name: &str) -> String {
    format!("arn:aws:ecr:test:{ACCOUNT}:repository/{name}")
}

fn describe(input: &Value, store: &Store) -> Outcome {
    let named: Vec<&str> = input["repositoryNames"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    if let Some(missing) = named.iter().find(|name| !store.ecr.repositories.contains_key(**name)) {
        let message = format!(
            "The repository with name '{missing}' does not exist in the registry with id '{ACCOUNT}'"
        );
        return Err(Refusal::new("RepositoryNotFoundException", &message));
    }
    let start: usize =
        input["nextToken"].as_str().and_then(|token| token.parse().ok()).unwrap_or(0);
    let all: Vec<Value> = store
        .ecr
        .repositories
        .iter()
        .filter(|(name, _)| named.is_empty() || named.contains(&name.as_str()))
        .map(|(name, kept)| {
            json!({
                "repositoryArn": arn(name), "registryId": ACCOUNT, "repositoryName": name,
                "imageTagMutability": kept.mutability.as_deref().unwrap_or("MUTABLE"),
                "imageTagMutabilityExclusionFilters": kept.filters,
                "imageScanningConfiguration": { "scanOnPush": kept.scan },
                "encryptionConfiguration": kept.encryption.clone().unwrap_or(json!({ "encryptionType": "AES256" })),
            })
        })
        .collect();
    let page: Vec<&Value> = all.iter().skip(start).take(PAGE).collect();
    let next = start + page.len();
    let next = (next < all.len()).then(|| next.to_string());
    Ok(json!({ "repositories": page, "nextToken": next }))
}

fn create(input: &Value, store: &mut Store) -> Outcome {
    let name = input["repositoryName"].as_str().unwrap_or_default();
    if store.ecr.repositories.contains_key(name) {
        let message = format!("The repository with name '{name}' already exists in the registry");
        return Err(Refusal::new("RepositoryAlreadyExistsException", &message));
    }
    if input["encryptionConfiguration"]["kmsKey"]
        .as_str()
        .is_some_and(|key| key.contains("missing"))
    {
        return Err(Refusal::new("KmsException", "The KMS key does not exist"));
    }
    store.repository(name);
    store.ecr.repositories.insert(name.to_owned(), kept(input));
    Ok(
        json!({ "repository": { "repositoryArn": arn(name), "registryId": ACCOUNT, "repositoryName": name } }),
    )
}

fn repository<'a>(input: &Value, store: &'a mut Store) -> Result<(String, &'a mut Kept), Refusal> {
    let name = input["repositoryName"].as_str().unwrap_or_default();
    let message = format!(
        "The repository with name '{name}' does not exist in the registry with id '{ACCOUNT}'"
    );
    let kept = store.ecr.repositories.get_mut(name);
    let kept = kept.ok_or_else(|| Refusal::new("RepositoryNotFoundException", &message))?;
    Ok((name.to_owned(), kept))
}

fn batch_get_image(input: &Value, store: &mut Store) -> Outcome {
    let (name, _) = repository(input, store)?;
    let ids = input["imageIds"].as_array().cloned().unwrap_or_default();
    if ids.len() > 100 {
        return Err(Refusal::new("InvalidParameterException", "at most 100 imageIds"));
    }
    let (mut images, mut failures) = (Vec::new(), Vec::new());
    for id in ids {
        let reference = id["imageTag"].as_str().or(id["imageDigest"].as_str()).unwrap_or_default();
        match store.manifest(&name, reference) {
            Some(found) if store.ecr.archived.contains(found.digest.as_str()) => {
                failures.push(json!({ "imageId": id, "failureCode": "ImageInaccessible" }));
            }
            Some(found) if store.ecr.keyless.contains(found.digest.as_str()) => {
                failures.push(
                    json!({ "imageId": id, "failureCode": "KmsError", "failureReason": "no key" }),
                );
            }
            Some(found) => images.push(json!({
                "registryId": ACCOUNT, "repositoryName": name,
                "imageId": { "imageTag": id["imageTag"], "imageDigest": found.digest.as_str() },
                "imageManifest": String::from_utf8_lossy(&found.bytes),
            })),
            None => failures.push(json!({ "imageId": id, "failureCode": "ImageNotFound" })),
        }
    }
    Ok(json!({ "images": images, "failures": failures }))
}

fn layers(input: &Value, store: &mut Store) -> Outcome {
    let (name, _) = repository(input, store)?;
    let digests = input["layerDigests"].as_array().cloned().unwrap_or_default();
    if digests.len() > 100 {
        return Err(Refusal::new("InvalidParameterException", "at most 100 layerDigests"));
    }
    let layers: Vec<Value> = digests
        .iter()
        .filter_map(Value::as_str)
        .map(|digest| {
            let there = store.has_blob(&name, digest);
            let availability = if there { "AVAILABLE" } else { "UNAVAILABLE" };
            json!({ "layerDigest": digest, "layerAvailability": availability })
        })
        .collect();
    Ok(json!({ "layers": layers, "failures": [] }))
}

fn tags(operation: &str, input: &Value, store: &mut Store) -> Outcome {
    let arn = input["resourceArn"].as_str().unwrap_or_default();
    let name = arn.split_once(":repository/").map_or("", |(_, name)| name);
    let (_, kept) = repository(&json!({ "repositoryName": name }), store)?;
    if operation == "TagResource" {
        kept.tags.extend(self::kept(input).tags);
        return Ok(json!({}));
    }
    let tags = kept.tags.iter().map(|(key, value)| json!({ "Key": key, "Value": value }));
    Ok(json!({ "tags": tags.collect::<Vec<_>>() }))
}

fn settings(operation: &str, input: &Value, store: &mut Store) -> Outcome {
    let (name, kept) = repository(input, store)?;
    let text = |value: &Value| value.as_str().map(str::to_owned);
    match operation {
        "PutImageTagMutability" => {
            kept.mutability = text(&input["imageTagMutability"]);
            kept.filters =
                input["imageTagMutabilityExclusionFilters"].as_array().cloned().unwrap_or_default();
            Ok(json!({ "repositoryName": name }))
        }
        "PutImageScanningConfiguration" => {
            kept.scan = input["imageScanningConfiguration"]["scanOnPush"] == true;
            Ok(json!({ "repositoryName": name }))
        }
        "PutLifecyclePolicy" => {
            kept.lifecycle = text(&input["lifecyclePolicyText"]);
            Ok(json!({ "repositoryName": name }))
        }
        "GetLifecyclePolicy" => match &kept.lifecycle {
            Some(policy) => Ok(json!({ "repositoryName": name, "lifecyclePolicyText": policy })),
            None => Err(Refusal::new("LifecyclePolicyNotFoundException", "there is no policy")),
        },
        "SetRepositoryPolicy" => {
            kept.policy = text(&input["policyText"]);
            Ok(json!({ "repositoryName": name }))
        }
        "GetRepositoryPolicy" => match &kept.policy {
            Some(policy) => Ok(json!({ "repositoryName": name, "policyText": policy })),
            None => Err(Refusal::new("RepositoryPolicyNotFoundException", "there is no policy")),
        },
        "StartLifecyclePolicyPreview" => {
            kept.preview = text(&input["lifecyclePolicyText"]);
            Ok(json!({ "repositoryName": name, "status": "IN_PROGRESS" }))
        }
        "GetLifecyclePolicyPreview" => match kept.preview.take() {
            // Done at the second look.
            Some(policy) if !policy.starts_with("seen ") => {
                kept.preview = Some(format!("seen {policy}"));
                Ok(json!({ "repositoryName": name, "status": "IN_PROGRESS" }))
            }
            Some(policy) => Ok(preview(&name, policy.trim_start_matches("seen "), store)),
            None => Err(Refusal::new("LifecyclePolicyPreviewNotFoundException", "there is none")),
        },
        _ => Err(Refusal::new("UnknownOperationException", operation)),
    }
}

/// Of lifecycle rules, this fake knows `imageCountMoreThan` for any tag, and keeps the images that come last by name.
fn preview(name: &str, policy: &str, store: &Store) -> Value {
    let policy: Value = serde_json::from_str(policy).unwrap_or_default();
    let keep = policy["rules"][0]["selection"]["countNumber"].as_u64().unwrap_or(u64::MAX);
    let tags: Vec<(&String, &String)> =
        store.repositories.get(name).into_iter().flat_map(|found| &found.tags).collect();
    let gone = tags.len().saturating_sub(usize::try_from(keep).unwrap_or(usize::MAX));
    let results: Vec<Value> = tags
        .iter()
        .take(gone)
        .map(|(tag, digest)| {
            json!({ "imageTags": [tag], "imageDigest": digest, "action": { "type": "EXPIRE" } })
        })
        .collect();
    json!({ "repositoryName": name, "status": "COMPLETE", "previewResults": results })
}
