//! With the programs of others that a pull request meets: the real Renovate, and GitHub's own description of its API.
//! `scripts/e2e` installs them and runs these tests; on their own they are ignored, and said to be.
#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests may panic")]

mod github_api;
mod renovate;
mod tags;

use std::path::Path;

use mirror_testkit::Mirror;

/// What `scripts/e2e` says.
fn installed(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: run scripts/e2e"))
}

fn mirror(folder: &Path, arguments: &[&str]) -> Mirror {
    Mirror::new(env!("CARGO_BIN_EXE_mirror"), folder, arguments)
}
