//! The walk through any manifests: it ends, takes each of them once, and children before parents.
#![no_main]

use std::collections::BTreeSet;

use mirror_copy::{Graph, ManifestSpool};
use mirror_oci::{Digest, Platforms, RawManifest, media_type};

/// Each text is a manifest; `@` and a letter in it is the digest of an earlier one.
fn manifests(texts: &[String]) -> Vec<RawManifest> {
    let mut made: Vec<RawManifest> = Vec::new();
    for text in texts {
        let mut document = text.clone();
        for (letter, earlier) in ('a'..='z').zip(&made) {
            document = document.replace(&format!("@{letter}"), earlier.digest().as_str());
        }
        made.extend(RawManifest::digested(document.into(), media_type::OCI_INDEX));
    }
    made
}

libfuzzer_sys::fuzz_target!(|texts: Vec<String>| {
    let (spool, made) = (ManifestSpool::default(), manifests(&texts));
    if made.iter().any(|manifest| spool.put(manifest).is_err()) {
        return;
    }
    let Some(root) = made.last() else { return };
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    let read = async || Graph::saved(&spool, root.digest(), &Platforms::All).await;
    let Ok(Ok(graph)) = runtime.map(|runtime| runtime.block_on(read())) else { return };
    let mut before: BTreeSet<Digest> = BTreeSet::new();
    for manifest in graph.manifests() {
        let links = manifest.links();
        let children = links.iter().flat_map(|links| &links.manifests);
        assert!(children.into_iter().all(|child| before.contains(&child.digest)));
        assert!(before.insert(manifest.digest().clone()), "twice");
    }
    assert!(before.contains(root.digest()));
});
