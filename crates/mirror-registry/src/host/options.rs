//! What can be set for a host.

use mirror_failure::RetryPolicy;
use mirror_oci::Endpoint;

use crate::auth::credentials::LoginSource;
use crate::host::capabilities::Presets;
use crate::listener::{HostEvent, Listener};
use crate::wire::TlsFiles;

/// What we are going to do at a host.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum HostRole {
    /// Images are only read there.
    #[default]
    Source,
    /// Write, and look at what is there.
    Destination,
    /// Write images, and read others for other destinations.
    Both,
}

/// What can be set for a host.
#[derive(Debug, Clone)]
pub struct HostOptions {
    /// Where to really go; [`Endpoint::of`] the registry by default.
    pub endpoint: Option<Endpoint>,
    /// Another host that our credentials may go to for a token.
    pub token_realm: Option<Endpoint>,
    /// Most requests at once.
    pub concurrency: usize,
    /// What we are going to do there.
    pub role: HostRole,
    /// How long to wait for what.
    pub retry_policy: RetryPolicy,
    /// What is known of it before it was asked.
    pub presets: Presets,
    /// Who makes us a login, where no other source knows who we are.
    pub login: Option<LoginSource>,
    /// Machines that share a limit on pulls, this one included.
    pub share: u32,
    /// Whether it may send us from a public address to a private one.
    pub private_redirects: bool,
    /// Certificates for it, beside the store of the system.
    pub tls: TlsFiles,
    /// Who is told of pauses, and of what is learned of it.
    pub listener: Listener<HostEvent>,
}

impl Default for HostOptions {
    fn default() -> HostOptions {
        HostOptions {
            endpoint: None,
            token_realm: None,
            concurrency: 64,
            role: HostRole::Source,
            retry_policy: RetryPolicy::default(),
            presets: Presets::default(),
            login: None,
            share: 1,
            private_redirects: false,
            tls: TlsFiles::default(),
            listener: Listener::default(),
        }
    }
}
