//! The walk through any manifests, and through anybody's image layout.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests may panic")]

use std::collections::{BTreeMap, BTreeSet};

use mirror_copy::{Graph, Layout, ManifestSpool};
use mirror_oci::caps::MAX_DEPTH;
use mirror_oci::{Algorithm, Digest, Platforms, RawManifest, media_type};
use mirror_registry::Threads;
use proptest::prelude::*;

/// An index that names some of those before it, some of them several times, or an image with a layer.
fn manifest(children: &[&RawManifest], number: usize) -> RawManifest {
    let (kind, text) = if children.is_empty() {
        let layer = Digest::of(Algorithm::Sha256, &[u8::try_from(number % 5).unwrap()]);
        let blob = format!(r#"{{"mediaType":"x","digest":"{layer}","size":1}}"#);
        let text =
            format!(r#"{{"config":{blob},"layers":[{blob}],"annotations":{{"n":"{number}"}}}}"#);
        (media_type::OCI_MANIFEST, text)
    } else {
        let child = |child: &&RawManifest| {
            let (kind, digest, size) = (child.media_type(), child.digest(), child.bytes().len());
            format!(r#"{{"mediaType":"{kind}","digest":"{digest}","size":{size}}}"#)
        };
        let list: Vec<String> = children.iter().map(child).collect();
        let text =
            format!(r#"{{"manifests":[{}],"annotations":{{"n":"{number}"}}}}"#, list.join(","));
        (media_type::OCI_INDEX, text)
    };
    RawManifest::digested(text.into(), kind).unwrap()
}

/// For each manifest which of those before it are its children, and whether it is there.
fn made(shape: &[(Vec<usize>, bool)]) -> Vec<(RawManifest, Vec<usize>, bool)> {
    let mut all: Vec<(RawManifest, Vec<usize>, bool)> = Vec::new();
    for (number, (children, there)) in shape.iter().enumerate() {
        let children: Vec<usize> =
            if number == 0 { Vec::new() } else { children.iter().map(|c| c % number).collect() };
        let named: Vec<&RawManifest> = children.iter().map(|child| &all[*child].0).collect();
        let one = manifest(&named, number);
        all.push((one, children, *there));
    }
    all
}

/// All that can be reached from the last one, and how many levels that takes, its own included.
fn reachable(all: &[(RawManifest, Vec<usize>, bool)]) -> (BTreeSet<usize>, usize) {
    let (mut seen, mut levels) = (BTreeSet::new(), 0);
    let mut level = BTreeSet::from([all.len() - 1]);
    while !level.is_empty() {
        seen.extend(level.iter().copied());
        let next = level.iter().flat_map(|number| all[*number].1.iter().copied());
        level = next.filter(|number| !seen.contains(number)).collect();
        levels += 1;
    }
    (seen, levels)
}

async fn walked(all: &[(RawManifest, Vec<usize>, bool)]) -> Result<Vec<Digest>, String> {
    let spool = ManifestSpool::default();
    all.iter().filter(|(.., there)| *there).for_each(|(one, ..)| spool.put(one).unwrap());
    let root = all.last().unwrap().0.digest();
    let graph = Graph::saved(&spool, root, &Platforms::All).await.map_err(|why| why.to_string())?;
    Ok(graph.manifests().map(|manifest| manifest.digest().clone()).collect())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn each_manifest_once_and_children_first(
        shape in proptest::collection::vec(
            (proptest::collection::vec(0..40usize, 0..5), proptest::bool::weighted(0.98)),
            1..40,
        )
    ) {
        let all = made(&shape);
        let (reachable, levels) = reachable(&all);
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let walked = runtime.block_on(walked(&all));
        let missing = reachable.iter().any(|number| !all[*number].2);
        if missing || levels > MAX_DEPTH + 1 {
            prop_assert!(walked.is_err());
            return Ok(());
        }
        let walked = walked.unwrap();
        let wanted: BTreeSet<&Digest> = reachable.iter().map(|number| all[*number].0.digest()).collect();
        prop_assert_eq!(walked.iter().collect::<BTreeSet<_>>(), wanted);
        prop_assert_eq!(walked.len(), reachable.len(), "one of them twice");
        let at: BTreeMap<&Digest, usize> = walked.iter().enumerate().map(|(at, one)| (one, at)).collect();
        for number in &reachable {
            for child in &all[*number].1 {
                prop_assert!(at[all[*child].0.digest()] < at[all[*number].0.digest()]);
            }
        }
    }

    #[test]
    fn any_index_of_a_layout_is_read_or_refused(
        index in "(\\{\"schemaVersion\":2,\"manifests\":\\[)?(\\{\"mediaType\":\"[a-z/]{0,9}\",\"digest\":\"sha256:[0-9a-f]{64}\",\"size\":[-0-9]{1,3}(,\"annotations\":\\{\"org.opencontainers.image.ref.name\":\"app:1\"\\})?\\},?){0,4}(\\]\\})?[ -~]{0,9}",
    ) {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
        std::fs::write(folder.path().join("index.json"), &index).unwrap();
        let layout = Layout::open(folder.path(), Threads::Here).unwrap();
        // Nothing that it names is there.
        prop_assert!(layout.digest_of("app:1").unwrap_or_default().is_none());
    }
}
