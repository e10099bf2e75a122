//! The command line, run as a process against real servers on loopback.
#![expect(
    clippy::unwrap_used,
    clippy::too_many_lines,
    reason = "tests may panic, and show all that a person reads"
)]

mod answers;
mod apply;
mod bad_input;
mod bots;
mod certificates;
mod challenges;
mod check;
mod config_from;
mod credentials;
mod documents;
mod ease;
mod ecr;
mod faults;
mod foreign;
mod github;
mod holders;
mod huge;
mod init;
mod layout;
mod limits;
mod login;
mod nights;
mod odd;
mod opened;
mod plan;
mod policies;
mod proxies;
mod readers;
mod referrers;
mod rehearsal;
mod requests;
mod saved;
mod scope;
mod served;
mod settling;
mod shards;
mod signatures;
mod told;
mod uploads;
mod verify;
mod workflows;
mod worst;

use std::path::Path;

use expect_test::Expect;
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

/// Holds all that a person reads against what it should be, without what differs from run to run. `UPDATE_EXPECT=1`
/// writes anew what it should be.
fn reads(text: &str, expected: Expect) {
    expected.assert_eq(&steady(text));
}

/// Hides what differs from run to run: ports, times, dates, temporary folders, commits, and in which order images end.
fn steady(text: &str) -> String {
    let text = without_order(&without_dates(&without_ports(&without_folders(text))));
    let words: Vec<&str> = text.split_inclusive(char::is_whitespace).collect();
    let is_number = |word: &str| word.trim().parse::<f64>().is_ok() && word.contains('.');
    let next_is_second = |number: usize| {
        words
            .get(number + 1)
            .is_some_and(|next| next.trim().trim_end_matches([')', ';', ':', '.', ',']) == "s")
    };
    let steady =
        |(number, word): (usize, &&str)| match word.trim().trim_matches(['`', ',', '.', ':']) {
            bare if is_number(word) && next_is_second(number) => word.replace(bare, "N.N"),
            bare if bare.len() == 40 && bare.bytes().all(|byte| byte.is_ascii_hexdigit()) => {
                word.replace(bare, "COMMIT")
            }
            _ => (*word).to_owned(),
        };
    words.iter().enumerate().map(steady).collect()
}

fn without_ports(text: &str) -> String {
    let mut parts = text.split("127.0.0.1:");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |out, part| {
        out + "127.0.0.1:PORT" + part.trim_start_matches(|c: char| c.is_ascii_digit())
    })
}

/// Images end in any order, so their lines are sorted; and how far others were when one failed is chance.
fn without_order(text: &str) -> String {
    let mut out = String::new();
    let mut ended: Vec<String> = Vec::new();
    for line in text.split_inclusive('\n') {
        let counted = line.strip_prefix('[').and_then(|rest| rest.split_once('/'));
        if let Some((_, rest)) = counted.filter(|(number, _)| number.parse::<u32>().is_ok()) {
            ended.push(format!("[N/{rest}"));
            continue;
        }
        ended.sort();
        out += &ended.drain(..).collect::<String>();
        match line.split_once("; ") {
            Some((sums, moved)) if line.starts_with("applied: ") && sums.contains(" failed") => {
                let seconds = moved.rsplit_once("; ").map_or("", |(_, seconds)| seconds);
                out += &format!("{sums}; what had moved by then; {seconds}");
            }
            _ => out += line,
        }
    }
    ended.sort();
    out + &ended.concat()
}

/// Dates as HTTP writes them, `Fri, 27 Nov 2026 22:56:06 GMT`.
fn without_dates(text: &str) -> String {
    let mut parts = text.split(" GMT").peekable();
    let mut out = String::new();
    while let Some(part) = parts.next() {
        let date = part.len().checked_sub(25).filter(|_| parts.peek().is_some());
        let before = date.and_then(|at| part.get(..at)).map(|before| format!("{before}DATE"));
        out += &before.unwrap_or_else(|| part.to_owned());
    }
    out
}

/// The name of a temporary folder is `.tmp` and six letters or digits.
fn without_folders(text: &str) -> String {
    let mut parts = text.split("/.tmp");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |out, part| {
        let path = out.rfind(|c: char| c.is_whitespace() || "\"'`(=".contains(c));
        let before = out.split_at(path.map_or(0, |at| at + 1)).0.to_owned();
        before + "FOLDER" + part.get(6..).unwrap_or_default()
    })
}

/// Sends a signal. Every shell has `kill`; as a program of its own it need not be there.
fn send(signal: &str, process: u32) {
    let kill = format!("kill -{signal} {process}");
    let sent = std::process::Command::new("sh").args(["-c", &kill]).status().unwrap();
    assert!(sent.success());
}
