//! Forges: where the tree is kept and reviewed. One comment on a pull request, one status on a commit, one issue about what
//! is wrong, one pull request for what is proposed.
//!
//! Each of them is kept: looked for first, by a hidden marker and our own author, and written only when it differs.
//! A request that made something and whose response was lost is not sent again before it was looked for.
//!
//! A kind of forge is a folder with its paths and fields; what is kept, and when it is written, is in `keep.rs`, once.

mod error;
mod github;
mod keep;
mod names;
mod propose;

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use mirror_failure::{ErrorKind, RetryPolicy};
use tower::util::BoxCloneSyncService;

pub use error::ForgeError;
pub use github::{LONGEST_DESCRIPTION, PUBLIC_API};
pub use keep::Kept;
pub use names::{CommitId, RepositoryName};
pub use propose::{Base, Proposal};

use crate::github::GitHub;

/// What carries requests to a forge and brings back whole responses, up to [`LARGEST_RESPONSE`] bytes: the way out that
/// everything else takes, with its proxies and certificates.
pub type ForgeWire = BoxCloneSyncService<Request<Bytes>, Response<Bytes>, ErrorKind>;

/// The largest response that is read: a hundred comments of 64 KiB in JSON, twice over.
pub const LARGEST_RESPONSE: usize = 16 << 20;

/// A repository on a forge, as one who may write there sees it.
pub struct Forge {
    kind: ForgeKind,
}

/// What kind of forge it is.
enum ForgeKind {
    GitHub(Box<GitHub>),
}

/// How to log in to a forge.
#[derive(Clone)]
pub enum ForgeLogin {
    /// A token: that of a workflow, a person, or an installation.
    Token(String),
    /// An App of GitHub that is installed where the repository is, by its number and its private key (PEM).
    App {
        /// The number, or the client id.
        id: String,
        /// The private key of the App, as PEM.
        key: String,
    },
}

impl fmt::Debug for ForgeLogin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ForgeLogin::Token(_) => "Token(…)",
            ForgeLogin::App { .. } => "App(…)",
        })
    }
}

/// How long to wait for a forge: 30 s for a whole response, and about one second before the second attempt.
pub const PATIENT: RetryPolicy =
    RetryPolicy { idle: Duration::from_secs(30), first_pause: Duration::from_secs(1) };

/// What a status says at a glance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CommitState {
    /// Nothing stands against a merge.
    Success,
    /// Something has to change before this can be merged.
    Failure,
    /// It could not be found out.
    Error,
}

/// A status on a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommitStatus {
    /// Its name among the checks, such as `mirror/plan`.
    pub context: String,
    /// What it says at a glance.
    pub state: CommitState,
    /// And in words; cut at [`LONGEST_DESCRIPTION`].
    pub description: String,
    /// Where more is to be read.
    pub url: Option<String>,
}

impl Forge {
    /// Gets ready to work on a repository of GitHub. `api` is [`PUBLIC_API`] or that of a GitHub Enterprise server.
    ///
    /// # Errors
    /// When the address, the token or the key can't be used, or when an App is not installed there.
    pub async fn github(
        api: &str,
        repository: RepositoryName,
        login: &ForgeLogin,
        retry_policy: RetryPolicy,
        wire: ForgeWire,
    ) -> Result<Forge, ForgeError> {
        let github = GitHub::open(api, repository, login, retry_policy, wire).await?;
        Ok(Forge { kind: ForgeKind::GitHub(Box::new(github)) })
    }

    /// The open pull requests whose head is this commit; none when it has moved on, or was closed.
    ///
    /// # Errors
    /// When the forge can't be asked.
    pub async fn changes_at(&self, head: &CommitId) -> Result<Vec<u64>, ForgeError> {
        match &self.kind {
            ForgeKind::GitHub(github) => github.pull_requests(head).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logins_are_not_shown() {
        let login = ForgeLogin::App { id: "1".into(), key: "secret".into() };
        let token = ForgeLogin::Token("secret".into());
        assert_eq!(format!("{login:?} {token:?}"), "App(…) Token(…)");
    }
}
