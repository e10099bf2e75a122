//! Fills a registry with made-up images of two platforms for every entry of a tree, and pins the tree to them:
//! `fill-registry <tree> <host:port>`. Used by `scripts/quickstart`, where the real images can't be had.
//!
//! Images go in through skopeo, so that nothing of ours has touched them before `mirror` does. A reference with a
//! digest gets the digest of its made-up image, as a bot would have written it.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a tool for demonstrations stops at the first surprise"
)]

use std::path::{Path, PathBuf};

use mirror_oci::Reference;
use mirror_testkit::{ImageBuilder, push_by_skopeo};

fn main() {
    let mut arguments = std::env::args().skip(1);
    let tree = PathBuf::from(arguments.next().expect("usage: fill-registry <tree> <host:port>"));
    let host = arguments.next().expect("usage: fill-registry <tree> <host:port>");
    let mut files = Vec::new();
    dockerfiles(&tree, &mut files);
    files.sort();
    for file in &files {
        let text = std::fs::read_to_string(file).unwrap();
        let reference = text.trim().strip_prefix("FROM ").expect("a sample file is one FROM line");
        let parsed: Reference = reference.parse().unwrap();
        let tag = parsed.tag.as_ref().expect("a sample reference has a tag").as_str();
        let image = ImageBuilder::new(reference)
            .platforms(&["linux/amd64", "linux/arm64"])
            .layers(&[150_000, 2_500_000])
            .shared_layer("a base that all of them share", 1_500_000)
            .build();
        push_by_skopeo(&image, &format!("{host}/{}:{tag}", parsed.name.repository));
        if let Some(digest) = &parsed.digest {
            std::fs::write(file, text.replace(digest.as_str(), image.digest().as_str())).unwrap();
        }
    }
    println!("{} images of 2 platforms each are in the source registry", files.len());
}

fn dockerfiles(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            dockerfiles(&path, found);
        } else if path.file_name().is_some_and(|name| name == "Dockerfile") {
            found.push(path);
        }
    }
}
