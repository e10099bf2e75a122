//! What a registry is like.

use std::time::Duration;

use crate::auth::AuthProfile;

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
    /// Entries of a page of tags or referrers, where lists come in pages.
    pub page: Option<usize>,
    /// How long after it was written anything can't be found yet.
    pub settles: Duration,
    /// Where it says that uploads go on.
    pub locations: Locations,
    /// Requests that it answers in a second.
    pub rate: Option<usize>,
    /// Whether bytes of a blob come with the PUT that ends its upload; otherwise with a PATCH before.
    pub whole_puts: bool,
    /// Whether it takes manifests whatever they name, and blobs whatever they hash to.
    pub unchecked: bool,
    /// Where blobs are really served from, if not here: a URL that `/v2/…` is appended to.
    pub blob_redirect: Option<String>,
    /// Whether it behaves like ECR: logins, repositories that must exist, immutable tags, rates, mounts only where
    /// the account wants them.
    pub ecr: bool,
}

/// How a registry names addresses of its own.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Locations {
    /// From the root of the host.
    #[default]
    Relative,
    /// As whole URLs.
    Absolute,
    /// As whole URLs without TLS: it does not know that it stands behind a proxy which has that.
    WithoutTls,
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
            page: None,
            settles: Duration::ZERO,
            locations: Locations::Relative,
            rate: None,
            whole_puts: true,
            unchecked: false,
            blob_redirect: None,
            ecr: false,
        }
    }
}
