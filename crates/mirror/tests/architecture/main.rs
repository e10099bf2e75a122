//! Which crate may use which, held against the resolved graph, so that nothing sneaks in through a dependency; which folders
//! a crate has; that no file of it imports in a circle; and which files reach outside.
#![expect(
    clippy::unwrap_used,
    clippy::string_slice,
    clippy::indexing_slicing,
    reason = "tests may panic"
)]

mod circles;
mod examples;
mod fences;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, PackageId};

/// Crate, the crates of ours that it may use, and crates from outside that must not be anywhere below it.
const ARROWS: &[(&str, &[&str], &[&str])] = &[
    ("mirror-oci", &[], &["tokio", "reqwest", "hyper", "walkdir"]),
    ("mirror-failure", &["mirror-oci"], &["tokio", "reqwest", "hyper", "walkdir"]),
    ("mirror-tree", &["mirror-oci"], &["tokio", "reqwest", "hyper"]),
    (
        "mirror-plan",
        &["mirror-oci", "mirror-failure", "mirror-tree"],
        &["tokio", "reqwest", "hyper"],
    ),
    (
        "mirror-render",
        &["mirror-oci", "mirror-failure", "mirror-plan"],
        &["tokio", "reqwest", "hyper"],
    ),
    ("mirror-registry", &["mirror-oci", "mirror-failure"], &["clap", "aws-config"]),
    ("mirror-copy", &["mirror-oci", "mirror-failure", "mirror-registry"], &["clap", "aws-config"]),
    ("mirror-ecr", &["mirror-oci", "mirror-failure", "mirror-plan", "mirror-registry"], &["clap"]),
    (
        "mirror-engine",
        &[
            "mirror-oci",
            "mirror-failure",
            "mirror-tree",
            "mirror-plan",
            "mirror-registry",
            "mirror-copy",
            "mirror-ecr",
        ],
        &["clap", "indicatif", "native-tls", "openssl", "aws-lc-rs"],
    ),
    (
        "mirror-forge",
        &["mirror-failure", "mirror-oci"],
        &["clap", "aws-config", "reqwest", "aws-lc-rs", "rsa"],
    ),
    (
        "mirror",
        &[
            "mirror-oci",
            "mirror-failure",
            "mirror-tree",
            "mirror-plan",
            "mirror-render",
            "mirror-registry",
            "mirror-copy",
            "mirror-engine",
            "mirror-forge",
        ],
        &["native-tls", "openssl", "aws-lc-rs"],
    ),
    ("mirror-testkit", &["mirror-oci"], &["reqwest"]),
    (
        "mirror-world",
        &[
            "mirror-oci",
            "mirror-failure",
            "mirror-tree",
            "mirror-plan",
            "mirror-registry",
            "mirror-copy",
            "mirror-ecr",
            "mirror-engine",
            "mirror-testkit",
        ],
        &["native-tls", "openssl", "aws-lc-rs"],
    ),
];

/// The folders of each crate that has any: a room for each thing that it knows of.
const FOLDERS: &[(&str, &[&str])] = &[
    ("mirror", &["commands", "commands/init"]),
    ("mirror-copy", &["blob", "blob/spool", "graph", "referrers", "store", "store/layout"]),
    ("mirror-engine", &["look"]),
    ("mirror-forge", &["github"]),
    ("mirror-plan", &["bots", "config", "plan", "provider", "provider/ecr", "report", "want"]),
    ("mirror-tree", &["version"]),
    ("mirror-registry", &["auth", "auth/credentials", "host", "limits", "verbs", "wire"]),
    ("mirror-render", &["ci", "people"]),
    ("mirror-testkit", &["bin", "world"]),
];

/// The folders of sources of all crates.
fn sources() -> Vec<PathBuf> {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned();
    let all = std::fs::read_dir(crates).unwrap().map(|entry| entry.unwrap().path().join("src"));
    let mut all: Vec<PathBuf> = all.filter(|source| source.is_dir()).collect();
    all.sort();
    all
}

#[test]
fn folders() {
    let known: BTreeMap<&str, &[&str]> = FOLDERS.iter().copied().collect();
    for source in sources() {
        let name = source.parent().unwrap().file_name().unwrap().to_str().unwrap().to_owned();
        let inside = walkdir::WalkDir::new(&source).min_depth(1).into_iter();
        let inside = inside.map(|entry| entry.unwrap()).filter(|entry| entry.file_type().is_dir());
        let inside = inside.map(|entry| entry.path().strip_prefix(&source).unwrap().to_owned());
        let found: BTreeSet<String> =
            inside.map(|folder| folder.to_str().unwrap().to_owned()).collect();
        let wanted = known.get(name.as_str()).copied().unwrap_or_default();
        let wanted: BTreeSet<String> = wanted.iter().map(|folder| (*folder).to_owned()).collect();
        assert_eq!(
            found, wanted,
            "{name}: a new room is named in FOLDERS, and in crates/README.md"
        );
    }
}

/// The graph of this platform; that of all platforms would need packages that nobody here builds.
fn metadata() -> Metadata {
    let rustc = std::process::Command::new("rustc").arg("-vV").output().unwrap();
    let version = String::from_utf8(rustc.stdout).unwrap();
    let host = version.lines().find_map(|line| line.strip_prefix("host: ")).unwrap();
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/../../Cargo.toml");
    let options = ["--locked", "--offline", "--filter-platform", host];
    let options = options.map(str::to_owned).to_vec();
    MetadataCommand::new().manifest_path(manifest).other_options(options).exec().unwrap()
}

/// What each package uses in a normal build, by resolved id.
fn edges(metadata: &Metadata) -> BTreeMap<&PackageId, Vec<&PackageId>> {
    let nodes = &metadata.resolve.as_ref().unwrap().nodes;
    let normal = |kinds: &[cargo_metadata::DepKindInfo]| {
        kinds.iter().any(|kind| kind.kind == DependencyKind::Normal)
    };
    nodes
        .iter()
        .map(|node| {
            (
                &node.id,
                node.deps.iter().filter(|dep| normal(&dep.dep_kinds)).map(|dep| &dep.pkg).collect(),
            )
        })
        .collect()
}

/// Everything below a crate that is really built; `cargo metadata` also lists what only a feature would bring that is
/// off.
fn below(crate_name: &str) -> BTreeSet<String> {
    let output = std::process::Command::new(env!("CARGO"))
        .args(["tree", "--locked", "--offline", "--edges", "normal", "--prefix", "none"])
        .args(["--format", "{p}", "--package", crate_name])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let names = text.lines().filter_map(|line| line.split(' ').next());
    names.map(str::to_owned).collect()
}

#[test]
fn arrows() {
    let metadata = metadata();
    let edges = edges(&metadata);
    let name = |id: &PackageId| metadata[id].name.to_string();
    let members: BTreeSet<String> =
        metadata.workspace_packages().iter().map(|package| package.name.to_string()).collect();
    let known: BTreeSet<String> = ARROWS.iter().map(|(name, ..)| (*name).to_owned()).collect();
    assert_eq!(members, known, "a crate is missing in the table");
    for (crate_name, allowed, banned) in ARROWS {
        let package = metadata
            .workspace_packages()
            .into_iter()
            .find(|package| package.name.as_str() == *crate_name)
            .unwrap();
        let direct: Vec<String> = edges[&package.id]
            .iter()
            .map(|id| name(id))
            .filter(|name| members.contains(name))
            .collect();
        for used in direct {
            assert!(allowed.contains(&used.as_str()), "{crate_name} must not use {used}");
        }
        for used in below(crate_name) {
            assert!(!banned.contains(&used.as_str()), "{crate_name} drags in {used}");
        }
    }
}
