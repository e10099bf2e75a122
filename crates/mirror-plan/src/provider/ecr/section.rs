//! What `[destination.ecr]` says, checked.

use std::ops::Range;

use globset::{GlobBuilder, GlobMatcher};
use mirror_oci::{Registry, Repository};
use serde_json::{Value, json};
use toml::Spanned;

use crate::config::file::{DestinationFile, DocumentFile, EcrFile, ImmutableTagsFile};
use crate::config::location::Place;
use crate::config::problems::Problems;
use crate::provider::ecr::registry::{EcrRegistry, is_ecr_public};
use crate::provider::ecr::settings::{Setting, Settings};

/// Limits of ECR: <https://docs.aws.amazon.com/AmazonECR/latest/userguide/image-tag-mutability.html>,
/// <https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_PutLifecyclePolicy.html>.
const MOST_EXCLUSIONS: usize = 5;
const LARGEST_LIFECYCLE_POLICY: usize = 30_720;
const LARGEST_REPOSITORY_POLICY: usize = 10_240;

/// How repositories of an ECR destination are made and kept.
#[derive(Debug, Clone)]
pub struct EcrRules {
    base: Rules,
    exceptions: Vec<(GlobMatcher, Rules)>,
}

#[derive(Debug, Clone, Default)]
struct Rules {
    create: Option<bool>,
    settings: Settings,
}

impl PartialEq for EcrRules {
    fn eq(&self, other: &EcrRules) -> bool {
        let plain = |rules: &EcrRules| {
            let of = |rules: &Rules| (rules.create, rules.settings.clone());
            let exceptions = rules.exceptions.iter();
            let exceptions: Vec<_> =
                exceptions.map(|(glob, rules)| (glob.glob().clone(), of(rules))).collect();
            (of(&rules.base), exceptions)
        };
        plain(self) == plain(other)
    }
}

impl Eq for EcrRules {}

impl EcrRules {
    /// Whether a missing repository is made, and with which settings.
    pub fn of(&self, repository: &Repository) -> (bool, Settings) {
        let matching =
            self.exceptions.iter().filter(|(glob, _)| glob.is_match(repository.as_str()));
        let (mut create, mut settings) = (self.base.create, self.base.settings.clone());
        for (_, rules) in matching {
            create = rules.create.or(create);
            settings.extend(rules.settings.clone());
        }
        (create.unwrap_or(true), settings)
    }

    /// Every setting that is made anywhere.
    pub fn all_settings(&self) -> impl Iterator<Item = Setting> {
        let rules =
            std::iter::once(&self.base).chain(self.exceptions.iter().map(|(_, rules)| rules));
        rules.flat_map(|rules| rules.settings.keys().copied())
    }

    /// Keys of the owner's own that repositories are encrypted with.
    pub(crate) fn keys(&self) -> impl Iterator<Item = String> {
        let rules =
            std::iter::once(&self.base).chain(self.exceptions.iter().map(|(_, rules)| rules));
        let keys = rules.filter_map(|rules| rules.settings.get(&Setting::Encryption)?.as_str());
        keys.filter(|key| key.starts_with("arn:")).map(str::to_owned)
    }

    /// Whether any repository may be made.
    pub fn creates(&self) -> bool {
        let exceptions = self.exceptions.iter().any(|(_, rules)| rules.create == Some(true));
        self.base.create.unwrap_or(true) || exceptions
    }
}

impl Problems<'_> {
    /// Settings for ECR; there are some for each of its private registries, even when nothing is said.
    pub(crate) fn ecr_rules(&mut self, file: &DestinationFile, place: &Place) -> Option<EcrRules> {
        let registry = match place {
            Place::Registry(registry) => EcrRegistry::of(registry),
            Place::Layout(_) => None,
        };
        let public = matches!(place, Place::Registry(registry) if is_ecr_public(registry));
        if public {
            let help = "write <account>.dkr.ecr.<region>.amazonaws.com";
            self.add(file.name.span(), "public.ecr.aws can't be a destination", help);
        }
        let Some(registry) = registry else {
            if let Some(ecr) = file.ecr.as_ref().filter(|_| !public) {
                let help = "its name must be <account>.dkr.ecr.<region>.amazonaws.com, or delete the table";
                self.add(ecr.span(), "this destination is no registry of Amazon ECR", help);
            }
            return None;
        };
        let default = EcrFile::default();
        let (file, span) = match &file.ecr {
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
        Some(EcrRules { base, exceptions })
    }

    fn ecr_exception(
        &mut self,
        file: &EcrFile,
        table: &Range<usize>,
        registry: &EcrRegistry,
    ) -> Option<(GlobMatcher, Rules)> {
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
        match GlobBuilder::new(pattern.get_ref()).literal_separator(true).build() {
            Ok(glob) => Some((glob.compile_matcher(), rules)),
            Err(error) => {
                let message = format!("`{}` is not a glob: {}", pattern.get_ref(), error.kind());
                self.add(pattern.span(), message, "such as docker.io/library/*");
                None
            }
        }
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
        if EcrRegistry::of(registry).is_none() {
            let message = format!("{registry} is no private registry of Amazon ECR");
            self.add(role.span(), message, "only there a role can be assumed");
            return None;
        }
        Some(text.clone())
    }

    fn rules(&mut self, file: &EcrFile, span: Range<usize>, registry: &EcrRegistry) -> Rules {
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
        Rules { create: file.create, settings }
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
        let message = format!("`{key}` is no encryption that a repository here can have");
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
        self.add(span, "this is no lifecycle policy", help);
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
