//! Clients that pull images, each with a store of its own that is empty.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use mirror_oci::{Algorithm, Digest};
use tempfile::TempDir;

/// `user:password`
pub(crate) type Login<'a> = Option<&'a str>;

const PLATFORMS: [&str; 2] = ["linux/amd64", "linux/arm64"];

/// An image for two platforms that runtimes can unpack.
pub(crate) struct RealImage {
    folder: TempDir,
    pub(crate) digest: String,
}

impl RealImage {
    pub(crate) fn make() -> RealImage {
        let folder = tempfile::tempdir().unwrap();
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/e2e/image.py");
        let output = Command::new("python3").arg(script).arg(folder.path()).arg("it").output();
        let output = done("python3", output.unwrap());
        let digest = String::from_utf8(output.stdout).unwrap().trim().to_owned();
        RealImage { folder, digest }
    }

    /// Puts it into a registry by skopeo; one platform of it, where that can't take an index.
    pub(crate) fn push(&self, reference: &str, login: Login<'_>, platforms: &str) {
        let mut command = Command::new("skopeo");
        command.args(["copy", "--quiet", "--preserve-digests", "--dest-tls-verify=false"]);
        command.args(login.iter().flat_map(|login| ["--dest-creds", login]));
        command.args((platforms == "all").then_some("--all"));
        command.arg(format!("oci:{}:it", self.folder.path().display()));
        command.arg(format!("docker://{reference}"));
        done("skopeo", command.output().unwrap());
    }

    /// Whether skopeo reads the very same blobs and manifests.
    pub(crate) fn is_at(&self, reference: &str, login: Login<'_>) {
        let back = tempfile::tempdir().unwrap();
        let mut command = Command::new("skopeo");
        command.args(["copy", "--quiet", "--all", "--preserve-digests", "--src-tls-verify=false"]);
        command.args(login.iter().flat_map(|login| ["--src-creds", login]));
        command.arg(format!("docker://{reference}"));
        command.arg(format!("oci:{}:it", back.path().display()));
        done("skopeo", command.output().unwrap());
        assert_eq!(files(back.path()), files(self.folder.path()));
    }
}

/// The digest of what a tag names, by skopeo.
pub(crate) fn digest(reference: &str, login: Login<'_>) -> String {
    let mut command = Command::new("skopeo");
    command.args(["inspect", "--raw", "--tls-verify=false"]);
    command.args(login.iter().flat_map(|login| ["--creds", login]));
    let output = command.arg(format!("docker://{reference}")).output().unwrap();
    Digest::of(Algorithm::Sha256, &done("skopeo", output).stdout).to_string()
}

/// Blobs of a layout with their bytes.
fn files(layout: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let folder = layout.join("blobs/sha256");
    let entries = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = entries
        .map(|path| (path.strip_prefix(&folder).unwrap().to_owned(), std::fs::read(&path).unwrap()))
        .collect();
    files.sort();
    files
}

fn done(program: &str, output: Output) -> Output {
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program}: {said}");
    output
}

/// Pulls an image for each platform by podman and buildah, and all of it by containerd. They unpack what they pull, so that
/// they find what is missing or damaged.
pub(crate) fn all_pull(reference: &str, login: Login<'_>) {
    for platform in PLATFORMS {
        for program in ["podman", "buildah"] {
            done(program, pull(program, reference, platform, login));
        }
    }
    done("ctr", containerd(reference, login));
}

/// That none of them is content with what is not there.
pub(crate) fn none_pulls(reference: &str, login: Login<'_>) {
    for program in ["podman", "buildah"] {
        assert!(!pull(program, reference, PLATFORMS[0], login).status.success(), "{program}");
    }
    assert!(!containerd(reference, login).status.success());
}

fn pull(program: &str, reference: &str, platform: &str, login: Login<'_>) -> Output {
    let store = tempfile::tempdir().unwrap();
    let folder = |name: &str| store.path().join(name);
    let mut command = Command::new(program);
    command.arg("--root").arg(folder("root")).arg("--runroot").arg(folder("run"));
    command.args(["--storage-driver", "vfs"]);
    if program == "podman" {
        command.arg("--tmpdir").arg(folder("files"));
        command.args(["--cgroup-manager", "cgroupfs", "--events-backend", "none"]);
    }
    command.args(["pull", "--quiet", "--tls-verify=false", "--platform", platform]);
    command.args(login.iter().flat_map(|login| ["--creds", login]));
    command.arg(reference).output().unwrap()
}

/// A containerd for one pull.
fn containerd(reference: &str, login: Login<'_>) -> Output {
    let store = tempfile::tempdir().unwrap();
    let folder = store.path().display();
    // What is switched off wants Kubernetes, or folders of the system.
    let config = format!(
        "version = 2\nroot = \"{folder}/root\"\nstate = \"{folder}/state\"\ndisabled_plugins = [\"io.containerd.grpc.v1.cri\", \"io.containerd.internal.v1.opt\"]\n[grpc]\n  address = \"{folder}/socket\"\n"
    );
    let file = store.path().join("config.toml");
    std::fs::write(&file, config).unwrap();
    let mut daemon = Command::new("containerd");
    daemon.arg("--config").arg(file).args(["--log-level", "error"]);
    let mut daemon = daemon.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let client = || {
        let mut client = Command::new("ctr");
        client.arg("--address").arg(store.path().join("socket"));
        client
    };
    let started = Instant::now();
    while !client().arg("version").output().unwrap().status.success() {
        assert!(started.elapsed() < Duration::from_secs(30), "containerd does not start");
        std::thread::sleep(Duration::from_millis(50));
    }
    let mut fetch = client();
    fetch.args(["content", "fetch", "--all-platforms", "--plain-http"]);
    fetch.args(login.iter().flat_map(|login| ["--user", login]));
    let output = fetch.arg(reference).output().unwrap();
    daemon.kill().unwrap();
    daemon.wait().unwrap();
    output
}
