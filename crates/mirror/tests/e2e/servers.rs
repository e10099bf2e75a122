//! Registries and a proxy that others wrote, as processes on loopback.

use std::io::{BufRead, BufReader};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::installed;

/// Pulp with its container plugin; its user is `admin`.
pub(crate) struct Pulp {
    pub(crate) host: String,
    child: Child,
    /// It ends when this is closed.
    running: Option<ChildStdin>,
    _folder: TempDir,
}

pub(crate) const PASSWORD: &str = "password-of-admin";

impl Pulp {
    pub(crate) fn start() -> Pulp {
        let folder = tempfile::tempdir().unwrap();
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/e2e/pulp.sh");
        let mut command = Command::new("bash");
        command.arg(script).arg(folder.path()).arg(PASSWORD);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut port = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut port).unwrap();
        let running = child.stdin.take();
        assert!(!port.is_empty(), "Pulp does not start");
        Pulp { host: format!("127.0.0.1:{}", port.trim()), child, running, _folder: folder }
    }
}

impl Drop for Pulp {
    fn drop(&mut self) {
        drop(self.running.take());
        let _ = self.child.wait();
    }
}

/// A program that listens on a port of its own until it is dropped.
pub(crate) struct Listening {
    pub(crate) host: String,
    child: Child,
    _folder: TempDir,
}

impl Listening {
    /// Starts what `command` makes of a folder and a free port.
    fn start(command: impl Fn(&Path, u16) -> Command) -> Listening {
        let folder = tempfile::tempdir().unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut command = command(folder.path(), port);
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let child = child.unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let listening = Listening { host: format!("127.0.0.1:{port}"), child, _folder: folder };
        let started = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(started.elapsed() < Duration::from_secs(20), "{command:?} does not listen");
            std::thread::sleep(Duration::from_millis(20));
        }
        listening
    }

    /// container-registry, <https://crates.io/crates/container-registry>: any user with this password.
    pub(crate) fn container_registry(password: &str) -> Listening {
        Listening::start(|folder, port| {
            let mut command = Command::new(installed("MIRROR_E2E_CONTAINER_REGISTRY"));
            let bind = format!("127.0.0.1:{port}");
            command.args(["--bind", &bind, "--password", password, "--storage"]);
            command.arg(folder.join("storage"));
            command
        })
    }

    /// tinyproxy with a login and a host that it refuses; all else goes to `parent`, another proxy.
    pub(crate) fn tinyproxy(user: &str, password: &str, refused: &str, parent: &str) -> Listening {
        Listening::start(|folder, port| {
            let filter = folder.join("filter");
            std::fs::write(&filter, refused).unwrap();
            let config = format!(
                "Port {port}\nListen 127.0.0.1\nTimeout 60\nMaxClients 100\nBasicAuth {user} {password}\nFilter \"{}\"\nUpstream http {parent}\n",
                filter.display()
            );
            let file = folder.join("tinyproxy.conf");
            std::fs::write(&file, config).unwrap();
            let mut command = Command::new("tinyproxy");
            command.arg("-d").arg("-c").arg(file);
            command
        })
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
