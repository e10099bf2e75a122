//! GitHub's own description of its API, served by Prism: it answers with the examples of the description, and with 422
//! or 404 to what doesn't fit.

use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use mirror_testkit::{FakeGitHub, GITHUB_REPOSITORY, GITHUB_TOKEN, ImageBuilder, Registry};
use tempfile::TempDir;

use crate::{installed, mirror};

/// The head of the pull request in the examples of the description.
const HEAD: &str = "6dcb09b5b57875f334f61aebed695e2e4193db5e";

struct Prism {
    child: Child,
    port: u16,
}

impl Prism {
    fn start() -> Prism {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let child = Command::new(installed("MIRROR_E2E_PRISM"))
            .args(["mock", "--host", "127.0.0.1", "--port", &port.to_string()])
            .arg(installed("MIRROR_E2E_OPENAPI"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let prism = Prism { child, port };
        let started = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(started.elapsed() < Duration::from_secs(120), "Prism does not start");
            std::thread::sleep(Duration::from_millis(100));
        }
        prism
    }

    fn api(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The status that a call gets.
    fn status(&self, method: &str, path: &str, body: &serde_json::Value) -> String {
        let mut command = Command::new("curl");
        command.args(["--silent", "--output", "/dev/null", "--write-out", "%{http_code}"]);
        command.args(["--request", method, "--header", "accept: application/json"]);
        if !body.is_null() {
            let body = body.to_string();
            command.args(["--header", "content-type: application/json", "--data", &body]);
        }
        let output = command.arg(format!("{}{path}", self.api())).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    }
}

impl Drop for Prism {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A folder with a saved plan, a report and what is outdated, and its registries.
fn project() -> (TempDir, [Registry; 2]) {
    let folder = tempfile::tempdir().unwrap();
    let (source, destination) = (Registry::start(), Registry::start());
    let image = ImageBuilder::new("app").build();
    source.add("team/app", "RELEASE.1.0", &image);
    source.add("team/app", "RELEASE.1.1", &image);
    let images = folder.path().join("images/docker.io/team/app");
    std::fs::create_dir_all(&images).unwrap();
    std::fs::write(images.join("Dockerfile"), "FROM team/app:RELEASE.1.0\n").unwrap();
    let config = format!(
        "[[destination]]\nname = \"prod\"\nregistry = \"{}\"\n[registry.\"docker.io\"]\nendpoint = \"{}\"\n",
        destination.host(),
        source.endpoint()
    );
    std::fs::write(folder.path().join("images/mirror.toml"), config).unwrap();
    mirror(folder.path(), &["plan", "--out", "mirror.plan"]).run();
    mirror(folder.path(), &["apply", "--report", "report.json"]).run();
    let outdated = mirror(folder.path(), &["outdated", "--format", "json"]).run().stdout;
    std::fs::write(folder.path().join("outdated.json"), outdated).unwrap();
    (folder, [source, destination])
}

fn run(folder: &Path, api: &str, token: &str, arguments: &[&str]) -> String {
    mirror(folder, arguments)
        .env("GITHUB_TOKEN", token)
        .env("GITHUB_REPOSITORY", GITHUB_REPOSITORY)
        .env("GITHUB_API_URL", api)
        .run()
        .stderr
}

#[test]
#[ignore = "scripts/e2e installs what it needs"]
fn githubs_own_description_answers_comment_status_and_issue() {
    let prism = Prism::start();
    let (folder, _registries) = project();
    let comment = ["comment", "mirror.plan", "--head", HEAD, "--url", "https://ci.example.com/1"];
    let said = run(folder.path(), &prism.api(), "any", &comment);
    assert!(said.contains(" written\n") && said.contains("status written\n"), "{said}");
    let issue = ["issue", "report.json", "--outdated", "outdated.json"];
    assert_eq!(run(folder.path(), &prism.api(), "any", &issue), "issue written\n");
    // The examples have nothing of ours to change, so changes are made elsewhere and held against the description.
    let fake = FakeGitHub::start();
    fake.open_pull_request(8, HEAD);
    for arguments in [&comment[..], &issue, &["issue", "report.json"]] {
        run(folder.path(), &fake.api(), GITHUB_TOKEN, arguments);
    }
    fake.comment_by(Some("github-actions[bot]"), "<!-- mirror plan other -->");
    run(folder.path(), &fake.api(), GITHUB_TOKEN, &issue);
    run(folder.path(), &fake.api(), GITHUB_TOKEN, &["issue", "--problem", "another"]);
    std::fs::write(folder.path().join("images/mirror.toml"), "").unwrap();
    mirror(folder.path(), &["plan", "--only", "x", "--out", "mirror.plan"]).ends_with(2).run();
    let calls = fake.take_whole_calls();
    let changes = calls.iter().filter(|call| call.method == "PATCH").count();
    assert!(changes >= 2, "{calls:?}");
    for call in calls {
        let status = prism.status(&call.method, &call.path, &call.body);
        assert!(status.starts_with('2'), "{status}: {call:?}");
    }
    // It does find mistakes.
    let path = format!("/repos/{GITHUB_REPOSITORY}/statuses/{HEAD}");
    let wrong = serde_json::json!({ "state": "fine" });
    assert_eq!(prism.status("POST", &path, &wrong), "422");
}

#[test]
#[ignore = "scripts/e2e installs what it needs"]
fn githubs_own_description_takes_what_is_proposed() {
    let prism = Prism::start();
    let (folder, _registries) = project();
    std::fs::write(folder.path().join(".gitignore"), "*.plan\n*.json\n").unwrap();
    let path = folder.path().join("images/mirror.toml");
    let config = std::fs::read_to_string(&path).unwrap();
    let fake = FakeGitHub::start();
    let propose = |groups: &str| {
        std::fs::write(
            &path,
            format!("{config}[bots]\nlabels = [\"mirror\"]\ngroups = \"{groups}\"\n"),
        )
        .unwrap();
        let git = |arguments: &[&str]| {
            let mut command = Command::new("git");
            command.args(["-c", "user.name=Test", "-c", "user.email=test@example.com"]);
            let output = command.args(arguments).current_dir(folder.path()).output().unwrap();
            assert!(output.status.success(), "{output:?}");
            String::from_utf8(output.stdout).unwrap()
        };
        git(&["init", "--quiet"]);
        git(&["add", "--all"]);
        git(&["commit", "--quiet", "--allow-empty", "--message", "next"]);
        fake.push_as(git(&["rev-parse", "HEAD"]).trim(), "main", &[("README.md", "")]);
        run(folder.path(), &fake.api(), GITHUB_TOKEN, &["update", "--propose"])
    };
    assert!(propose("all").ends_with("pull request mirror/update-all written\n"));
    fake.close_pull_request(1, true);
    assert!(propose("all").ends_with("pull request mirror/update-all written\n"));
    assert!(propose("registry").ends_with("closed\n"));
    let calls = fake.take_whole_calls();
    let writes: Vec<&str> =
        calls.iter().filter(|call| call.method != "GET").map(|call| call.path.as_str()).collect();
    assert!(writes.len() >= 10, "{writes:?}");
    for call in calls {
        // The name of a branch is one part of the path to Prism.
        let path = match call.path.split_once("/heads/") {
            Some((before, branch)) => format!("{before}/heads%2F{}", branch.replace('/', "%2F")),
            None => call.path.clone(),
        };
        let status = prism.status(&call.method, &path, &call.body);
        assert!(status.starts_with('2'), "{status}: {call:?}");
    }
}
