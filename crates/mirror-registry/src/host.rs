//! One registry: where it is, who we are there, and how a request reaches it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::time::Duration;

use bytes::Bytes;
use mirror_oci::{Endpoint, Registry, Repository};
use reqwest::header::{self, HeaderMap, HeaderValue};
use reqwest::{Method, Response, Url};
use tokio::sync::{Mutex, MutexGuard, OwnedSemaphorePermit, Semaphore};

use crate::answer::{Answer, Trickle, describe, refusal, within_idle};
use crate::auth::{Auth, Scope, Sent};
use crate::challenge;
use crate::credentials::Credentials;
use crate::error::{Error, ErrorKind, passing_status};
use crate::options::{Access, HostOptions, Kind};
use crate::pulls::{PullBudget, Pulls};
use crate::rates::Rates;
use crate::redact::redacted;
use crate::referrers::{PRESENT, UNKNOWN};
use crate::retry::{Attempts, Pace};

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
    http: reqwest::Client,
    auth: Auth,
    access: Access,
    slots: Arc<Semaphore>,
    large: Arc<Semaphore>,
    upload_slots: Arc<Semaphore>,
    large_uploads: Arc<Semaphore>,
    kind: Kind,
    rates: Rates,
    mounts: AtomicBool,
    pace: Pace,
    pulls: Pulls,
    turn: Mutex<()>,
    /// Whether the host has a list of referrers, once that is known.
    pub(crate) lists_referrers: AtomicU8,
    pub(crate) asking_referrers: Mutex<()>,
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

/// The right to send or receive a body.
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
        http: reqwest::Client,
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
            access: options.access,
            slots: Arc::new(Semaphore::new(options.concurrency)),
            large: Arc::new(Semaphore::new(options.concurrency.min(LARGE_AT_ONCE))),
            upload_slots: Arc::new(Semaphore::new(options.concurrency)),
            large_uploads: Arc::new(Semaphore::new(options.concurrency.min(LARGE_AT_ONCE))),
            kind: options.kind,
            rates: Rates::of(options.kind),
            mounts: AtomicBool::new(options.kind == Kind::Standard),
            pace: Pace::new(options.patience),
            pulls: Pulls::shared(options.share),
            turn: Mutex::new(()),
            lists_referrers: AtomicU8::new(match options.kind {
                Kind::Standard => UNKNOWN,
                // It lists them, though some manifests get a 405: aws/containers-roadmap#2783.
                Kind::Ecr => PRESENT,
            }),
            asking_referrers: Mutex::new(()),
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
        let mut attempts = self.attempts();
        loop {
            self.pace.wait().await;
            match question().await {
                Ok(answer) => {
                    self.pace.served();
                    return Ok(answer);
                }
                Err(error) => attempts.again(error).await?,
            }
        }
    }

    /// What is left of a limit on pulls, as far as the host has spoken of one.
    pub fn pull_budget(&self) -> Option<PullBudget> {
        self.pulls.budget()
    }

    /// Where pulls are limited, images are read one after the other, so that the last pulls make whole images.
    /// The turn is over when the guard is dropped.
    pub async fn pull_turn(&self) -> Option<MutexGuard<'_, ()>> {
        match self.pulls.budget() {
            Some(_) => Some(self.turn.lock().await),
            None => None,
        }
    }

    /// Sets pulls of manifests aside before they are made.
    ///
    /// # Errors
    /// When the host has told that fewer are left.
    pub fn reserve_pulls(&self, pulls: u64) -> Result<(), Error> {
        if self.pulls.reserve(pulls) {
            return Ok(());
        }
        let left = self.pulls.budget().map_or(0, |budget| budget.left);
        let kind = ErrorKind::PullLimit(format!("{pulls} needed, {left} left"));
        Err(Error::new(self.name.as_str(), kind))
    }

    /// A URL of this registry, from path segments below `/v2/<repository>/`.
    pub(crate) fn url(&self, repository: &Repository, rest: &str) -> Url {
        let mut url = self.base.clone();
        url.set_path(&format!("/v2/{repository}/{rest}"));
        url
    }

    /// What reading from `repository` takes.
    pub(crate) fn read_scope(&self, repository: &Repository) -> Scope {
        match self.access {
            Access::Pull => Scope::pull(repository),
            Access::PullPush => Scope::push(repository),
        }
    }

    /// Whether `url` is on the very host that our credentials are for.
    pub(crate) fn is_home(&self, url: &Url) -> bool {
        url.origin() == self.base.origin()
    }

    /// Resolves a `Location` against the request it answers.
    pub(crate) fn location(&self, answer: &Answer) -> Result<Url, Error> {
        let text =
            answer.response.headers().get(header::LOCATION).and_then(|value| value.to_str().ok());
        let protocol =
            |why: &str| Error::new(answer.request.clone(), ErrorKind::Protocol(why.to_owned()));
        let text = text.ok_or_else(|| protocol("the answer has no Location"))?;
        let asked = answer.response.url();
        let url =
            asked.join(text).map_err(|_| protocol("the Location of the answer is not a URL"))?;
        if !matches!(url.scheme(), "http" | "https")
            || (asked.scheme() == "https" && url.scheme() == "http")
        {
            return Err(protocol("the Location of the answer leads away from TLS"));
        }
        Ok(url)
    }

    /// Sends a request, again where that may help, and gives any answer that is not a passing failure.
    pub(crate) async fn call(&self, call: &Call) -> Result<Answer, Error> {
        let mut attempts = self.attempts();
        loop {
            let error = match self.send(call).await {
                Ok(answer) if passing_status(answer.status()) => answer.into_error().await,
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            attempts.again(error).await?;
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

    /// One attempt in the caller's slot: the pause, the first meeting, redirects.
    pub(crate) async fn exchange(&self, call: &Call) -> Result<Answer, Error> {
        self.pace.wait().await;
        if let Some(kind) = self.pace.given_up() {
            return Err(Error::new(describe(&call.method, &call.url), kind));
        }
        // Whether and how a registry wants credentials shows with the first answer; the others wait for that
        // instead of being refused all at once.
        let mut meeting =
            if self.met.load(Ordering::Acquire) { None } else { Some(self.first.lock().await) };
        if self.met.load(Ordering::Acquire) {
            meeting = None;
        }
        let outcome = self.authorized(call).await;
        self.met.store(true, Ordering::Release);
        drop(meeting);
        let mut answer = Answer {
            response: outcome?,
            request: describe(&call.method, &call.url),
            trickle: Trickle::new(self.pace.idle()),
            slot: None,
        };
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
            let target = self.location(&answer)?;
            answer.response = self.follow(call, target).await?;
        }
        if !passing_status(answer.status()) {
            self.pace.served();
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

    /// A slot to send a body of this size. An upload waits for its download in such a slot, perhaps one of the same
    /// host: if both took from one store, uploads could hold what their downloads need.
    pub(crate) async fn upload_slot_for(&self, bytes: u64) -> Result<BodySlot, Error> {
        let large =
            if bytes >= LARGE { Some(self.permit(&self.large_uploads).await?) } else { None };
        Ok(BodySlot { _large: large, _slot: self.permit(&self.upload_slots).await? })
    }

    async fn permit(&self, of: &Arc<Semaphore>) -> Result<OwnedSemaphorePermit, Error> {
        let closed =
            |_| Error::new(self.name.as_str(), ErrorKind::Broken("shutting down".to_owned()));
        of.clone().acquire_owned().await.map_err(closed)
    }

    /// Sends with the right `Authorization`, and once more when the registry asks for another.
    async fn authorized(&self, call: &Call) -> Result<Response, Error> {
        let (sent, header) = self.auth.header(&self.http, &call.scope, None).await?;
        let response = self.transmit(call, call.url.clone(), header).await?;
        if response.status().as_u16() == 403 && self.auth.logs_in() {
            return self.logged_in_anew(call, &sent, response).await;
        }
        if response.status().as_u16() != 401 {
            self.pulls.hear(response.headers());
            return Ok(response);
        }
        let headers = response.headers().get_all(header::WWW_AUTHENTICATE);
        let Some(challenge) =
            challenge::parse(headers.iter().filter_map(|value| value.to_str().ok()))
        else {
            return Ok(response);
        };
        self.auth.challenged(challenge);
        let rejected = match &sent {
            Sent::Token(token) => Some(token),
            _ => None,
        };
        let (again, header) = self.auth.header(&self.http, &call.scope, rejected).await?;
        if header.is_none() || again == sent {
            return Ok(response);
        }
        drop(response);
        let mut response = self.transmit(call, call.url.clone(), header).await?;
        let refused = matches!(response.status().as_u16(), 401 | 403);
        if refused && again == Sent::Basic && self.auth.refuse_stored() {
            let (_, header) = self.auth.header(&self.http, &call.scope, None).await?;
            response = self.transmit(call, call.url.clone(), header).await?;
        }
        self.pulls.hear(response.headers());
        Ok(response)
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
        self.transmit(call, call.url.clone(), header).await
    }

    /// A redirect is followed with the request's own headers, but credentials stay on their host.
    async fn follow(&self, call: &Call, target: Url) -> Result<Response, Error> {
        if self.is_home(&target) {
            let (_, header) = self.auth.header(&self.http, &call.scope, None).await?;
            return self.transmit(call, target, header).await;
        }
        self.transmit(call, target, None).await
    }

    async fn transmit(
        &self,
        call: &Call,
        url: Url,
        authorization: Option<HeaderValue>,
    ) -> Result<Response, Error> {
        let what = describe(&call.method, &url);
        tracing::debug!(request = %what, "sending");
        let mut request = self.http.request(call.method.clone(), url).headers(call.headers.clone());
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

    pub(crate) fn http(&self) -> &reqwest::Client {
        &self.http
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::http_client;

    #[test]
    fn a_location_must_not_lead_away_from_tls() {
        use reqwest::ResponseBuilderExt;
        let options =
            HostOptions { concurrency: 1, access: Access::PullPush, ..HostOptions::default() };
        let credentials = Arc::new(Credentials::new([], Vec::new()));
        let name = "registry.example".parse().unwrap();
        let host = Host::new(http_client().unwrap(), credentials, &name, &options).unwrap();
        for (asked, location, allowed) in [
            ("https://registry.example/v2/", "/v2/upload", true),
            ("https://registry.example/v2/", "https://storage.example/x", true),
            ("https://registry.example/v2/", "http://registry.example/v2/upload", false),
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
            let answer = Answer { response: response.into(), request, trickle, slot: None };
            assert_eq!(host.location(&answer).is_ok(), allowed, "{asked} to {location}");
        }
    }
}
