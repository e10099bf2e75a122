//! What the requests of a registry share.

use std::sync::{Arc, Mutex};

use tokio::time::Instant;

use crate::auth::Issued;
use crate::fault::{Exchange, Fault};
use crate::profile::{Locations, Profile};
use crate::store::Store;

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
            store: Arc::default(),
            issued: Arc::default(),
            requests: Mutex::default(),
            faults: Mutex::default(),
            pulls: Mutex::default(),
            refused_pulls: Mutex::default(),
            recent: Mutex::default(),
            busy: Mutex::default(),
        }
    }

    /// An address of its own, as it names them.
    pub(crate) fn location(&self, path: &str) -> String {
        let host = self.own.split_once("://").map_or("", |(_, host)| host);
        match self.profile.locations {
            Locations::Relative => path.to_owned(),
            Locations::Absolute => format!("{}{path}", self.own),
            Locations::WithoutTls => format!("http://{host}{path}"),
        }
    }
}

/// Everything that requests share.
pub(crate) struct State {
    pub(crate) profile: Profile,
    pub(crate) own: String,
    pub(crate) store: Arc<Mutex<Store>>,
    pub(crate) issued: Arc<Mutex<Issued>>,
    pub(crate) requests: Mutex<Vec<Recorded>>,
    pub(crate) faults: Mutex<Option<FaultRule>>,
    pub(crate) pulls: Mutex<Vec<Instant>>,
    /// Pulls that were refused since the limit was reached.
    pub(crate) refused_pulls: Mutex<usize>,
    /// Requests of the last second.
    pub(crate) recent: Mutex<Vec<Instant>>,
    /// Requests that are answered now, and the most that ever were.
    pub(crate) busy: Mutex<(usize, usize)>,
}
