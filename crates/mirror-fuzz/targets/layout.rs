//! Anybody's image layout: an index and a manifest of any bytes.
#![no_main]

use mirror_copy::Layout;
use mirror_oci::{Algorithm, Digest, Platforms};
use mirror_registry::Threads;

libfuzzer_sys::fuzz_target!(|data: (&[u8], &[u8])| {
    let (index, manifest) = data;
    let Ok(folder) = tempfile::tempdir() else { return };
    let digest = Digest::of(Algorithm::Sha256, manifest);
    let blobs = folder.path().join("blobs/sha256");
    let wrote = std::fs::create_dir_all(&blobs)
        .and_then(|()| std::fs::write(folder.path().join("oci-layout"), "{\"imageLayoutVersion\":\"1.0.0\"}"))
        .and_then(|()| std::fs::write(folder.path().join("index.json"), index))
        .and_then(|()| std::fs::write(blobs.join(digest.hex()), manifest));
    let Ok(()) = wrote else { return };
    let Ok(layout) = Layout::open(folder.path(), Threads::Here) else { return };
    let _ = layout.digest_of("docker.io/library/app:1");
    if let Some(found) = layout.whole_image(&digest, &Platforms::All) {
        assert!(found.contains_key(&digest));
    }
});
