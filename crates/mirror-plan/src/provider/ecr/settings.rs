//! Amazon ECR without its network: how repositories there are kept.

use std::collections::BTreeMap;
use std::fmt;

use mirror_oci::Repository;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// Why ECR has no repository of this name, though the specification allows it:
/// <https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_CreateRepository.html>.
pub(crate) fn name_problem(repository: &Repository) -> Option<String> {
    let name = repository.as_str();
    if !(2..=256).contains(&name.len()) {
        return Some("ECR takes names of 2 to 256 characters".to_owned());
    }
    let pair = ["__", "--"].into_iter().find(|pair| name.contains(pair))?;
    Some(format!("ECR takes no `{pair}` in a name"))
}

/// What can be set for a repository.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Setting {
    /// Whether tags can't be moved: true, false, or `{"except": ["latest*"]}`.
    ImmutableTags,
    /// `"AES256"`, `"KMS"` or the ARN of a key. Fixed when the repository is made.
    Encryption,
    /// Whether each pushed image is scanned.
    ScanOnPush,
    /// Which images expire.
    LifecyclePolicy,
    /// Who else may do what.
    RepositoryPolicy,
    /// Resource tags; only those that are named are looked at.
    Tags,
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Setting::ImmutableTags => "immutable_tags",
            Setting::Encryption => "encryption",
            Setting::ScanOnPush => "scan_on_push",
            Setting::LifecyclePolicy => "lifecycle_policy",
            Setting::RepositoryPolicy => "repository_policy",
            Setting::Tags => "tags",
        })
    }
}

/// Settings of one repository, as JSON in the shape that [`Setting`] describes. What is not in it is left alone.
pub type Settings = BTreeMap<Setting, Value>;

/// A setting that differs from what is wanted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SettingChange {
    /// Which.
    pub setting: Setting,
    /// What it is; nothing when there is none.
    pub from: Option<Value>,
    /// What it is to be.
    pub to: Value,
}

/// What differs, compared by meaning and not by text.
pub(crate) fn changes(wanted: &Settings, found: &Settings) -> Vec<SettingChange> {
    let differing =
        wanted.iter().filter(|(setting, to)| !is_same(**setting, found.get(setting), to));
    differing
        .map(|(setting, to)| SettingChange {
            setting: *setting,
            from: found.get(setting).cloned(),
            to: to.clone(),
        })
        .collect()
}

/// Whether a setting is as wanted, by meaning and not by text.
pub fn is_same(setting: Setting, found: Option<&Value>, wanted: &Value) -> bool {
    found.is_some_and(|found| same(setting, found, wanted))
}

fn same(setting: Setting, found: &Value, wanted: &Value) -> bool {
    match setting {
        // The key that ECR makes by itself has an ARN of its own.
        Setting::Encryption if wanted == "KMS" => found != "AES256",
        Setting::Tags => wanted
            .as_object()
            .is_none_or(|wanted| wanted.iter().all(|(key, value)| found.get(key) == Some(value))),
        Setting::LifecyclePolicy | Setting::RepositoryPolicy => meaning(found) == meaning(wanted),
        _ => found == wanted,
    }
}

/// A policy in one spelling of the many that mean the same: IAM takes a value for a list of one, an account for the
/// ARN of its root, and lists in any order.
/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_grammar.html>
fn meaning(document: &Value) -> Value {
    match document {
        Value::Object(fields) => {
            let fields = fields.iter().map(|(key, value)| (key.clone(), meaning(value)));
            Value::Object(fields.collect::<Map<_, _>>())
        }
        Value::Array(items) => {
            let mut items: Vec<Value> = items.iter().map(meaning).collect();
            items.sort_by_cached_key(ToString::to_string);
            items.dedup();
            match items.as_slice() {
                [single] => single.clone(),
                _ => Value::Array(items),
            }
        }
        Value::String(text) => {
            let root = text.strip_suffix(":root").and_then(|arn| arn.rsplit("::").next());
            let account = root.filter(|id| id.len() == 12 && text.starts_with("arn:"));
            Value::String(account.unwrap_or(text).to_owned())
        }
        // ECR and people write numbers with and without a fraction.
        Value::Number(number) => number.as_f64().map_or_else(|| document.clone(), |n| json!(n)),
        _ => document.clone(),
    }
}

/// Whether a tag can't be moved where `immutable_tags` is this.
pub(crate) fn is_immutable(setting: &Value, tag: &str) -> bool {
    match setting {
        Value::Bool(immutable) => *immutable,
        Value::Object(fields) => {
            // `only` is what ECR calls mutable with exclusions: those alone can't be moved.
            let named = |key: &str| {
                let patterns = fields.get(key).and_then(Value::as_array);
                let patterns = patterns.into_iter().flatten().filter_map(Value::as_str);
                patterns.into_iter().any(|pattern| wildcard(pattern, tag))
            };
            if fields.contains_key("only") { named("only") } else { !named("except") }
        }
        _ => false,
    }
}

/// `*` stands for any characters, none included.
fn wildcard(pattern: &str, text: &str) -> bool {
    let Some((before, rest)) = pattern.split_once('*') else { return pattern == text };
    let (middle, after) = rest.rsplit_once('*').unwrap_or(("", rest));
    let inner = text.strip_prefix(before).and_then(|text| text.strip_suffix(after));
    let Some(mut left) = inner else { return false };
    // The first place that fits is the best: what follows has the most room then.
    middle.split('*').all(|part| match left.split_once(part) {
        Some((_, right)) => {
            left = right;
            true
        }
        None => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        let problem = |name: &str| name_problem(&name.parse().unwrap());
        assert_eq!(problem("docker.io/library/postgres"), None);
        assert!(problem("a").is_some_and(|why| why.contains("2 to 256")));
        assert!(problem("a/b__c").is_some_and(|why| why.contains("`__`")));
        assert!(problem("a/b--c").is_some_and(|why| why.contains("`--`")));
    }

    #[test]
    fn wildcards() {
        for (pattern, text, fits) in [
            ("latest", "latest", true),
            ("latest", "latest2", false),
            ("*", "", true),
            ("v*", "v1", true),
            ("v*", "1v", false),
            ("*-rc", "1-rc", true),
            ("a*b*c", "axbxc", true),
            ("a*b*c", "axc", false),
            ("ab*ba", "aba", false),
            ("*a*a*a*", "aa", false),
            ("*a*a*a*", "xaxaxax", true),
        ] {
            assert_eq!(wildcard(pattern, text), fits, "{pattern} {text}");
        }
        let long = "a".repeat(120);
        assert!(!wildcard(&"*a".repeat(60).replace("a*a", "a*b"), &long));
    }

    #[test]
    fn policies_are_compared_by_meaning() {
        let policy = json!({"Version": "2012-10-17", "Statement": [{
            "Sid": "pull", "Effect": "Allow", "Principal": {"AWS": "123456789012"},
            "Action": ["ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]}]});
        let stored = json!({"Statement": [{
            "Action": ["ecr:GetDownloadUrlForLayer", "ecr:BatchGetImage"], "Effect": "Allow",
            "Principal": {"AWS": ["arn:aws:iam::123456789012:root"]}, "Sid": "pull"}],
            "Version": "2012-10-17"});
        assert!(same(Setting::RepositoryPolicy, &stored, &policy));
        let mut other = stored.clone();
        other["Statement"][0]["Effect"] = json!("Deny");
        assert!(!same(Setting::RepositoryPolicy, &other, &policy));
        assert!(same(
            Setting::Tags,
            &json!({"team": "a", "owner": "somebody"}),
            &json!({"team": "a"})
        ));
        assert!(!same(Setting::Tags, &json!({"team": "b"}), &json!({"team": "a"})));
        assert!(same(Setting::Encryption, &json!("arn:aws:kms:x:1:key/y"), &json!("KMS")));
        assert!(!same(Setting::Encryption, &json!("AES256"), &json!("KMS")));
    }

    #[test]
    fn exclusions() {
        let except = json!({"except": ["latest", "dev-*-x"]});
        assert!(is_immutable(&json!(true), "1"));
        assert!(!is_immutable(&json!(false), "1"));
        let only = json!({"only": ["v*"]});
        assert!(is_immutable(&only, "v1") && !is_immutable(&only, "1"));
        for (tag, immutable) in
            [("latest", false), ("latest2", true), ("dev-1-x", false), ("dev-1", true)]
        {
            assert_eq!(is_immutable(&except, tag), immutable, "{tag}");
        }
    }
}
