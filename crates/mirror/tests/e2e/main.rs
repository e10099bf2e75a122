//! With the programs of others: the real Renovate and GitHub's own description of its API, registries as destination and
//! source, clients that pull what was mirrored, and a proxy.
//! `scripts/e2e` installs them and runs these tests; on their own they are ignored, and said to be.
#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests may panic")]

mod github_api;
mod readers;
mod registries;
mod renovate;
mod servers;
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
