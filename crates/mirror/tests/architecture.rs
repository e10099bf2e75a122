//! Which crate may use which, held against the resolved graph, so that nothing sneaks in through a dependency.
#![expect(clippy::unwrap_used, reason = "tests may panic")]

use std::collections::{BTreeMap, BTreeSet};

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
        &["tokio", "reqwest", "hyper", "walkdir"],
    ),
    ("mirror-registry", &["mirror-oci", "mirror-failure"], &["clap", "aws-config"]),
    ("mirror-copy", &["mirror-oci", "mirror-failure", "mirror-registry"], &["clap", "aws-config"]),
    ("mirror-ecr", &["mirror-oci", "mirror-failure", "mirror-plan", "mirror-registry"], &["clap"]),
    ("mirror-github", &["mirror-oci"], &["clap", "aws-config", "reqwest", "aws-lc-rs", "rsa"]),
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
            "mirror-ecr",
            "mirror-github",
        ],
        &["native-tls", "openssl", "aws-lc-rs"],
    ),
    ("mirror-testkit", &["mirror-oci"], &["reqwest"]),
];

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
