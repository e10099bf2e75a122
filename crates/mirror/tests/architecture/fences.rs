//! Which files reach outside: the disk, the network, the clock, chance, the environment, other programs. Everything else is
//! the same in a test, in a simulated world and in the real one.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use super::circles::{code, used};

/// What is reached, the words that show it, and the files and folders that may.
const FENCES: &[(&str, &[&str], &[&str])] = &[
    (
        "the disk",
        &["std::fs", "tokio::fs", "tempfile::", "walkdir::", ".exists()"],
        &[
            "mirror-copy/src/blob/spool/documents.rs",
            "mirror-copy/src/blob/spool/files.rs",
            "mirror-copy/src/blob/spool/scratch.rs",
            "mirror-copy/src/store/layout/files.rs",
            "mirror-registry/src/auth/credentials/files.rs",
            "mirror-registry/src/wire/trust.rs",
            "mirror-tree/src/read.rs",
            // Reading and writing files is what the command line is for.
            "mirror/src/",
        ],
    ),
    (
        "the network",
        &["reqwest::", "tokio::net", "std::net::Tcp", "hyper::", "octocrab::", "lookup_host"],
        &[
            "mirror-registry/src/wire/breakage.rs",
            "mirror-registry/src/wire/internet.rs",
            "mirror-registry/src/wire/through.rs",
            "mirror-forge/src/github/client.rs",
            "mirror-forge/src/github/mod.rs",
        ],
    ),
    (
        "the clock",
        &["SystemTime::now", "std::time::Instant", "Utc::now"],
        &[
            "mirror-copy/src/blob/spool/documents.rs",
            "mirror-copy/src/blob/spool/files.rs",
            "mirror-forge/src/github/app.rs",
            "mirror-forge/src/github/call.rs",
            "mirror-registry/src/world.rs",
            "mirror/src/environment.rs",
        ],
    ),
    (
        "chance",
        &["RandomState", "fastrand", "use rand", "getrandom", "SystemRandom"],
        // Signatures need some of their own.
        &["mirror-forge/src/github/app.rs", "mirror-registry/src/world.rs"],
    ),
    (
        "the environment",
        &["std::env", "env::var", "current_dir", "from_system()", "aws_config::defaults"],
        &["mirror-ecr/src/lib.rs", "mirror/src/environment.rs"],
    ),
    (
        "other programs",
        &["Command::new"],
        &["mirror-registry/src/auth/credentials/helper.rs", "mirror/src/git.rs"],
    ),
];

/// All sources that are delivered, by their path below `crates/`.
fn delivered() -> Vec<(String, String)> {
    let mut found = Vec::new();
    for source in super::sources() {
        let name = source.parent().unwrap().file_name().unwrap().to_str().unwrap().to_owned();
        if ["mirror-testkit", "mirror-world"].contains(&name.as_str()) {
            continue;
        }
        for entry in walkdir::WalkDir::new(&source) {
            let path = entry.unwrap().into_path();
            let inside = path.strip_prefix(source.parent().unwrap()).unwrap().to_str().unwrap();
            let test = inside.ends_with("tests.rs");
            if path.extension().is_some_and(|extension| extension == "rs") && !test {
                let mut text = code(&fs::read_to_string(&path).unwrap());
                let used = used(&text).into_iter().map(|path| format!("{}::\n", path.join("::")));
                text.push_str(&used.collect::<String>());
                found.push((Path::new(&name).join(inside).to_str().unwrap().to_owned(), text));
            }
        }
    }
    found
}

#[test]
fn fences() {
    let delivered = delivered();
    for (what, words, allowed) in FENCES {
        let reaching = delivered.iter().filter(|(_, text)| words.iter().any(|w| text.contains(w)));
        let reaching: BTreeSet<&str> = reaching.map(|(file, _)| file.as_str()).collect();
        let may = |file: &str, place: &str| {
            file == place || (place.ends_with('/') && file.starts_with(place))
        };
        let outside: Vec<_> =
            reaching.iter().filter(|file| !allowed.iter().any(|place| may(file, place))).collect();
        assert!(
            outside.is_empty(),
            "{outside:?} reach {what}: ask a file that may, or name yours in FENCES and in crates/README.md"
        );
        let idle: Vec<_> =
            allowed.iter().filter(|place| !reaching.iter().any(|file| may(file, place))).collect();
        assert!(idle.is_empty(), "{idle:?} no longer reach {what}: take them out of FENCES");
    }
}
