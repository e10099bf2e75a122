//! The command line, run as a process against real servers on loopback.
#![expect(clippy::unwrap_used, reason = "tests may panic")]

mod apply;
mod bad_input;
mod check;
mod config_from;
mod credentials;
mod documents;
mod ease;
mod ecr;
mod faults;
mod foreign;
mod github;
mod huge;
mod layout;
mod limits;
mod nights;
mod odd;
mod opened;
mod plan;
mod readers;
mod referrers;
mod rehearsal;
mod requests;
mod saved;
mod scope;
mod shards;
mod signatures;
mod told;
mod uploads;
mod verify;
mod worst;

use std::path::Path;

use mirror_testkit::{Image, Mirror, Registry};
use tempfile::TempDir;

/// A folder with a tree and its configuration, and the binary to run in it.
struct Project(TempDir);

impl Project {
    fn new() -> Project {
        let project = Project(tempfile::tempdir().unwrap());
        std::fs::create_dir(project.path().join("images")).unwrap();
        project
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn write(&self, file: &str, content: &str) -> &Project {
        let path = self.path().join(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
        self
    }

    /// One entry, in the folder that its reference says.
    fn entry(&self, reference: &str) -> &Project {
        let parsed: mirror_oci::Reference = reference.parse().unwrap();
        let mut folder = parsed.name.to_string();
        if self.path().join("images").join(&folder).join("Dockerfile").exists() {
            folder = format!(
                "{folder}/{}",
                parsed.version().unwrap().to_string().replace([':', '@'], "-")
            );
        }
        self.write(&format!("images/{folder}/Dockerfile"), &format!("FROM {reference}\n"))
    }

    /// `docker.io` is really at `source`, and everything goes to `destination`.
    fn config(&self, source: &str, destination: &str) -> &Project {
        self.write(
            "images/mirror.toml",
            &format!(
                "[[destination]]\nname = \"prod\"\nregistry = \"{destination}\"\n\n[registry.\"docker.io\"]\nendpoint = \"http://{source}\"\n"
            ),
        )
    }

    fn mirror(&self, arguments: &[&str]) -> Mirror {
        Mirror::new(env!("CARGO_BIN_EXE_mirror"), self.path(), arguments)
    }
}

/// Two registries, the first with images that a project wants in the second.
struct Pair {
    source: Registry,
    destination: Registry,
    project: Project,
}

impl Pair {
    fn new(images: &[(&str, &str, &Image)]) -> Pair {
        let pair = Pair {
            source: Registry::start(),
            destination: Registry::start(),
            project: Project::new(),
        };
        pair.project.config(&pair.source.host(), &pair.destination.host());
        for (repository, tag, image) in images {
            pair.source.add(repository, tag, image);
            pair.project.entry(&format!("{repository}:{tag}"));
        }
        pair
    }
}

/// Whether a request looks for signatures and the like; those come on top of what copying an image takes.
fn looks_for_referrers(request: &mirror_testkit::Recorded) -> bool {
    request.path.contains("/referrers/") || request.path.contains("/manifests/sha256-")
}

/// Hides what differs from run to run: ports and times.
fn steady(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("127.0.0.1:") {
        let (before, after) = rest.split_at(at + "127.0.0.1:".len());
        out.push_str(before);
        out.push_str("PORT");
        rest = after.trim_start_matches(|c: char| c.is_ascii_digit());
    }
    out.push_str(rest);
    let words: Vec<String> =
        out.split_inclusive(char::is_whitespace).map(|word| word.to_owned()).collect();
    let is_number = |word: &str| word.trim().parse::<f64>().is_ok() && word.contains('.');
    let mut steady = String::new();
    for (number, word) in words.iter().enumerate() {
        let before_seconds =
            words.get(number + 1).is_some_and(|next| next.trim().trim_end_matches(')') == "s");
        steady.push_str(&if is_number(word) && before_seconds {
            "N.N ".to_owned()
        } else {
            word.clone()
        });
    }
    steady
}

/// Sends a signal. Every shell has `kill`; as a program of its own it need not be there.
fn send(signal: &str, process: u32) {
    let kill = format!("kill -{signal} {process}");
    let sent = std::process::Command::new("sh").args(["-c", &kill]).status().unwrap();
    assert!(sent.success());
}
