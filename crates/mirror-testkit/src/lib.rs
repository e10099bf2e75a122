//! For tests: a registry in process with profiles and faults, builders for images, Debian's registry as a process,
//! and a harness for the command line.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::string_slice,
    clippy::print_stderr,
    reason = "a test that can't go on should stop right there, loudly"
)]

mod auth;
mod command;
mod debian;
mod ecr;
mod ecr_calls;
mod ecr_routes;
mod ecr_state;
mod fault;
mod github;
mod github_git;
mod image;
mod moto;
mod proxy;
mod registry;
mod routes;
mod server;
mod skopeo;
mod state;
mod storage;
mod store;

pub use auth::AuthProfile;
pub use command::{Mirror, Ran};
pub use debian::{DebianRegistry, missing_tool};
pub use ecr::{AwsCall, FakeEcr};
pub use ecr_state::ACCOUNT;
pub use fault::{Exchange, Fault};
pub use github::{
    APP as GITHUB_APP, FakeGitHub, GitHubCall, GitHubFault, REPOSITORY as GITHUB_REPOSITORY,
    TOKEN as GITHUB_TOKEN,
};
pub use image::{Image, ImageBuilder, StoredManifest};
pub use moto::Moto;
pub use proxy::{Proxy, Weather};
pub use registry::Registry;
pub use routes::Breakable;
pub use skopeo::push_by_skopeo;
pub use state::{Profile, Recorded};
