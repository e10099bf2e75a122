//! Debian's `docker-registry`, started as a process on a free loopback port.

use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::certificates::KeyPair;

/// A running `docker-registry` with a folder of its own. It ends, and the folder goes, when it is dropped.
pub struct DebianRegistry {
    port: u16,
    child: Child,
    _folder: TempDir,
}

impl DebianRegistry {
    /// Starts one that lets anybody do anything.
    pub fn start() -> DebianRegistry {
        DebianRegistry::open(None)
    }

    /// Starts one that wants a user and a password (htpasswd).
    pub fn with_password(user: &str, password: &str) -> DebianRegistry {
        DebianRegistry::open(Some((user, password)))
    }

    /// Starts one that speaks TLS with this certificate, and wants one of its clients where an authority for those is given.
    pub fn with_tls(own: &KeyPair, clients: Option<&Path>) -> DebianRegistry {
        let clients = clients.map(|file| format!(", clientcas: [{}]", file.display()));
        let tls = format!(
            "  tls: {{certificate: {}, key: {}{}}}\n",
            own.certificate.display(),
            own.key.display(),
            clients.unwrap_or_default()
        );
        DebianRegistry::run(tempfile::tempdir().unwrap(), &tls)
    }

    fn open(login: Option<(&str, &str)>) -> DebianRegistry {
        let folder = tempfile::tempdir().unwrap();
        let mut auth = String::new();
        if let Some((user, password)) = login {
            let file = folder.path().join("htpasswd");
            let output = Command::new("htpasswd").args(["-nbB", user, password]).output();
            let output = output.expect("htpasswd (Debian package apache2-utils) is needed");
            std::fs::write(&file, output.stdout).unwrap();
            auth = format!("auth:\n  htpasswd: {{realm: test, path: {}}}\n", file.display());
        }
        DebianRegistry::run(folder, &auth)
    }

    fn run(folder: TempDir, more: &str) -> DebianRegistry {
        // The port is free now; should another process be faster, the start is tried again.
        for _ in 0..5 {
            let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
            let config = folder.path().join("config.yml");
            std::fs::write(&config, yaml(folder.path(), port, more)).unwrap();
            let mut child = Command::new("docker-registry")
                .arg("serve")
                .arg(&config)
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .expect("docker-registry (Debian package docker-registry) is needed");
            if listens(&mut child, port) {
                return DebianRegistry { port, child, _folder: folder };
            }
        }
        panic!("docker-registry does not start");
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// `127.0.0.1:<port>`.
    pub fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }
}

impl Drop for DebianRegistry {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// `more` goes behind the section `http`, the last one.
fn yaml(folder: &Path, port: u16, more: &str) -> String {
    let storage = folder.join("storage");
    format!(
        "version: 0.1\nlog: {{level: error}}\nstorage:\n  filesystem: {{rootdirectory: {}}}\n  delete: {{enabled: true}}\nhttp:\n  addr: 127.0.0.1:{port}\n{more}",
        storage.display()
    )
}

fn listens(child: &mut Child, port: u16) -> bool {
    let started = Instant::now();
    while started.elapsed() < Duration::from_secs(20) {
        if child.try_wait().unwrap().is_some() {
            return false;
        }
        if TcpStream::connect(("127.0.0.1", port)).is_ok() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    let _ = child.kill();
    false
}

/// Whether a test must be passed over because a program is missing. Where `CI` is `true` that is a failure.
pub fn missing_tool(program: &str) -> bool {
    let found = Command::new(program)
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok();
    assert!(
        found || std::env::var("CI").as_deref() != Ok("true"),
        "{program} is missing; scripts/test installs it"
    );
    if !found {
        eprintln!("passed over: {program} is not installed; scripts/test installs it");
    }
    !found
}
