//! Amazon ECR without its network: how repositories there are kept.

use mirror_oci::Repository;
use serde_json::{Map, Value, json};

use crate::provider::setting::{Setting, SettingRow};

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

/// How ECR keeps settings:
/// <https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_CreateRepository.html>.
pub(crate) const SETTINGS: &[SettingRow] = &[
    SettingRow {
        setting: Setting::ImmutableTags,
        at_creation: true,
        is_fixed: false,
        is_same: |found, wanted| found == wanted,
        look: &[],
        make: Some("ecr:PutImageTagMutability"),
    },
    SettingRow {
        setting: Setting::Encryption,
        at_creation: true,
        is_fixed: true,
        // The key that ECR makes by itself has an ARN of its own.
        is_same: |found, wanted| found == wanted || (wanted == "KMS" && found != "AES256"),
        look: &[],
        make: None,
    },
    SettingRow {
        setting: Setting::ScanOnPush,
        at_creation: true,
        is_fixed: false,
        is_same: |found, wanted| found == wanted,
        look: &[],
        make: Some("ecr:PutImageScanningConfiguration"),
    },
    SettingRow {
        setting: Setting::LifecyclePolicy,
        at_creation: false,
        is_fixed: false,
        is_same: |found, wanted| meaning(found) == meaning(wanted),
        look: &[
            "ecr:GetLifecyclePolicy",
            "ecr:StartLifecyclePolicyPreview",
            "ecr:GetLifecyclePolicyPreview",
        ],
        make: Some("ecr:PutLifecyclePolicy"),
    },
    SettingRow {
        setting: Setting::RepositoryPolicy,
        at_creation: false,
        is_fixed: false,
        is_same: |found, wanted| meaning(found) == meaning(wanted),
        look: &["ecr:GetRepositoryPolicy"],
        make: Some("ecr:SetRepositoryPolicy"),
    },
    SettingRow {
        setting: Setting::Tags,
        at_creation: true,
        is_fixed: false,
        // Others may have tags of their own there.
        is_same: |found, wanted| {
            let mut wanted = wanted.as_object().into_iter().flatten();
            wanted.all(|(key, value)| found.get(key) == Some(value))
        },
        look: &["ecr:ListTagsForResource"],
        make: Some("ecr:TagResource"),
    },
];

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

    fn same(setting: Setting, found: &Value, wanted: &Value) -> bool {
        let row = SETTINGS.iter().find(|row| row.setting == setting).unwrap();
        (row.is_same)(found, wanted)
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
