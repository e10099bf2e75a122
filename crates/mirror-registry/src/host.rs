//! One registry: where it is, who we are there, and how a request reaches it.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use mirror_oci::{Endpoint, Registry, Repository};
use reqwest::header::{self, HeaderMap, HeaderValue};
use reqwest::{Method, Response, Url};
use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore};

use crate::answer::{Answer, Trickle, describe, refusal, within_idle};
use crate::auth::{Auth, Scope, Sent};
use crate::challenge::{self, Challenge};
use crate::client::{HttpClient, Reach};
use crate::credentials::Credentials;
use crate::error::{Error, ErrorKind, passing_status};
use crate::hint::Hints;
use crate::options::{Access, HostOptions, Kind};
use crate::pace::{Entry, Pace};
use crate::pulls::{self, Exhausted, PullBudget, PullTurn, Pulls, Reservation};
use crate::rates::Rates;
use crate::redact::redacted;
use crate::referrers::Knowledge;
use crate::retry::{Attempts, retrying};
use crate::session::Sessions;

const MOST_REDIRECTS: usize = 5;
/// A login younger than this is good.
const YOUNG: Duration = Duration::from_secs(60);
/// Bodies from this size on fill the line; more of them at once only get in each other's way, and in that of small
/// requests.
const LARGE: u64 = 1 << 20;
const LARGE_AT_ONCE: usize = 4;

/// One registry.
pub struct Host {
    name: Registry,
    base: Url,
    http: HttpClient,
    auth: Auth,
    access: Access,
    slots: Arc<Semaphore>,
    large: Arc<Semaphore>,
    large_uploads: Arc<Semaphore>,
    sessions: Arc<Sessions>,
    hints: Hints,
    kind: Kind,
    rates: Rates,
    mounts: AtomicBool,
    pace: Pace,
    pub(crate) pulls: Pulls,
    /// Registries that this one sends us to, and how they want to be asked.
    gateways: std::sync::Mutex<HashMap<String, Challenge>>,
    private_redirects: bool,
    known: std::sync::Mutex<HashMap<Repository, Arc<Knowledge>>>,
    met: AtomicBool,
    first: Mutex<()>,
}

/// A request, to be sent as often as needed.
pub(crate) struct Call {
    pub(crate) method: Method,
    pub(crate) url: Url,
    pub(crate) scope: Scope,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
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
        http: HttpClient,
        credentials: Arc<Credentials>,
        name: &Registry,
        options: &HostOptions,
    ) -> Result<Host, Error> {
        let endpoint = options.endpoint.clone().unwrap_or_else(|| Endpoint::of(name));
        let parse = |endpoint: &Endpoint| {
            let text = endpoint.to_string();
            Url::parse(&text).map_err(|error| {
                Error::new(text, ErrorKind::Protocol(format!("not a URL: {error}")))
            })
        };
        let base = parse(&endpoint)?;
        let realm = options.token_realm.as_ref().map(parse).transpose()?;
        Ok(Host {
            name: name.clone(),
            auth: Auth::new(
                base.clone(),
                realm,
                credentials,
                options.login.clone().filter(|login| login.belongs_to(&endpoint)),
                options.patience,
            ),
            base,
            http,
            access: options.access.clone(),
            slots: Arc::new(Semaphore::new(options.concurrency)),
            large: Arc::new(Semaphore::new(options.concurrency.min(LARGE_AT_ONCE))),
            sessions: Sessions::new(options.concurrency),
            hints: Hints::default(),
            large_uploads: Arc::new(Semaphore::new(options.concurrency.min(LARGE_AT_ONCE))),
            kind: options.kind,
            rates: Rates::of(options.kind),
            mounts: AtomicBool::new(options.kind != Kind::Ecr),
            pace: Pace::new(options.patience),
            pulls: Pulls::shared(options.share),
            gateways: std::sync::Mutex::default(),
            private_redirects: options.private_redirects,
            known: std::sync::Mutex::default(),
            met: AtomicBool::new(false),
            first: Mutex::new(()),
        })
    }

    /// The name that references use.
    pub fn name(&self) -> &Registry {
        &self.name
    }

    /// What kind of registry it is.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Whether blobs can be mounted from other repositories.
    pub fn mounts(&self) -> bool {
        self.mounts.load(Ordering::Relaxed)
    }

    /// Tells whether blobs can be mounted, where that is a setting of the account.
    pub fn set_mounts(&self, mounts: bool) {
        self.mounts.store(mounts, Ordering::Relaxed);
    }

    /// Asks a service beside the registry, at the pace of this host and again where that may help: the pause after a
    /// refusal is one for both.
    ///
    /// # Errors
    /// What `question` failed with for good.
    pub async fn retrying<T>(
        &self,
        question: impl AsyncFn() -> Result<T, Error>,
    ) -> Result<T, Error> {
        retrying(&self.pace, self.name.as_str(), || question()).await
    }

    /// Whether it is both written and read: then no upload may hold up a download, or they could wait for each other.
    pub fn is_two_way(&self) -> bool {
        matches!(self.access, Access::PullPushTo(_))
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
        let mut url = self.base.clone();
        url.set_path("/v2/");
        let scope = Scope::nothing();
        let call =
            Call { method: Method::GET, url, scope, headers: HeaderMap::new(), body: Bytes::new() };
        // What it says doesn't matter, only that it does.
        let _ = self.send(&call).await;
        !self.pace.is_given_up()
    }

    /// What is left of a limit on pulls, as far as the host has spoken of one.
    pub fn pull_budget(&self) -> Option<PullBudget> {
        self.pulls.budget()
    }

    /// Waits for the turn to read an image: where pulls are limited, and until it is known whether they are, one is read
    /// after the other, so that the last pulls make whole images. The turn is over when it is dropped.
    pub async fn pull_turn(&self) -> PullTurn {
        self.pulls.turn().await
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
    pub fn reserve_pulls(&self, pulls: u64) -> Result<Reservation<'_>, Error> {
        self.pulls.reserve(pulls).map_err(|Exhausted { left, ends }| {
            let message = format!("{pulls} needed, {left} left");
            Error::new(self.name.as_str(), ErrorKind::PullLimit { message, ends })
        })
    }

    /// Time has passed since the host spoke of a limit on pulls: it is asked again before much is read.
    pub fn forget_pulls(&self) {
        self.pulls.forget();
    }

    /// What is remembered of a repository.
    pub(crate) fn knowledge(&self, repository: &Repository) -> Arc<Knowledge> {
        let mut known = self.known.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        known.entry(repository.clone()).or_default().clone()
    }

    /// A URL of this registry, from path segments below `/v2/<repository>/`.
    pub(crate) fn url(&self, repository: &Repository, rest: &str) -> Url {
        let mut url = self.base.clone();
        url.set_path(&format!("/v2/{repository}/{rest}"));
        url
    }

    /// What reading from `repository` takes.
    pub(crate) fn read_scope(&self, repository: &Repository) -> Scope {
        let pushes = match &self.access {
            Access::Pull => false,
            Access::PullPush => true,
            Access::PullPushTo(repositories) => repositories.contains(repository),
        };
        if pushes { Scope::push(repository) } else { Scope::pull(repository) }
    }

    /// Whether `url` is on the very host that our credentials are for.
    pub(crate) fn is_home(&self, url: &Url) -> bool {
        url.origin() == self.base.origin()
    }

    /// Resolves a `Location` against the request it answers, and tells how far it may lead.
    pub(crate) fn location(&self, answer: &Answer) -> Result<(Url, Reach), Error> {
        let text =
            answer.response.headers().get(header::LOCATION).and_then(|value| value.to_str().ok());
        let protocol =
            |why: &str| Error::new(answer.request.clone(), ErrorKind::Protocol(why.to_owned()));
        let text = text.ok_or_else(|| protocol("the answer has no Location"))?;
        let asked = answer.response.url();
        let url =
            asked.join(text).map_err(|_| protocol("the Location of the answer is not a URL"))?;
        let url = without_lost_tls(asked, url);
        if !matches!(url.scheme(), "http" | "https")
            || (asked.scheme() == "https" && url.scheme() == "http")
        {
            return Err(protocol("the Location of the answer leads away from TLS"));
        }
        let reach =
            if self.is_home(&url) { Reach::Anywhere } else { self.reach_of(&answer.response) };
        reach.check(&answer.request, &url)?;
        Ok((url, reach))
    }

    /// How far an answer may send us.
    fn reach_of(&self, response: &Response) -> Reach {
        if self.private_redirects { Reach::Anywhere } else { self.http.reach_of(response) }
    }

    /// Sends a request, again where that may help, and gives any answer that is not a passing failure.
    pub(crate) async fn call(&self, call: &Call) -> Result<Answer, Error> {
        let mut attempts = self.attempts();
        loop {
            match self.send(call).await {
                Ok(answer) => return Ok(answer),
                Err(error) => attempts.again(error).await?,
            }
        }
    }

    /// A budget of attempts for one request, at the pace of this host.
    pub(crate) fn attempts(&self) -> Attempts<'_> {
        Attempts::new(&self.pace)
    }

    /// One attempt, in a slot of its own.
    pub(crate) async fn send(&self, call: &Call) -> Result<Answer, Error> {
        self.rates.wait(&call.method, call.url.path()).await;
        let slot = self.slot().await?;
        let mut answer = self.exchange(call).await?;
        answer.slot = Some(slot);
        Ok(answer)
    }

    /// One attempt in the caller's slot: the pause, the first meeting, redirects. An answer that often goes away is an
    /// error.
    pub(crate) async fn exchange(&self, call: &Call) -> Result<Answer, Error> {
        let request = describe(&call.method, &call.url);
        // Whether and how a registry wants credentials shows with the first answer; the others wait for that
        // instead of being refused all at once.
        let mut meeting =
            if self.met.load(Ordering::Acquire) { None } else { Some(self.first.lock().await) };
        if self.met.load(Ordering::Acquire) {
            meeting = None;
        }
        let entry = self.pace.enter().await.map_err(|kind| Error::new(request.clone(), kind))?;
        let outcome = self.authorized(call, &entry).await;
        self.met.store(true, Ordering::Release);
        drop(meeting);
        let (response, sent) = outcome?;
        let anonymous = !self.auth.has_used_credentials();
        let answer = Answer {
            response,
            request,
            trickle: Trickle::new(self.pace.idle()),
            slot: None,
            anonymous,
            authorized: !anonymous && matches!(sent, Sent::Token(_)),
        };
        let answer = self.followed(call, answer).await?;
        if !passing_status(answer.status()) {
            entry.served();
            return Ok(answer);
        }
        let told = pulls::told(answer.response.headers());
        let error = answer.into_error().await;
        if matches!(error.kind(), ErrorKind::PullLimit { .. }) {
            self.pulls.refused(told, error.retry_after());
        }
        if self.wants_fewer_sessions(call, &error) {
            entry.served();
        } else {
            entry.failed(&error);
        }
        Err(error)
    }

    /// Follows redirects of what only reads.
    async fn followed(&self, call: &Call, mut answer: Answer) -> Result<Answer, Error> {
        let follows = call.method == Method::GET || call.method == Method::HEAD;
        let mut hops = 0;
        while follows && matches!(answer.response.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
            hops += 1;
            if hops > MOST_REDIRECTS {
                return Err(Error::new(
                    answer.request,
                    ErrorKind::Protocol("too many redirects".to_owned()),
                ));
            }
            let (target, reach) = self.location(&answer)?;
            answer.response = self.follow(call, target, reach).await?;
        }
        Ok(answer)
    }

    pub(crate) async fn slot(&self) -> Result<OwnedSemaphorePermit, Error> {
        self.permit(&self.slots).await
    }

    /// A slot to receive a body of this size.
    pub(crate) async fn slot_for(&self, bytes: u64) -> Result<BodySlot, Error> {
        let large = if bytes >= LARGE { Some(self.permit(&self.large).await?) } else { None };
        Ok(BodySlot { _large: large, _slot: self.slot().await? })
    }

    /// The right to send a body of this size, where that is a large one. Others than for receiving: an upload waits for
    /// its download, which may come from the same host.
    pub(crate) async fn large_upload(
        &self,
        bytes: u64,
    ) -> Result<Option<OwnedSemaphorePermit>, Error> {
        if bytes < LARGE {
            return Ok(None);
        }
        self.permit(&self.large_uploads).await.map(Some)
    }

    /// The upload sessions.
    pub(crate) fn sessions(&self) -> &Arc<Sessions> {
        &self.sessions
    }

    /// What the registry makes of mounts.
    pub(crate) fn hints(&self) -> &Hints {
        &self.hints
    }

    async fn permit(&self, of: &Arc<Semaphore>) -> Result<OwnedSemaphorePermit, Error> {
        let closed =
            |_| Error::new(self.name.as_str(), ErrorKind::Broken("shutting down".to_owned()));
        of.clone().acquire_owned().await.map_err(closed)
    }

    /// Sends with the right `Authorization`, and once more when the registry asks for another.
    async fn authorized(&self, call: &Call, entry: &Entry<'_>) -> Result<(Response, Sent), Error> {
        let (sent, header) = self.auth.header(&self.http, &call.scope, None).await?;
        let response = self.transmit(call, call.url.clone(), header, Reach::Anywhere).await?;
        entry.reached();
        if response.status().as_u16() == 403 && self.auth.logs_in() {
            let response = self.logged_in_anew(call, &sent, response).await?;
            return Ok((response, sent));
        }
        if response.status().as_u16() != 401 {
            return Ok((response, sent));
        }
        let Some(challenge) = challenge_of(&response) else { return Ok((response, sent)) };
        self.auth.challenged(challenge, self.reach_of(&response));
        let rejected = match &sent {
            Sent::Token(token) => Some(token),
            _ => None,
        };
        let (again, header) = self.auth.header(&self.http, &call.scope, rejected).await?;
        if header.is_none() || again == sent {
            return Ok((response, sent));
        }
        drop(response);
        let mut response = self.transmit(call, call.url.clone(), header, Reach::Anywhere).await?;
        let refused = matches!(response.status().as_u16(), 401 | 403);
        if refused && again == Sent::Basic && self.auth.refuse_stored() {
            let (_, header) = self.auth.header(&self.http, &call.scope, None).await?;
            response = self.transmit(call, call.url.clone(), header, Reach::Anywhere).await?;
        }
        Ok((response, again))
    }

    /// After a 403: another login, if that is what it says.
    async fn logged_in_anew(
        &self,
        call: &Call,
        sent: &Sent,
        response: Response,
    ) -> Result<Response, Error> {
        let what = describe(&call.method, &call.url);
        let refusal = refusal(response, what, self.pace.idle()).await;
        let Sent::Token(over) = sent else { return Err(refusal) };
        // A HEAD has no body that says why. A login of a moment ago is not over.
        let silent = call.method == Method::HEAD && self.auth.login_age().await > YOUNG;
        if !refusal.is_expired_login() && !silent {
            return Err(refusal);
        }
        let (again, header) = self.auth.header(&self.http, &call.scope, Some(over)).await?;
        if again == *sent {
            return Err(refusal);
        }
        self.transmit(call, call.url.clone(), header, Reach::Anywhere).await
    }

    /// A redirect is followed with the request's own headers, but credentials stay on their host. A registry that stands
    /// in front of another one, as lscr.io does before ghcr.io, leaves us to ask that for a token, as strangers.
    async fn follow(&self, call: &Call, target: Url, reach: Reach) -> Result<Response, Error> {
        if self.is_home(&target) {
            let (_, header) = self.auth.header(&self.http, &call.scope, None).await?;
            return self.transmit(call, target, header, reach).await;
        }
        let origin = target.origin().ascii_serialization();
        let known = self.gateways().get(&origin).cloned();
        let header = match &known {
            Some(challenge) => self.auth.as_stranger(&self.http, &target, challenge, reach).await?,
            None => None,
        };
        let asked = header.is_some();
        let response = self.transmit(call, target.clone(), header, reach).await?;
        if response.status().as_u16() != 401 || asked || !target.path().starts_with("/v2/") {
            return Ok(response);
        }
        let Some(challenge) = challenge_of(&response) else { return Ok(response) };
        let header = self.auth.as_stranger(&self.http, &target, &challenge, reach).await?;
        if header.is_none() {
            return Ok(response);
        }
        self.gateways().insert(origin, challenge);
        drop(response);
        self.transmit(call, target, header, reach).await
    }

    fn gateways(&self) -> std::sync::MutexGuard<'_, HashMap<String, Challenge>> {
        self.gateways.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    async fn transmit(
        &self,
        call: &Call,
        url: Url,
        authorization: Option<HeaderValue>,
        reach: Reach,
    ) -> Result<Response, Error> {
        let what = describe(&call.method, &url);
        tracing::debug!(request = %what, "sending");
        let client = self.http.within(reach);
        let mut request = client.request(call.method.clone(), url).headers(call.headers.clone());
        // Digests are of the bytes as they are; what stands between must not pack them.
        request = request
            .header(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"))
            .body(call.body.clone());
        if let Some(authorization) = authorization {
            request = request.header(header::AUTHORIZATION, authorization);
        }
        within_idle(&what, self.pace.idle(), request.send()).await
    }

    /// The `Authorization` for an upload, whose body can't be sent twice. `rejected` was refused just now.
    pub(crate) async fn upload_header(
        &self,
        url: &Url,
        scope: &Scope,
        rejected: Option<&Sent>,
    ) -> Result<(Sent, Option<HeaderValue>), Error> {
        if !self.is_home(url) {
            return Ok((Sent::Nothing, None));
        }
        let rejected = match rejected {
            Some(Sent::Token(token)) => Some(token),
            _ => None,
        };
        self.auth.header(&self.http, scope, rejected).await
    }

    /// How fast this host may be asked.
    pub(crate) fn pace(&self) -> &Pace {
        &self.pace
    }

    pub(crate) fn rates(&self) -> &Rates {
        &self.rates
    }

    pub(crate) fn http(&self) -> &HttpClient {
        &self.http
    }
}

/// A registry behind a proxy that ends TLS and doesn't tell sends `http://` and its own name: that is meant as it was
/// asked (distribution/distribution#1984).
fn without_lost_tls(asked: &Url, mut url: Url) -> Url {
    let own = url.host_str() == asked.host_str() && matches!(url.port(), None | Some(80));
    if asked.scheme() == "https" && url.scheme() == "http" && own {
        let _ = url.set_scheme("https");
        let _ = url.set_port(asked.port());
    }
    url
}

fn challenge_of(response: &Response) -> Option<Challenge> {
    let headers = response.headers().get_all(header::WWW_AUTHENTICATE);
    challenge::parse(headers.iter().filter_map(|value| value.to_str().ok()))
}

impl std::fmt::Debug for Host {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Host")
            .field("name", &self.name)
            .field("base", &redacted(&self.base))
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_location_must_not_lead_away_from_tls() {
        use reqwest::ResponseBuilderExt;
        let options =
            HostOptions { concurrency: 1, access: Access::PullPush, ..HostOptions::default() };
        let credentials = Arc::new(Credentials::new([], Vec::new()));
        let name = "registry.example".parse().unwrap();
        let host = Host::new(HttpClient::new().unwrap(), credentials, &name, &options).unwrap();
        for (asked, location, allowed) in [
            ("https://registry.example/v2/", "/v2/upload", true),
            ("https://registry.example/v2/", "https://storage.example/x", true),
            ("https://registry.example/v2/", "http://registry.example/v2/upload", true),
            ("https://registry.example/v2/", "http://registry.example:5000/v2/upload", false),
            ("https://registry.example/v2/", "http://other.example/v2/upload", false),
            ("https://registry.example/v2/", "file:///etc/passwd", false),
            ("http://127.0.0.1:5000/v2/", "http://127.0.0.1:5000/v2/upload", true),
        ] {
            let response = http::Response::builder()
                .url(asked.parse().unwrap())
                .header("location", location)
                .body(String::new())
                .unwrap();
            let trickle = Trickle::new(std::time::Duration::from_secs(1));
            let request = asked.to_owned();
            let answer = Answer {
                response: response.into(),
                request,
                trickle,
                slot: None,
                anonymous: true,
                authorized: false,
            };
            assert_eq!(host.location(&answer).is_ok(), allowed, "{asked} to {location}");
        }
    }
}
