//! `renovate.json`
//!
//! <https://docs.renovatebot.com/configuration-options/>

use serde_json::{Map, Value, json};

use super::{BotRules, Keep, secret};

/// In front of the description of each rule of ours.
const OURS: &str = "mirror bots: ";

/// The text of the whole file, with what others have put into it.
pub(super) fn written(rules: &BotRules, existing: Option<&str>) -> Result<String, String> {
    let old: Option<Map<String, Value>> = existing
        .map(serde_json::from_str)
        .transpose()
        .map_err(|error| format!("it is not a JSON object: {error}"))?;
    let mut new = old.clone().unwrap_or_else(|| {
        Map::from_iter([
            ("$schema".to_owned(), json!("https://docs.renovatebot.com/renovate-schema.json")),
            ("extends".to_owned(), json!(["config:recommended"])),
        ])
    });
    // `config:recommended` passes over folders called test, tests, vendor, examples, as images may be.
    new.entry("ignorePaths").or_insert_with(|| json!([]));
    merge(&mut new, "packageRules", package_rules(rules))?;
    merge(&mut new, "hostRules", host_rules(rules))?;
    if old.as_ref() == Some(&new) {
        return Ok(existing.unwrap_or_default().to_owned());
    }
    let text = serde_json::to_string_pretty(&new).map_err(|error| error.to_string())?;
    Ok(text + "\n")
}

/// Puts our rules in place of those that were ours, in front of the others: later ones win.
fn merge(file: &mut Map<String, Value>, key: &str, ours: Vec<Value>) -> Result<(), String> {
    let mut all = match file.remove(key) {
        None => Vec::new(),
        Some(Value::Array(rules)) => rules,
        Some(_) => return Err(format!("`{key}` is not a list")),
    };
    all.retain(|rule| {
        let description = rule.get("description").and_then(Value::as_str);
        !description.is_some_and(|description| description.starts_with(OURS))
    });
    all.splice(0..0, ours);
    if !all.is_empty() {
        file.insert(key.to_owned(), Value::Array(all));
    }
    Ok(())
}

fn package_rules(rules: &BotRules) -> Vec<Value> {
    // Only Docker Hub says when a tag was pushed; with an age to wait for, the others would wait for ever.
    let mut found = vec![json!({
        "description": format!("{OURS}one pull request for all images, one more for major versions"),
        "matchFileNames": [rules.path("**")],
        "matchManagers": ["dockerfile"],
        "groupName": "images",
        "minimumReleaseAge": null,
    })];
    for (keep, text, types) in [
        (Keep::Major, "stay on the major version", json!(["major"])),
        (Keep::Minor, "stay on the minor version", json!(["major", "minor"])),
    ] {
        let kept = rules.groups.iter().filter(|group| group.keep == keep);
        let mut files: Vec<String> = kept
            .flat_map(|group| &group.folders)
            .map(|folder| rules.path(&format!("{folder}/*")))
            .collect();
        files.sort_unstable();
        if !files.is_empty() {
            found.push(json!({
                "description": format!("{OURS}{text}"),
                "matchFileNames": files,
                "matchManagers": ["dockerfile"],
                "matchUpdateTypes": types,
                "enabled": false,
            }));
        }
    }
    found
}

fn host_rules(rules: &BotRules) -> Vec<Value> {
    let private = rules.private.iter().map(|registry| {
        let secret = secret(registry);
        json!({
            "description": format!("{OURS}credentials"),
            "hostType": "docker",
            "matchHost": registry.as_str(),
            "username": format!("{{{{ secrets.MIRROR_{secret}_USERNAME }}}}"),
            "password": format!("{{{{ secrets.MIRROR_{secret}_PASSWORD }}}}"),
        })
    });
    // With a port or a scheme it would not match.
    let plain = rules.plain.iter().map(|host| {
        json!({
            "description": format!("{OURS}plain HTTP"),
            "hostType": "docker",
            "matchHost": host,
            "insecureRegistry": true,
        })
    });
    private.chain(plain).collect()
}
