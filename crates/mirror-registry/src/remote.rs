//! One repository of a host: what requests are about.

use std::fmt;
use std::sync::Arc;

use mirror_oci::Repository;
use url::Url;

use crate::auth::scope::TokenScope;
use crate::host::Host;
use crate::host::capabilities::OfRepository;

/// One repository of a host. Its methods are the steps of the protocol.
#[derive(Clone)]
pub struct Remote {
    pub(crate) host: Arc<Host>,
    pub(crate) repository: Repository,
    pub(crate) access: Access,
}

/// What we are going to do in a repository; tokens are asked for accordingly. Some token services refuse where they are asked
/// for more than they would grant: cloudflare/serverless-registry#148.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Images are only read.
    Pull,
    /// Images are read and written.
    PullPush,
}

impl Remote {
    /// A repository of a host. Nothing is sent yet.
    pub fn new(host: Arc<Host>, repository: Repository, access: Access) -> Remote {
        Remote { host, repository, access }
    }

    /// The host that the repository is at.
    pub fn host(&self) -> &Arc<Host> {
        &self.host
    }

    /// The name of the repository.
    pub fn repository(&self) -> &Repository {
        &self.repository
    }

    /// What was learned of it.
    pub(crate) fn learned(&self) -> Arc<OfRepository> {
        self.host.learned(&self.repository)
    }

    /// A URL of it, from path segments below `/v2/<repository>/`.
    pub(crate) fn url(&self, rest: &str) -> Url {
        self.host.url(&self.repository, rest)
    }

    /// What looking takes. Where we push later, one token serves both.
    pub(crate) fn look_scope(&self) -> TokenScope {
        match self.access {
            Access::Pull => self.pull_scope(),
            Access::PullPush => self.push_scope(),
        }
    }

    pub(crate) fn pull_scope(&self) -> TokenScope {
        TokenScope::pull(&self.repository)
    }

    pub(crate) fn push_scope(&self) -> TokenScope {
        TokenScope::push(&self.repository)
    }
}

impl fmt::Debug for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.host.name(), self.repository)
    }
}
