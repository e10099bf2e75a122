//! Speaks the distribution protocol to one host.
//!
//! A [`Host`] owns everything about one registry: where it really is, who we are there, how many requests go out
//! at once, and when a request is tried again. Its methods are the steps of
//! <https://github.com/opencontainers/distribution-spec/blob/main/spec.md>, one each.
//!
//! # Cancellation
//! A future that only reads may be dropped at any time: its slot, its connection and its reservation are given back. Those
//! that write say what is left behind.

mod auth;
mod host;
mod limits;
mod listener;
mod redact;
mod remote;
mod sorting;
mod verbs;
mod wire;
mod world;

pub use auth::credentials::{
    Credential, CredentialFile, Credentials, Login, LoginResponse, LoginSource, Lookup,
    LookupOutcome, LookupStep,
};
pub use host::Host;
pub use host::capabilities::{Capabilities, Known, KnownBy, Mounts, Presets, RequestRates};
pub use host::options::{HostOptions, HostRole};
pub use limits::pressure::{Pressure, Waiting};
pub use limits::pulls::{PullBudget, PullLock, Reservation};
pub use listener::{HostEvent, HostNews, Listener};
pub use redact::{Secret, redacted};
pub use remote::{Access, Remote};
pub use verbs::blob::BlobReader;
pub use verbs::flow::UploadBody;
pub use verbs::manifest::ManifestRef;
pub use verbs::referrers::{Listed, Recall, Referrer};
pub use verbs::upload::{Mount, Opening, Supply, Upload};
pub use wire::{Body, Network, Proxies, ProxyError, Reach, TlsFiles, Wire};
pub use world::{Chance, Clock, Space, Threads, World};
