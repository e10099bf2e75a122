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
mod body;
mod certificates;
mod command;
mod connect_proxy;
mod debian;
mod ecr;
mod ecr_calls;
mod ecr_routes;
mod ecr_state;
mod fault;
mod github;
mod github_git;
mod image;
mod lists;
mod message;
mod moto;
mod profile;
mod proxy;
mod registry;
mod routes;
mod server;
mod skopeo;
mod state;
mod storage;
mod store;
mod uploads;
pub mod world;

pub use auth::AuthProfile;
pub use body::Breakable;
pub use certificates::{Authority, Flaw, KeyPair};
pub use command::{Mirror, Ran};
pub use connect_proxy::{ConnectProxy, Proxied, ProxyRules};
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
pub use profile::{Locations, Profile};
pub use proxy::{Proxy, Weather};
pub use registry::Registry;
pub use skopeo::{push_by_skopeo, push_by_skopeo_with};
pub use state::Recorded;
