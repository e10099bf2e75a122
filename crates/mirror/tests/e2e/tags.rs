//! What Renovate makes of the table of tags, and of a tree of 150 entries: it proposes what `mirror bots --explain` says.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use mirror_oci::Reference;
use mirror_testkit::{FakeEcr, ImageBuilder, Mirror, Registry};
use mirror_tree::version::{RenovateTag, Update};
use serde_json::Value;
use tempfile::TempDir;

use crate::renovate::{commit, dependencies, entries, renovate_at};
use crate::{installed, mirror};

const TABLE: &str = include_str!("../../../mirror-tree/tests/tags.txt");

/// A block of the table: a repository, the tags that it has, and rows about some of them.
struct Block {
    name: &'static str,
    has: Vec<&'static str>,
    rows: Vec<Vec<&'static str>>,
}

fn table() -> Vec<Block> {
    let blocks = TABLE.split("\n\n").filter(|block| block.starts_with("repository "));
    let read = |block: &'static str| {
        let mut found = Block { name: "", has: Vec::new(), rows: Vec::new() };
        for line in block.lines() {
            let mut words = line.split_whitespace();
            match line.split(' ').next().unwrap() {
                "repository" => found.name = words.nth(1).unwrap(),
                "has" => found.has = words.skip(1).collect(),
                "latest" => {}
                _ => found.rows.push(words.collect()),
            }
        }
        found
    };
    blocks.map(read).collect()
}

/// The path of a repository at its registry.
fn repository(name: &str) -> String {
    format!("{name}:1").parse::<Reference>().unwrap().name.repository.to_string()
}

fn write(folder: &Path, file: &str, text: &str) {
    let path = folder.join(file);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

/// What a dependency gets, below the next major version and as one.
fn proposed(dependency: &Value) -> (Option<&str>, Option<&str>) {
    let updates = dependency["updates"].as_array().map(Vec::as_slice).unwrap_or_default();
    let of = |types: &[&str]| {
        let mut found =
            updates.iter().filter(|one| types.contains(&one["updateType"].as_str().unwrap()));
        found.next().map(|one| one["newValue"].as_str().unwrap())
    };
    (of(&["minor", "patch"]), of(&["major"]))
}

#[test]
#[ignore = "scripts/e2e installs what it needs"]
fn the_table_is_what_renovate_proposes() {
    let registry = Registry::start();
    let folder = tempfile::tempdir().unwrap();
    let image = ImageBuilder::new("any").build();
    let mut rows = BTreeMap::new();
    for block in table() {
        for tag in &block.has {
            registry.add(&repository(block.name), tag, &image);
        }
        for row in block.rows {
            let file = format!("images/{:03}/Dockerfile", rows.len());
            write(folder.path(), &file, &format!("FROM {}:{}\n", block.name, row[0]));
            rows.insert(file, (block.name, row));
        }
    }
    let config = "{\"extends\": [\"config:recommended\"], \"ignorePaths\": []}";
    write(folder.path(), "renovate.json", config);
    commit(folder.path());
    let found = dependencies(&renovate_at(folder.path(), &registry));
    assert_eq!(found.len(), rows.len());
    for (file, (name, row)) in &rows {
        let (minor, major) = proposed(&found[file][0]);
        let real = [minor, major].map(|tag| tag.unwrap_or("-"));
        assert_eq!(real, row[5..7], "{name}:{}", row[0]);
    }
}

/// The next version of a tag: the number that an update of this kind changes, one higher, or what comes next by the
/// calendar of those who make it.
fn bumped(name: &str, tag: &str, update: Update) -> Option<String> {
    let bare = name.rsplit('/').next().unwrap();
    let major = update == Update::Major;
    match (bare, tag) {
        ("ubuntu", "focal" | "jammy") => return major.then(|| "noble".to_owned()),
        ("ubuntu", _) => return major.then(|| "24.04".to_owned()),
        ("debian", "bullseye" | "bookworm") => return major.then(|| "trixie".to_owned()),
        ("debian", "11") => return major.then(|| "13".to_owned()),
        _ => {}
    }
    let at = tag.find(|c: char| c.is_ascii_digit())?;
    let (prefix, rest) = tag.split_at(at);
    let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
    let (numbers, suffix) = rest.split_at(end);
    // What is not final has a successor that is.
    let suffix = if suffix.starts_with(|c: char| c.is_ascii_alphabetic()) {
        suffix.trim_start_matches(|c: char| c.is_ascii_alphanumeric())
    } else {
        suffix
    };
    let mut numbers: Vec<u64> = numbers
        .trim_end_matches('.')
        .split('.')
        .map(|number| number.parse().ok())
        .collect::<Option<_>>()?;
    let java = ["eclipse-temurin", "openjdk", "adoptopenjdk", "liberica-runtime-container"];
    let index = match update {
        Update::Major => 0,
        Update::Minor => 1,
        _ => 2,
    };
    let number = numbers.get_mut(index)?;
    *number = match (bare, major) {
        (bare, true) if java.contains(&bare) => 25,
        // The even ones are those with long support.
        ("node", true) if *number >= 24 => 26,
        ("node", true) => 24,
        _ => *number + 1,
    };
    let numbers: Vec<String> = numbers.iter().map(ToString::to_string).collect();
    Some(format!("{prefix}{}{suffix}", numbers.join(".")))
}

/// A tree of 150 entries and more: half of them pinned, some of those to what their tags were before.
struct Scene {
    folder: TempDir,
    registry: Registry,
    destination: Registry,
    ecr: FakeEcr,
}

const REGION: &str = "eu-central-1";

impl Scene {
    fn new() -> Scene {
        let scene = Scene {
            folder: tempfile::tempdir().unwrap(),
            registry: Registry::start(),
            destination: Registry::start(),
            ecr: FakeEcr::start(&[REGION]),
        };
        let references = scene.references();
        assert!(references.len() >= 150, "{}", references.len());
        scene.configure(&references);
        let arguments =
            [&["add", "--offline"], &references.iter().map(String::as_str).collect::<Vec<_>>()[..]];
        scene.mirror(&arguments.concat()).run();
        scene.mirror(&["bots", "renovate"]).run();
        commit(scene.folder.path());
        scene
    }

    /// Pushes what the entries name and what could come next, and says what the entries name.
    fn references(&self) -> Vec<String> {
        let mut references = Vec::new();
        for block in table().into_iter().filter(|block| !block.name.contains("dkr.ecr")) {
            for row in &block.rows {
                let (tag, number) = (row[0], references.len());
                if number >= 170 {
                    return references;
                }
                let path = repository(block.name);
                let image = |seed: &str| ImageBuilder::new(format!("{path}:{tag} {seed}")).build();
                let old = image("old");
                self.registry.add(&path, tag, &old);
                let pin =
                    if number % 2 == 0 { format!("@{}", old.digest()) } else { String::new() };
                if number % 4 == 0 {
                    self.registry.add(&path, tag, &image("rebuilt"));
                }
                // No other version has the commit of this one in its tag.
                let read = RenovateTag::of(block.name, tag)
                    .filter(|tag| !mirror_tree::is_unique(tag.fixed()))
                    .map(|tag| tag.updates());
                for update in read.unwrap_or_default() {
                    if let Some(next) = bumped(block.name, tag, update) {
                        self.registry.add(
                            &path,
                            &next,
                            &ImageBuilder::new(format!("{path}:{next}")).build(),
                        );
                    }
                }
                references.push(format!("{}:{tag}{pin}", block.name));
            }
        }
        references
    }

    fn configure(&self, references: &[String]) {
        let hosts: BTreeSet<String> = references
            .iter()
            .map(|reference| reference.parse::<Reference>().unwrap().name.registry.to_string())
            .collect();
        let mut config = format!(
            "[[destination]]\nname = \"prod\"\nregistry = \"{}\"\n\
             [[destination]]\nname = \"ecr\"\nregistry = \"{}\"\necr.immutable_tags = true\n\
             [[image]]\nmatch = \"**\"\ndestinations = [\"prod\"]\n\
             [[image]]\nmatch = \"docker.io/library/{{redis,nginx,alpine,python}}\"\ndestinations = [\"ecr\"]\n\
             [[image]]\nmatch = \"**/mysql\"\nkeep = \"8\"\n\
             [[image]]\nmatch = \"**/wordpress\"\nkeep = \"exact\"\n\
             [[image]]\nmatch = \"**/sonarr\"\nkeep = '/(^|-)4\\.0\\./'\n{}",
            self.destination.host(),
            FakeEcr::name(REGION),
            self.ecr.endpoint_config(REGION),
        );
        for host in hosts {
            config +=
                &format!("[registry.\"{host}\"]\nendpoint = \"{}\"\n", self.registry.endpoint());
        }
        write(self.folder.path(), "images/mirror.toml", &config);
    }

    fn mirror(&self, arguments: &[&str]) -> Mirror {
        let mirror =
            mirror(self.folder.path(), arguments).env("AWS_ENDPOINT_URL", self.ecr.endpoint());
        mirror.env("AWS_ACCESS_KEY_ID", "AKID").env("AWS_SECRET_ACCESS_KEY", "secret")
    }
}

/// What Renovate proposes at most at once of these kinds: it takes the highest below the next major version.
fn at_once(kinds: &[String]) -> BTreeSet<&str> {
    let has = |kind: &str| kinds.iter().any(|one| one == kind);
    let below = if has("minor") { Some("minor") } else { has("patch").then_some("patch") };
    let others = ["major", "digest"].into_iter().filter(|kind| has(kind));
    others.chain(below).collect()
}

/// How many updates are left of each dependency when all rules have been applied.
fn flattened(lines: &[Value]) -> BTreeMap<String, usize> {
    let said = lines
        .iter()
        .filter_map(|line| line["msg"].as_str()?.split_once(" flattened updates found: "));
    let mut found = BTreeMap::new();
    for name in said.flat_map(|(_, names)| names.split(", ")) {
        *found.entry(name.trim().to_owned()).or_default() += 1;
    }
    found
}

#[test]
#[ignore = "scripts/e2e installs what it needs"]
fn what_it_proposes_is_what_is_explained() {
    let scene = Scene::new();
    let folder = scene.folder.path();
    let ran = scene.mirror(&["bots", "--explain", "renovate", "--format", "json"]).run();
    let explained: Value = serde_json::from_str(&ran.stdout).unwrap();
    let lines = renovate_at(folder, &scene.registry);
    assert!(!lines.iter().any(|line| line["msg"] == "config-validation"), "{lines:#?}");
    let found = dependencies(&lines);
    let mut expected: BTreeMap<String, usize> = BTreeMap::new();
    let mut proposals: Vec<(String, Value)> = Vec::new();
    for entry in explained["entries"].as_array().unwrap() {
        let file = format!("images/{}", entry["file"].as_str().unwrap());
        let dependency = &found[&file][0];
        let kinds: Vec<String> = serde_json::from_value(entry["proposes"].clone()).unwrap();
        let mut wanted = at_once(&kinds);
        // A digest is proposed where the tag is another image by now.
        let pinned = dependency["currentDigest"].as_str();
        let updates = dependency["updates"].as_array().unwrap();
        let of = |kind: &str| updates.iter().find(|one| one["updateType"] == kind);
        if pinned.is_some() && of("digest").is_none() {
            wanted.remove("digest");
        }
        for kind in &wanted {
            let update = of(kind)
                .unwrap_or_else(|| panic!("{file}: no {kind} in {dependency:#}, {entry:#}"));
            proposals.push((file.clone(), update.clone()));
        }
        let name = dependency["depName"].as_str().unwrap().to_owned();
        *expected.entry(name).or_default() += wanted.len();
    }
    expected.retain(|_, count| *count > 0);
    assert_eq!(flattened(&lines), expected);
    assert!(proposals.len() >= 150, "{}", proposals.len());
    assert!(proposals.iter().any(|(_, update)| update["updateType"] == "digest"));
    each_can_be_merged(&scene, &proposals);
}

/// What Renovate would write is a tree that is planned without conflict, and for which its configuration is current.
fn each_can_be_merged(scene: &Scene, proposals: &[(String, Value)]) {
    let folder = scene.folder.path();
    scene.mirror(&["apply"]).run();
    let before = entries(folder);
    for (file, update) in proposals {
        let path = folder.join(file);
        let old = std::fs::read_to_string(&path).unwrap();
        let reference = &before[file];
        let tag = reference.tag.as_ref().unwrap().as_str();
        let mut new = old.replace(
            &format!(":{tag}"),
            &format!(":{}", update["newValue"].as_str().unwrap_or(tag)),
        );
        if let (Some(digest), Some(next)) = (&reference.digest, update["newDigest"].as_str()) {
            new = new.replace(&digest.to_string(), next);
        }
        assert_ne!(old, new, "{file}: {update:#}");
        std::fs::write(&path, new).unwrap();
        scene.mirror(&["bots", "--check"]).run();
        scene.mirror(&["plan", "--no-sizes", "--changed-since", "HEAD"]).run();
        std::fs::write(&path, old).unwrap();
    }
}

/// So that nobody takes the wrong file for the one that Renovate loads.
pub(crate) fn hook() -> String {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/e2e/loopback.mjs");
    assert!(file.is_file() && !installed("MIRROR_E2E_RENOVATE").is_empty());
    format!("--import {}", file.display())
}
