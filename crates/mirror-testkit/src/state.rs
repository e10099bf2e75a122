//! What a registry is like, and what its requests share.

use std::sync::Mutex;
use std::time::Duration;

use tokio::time::Instant;

use crate::auth::{AuthProfile, Issued};
use crate::fault::{Exchange, Fault};
use crate::store::Store;

/// How a registry behaves.
#[derive(Debug, Clone)]
pub struct Profile {
    /// Who may do what.
    pub auth: AuthProfile,
    /// Whether each repository has a token service of its own.
    pub token_services: bool,
    /// The status that strangers get instead of a challenge; `/v2/` alone gives one then.
    pub silent: Option<u16>,
    /// Whether blobs can be mounted.
    pub mount: bool,
    /// Whether a request for a mount always opens an upload, whatever is there.
    pub ignores_mounts: bool,
    /// Whether a blob that came to one repository is found by a mount of another one from itself.
    pub one_store: bool,
    /// The status that a request for a mount is refused with.
    pub refuses_mounts: Option<u16>,
    /// Upload sessions that may be open, and how long each of them is kept.
    pub sessions: (usize, Duration),
    /// The code that goes with the 404 for a session that is gone.
    pub gone: &'static str,
    /// Whether `Docker-Content-Digest` is sent.
    pub digest_header: bool,
    /// Whether `Range` is honoured.
    pub ranges: bool,
    /// Whether there is a referrers API.
    pub referrers: bool,
    /// Whether it takes an index some of whose children it lacks.
    pub sparse: bool,
    /// Whether pushes are refused with 405.
    pub read_only: bool,
    /// The status that says that a manifest is missing: 404, unless the registry tells nobody.
    pub missing: u16,
    /// Whether `sha256-<hex>` is taken for the digest, as GitLab does.
    pub tags_are_digests: bool,
    /// A limit on pulls: so many manifests, counted over so many seconds, as Docker Hub has it.
    pub pull_limit: Option<(u64, u64)>,
    /// Where blobs are really served from, if not here: a URL that `/v2/…` is appended to.
    pub blob_redirect: Option<String>,
    /// Whether it behaves like ECR: logins, repositories that must exist, immutable tags, rates, mounts only where
    /// the account wants them.
    pub ecr: bool,
}

impl Default for Profile {
    fn default() -> Profile {
        Profile {
            auth: AuthProfile::Open,
            token_services: false,
            silent: None,
            mount: true,
            ignores_mounts: false,
            one_store: false,
            refuses_mounts: None,
            sessions: (usize::MAX, Duration::from_secs(3600)),
            gone: "BLOB_UPLOAD_UNKNOWN",
            digest_header: true,
            ranges: true,
            referrers: true,
            sparse: false,
            read_only: false,
            missing: 404,
            tags_are_digests: false,
            pull_limit: None,
            blob_redirect: None,
            ecr: false,
        }
    }
}

/// One request, and what came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recorded {
    /// `GET`, `PUT` and so on.
    pub method: String,
    /// The path, without query.
    pub path: String,
    /// The query.
    pub query: String,
    /// The `Authorization` header.
    pub authorization: Option<String>,
    /// The `Content-Length` header.
    pub content_length: Option<u64>,
    /// The `Range` header.
    pub range: Option<String>,
    /// Status of the answer; 0 when there was none.
    pub status: u16,
}

type FaultRule = Box<dyn Fn(&Exchange) -> Option<Fault> + Send + Sync>;

impl State {
    /// An empty registry that is reached at `own`.
    pub(crate) fn new(profile: Profile, own: String) -> State {
        State {
            profile,
            own,
            store: Mutex::default(),
            issued: Mutex::default(),
            requests: Mutex::default(),
            faults: Mutex::default(),
            pulls: Mutex::default(),
            busy: Mutex::default(),
        }
    }
}

/// Everything that requests share.
pub(crate) struct State {
    pub(crate) profile: Profile,
    pub(crate) own: String,
    pub(crate) store: Mutex<Store>,
    pub(crate) issued: Mutex<Issued>,
    pub(crate) requests: Mutex<Vec<Recorded>>,
    pub(crate) faults: Mutex<Option<FaultRule>>,
    pub(crate) pulls: Mutex<Vec<Instant>>,
    /// Requests that are answered now, and the most that ever were.
    pub(crate) busy: Mutex<(usize, usize)>,
}
