//! Images that nothing of ours has touched before.

use std::process::Command;

use crate::image::Image;

/// Puts an image into a registry without TLS by skopeo, as `host/repository:tag`.
pub fn push_by_skopeo(image: &Image, reference: &str) {
    push_by_skopeo_with(image, reference, &[]);
}

/// The same with more arguments.
pub fn push_by_skopeo_with(image: &Image, reference: &str, more: &[&str]) {
    let folder = tempfile::tempdir().unwrap();
    image.write_layout(folder.path(), "it");
    let output = Command::new("skopeo")
        .args(["copy", "--quiet", "--all", "--preserve-digests", "--dest-tls-verify=false"])
        .args(more)
        .arg(format!("oci:{}:it", folder.path().display()))
        .arg(format!("docker://{reference}"))
        .output()
        .expect("skopeo is needed");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
