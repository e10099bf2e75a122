//! What can be set for a host, and the client that all of them share.

use std::collections::BTreeSet;

use mirror_oci::{Endpoint, Repository};

use crate::auth::credentials::LoginSource;
use crate::host::capabilities::Presets;
use crate::limits::patience::Patience;

/// What we are going to do at a host; tokens are asked for accordingly.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Access {
    /// Only read.
    Pull,
    /// Read and write.
    PullPush,
    /// Write these repositories, and read others. Some token services refuse where they are asked for more than they
    /// would grant: cloudflare/serverless-registry#148.
    PullPushTo(BTreeSet<Repository>),
}

/// What can be set for a host.
#[derive(Debug, Clone)]
pub struct HostOptions {
    /// Where to really go; [`Endpoint::of`] the registry by default.
    pub endpoint: Option<Endpoint>,
    /// Another place that our credentials may go to for a token.
    pub token_realm: Option<Endpoint>,
    /// Most requests at once.
    pub concurrency: usize,
    /// What we are going to do there.
    pub access: Access,
    /// How long to wait for what.
    pub patience: Patience,
    /// What is known of it before it was asked.
    pub presets: Presets,
    /// Who makes us a login, where no other place knows who we are.
    pub login: Option<LoginSource>,
    /// Machines that share a limit on pulls, this one included.
    pub share: u32,
    /// Whether it may send us from a public address to a private one.
    pub private_redirects: bool,
}

impl Default for HostOptions {
    fn default() -> HostOptions {
        HostOptions {
            endpoint: None,
            token_realm: None,
            concurrency: 64,
            access: Access::Pull,
            patience: Patience::default(),
            presets: Presets::default(),
            login: None,
            share: 1,
            private_redirects: false,
        }
    }
}
