//! Speaks the distribution protocol to one host.
//!
//! A [`Host`] owns everything about one registry: where it really is, who we are there, how many requests go out
//! at once, and when a request is tried again. Its methods are the steps of
//! <https://github.com/opencontainers/distribution-spec/blob/main/spec.md>, one each.

mod answer;
mod auth;
mod blob;
mod call;
mod challenge;
mod client;
mod credentials;
mod exchange;
mod flow;
mod hint;
mod host;
mod knowledge;
mod manifest;
mod options;
mod pace;
mod patience;
mod pressure;
mod private_address;
mod pulls;
mod rates;
mod redact;
mod referrers;
mod retry;
mod session;
mod sessions;
mod sorting;
mod tags;
mod token;
mod upload;

pub use blob::BlobReader;
pub use client::HttpClient;
pub use credentials::{Credential, Credentials, Login, LoginAnswer, LoginSource};
pub use flow::UploadBody;
pub use host::Host;
pub use manifest::ManifestRef;
pub use options::{Access, HostOptions, Kind};
pub use patience::Patience;
pub use pressure::{Pressure, Waiting};
pub use pulls::{PullBudget, PullTurn, Reservation};
pub use redact::{Secret, redacted};
pub use referrers::{Listed, Recall, Referrer};
pub use upload::{Mount, Opening, Supply, Upload};
