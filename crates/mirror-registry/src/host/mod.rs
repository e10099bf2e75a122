//! One registry: where it is, who we are there, and how a request reaches it.

pub(crate) mod answer;
pub(crate) mod base;
pub(crate) mod call;
pub(crate) mod capabilities;
pub(crate) mod exchange;
pub(crate) mod options;
pub(crate) mod redirect;
pub(crate) mod response;
pub(crate) mod sessions;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use bytes::Bytes;
use http::Method;
use http::header::HeaderMap;
use mirror_failure::{ErrorKind, RequestError};
use mirror_oci::{Endpoint, Registry, Repository};
use tokio::sync::{Mutex, OnceCell, OwnedSemaphorePermit, Semaphore};
use url::Url;

use crate::auth::challenge::Challenge;
use crate::auth::challenges::Asked;
use crate::auth::credentials::Credentials;
use crate::auth::scope::TokenScope;
use crate::auth::{Auth, Authorization};
use crate::host::answer::HostResponse;
use crate::host::base::ToldByBase;
use crate::host::call::Call;
use crate::host::capabilities::{Capabilities, OfRepository};
use crate::host::options::{HostOptions, HostRole};
use crate::host::response::read_capped;
use crate::host::sessions::Sessions;
use crate::limits::pace::Pace;
use crate::limits::pulls::{Exhausted, PullBudget, PullCounter, PullLock, Reservation};
use crate::limits::rates::Rates;
use crate::limits::retry::{Attempts, retrying};
use crate::listener::{HostEvent, HostNews, Listener};
use crate::redact::redacted;
use crate::wire::{TlsFiles, Wire};
use crate::world::World;

/// Bodies from this size on fill the line; more of them at once only get in each other's way, and in that of small
/// requests.
const LARGE: u64 = 1 << 20;
const LARGE_AT_ONCE: usize = 4;

/// One registry, with everything that its requests share.
pub struct Host {
    name: Registry,
    base: Url,
    pub(crate) wire: Wire,
    tls: Arc<TlsFiles>,
    pub(crate) auth: Auth,
    role: HostRole,
    slots: Arc<Semaphore>,
    large: Arc<Semaphore>,
    large_uploads: Arc<Semaphore>,
    sessions: Arc<Sessions>,
    capabilities: Capabilities,
    rates: Rates,
    pub(crate) pace: Pace,
    pub(crate) pulls: PullCounter,
    /// Registries that this one sends us to, and how they want to be asked.
    pub(crate) gateways: std::sync::Mutex<HashMap<String, Challenge>>,
    pub(crate) private_redirects: bool,
    /// What its base says to strangers, where somebody had to ask.
    pub(crate) base_told: OnceCell<ToldByBase>,
    known: std::sync::Mutex<HashMap<Repository, Arc<OfRepository>>>,
    pub(crate) met: AtomicBool,
    /// How long a list of tags may be that is known to come whole.
    whole_list: AtomicUsize,
    pub(crate) first: Mutex<()>,
}

/// The right to receive a body.
pub(crate) struct BodySlot {
    _large: Option<OwnedSemaphorePermit>,
    _slot: OwnedSemaphorePermit,
}

impl Host {
    /// Gets ready to talk to `name`. Nothing is sent yet.
    ///
    /// # Errors
    /// When an endpoint or realm is not a URL.
    pub fn new(
        world: &World,
        credentials: Arc<Credentials>,
        name: &Registry,
        options: &HostOptions,
    ) -> Result<Host, RequestError> {
        let endpoint = options.endpoint.clone().unwrap_or_else(|| Endpoint::of(name));
        let parse = |endpoint: &Endpoint| {
            let text = endpoint.to_string();
            Url::parse(&text).map_err(|error| {
                RequestError::new(text, ErrorKind::Protocol(format!("not a URL: {error}")))
            })
        };
        let base = parse(&endpoint)?;
        let realm = options.token_realm.as_ref().map(parse).transpose()?;
        let (host, listener) = (name.clone(), options.listener.clone());
        let tls = Arc::new(options.tls.clone());
        let told: Listener<HostNews> =
            Listener::new(move |news| listener.tell(HostEvent { host: host.clone(), news }));
        Ok(Host {
            name: name.clone(),
            auth: Auth::new(
                base.clone(),
                realm,
                credentials,
                options.login.clone().filter(|login| login.belongs_to(&endpoint)),
                Pace::new(options.retry_policy, world, told.clone()),
                told.clone(),
                tls.clone(),
            ),
            base,
            wire: world.wire.clone(),
            tls: tls.clone(),
            role: options.role,
            slots: Arc::new(Semaphore::new(options.concurrency)),
            large: Arc::new(Semaphore::new(options.concurrency.min(LARGE_AT_ONCE))),
            sessions: Sessions::new(options.concurrency),
            large_uploads: Arc::new(Semaphore::new(options.concurrency.min(LARGE_AT_ONCE))),
            capabilities: Capabilities::new(options.presets, told.clone()),
            rates: Rates::of(options.presets.rates),
            pace: Pace::new(options.retry_policy, world, told),
            pulls: PullCounter::shared(options.share, world.clock),
            gateways: std::sync::Mutex::default(),
            private_redirects: options.private_redirects,
            base_told: OnceCell::new(),
            known: std::sync::Mutex::default(),
            whole_list: AtomicUsize::new(0),
            met: AtomicBool::new(false),
            first: Mutex::new(()),
        })
    }

    /// The name that references use.
    pub fn name(&self) -> &Registry {
        &self.name
    }

    /// What it does beyond what all registries do.
    pub fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    /// Asks a service beside the registry, at the pace of this host and again where that may help: the pause after a
    /// refusal is one for both.
    ///
    /// # Errors
    /// What `question` failed with for good.
    ///
    /// # Cancellation
    /// When the future is dropped, so is `question`, and nothing is asked again.
    pub async fn retrying<T>(
        &self,
        question: impl AsyncFn() -> Result<T, RequestError>,
    ) -> Result<T, RequestError> {
        retrying(&self.pace, self.name.as_str(), || question()).await
    }

    /// Whether it is both written and read: then no upload may hold up a download, or they could wait for each other.
    pub fn is_two_way(&self) -> bool {
        self.role == HostRole::Both
    }

    /// Whether it is written to.
    pub fn is_written(&self) -> bool {
        self.role != HostRole::Source
    }

    /// Whether credentials of any kind were sent there.
    pub fn has_used_credentials(&self) -> bool {
        self.auth.has_used_credentials()
    }

    /// When a host that was given up could be asked again.
    pub fn probe_at(&self) -> Option<tokio::time::Instant> {
        self.pace.probe_at()
    }

    /// Finds out whether a host that was given up serves again, by one small request.
    pub async fn serves_again(&self) -> bool {
        let (method, url, scope) = (Method::GET, self.root(), TokenScope::nothing());
        let call = Call { method, url, scope, headers: HeaderMap::new(), body: Bytes::new() };
        // What it says doesn't matter, only that it does.
        let _ = self.send(&call).await;
        !self.pace.is_given_up()
    }

    /// What is left of a limit on pulls, as far as the host has spoken of one.
    pub fn pull_budget(&self) -> Option<PullBudget> {
        self.pulls.budget()
    }

    /// Waits for the right to read an image: where pulls are limited, and until it is known whether they are, one is read
    /// after the other, so that the last pulls make whole images. It ends when it is dropped.
    ///
    /// # Cancellation
    /// When the future is dropped, the place in the queue is lost.
    pub async fn pull_lock(&self) -> PullLock {
        self.pulls.lock().await
    }

    /// Whether the host has answered and spoken of no limit on pulls.
    pub fn has_unlimited_pulls(&self) -> bool {
        self.pulls.are_unlimited()
    }

    /// Whether the host has not yet told, or not lately, if pulls are limited.
    pub fn has_unknown_pulls(&self) -> bool {
        self.pulls.are_unknown()
    }

    /// Sets pulls of manifests aside before they are made.
    ///
    /// # Errors
    /// When the host has told that fewer are left.
    pub fn reserve_pulls(&self, pulls: u64) -> Result<Reservation<'_>, RequestError> {
        self.pulls.reserve(pulls).map_err(|Exhausted { left, ends }| {
            let message = format!("{pulls} needed, {left} left");
            RequestError::new(self.name.as_str(), ErrorKind::PullLimit { message, ends })
        })
    }

    /// Time has passed since the host spoke of a limit on pulls: it is asked again before much is read.
    pub fn forget_pulls(&self) {
        self.pulls.forget();
    }

    /// What was learned of a repository.
    pub(crate) fn learned(&self, repository: &Repository) -> Arc<OfRepository> {
        let mut known = self.known.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        known.entry(repository.clone()).or_default().clone()
    }

    /// A URL of this registry, from path segments below `/v2/<repository>/`.
    pub(crate) fn url(&self, repository: &Repository, rest: &str) -> Url {
        let mut url = self.base.clone();
        url.set_path(&format!("/v2/{repository}/{rest}"));
        url
    }

    /// The base of the registry's API.
    pub(crate) fn root(&self) -> Url {
        let mut url = self.base.clone();
        url.set_path("/v2/");
        url
    }

    /// The certificates that are configured, where a request goes to this very host.
    pub(crate) fn tls_for(&self, url: &Url) -> Option<Arc<TlsFiles>> {
        self.is_home(url).then(|| self.tls.clone())
    }

    /// Where the registry is.
    pub(crate) fn base(&self) -> &Url {
        &self.base
    }

    /// Whether `url` is on the very host that our credentials are for.
    pub(crate) fn is_home(&self, url: &Url) -> bool {
        url.origin() == self.base.origin()
    }

    /// Sends a request, again where that may help, and gives any response that is not a passing failure.
    pub(crate) async fn call(&self, call: &Call) -> Result<HostResponse, RequestError> {
        let mut attempts = self.attempts();
        loop {
            match self.send(call).await {
                Ok(response) => return Ok(response),
                Err(error) => attempts.wait(error).await?,
            }
        }
    }

    /// Sends a request and reads the body of a 200, up to `cap` bytes: nothing of one that is longer. A body that breaks is
    /// asked for again. `wanted` is told of each response, and says whether the body of a 200 is worth waiting for.
    pub(crate) async fn read(
        &self,
        call: &Call,
        cap: usize,
        wanted: impl Fn(&HostResponse) -> bool,
    ) -> Result<(HostResponse, Option<Bytes>), RequestError> {
        let mut attempts = self.attempts();
        loop {
            let outcome = async {
                let mut response = self.send(call).await?;
                let wanted = wanted(&response);
                if response.status() != 200 || !wanted {
                    return Ok((response, None));
                }
                let idle = response.stall_guard.idle;
                let body =
                    read_capped(&mut response.response, &response.request, cap, idle).await?;
                Ok((response, body))
            };
            match outcome.await {
                Ok(found) => return Ok(found),
                Err(error) => attempts.wait(error).await?,
            }
        }
    }

    /// How long a list of tags may be that is known to come whole, though no page names another.
    pub(crate) fn whole_list(&self) -> usize {
        self.whole_list.load(Ordering::Relaxed)
    }

    /// A list of so many tags has come whole.
    pub(crate) fn has_sent_whole(&self, size: usize) {
        self.whole_list.fetch_max(size, Ordering::Relaxed);
    }

    /// A budget of attempts for one request, at the pace of this host.
    pub(crate) fn attempts(&self) -> Attempts<'_> {
        Attempts::new(&self.pace)
    }

    /// One attempt, in a slot of its own.
    pub(crate) async fn send(&self, call: &Call) -> Result<HostResponse, RequestError> {
        self.rates.wait(&call.method, call.url.path()).await;
        let slot = self.slot().await?;
        let mut response = self.exchange(call).await?;
        response.slot = Some(slot);
        Ok(response)
    }

    pub(crate) async fn slot(&self) -> Result<OwnedSemaphorePermit, RequestError> {
        self.permit(&self.slots).await
    }

    /// A slot to receive a body of this size.
    pub(crate) async fn slot_for(&self, bytes: u64) -> Result<BodySlot, RequestError> {
        let large = if bytes >= LARGE { Some(self.permit(&self.large).await?) } else { None };
        Ok(BodySlot { _large: large, _slot: self.slot().await? })
    }

    /// The right to send a body of this size, where that is a large one. Others than for receiving: an upload waits for
    /// its download, which may come from the same host.
    pub(crate) async fn large_upload(
        &self,
        bytes: u64,
    ) -> Result<Option<OwnedSemaphorePermit>, RequestError> {
        if bytes < LARGE {
            return Ok(None);
        }
        self.permit(&self.large_uploads).await.map(Some)
    }

    /// Whether a response means that there are too many upload sessions, and not that the host wants a pause.
    pub(crate) fn wants_fewer_sessions(&self, call: &Call, error: &RequestError) -> bool {
        call.method == Method::POST && error.status() == Some(429) && self.sessions.are_shared()
    }

    /// The upload sessions that are open at this host.
    pub(crate) fn sessions(&self) -> &Arc<Sessions> {
        &self.sessions
    }

    async fn permit(&self, of: &Arc<Semaphore>) -> Result<OwnedSemaphorePermit, RequestError> {
        let closed = |_| {
            RequestError::new(self.name.as_str(), ErrorKind::Broken("shutting down".to_owned()))
        };
        of.clone().acquire_owned().await.map_err(closed)
    }

    /// What goes with an upload, whose body can't be sent twice: the answer to the challenge that its session was opened
    /// with, or to `asked`. `rejected` was refused just now.
    pub(crate) async fn authorize_upload(
        &self,
        url: &Url,
        scope: &TokenScope,
        asked: Option<Asked>,
        rejected: Option<&Authorization>,
    ) -> Result<Authorization, RequestError> {
        if !self.is_home(url) {
            return Ok(Authorization::nothing(None));
        }
        let rejected = rejected.and_then(Authorization::token);
        match asked {
            Some(asked) => self.auth.answer(&self.wire, scope, asked, rejected).await,
            None => self.auth.authorize(&self.wire, scope, rejected).await,
        }
    }

    /// How fast this host may be asked.
    pub(crate) fn pace(&self) -> &Pace {
        &self.pace
    }

    pub(crate) fn rates(&self) -> &Rates {
        &self.rates
    }

    pub(crate) fn wire(&self) -> &Wire {
        &self.wire
    }
}

impl std::fmt::Debug for Host {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Host")
            .field("name", &self.name)
            .field("base", &redacted(&self.base))
            .finish_non_exhaustive()
    }
}
