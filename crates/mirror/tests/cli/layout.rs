//! The destination that needs no account: an OCI image layout.

use expect_test::expect;
use mirror_testkit::{Image, ImageBuilder, missing_tool};

use crate::Pair;

fn layout_of(pair: &Pair) -> std::path::PathBuf {
    let config = format!("[registry.\"docker.io\"]\nendpoint = \"{}\"\n", pair.source.endpoint());
    pair.project.write("images/mirror.toml", &config);
    pair.project.path().join("mirror-store")
}

fn holds(store: &std::path::Path, image: &Image) {
    for (digest, bytes) in &image.blobs {
        assert_eq!(std::fs::read(store.join("blobs/sha256").join(digest.hex())).unwrap(), **bytes);
    }
    for manifest in &image.manifests {
        assert_eq!(
            std::fs::read(store.join("blobs/sha256").join(manifest.digest.hex())).unwrap(),
            manifest.bytes
        );
    }
}

#[test]
fn the_default_destination_is_readable_by_skopeo() {
    let index = ImageBuilder::new("i")
        .platforms(&["linux/amd64", "linux/arm64"])
        .layers(&[5000, 1_600_000])
        .build();
    let docker = ImageBuilder::new("d").docker().build();
    let pair = Pair::new(&[("library/app", "1.0", &index), ("team/docker", "2", &docker)]);
    let store = layout_of(&pair);
    let ran = pair.project.mirror(&["apply"]).run();
    crate::reads(
        &ran.stdout,
        expect![[r#"
        applied: 2 copied, 0 unchanged; 3.1 MiB fetched, 3.1 MiB pushed; N.N s
    "#]],
    );
    holds(&store, &index);
    holds(&store, &docker);
    let parts: Vec<_> = std::fs::read_dir(store.join("blobs"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(parts, ["sha256"], "no leftovers");
    let again = pair.project.mirror(&["apply"]).run();
    crate::reads(
        &again.stdout,
        expect![[r#"
        applied: 0 copied, 2 unchanged; 0 B fetched, 0 B pushed; N.N s
    "#]],
    );
    if missing_tool("skopeo") {
        return;
    }
    let skopeo =
        |arguments: &[&str]| std::process::Command::new("skopeo").args(arguments).output().unwrap();
    let name = format!("oci:{}:docker.io/library/app:1.0", store.display());
    let raw = skopeo(&["inspect", "--raw", &name]);
    assert_eq!(raw.stdout, index.manifests[2].bytes, "{raw:?}");
    let copy = pair.project.path().join("copy");
    let copied =
        skopeo(&["copy", "--all", "--preserve-digests", &name, &format!("dir:{}", copy.display())]);
    assert!(copied.status.success(), "{copied:?}");
}

#[test]
fn a_moved_tag_replaces_its_entry_alone() {
    let (old, new) = (ImageBuilder::new("old").build(), ImageBuilder::new("new").build());
    let pair = Pair::new(&[("library/app", "1", &old), ("library/other", "1", &old)]);
    let store = layout_of(&pair);
    pair.project.mirror(&["apply"]).run();
    pair.source.add("library/app", "1", &new);
    pair.project.mirror(&["apply"]).run();
    let index: serde_json::Value =
        serde_json::from_slice(&std::fs::read(store.join("index.json")).unwrap()).unwrap();
    let entries = index["manifests"].as_array().unwrap();
    let digest = |n: usize| entries[n]["digest"].as_str().unwrap();
    assert_eq!(
        (entries.len(), digest(0), digest(1)),
        (2, new.digest().as_str(), old.digest().as_str())
    );
}

#[test]
fn a_sparse_index_keeps_its_bytes() {
    let index =
        ImageBuilder::new("s").platforms(&["linux/amd64", "linux/arm64", "linux/s390x"]).build();
    let pair = Pair::new(&[("library/app", "1", &index)]);
    let store = layout_of(&pair);
    let config = std::fs::read_to_string(pair.project.path().join("images/mirror.toml")).unwrap();
    let exception =
        "[[image]]\nmatch = \"docker.io/**\"\nplatforms = [\"linux/amd64\", \"linux/arm64\"]\n";
    pair.project.write("images/mirror.toml", &(config + exception));
    pair.project.mirror(&["apply"]).run();
    let has = |n: usize| store.join("blobs/sha256").join(index.manifests[n].digest.hex()).exists();
    assert_eq!([has(0), has(1), has(2), has(3)], [true, true, false, true]);
    crate::reads(
        &pair.project.mirror(&["plan"]).run().stdout,
        expect![[r#"
        mirror-store
          = docker.io/library/app:1  sha256:15ffe79649cf

        plan: 0 to create, 0 to update, 1 unchanged
    "#]],
    );
}
