//! What `[destination.ecr]` says, checked.

use std::collections::BTreeMap;
use std::ops::Range;

use mirror_oci::Registry;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use toml::Spanned;

use crate::config::glob::Glob;
use crate::config::problems::Problems;
use crate::provider::Provider;
use crate::provider::ecr::registry::EcrRegistry;
use crate::provider::rules::{ProviderRules, RepositoryRules};
use crate::provider::setting::{Setting, Settings};

/// Limits of ECR: <https://docs.aws.amazon.com/AmazonECR/latest/userguide/image-tag-mutability.html>,
/// <https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_PutLifecyclePolicy.html>.
const MOST_EXCLUSIONS: usize = 5;
const LARGEST_LIFECYCLE_POLICY: usize = 30_720;
const LARGEST_REPOSITORY_POLICY: usize = 10_240;

/// How repositories of an ECR destination are made and kept. What is not mentioned is left alone.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a table of settings")]
pub(crate) struct EcrFile {
    /// In an exception: glob over repository names at the destination, `docker.io/library/*`; `*` stops at `/`, `**`
    /// doesn't.
    #[serde(rename = "match")]
    #[schemars(with = "Option<String>")]
    pub(crate) pattern: Option<Spanned<String>>,
    /// Make repositories that are missing; the default.
    pub(crate) create: Option<bool>,
    /// Whether tags can't be moved: true, false, or `{ except = ["latest*"] }`.
    #[schemars(with = "Option<ImmutableTagsFile>")]
    pub(crate) immutable_tags: Option<Spanned<ImmutableTagsFile>>,
    /// `"AES256"`, `"KMS"` or the ARN of a key. Can't be changed later.
    #[schemars(with = "Option<String>")]
    pub(crate) encryption: Option<Spanned<String>>,
    /// Scan each image that is pushed.
    pub(crate) scan_on_push: Option<bool>,
    /// Which images expire: a table, or the name of a JSON file beside `mirror.toml`.
    #[schemars(with = "Option<DocumentFile>")]
    pub(crate) lifecycle_policy: Option<Spanned<DocumentFile>>,
    /// Who else may do what: a table, the name of a JSON file beside `mirror.toml`, or
    /// `{ organization = "o-…" }` to let everybody there pull.
    #[schemars(with = "Option<DocumentFile>")]
    pub(crate) repository_policy: Option<Spanned<DocumentFile>>,
    /// Tags of the AWS resource, for cost allocation and policies.
    pub(crate) tags: Option<BTreeMap<String, String>>,
    /// Exceptions for some repositories; where several match, the last one wins, key by key.
    #[serde(default)]
    pub(crate) repository: Vec<EcrFile>,
}

/// Whether tags can't be moved.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(untagged, expecting = "true, false, or a table with `except`")]
pub(crate) enum ImmutableTagsFile {
    /// All of them, or none.
    All(bool),
    /// All tags are immutable but those that match.
    Except(ExceptFile),
}

/// Tags that can be moved all the same.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ExceptFile {
    /// Names with `*` for any characters, five at most.
    pub(crate) except: Vec<String>,
}

/// A policy, in the file or beside it.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(untagged, expecting = "the name of a JSON file, or a table")]
pub(crate) enum DocumentFile {
    /// A file beside `mirror.toml`.
    File(String),
    /// The document itself, as a table.
    Inline(serde_json::Map<String, serde_json::Value>),
}

impl Problems<'_> {
    /// Settings for repositories of ECR; there are some for each of its private registries, even when nothing is said.
    /// `name` is that of the destination.
    pub(crate) fn ecr_rules(
        &mut self,
        name: &Spanned<String>,
        section: Option<&Spanned<EcrFile>>,
        registry: Option<&Registry>,
    ) -> Option<RepositoryRules> {
        let provider = registry.map_or(Provider::Plain, Provider::of);
        if provider == Provider::EcrPublic {
            let help = "write <account>.dkr.ecr.<region>.amazonaws.com";
            self.add(name.span(), "public.ecr.aws can't be a destination", help);
            return None;
        }
        let Provider::Ecr(registry) = provider else {
            if let Some(ecr) = section {
                let help = "its name must be <account>.dkr.ecr.<region>.amazonaws.com, or delete the table";
                self.add(ecr.span(), "this destination is not an Amazon ECR registry", help);
            }
            return None;
        };
        let default = EcrFile::default();
        let (file, span) = match section {
            Some(ecr) => (ecr.get_ref(), ecr.span()),
            None => (&default, 0..0),
        };
        if let Some(pattern) = &file.pattern {
            let help = "exceptions are tables of their own: [[destination.ecr.repository]]";
            self.add(pattern.span(), "`match` is only for exceptions", help);
        }
        let base = self.rules(file, span.clone(), &registry);
        let exceptions =
            file.repository.iter().filter_map(|file| self.ecr_exception(file, &span, &registry));
        let exceptions = exceptions.collect();
        Some(RepositoryRules { base, exceptions })
    }

    fn ecr_exception(
        &mut self,
        file: &EcrFile,
        table: &Range<usize>,
        registry: &EcrRegistry,
    ) -> Option<(Glob, ProviderRules)> {
        let Some(pattern) = &file.pattern else {
            let help = "write `match = \"docker.io/library/*\"`";
            self.add(table.clone(), "an exception for repositories needs a `match`", help);
            return None;
        };
        if !file.repository.is_empty() {
            let help = "write all exceptions one after the other";
            self.add(pattern.span(), "an exception has no exceptions", help);
        }
        let rules = self.rules(file, pattern.span(), registry);
        Some((self.glob(pattern)?, rules))
    }

    /// The ARN of a role, for a registry where it makes sense.
    pub(crate) fn role(&mut self, role: &Spanned<String>, registry: &Registry) -> Option<String> {
        let text = role.get_ref();
        let mut parts = text.splitn(6, ':');
        let named = parts.next() == Some("arn") && parts.nth(1) == Some("iam");
        if !named || !text.contains(":role/") {
            let message = format!("`{text}` is not the ARN of a role");
            self.add(role.span(), message, "such as arn:aws:iam::123456789012:role/mirror");
            return None;
        }
        if !matches!(Provider::of(registry), Provider::Ecr(_)) {
            let message = format!("{registry} is not a private Amazon ECR registry");
            self.add(role.span(), message, "only there a role can be assumed");
            return None;
        }
        Some(text.clone())
    }

    fn rules(
        &mut self,
        file: &EcrFile,
        span: Range<usize>,
        registry: &EcrRegistry,
    ) -> ProviderRules {
        let mut settings = Settings::new();
        let immutable = file.immutable_tags.as_ref().and_then(|tags| self.immutable_tags(tags));
        settings.extend(immutable.map(|value| (Setting::ImmutableTags, value)));
        let encryption = file.encryption.as_ref().and_then(|key| self.encryption(key, registry));
        settings.extend(encryption.map(|value| (Setting::Encryption, value)));
        settings.extend(file.scan_on_push.map(|scan| (Setting::ScanOnPush, json!(scan))));
        if let Some(document) = &file.lifecycle_policy {
            let read = self.document(document, LARGEST_LIFECYCLE_POLICY);
            let checked = read.filter(|policy| self.lifecycle(policy, document.span()));
            settings.extend(checked.map(|value| (Setting::LifecyclePolicy, value)));
        }
        if let Some(document) = &file.repository_policy {
            let policy = self.repository_policy(document);
            settings.extend(policy.map(|value| (Setting::RepositoryPolicy, value)));
        }
        if let Some(tags) = &file.tags {
            if tags.len() > 50 || tags.keys().any(|key| key.is_empty() || key.starts_with("aws:")) {
                let help = "50 at most, with a key that does not start with `aws:`";
                self.add(span, "these can't be resource tags", help);
            }
            settings.insert(Setting::Tags, json!(tags));
        }
        ProviderRules { create: file.create, settings }
    }

    fn immutable_tags(&mut self, file: &Spanned<ImmutableTagsFile>) -> Option<Value> {
        match file.get_ref() {
            ImmutableTagsFile::All(immutable) => Some(json!(immutable)),
            ImmutableTagsFile::Except(except) => {
                let mut patterns = except.except.clone();
                patterns.sort_unstable();
                patterns.dedup();
                let good = |pattern: &String| {
                    let known = |c: char| c.is_ascii_alphanumeric() || "._*-".contains(c);
                    (1..=128).contains(&pattern.len()) && pattern.chars().all(known)
                };
                if patterns.is_empty()
                    || patterns.len() > MOST_EXCLUSIONS
                    || !patterns.iter().all(good)
                {
                    let help = "1 to 5 names of letters, digits, `.`, `_`, `-`, and `*` for any characters";
                    self.add(file.span(), "ECR can't except these tags", help);
                    return None;
                }
                Some(json!({ "except": patterns }))
            }
        }
    }

    fn encryption(&mut self, file: &Spanned<String>, registry: &EcrRegistry) -> Option<Value> {
        let key = file.get_ref();
        let here = format!("arn:{}:kms:{}:", registry.partition(), registry.region);
        if key == "AES256"
            || key == "KMS"
            || key.strip_prefix(&here).is_some_and(|rest| rest.contains(":key/"))
        {
            return Some(json!(key));
        }
        let message =
            format!("`{key}` is not an encryption type that repositories of this registry support");
        self.add(
            file.span(),
            message,
            format!("AES256, KMS, or a key (no alias) of its region: {here}<account>:key/<id>"),
        );
        None
    }

    fn repository_policy(&mut self, file: &Spanned<DocumentFile>) -> Option<Value> {
        if let DocumentFile::Inline(fields) = file.get_ref()
            && let Some(organization) = fields.get("organization")
        {
            let id = organization.as_str().filter(|id| fields.len() == 1 && id.starts_with("o-"));
            if id.is_none() {
                let help = "write `{ organization = \"o-…\" }`, nothing else";
                self.add(file.span(), "this is not the id of an organisation", help);
            }
            return id.map(organization_may_pull);
        }
        let policy = self.document(file, LARGEST_REPOSITORY_POLICY)?;
        if policy.get("Statement").is_none() {
            let help = "see https://docs.aws.amazon.com/AmazonECR/latest/userguide/repository-policy-examples.html";
            self.add(file.span(), "a repository policy needs a `Statement`", help);
            return None;
        }
        Some(policy)
    }

    fn document(&mut self, file: &Spanned<DocumentFile>, largest: usize) -> Option<Value> {
        let value = match file.get_ref() {
            DocumentFile::Inline(fields) => Ok(Value::Object(fields.clone())),
            DocumentFile::File(name) => (self.read)(name).and_then(|text| {
                serde_json::from_str::<Value>(&text).map_err(|error| format!("not JSON: {error}"))
            }),
        };
        let name = match file.get_ref() {
            DocumentFile::File(name) => name.as_str(),
            DocumentFile::Inline(_) => "the document",
        };
        let problem = match value {
            Ok(value) if !value.is_object() => "it is not a JSON object".to_owned(),
            Ok(value) if value.to_string().len() > largest => {
                format!("it is longer than the {largest} characters that ECR takes")
            }
            Ok(value) => return Some(value),
            Err(why) => why,
        };
        self.add(file.span(), format!("{name}: {problem}"), "name a JSON file beside mirror.toml");
        None
    }

    /// The shape that ECR checks first; the rest it says itself.
    /// <https://docs.aws.amazon.com/AmazonECR/latest/userguide/lifecycle_policy_parameters.html>
    fn lifecycle(&mut self, policy: &Value, span: Range<usize>) -> bool {
        let rules = policy.get("rules").and_then(Value::as_array).filter(|rules| !rules.is_empty());
        let mut priorities = Vec::new();
        let sound = rules.is_some_and(|rules| {
            rules.iter().all(|rule| {
                priorities.extend(rule.get("rulePriority").and_then(Value::as_u64));
                let selection = rule.get("selection");
                let word = |key: &str| selection.and_then(|s| s.get(key)).is_some();
                rule.get("action").is_some() && word("tagStatus") && word("countType")
            })
        });
        let count = rules.map_or(0, Vec::len);
        priorities.sort_unstable();
        priorities.dedup();
        if sound && priorities.len() == count {
            return true;
        }
        let help = "`rules`, each with a `rulePriority` of its own, a `selection` with `tagStatus` and `countType`, and an `action`";
        self.add(span, "this is not a lifecycle policy", help);
        false
    }
}

/// Lets everybody in an organisation pull:
/// <https://docs.aws.amazon.com/AmazonECR/latest/userguide/repository-policy-examples.html>.
fn organization_may_pull(id: &str) -> Value {
    json!({
        "Version": "2012-10-17",
        "Statement": [{
            "Sid": "OrganizationMayPull",
            "Effect": "Allow",
            "Principal": "*",
            "Action": [
                "ecr:BatchCheckLayerAvailability",
                "ecr:BatchGetImage",
                "ecr:GetDownloadUrlForLayer",
            ],
            "Condition": { "StringEquals": { "aws:PrincipalOrgID": id } },
        }],
    })
}
