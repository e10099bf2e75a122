//! The real Renovate, offline, on the sample tree: it finds every entry, proposes what was pushed, and what it proposes
//! is what `mirror plan` shows.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use mirror_oci::Reference;
use mirror_testkit::{DebianRegistry, ImageBuilder, Registry, push_by_skopeo};
use serde_json::Value;
use tempfile::TempDir;

use crate::{installed, mirror};

/// File and reference of each entry below `images`.
pub(crate) fn entries(folder: &Path) -> BTreeMap<String, Reference> {
    let mut found = BTreeMap::new();
    let mut open = vec![folder.join("images")];
    while let Some(next) = open.pop() {
        for step in std::fs::read_dir(next).unwrap() {
            let path = step.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else if path.ends_with("Dockerfile") {
                let text = std::fs::read_to_string(&path).unwrap();
                let file = path.strip_prefix(folder).unwrap().display().to_string();
                found.insert(file, text.trim().strip_prefix("FROM ").unwrap().parse().unwrap());
            }
        }
    }
    found
}

pub(crate) fn commit(folder: &Path) {
    for arguments in [
        &["init", "--quiet"][..],
        &["add", "--all"],
        &["-c", "user.name=t", "-c", "user.email=t@example.com", "commit", "--quiet", "-m", "tree"],
    ] {
        let status = Command::new("git").arg("-C").arg(folder).args(arguments).status().unwrap();
        assert!(status.success());
    }
}

/// What Renovate logs for a checkout, line by line.
fn renovate(checkout: &Path, host_rules: &str) -> Vec<Value> {
    renovate_with(checkout, host_rules, &[])
}

/// The same, where every registry is the one on loopback.
pub(crate) fn renovate_at(checkout: &Path, registry: &Registry) -> Vec<Value> {
    let port = registry.host().rsplit(':').next().unwrap().to_owned();
    let hub = "RENOVATE_X_DOCKER_HUB_TAGS_DISABLE";
    let hook = crate::tags::hook();
    renovate_with(
        checkout,
        "",
        &[("MIRROR_E2E_PORT", &port), ("NODE_OPTIONS", &hook), (hub, "true")],
    )
}

fn renovate_with(checkout: &Path, host_rules: &str, more: &[(&str, &str)]) -> Vec<Value> {
    let work = tempfile::tempdir().unwrap();
    let config = work.path().join("config.js");
    let settings = format!(
        "module.exports = {{ onboarding: false, requireConfig: 'optional', hostRules: [{host_rules}] }};"
    );
    std::fs::write(&config, settings).unwrap();
    let mut command = Command::new(installed("MIRROR_E2E_RENOVATE"));
    command.current_dir(checkout).env_clear();
    for name in ["PATH", "HOME"] {
        command.env(name, std::env::var_os(name).unwrap_or_default());
    }
    command
        .envs([("RENOVATE_PLATFORM", "local"), ("LOG_LEVEL", "debug"), ("LOG_FORMAT", "json")])
        .envs(more.iter().copied())
        .env("RENOVATE_BASE_DIR", work.path().join("base"))
        .env("RENOVATE_CONFIG_FILE", &config);
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let lines: Vec<Value> =
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    lines
}

/// The dependencies of each file.
pub(crate) fn dependencies(lines: &[Value]) -> BTreeMap<String, Vec<Value>> {
    let line = lines.iter().find(|line| line["msg"] == "packageFiles with updates");
    let line = line.unwrap_or_else(|| panic!("no line with the files in {lines:#?}"));
    let files = line["config"]["dockerfile"].as_array().unwrap().iter();
    let pairs = files.map(|file| {
        let name = file["packageFile"].as_str().unwrap().to_owned();
        (name, file["deps"].as_array().unwrap().clone())
    });
    pairs.collect()
}

fn sample() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let images = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../images");
    let status = Command::new("cp")
        .arg("-r")
        .arg(images)
        .arg(folder.path().join("images"))
        .status()
        .unwrap();
    assert!(status.success());
    folder
}

#[test]
#[ignore = "scripts/e2e installs what it needs"]
fn it_finds_every_entry_of_the_sample_tree() {
    let folder = sample();
    mirror(folder.path(), &["bots", "renovate"]).run();
    commit(folder.path());
    // The registries of the sample can't be reached, and are not asked.
    let found = dependencies(&renovate(folder.path(), "{ hostType: 'docker', enabled: false }"));
    let expected = entries(folder.path());
    assert_eq!(found.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>());
    for (file, reference) in expected {
        let dependency = &found[&file][0];
        assert_eq!(found[&file].len(), 1, "{file}");
        assert_eq!(
            dependency["currentValue"].as_str(),
            reference.tag.as_ref().map(|tag| tag.as_str()),
            "{file}"
        );
        let digest = reference.digest.map(|digest| digest.to_string());
        assert_eq!(dependency["currentDigest"].as_str(), digest.as_deref(), "{file}");
    }
}

/// The next version: its last number of all that are in front of the first dash, one higher.
fn next(tag: &str) -> String {
    // Renovate knows which releases of Ubuntu there are.
    if tag == "22.04" {
        return "24.04".to_owned();
    }
    let (version, rest) = tag.split_at(tag.find('-').unwrap_or(tag.len()));
    let (before, last) = version.split_at(version.rfind('.').map_or(0, |at| at + 1));
    format!("{before}{}{rest}", last.parse::<u32>().unwrap() + 1)
}

/// The sample tree with everything at one registry on loopback, in the version it has and the next; and for variants
/// that stay where they are, in one that is not for them.
fn at_registry(host: &str) -> TempDir {
    let sample = sample();
    let folder = tempfile::tempdir().unwrap();
    for (file, reference) in entries(sample.path()) {
        let name = reference.name.to_string();
        let tag = reference.tag.as_ref().unwrap().as_str();
        let tag = if name.ends_with("/ubuntu") { "22.04" } else { tag };
        let image = |tag: &str| ImageBuilder::new(format!("{name}:{tag}")).layers(&[2000]).build();
        let current = image(tag);
        for tag in [tag.to_owned(), next(tag), tag.replacen("13.", "99.", 1)] {
            push_by_skopeo(&image(&tag), &format!("{host}/{name}:{tag}"));
        }
        let digest = reference.digest.map(|_| format!("@{}", current.digest()));
        let file = file.replacen("images/", &format!("images/{host}/"), 1);
        let path: PathBuf = folder.path().join(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, format!("FROM {host}/{name}:{tag}{}\n", digest.unwrap_or_default()))
            .unwrap();
    }
    folder
}

#[test]
#[ignore = "scripts/e2e installs what it needs"]
fn what_it_proposes_is_what_the_plan_shows() {
    let [source, destination] = [DebianRegistry::start(), DebianRegistry::start()];
    let folder = at_registry(&source.host());
    let config =
        format!("[[destination]]\nname = \"prod\"\nregistry = \"{}\"\n", destination.host());
    std::fs::write(folder.path().join("images/mirror.toml"), config).unwrap();
    mirror(folder.path(), &["bots", "renovate"]).run();
    mirror(folder.path(), &["apply"]).run();
    commit(folder.path());
    let before = entries(folder.path());

    let lines = renovate(folder.path(), "");
    let found = dependencies(&lines);
    let mut expected = Vec::new();
    for (file, reference) in &before {
        let tag = reference.tag.as_ref().unwrap().as_str();
        let updates = found[file][0]["updates"].as_array().unwrap();
        // Version 99 is there for two, and is for one of them that a folder keeps.
        let ninety_nine = updates.iter().any(|update| {
            update["newValue"].as_str().is_some_and(|value| value.starts_with("99."))
        });
        assert!(!(ninety_nine && file.ends_with("/postgres/13/Dockerfile")), "{updates:?}");
        let update = updates.iter().find(|update| update["newValue"] == next(tag));
        let update = update.unwrap_or_else(|| panic!("{file}: {updates:?}"));
        // What Renovate would write: the new value, and the new digest where there was one.
        let path = folder.path().join(file);
        let mut text = std::fs::read_to_string(&path).unwrap();
        text = text.replace(tag, update["newValue"].as_str().unwrap());
        if let Some(digest) = &reference.digest {
            text = text.replace(digest.as_str(), update["newDigest"].as_str().unwrap());
        }
        std::fs::write(&path, text).unwrap();
        let changed = format!("{}:{}", reference.name, next(tag))
            .replace(&source.host(), &source.host().replace(':', "-"));
        expected.push(changed);
    }
    let ran = mirror(folder.path(), &["check"]).run();
    assert!(
        ran.stdout.contains(&format!("{} images are good, 0 errors, 0 warnings", before.len())),
        "{}",
        ran.stdout
    );
    mirror(folder.path(), &["bots", "--check"]).run();
    let arguments = ["plan", "--format", "json", "--changed-since", "HEAD"];
    let plan: Value =
        serde_json::from_str(&mirror(folder.path(), &arguments).run().stdout).unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let actions = plan["actions"].as_array().unwrap().iter();
    let target =
        |action: &Value| format!("{}:{}", text(&action["repository"]), text(&action["tag"]));
    let mut planned: Vec<String> = actions.map(target).collect();
    planned.sort();
    expected.sort();
    assert_eq!(planned, expected);
    assert_eq!(plan["totals"]["create"], before.len());
    assert_eq!(plan["totals"]["failures"], 0);
    mirror(folder.path(), &["apply"]).run();
    mirror(folder.path(), &["plan", "--exit-code"]).run();
}
