//! Debian's `docker-registry`, started as a process on a free loopback port.

use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// A running `docker-registry` with a folder of its own. It ends, and the folder goes, when it is dropped.
pub struct DebianRegistry {
    port: u16,
    child: Child,
    _folder: TempDir,
}

impl DebianRegistry {
    /// Starts one that lets anybody do anything.
    pub fn start() -> DebianRegistry {
        DebianRegistry::run(None)
    }

    /// Starts one that wants a user and a password (htpasswd).
    pub fn with_password(user: &str, password: &str) -> DebianRegistry {
        DebianRegistry::run(Some((user, password)))
    }

    fn run(login: Option<(&str, &str)>) -> DebianRegistry {
        let folder = tempfile::tempdir().unwrap();
        // The port is free now; should another process be faster, the start is tried again.
        for _ in 0..5 {
            let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
            let config = folder.path().join("config.yml");
            std::fs::write(&config, yaml(folder.path(), port, login)).unwrap();
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

fn yaml(folder: &Path, port: u16, login: Option<(&str, &str)>) -> String {
    let storage = folder.join("storage");
    let mut yaml = format!(
        "version: 0.1\nlog: {{level: error}}\nstorage:\n  filesystem: {{rootdirectory: {}}}\n  delete: {{enabled: true}}\nhttp: {{addr: \"127.0.0.1:{port}\"}}\n",
        storage.display()
    );
    if let Some((user, password)) = login {
        let file = folder.join("htpasswd");
        let output = Command::new("htpasswd").args(["-nbB", user, password]).output();
        let output = output.expect("htpasswd (Debian package apache2-utils) is needed");
        std::fs::write(&file, output.stdout).unwrap();
        yaml += &format!("auth:\n  htpasswd: {{realm: test, path: {}}}\n", file.display());
    }
    yaml
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
