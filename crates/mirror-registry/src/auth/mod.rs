//! Answers to challenges: which `Authorization` header goes with which request.

pub(crate) mod challenge;
pub(crate) mod credentials;
pub(crate) mod token;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::Method;
use http::header::{self, HeaderMap, HeaderValue};
use mirror_failure::{CredentialError, ErrorKind, RequestError};
use mirror_oci::{Endpoint, Repository};
use tokio::time::Instant;
use url::Url;

use crate::auth::challenge::Challenge;
use crate::auth::credentials::{Credential, Credentials, Login, LoginSource};
use crate::auth::token::{Token, TokenAnswer, TokenKey, Tokens};
use crate::limits::pace::Pace;
use crate::limits::retry::retrying;
use crate::redact::{Secret, redacted};
use crate::wire::{Outgoing, Reach, Wire};

/// Registries whose token service is on another host. Credentials go there, to the registry's own host, and where
/// the configuration says so, nowhere else: CVE-2026-48978 and its kin. In pairs, since a list of token services alone
/// would let any registry name any of them (devcontainers/cli#1278).
///
/// GHCR, Quay, Amazon, Google, Azure, Red Hat, NVIDIA and Docker's dhi.io (docker/hub-feedback#2530) have theirs on the
/// host of the registry.
const KNOWN_REALMS: [(&str, &str); 6] = [
    // distribution/distribution#1203
    ("registry-1.docker.io", "auth.docker.io"),
    // getwud/wud app/registries/providers/gitlab/Gitlab.test.ts
    ("registry.gitlab.com", "gitlab.com"),
    // docker-library/elasticsearch update.sh
    ("docker.elastic.co", "docker-auth.elastic.co"),
    // https://staging-connect-docs.forma3d.be/04-development/incidents/2026-03-06-cosign-401-staging-attestation
    ("registry.digitalocean.com", "api.digitalocean.com"),
    // QingdaoU/OnlineJudgeDeploy#90
    ("registry.cn-hangzhou.aliyuncs.com", "dockerauth.cn-hangzhou.aliyuncs.com"),
    // AliyunContainerService/kube-eventer#81
    ("registry.aliyuncs.com", "dockerauth.cn-hangzhou.aliyuncs.com"),
];

/// How long a failure to log in is believed.
const REFUSED: Duration = Duration::from_secs(300);

/// Which rights a request needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TokenScope {
    /// `repository:<name>:<actions>`, space-separated when there are several.
    text: String,
}

impl TokenScope {
    pub(crate) fn pull(repository: &Repository) -> TokenScope {
        TokenScope { text: format!("repository:{repository}:pull") }
    }

    /// To be heard at all.
    pub(crate) fn nothing() -> TokenScope {
        TokenScope { text: String::new() }
    }

    pub(crate) fn push(repository: &Repository) -> TokenScope {
        TokenScope { text: format!("repository:{repository}:pull,push") }
    }

    /// A mount reads from another repository as well: oci-client#235.
    pub(crate) fn mount(to: &Repository, from: &Repository) -> TokenScope {
        if to == from {
            TokenScope::push(to)
        } else {
            TokenScope { text: format!("repository:{to}:pull,push repository:{from}:pull") }
        }
    }
}

/// Who we are at one host, and how it wants to hear it.
pub(crate) struct Auth {
    base: Url,
    authority: String,
    realm: Option<Url>,
    credentials: Arc<Credentials>,
    credential: tokio::sync::OnceCell<Result<Credential, CredentialError>>,
    /// Why a credential helper did not tell who we are.
    helper: OnceLock<RequestError>,
    login: Option<LoginSource>,
    /// Whether what is stored somewhere was refused: `docker login` at ECR holds for twelve hours.
    stored_refused: AtomicBool,
    used_credentials: AtomicBool,
    logged_in: tokio::sync::Mutex<Option<LoggedIn>>,
    challenge: RwLock<Option<(Challenge, Reach)>>,
    tokens: Tokens,
    /// Of the token service, which may be another host.
    pace: Pace,
}

/// A login that was made, if there were credentials for it.
struct LoggedIn {
    login: Result<Option<Login>, RequestError>,
    since: Instant,
    until: Instant,
}

/// What was sent, to tell a stale response from a fresh one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Sent {
    /// Without an `Authorization` header.
    Nothing,
    /// With user and password, as `Basic`.
    Basic,
    /// With this token, as `Bearer`.
    Token(Secret),
}

impl Auth {
    pub(crate) fn new(
        base: Url,
        realm: Option<Url>,
        credentials: Arc<Credentials>,
        login: Option<LoginSource>,
        pace: Pace,
    ) -> Auth {
        let host = base.host_str().unwrap_or_default();
        let authority =
            base.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
        Auth {
            base,
            authority,
            realm,
            credentials,
            credential: tokio::sync::OnceCell::new(),
            helper: OnceLock::new(),
            login,
            stored_refused: AtomicBool::new(false),
            used_credentials: AtomicBool::new(false),
            logged_in: tokio::sync::Mutex::new(None),
            challenge: RwLock::new(None),
            tokens: Tokens::default(),
            pace,
        }
    }

    /// Remembers how the registry wants to be asked, and how far it may send us for a token.
    pub(crate) fn challenged(&self, challenge: Challenge, reach: Reach) {
        *self.challenge.write().unwrap_or_else(PoisonError::into_inner) = Some((challenge, reach));
    }

    /// Why we are strangers here who might not be, if that is so.
    pub(crate) fn failed_helper(&self) -> Option<&RequestError> {
        self.helper.get()
    }

    /// Whether credentials of any kind were used.
    pub(crate) fn has_used_credentials(&self) -> bool {
        self.used_credentials.load(Ordering::Relaxed)
    }

    /// The header for a request, as far as is known what the registry wants. `rejected` is a token that was just
    /// refused and must not be sent again.
    pub(crate) async fn header(
        &self,
        wire: &Wire,
        scope: &TokenScope,
        rejected: Option<&Secret>,
    ) -> Result<(Sent, Option<HeaderValue>), RequestError> {
        let challenge = self.challenge.read().unwrap_or_else(PoisonError::into_inner).clone();
        let Some((challenge, reach)) = challenge else { return Ok((Sent::Nothing, None)) };
        let known = match self.credential().await {
            // Docker only warns: most registries let strangers read. Where that is refused, this is why.
            Err(error) if error.is_failed_helper() => {
                let _ = self.helper.set(error);
                &Credential::Anonymous
            }
            known => known?,
        };
        let stored =
            *known != Credential::Anonymous && !self.stored_refused.load(Ordering::Relaxed);
        let login = if stored { None } else { self.login(rejected).await? };
        let logged_in =
            login.map(|Login { user, password, .. }| Credential::Basic { user, password });
        let stored = if stored { known } else { &Credential::Anonymous };
        let credential = logged_in.as_ref().unwrap_or(stored);
        if *credential != Credential::Anonymous {
            self.used_credentials.store(true, Ordering::Relaxed);
        }
        match (challenge, credential) {
            (Challenge::Basic, Credential::Basic { user, password }) if logged_in.is_some() => {
                Ok((Sent::Token(password.clone()), basic_header(user, password)))
            }
            (_, Credential::Bearer(token)) => Ok((Sent::Token(token.clone()), bearer(token))),
            (Challenge::Basic, Credential::Basic { user, password }) => {
                Ok((Sent::Basic, basic_header(user, password)))
            }
            (Challenge::Basic, _) => Ok((Sent::Nothing, None)),
            (Challenge::Bearer { realm, service }, credential) => {
                let realm = self.realm_url(&realm)?;
                if logged_in.is_some() && !self.login_belongs_to(&realm) {
                    return Err(self.foreign(&realm));
                }
                let key = TokenKey { realm, service, scope: scope.text.clone() };
                let reach = self.reach_to(&key.realm, reach)?;
                let token = self.token((wire, reach), &key, credential, rejected).await?;
                let header = bearer(&token.secret);
                Ok((Sent::Token(token.secret), header))
            }
        }
    }

    /// Who we are here. Asked once: a helper that hangs would hold up every request.
    async fn credential(&self) -> Result<&Credential, RequestError> {
        let secure = self.base.scheme() == "https" || is_loopback(&self.base);
        let known =
            self.credential.get_or_init(|| self.credentials.lookup(&self.authority, secure)).await;
        let wrong = |error: &CredentialError| {
            RequestError::new(format!("credentials for {}", self.authority), error.clone().into())
        };
        known.as_ref().map_err(wrong)
    }

    /// Who a cloud makes us for a while, shared by all requests; another one when `rejected` was it.
    async fn login(&self, rejected: Option<&Secret>) -> Result<Option<Login>, RequestError> {
        let Some(source) = &self.login else { return Ok(None) };
        let mut logged_in = self.logged_in.lock().await;
        if let Some(LoggedIn { login, until, .. }) = logged_in.as_ref()
            && *until > Instant::now()
        {
            let over = matches!(login, Ok(Some(login)) if Some(&login.password) == rejected);
            if !over {
                return login.clone();
            }
        }
        let what = format!("login at {}", self.authority);
        let login = match retrying(&self.pace, &what, || source.ask()).await {
            Ok(login) => login,
            Err(error) => {
                // Looking for credentials can take seconds, and each request would do it again.
                let (login, since) = (Err(error.settled()), Instant::now());
                let until = since + REFUSED;
                *logged_in = Some(LoggedIn { login: login.clone(), since, until });
                return login;
            }
        };
        // Renewed well before it ends: an upload may take a while.
        let lifetime = login.as_ref().map_or(Duration::from_secs(3600), |login| login.lifetime);
        let since = Instant::now();
        let until = since + lifetime.mul_f64(0.8);
        *logged_in = Some(LoggedIn { login: Ok(login.clone()), since, until });
        Ok(login)
    }

    /// How old the login is.
    pub(crate) async fn login_age(&self) -> Duration {
        let logged_in = self.logged_in.lock().await;
        logged_in.as_ref().map_or(Duration::ZERO, |login| login.since.elapsed())
    }

    /// What is stored was refused; true, if somebody else can say who we are.
    pub(crate) fn refuse_stored(&self) -> bool {
        self.login.is_some() && !self.stored_refused.swap(true, Ordering::Relaxed)
    }

    /// Whether a refusal can mean that a login is over: ECR says so with 403.
    pub(crate) fn logs_in(&self) -> bool {
        self.login.is_some()
    }

    /// How far away a token service may be that the registry names; its own host and what the configuration names may be
    /// anywhere.
    fn reach_to(&self, realm: &Url, reach: Reach) -> Result<Reach, RequestError> {
        let chosen = self.realm.as_ref().is_some_and(|chosen| chosen.origin() == realm.origin());
        if chosen || realm.origin() == self.base.origin() {
            return Ok(Reach::Anywhere);
        }
        reach.check(&format!("login at {}", self.authority), realm)?;
        Ok(reach)
    }

    fn realm_url(&self, realm: &str) -> Result<Url, RequestError> {
        let protocol = |why: &str| {
            RequestError::new(
                format!("login at {}", self.authority),
                ErrorKind::Protocol(format!("the token service `{realm}` {why}")),
            )
        };
        let url = self.base.join(realm).map_err(|_| protocol("is not a URL"))?;
        let secure = url.scheme() == "https" || url.scheme() == self.base.scheme();
        if !matches!(url.scheme(), "http" | "https") || !secure {
            return Err(protocol("is not reached by TLS, though the registry is"));
        }
        Ok(url)
    }

    /// Whether a login that was made for this registry may go to a token service.
    fn login_belongs_to(&self, realm: &Url) -> bool {
        let endpoint = realm.origin().ascii_serialization().parse();
        let endpoint: Option<Endpoint> = endpoint.ok();
        let source = self.login.as_ref();
        source.zip(endpoint).is_some_and(|(source, endpoint)| source.belongs_to(&endpoint))
    }

    fn foreign(&self, realm: &Url) -> RequestError {
        let host = realm.host_str().unwrap_or_default().to_owned();
        RequestError::new(format!("login at {}", self.authority), ErrorKind::ForeignRealm(host))
    }

    fn may_have_credentials(&self, realm: &Url) -> bool {
        let chosen = self.realm.as_ref().is_some_and(|chosen| chosen.origin() == realm.origin());
        chosen || is_own_realm(&self.base, realm)
    }

    /// The header for a request that this host has sent on to another registry, which wants a token: one for strangers,
    /// of that registry's own token service. Nothing that is stored for anybody goes there.
    pub(crate) async fn as_stranger(
        &self,
        wire: &Wire,
        target: &Url,
        challenge: &Challenge,
        reach: Reach,
    ) -> Result<Option<HeaderValue>, RequestError> {
        let Challenge::Bearer { realm, service } = challenge else { return Ok(None) };
        let (Ok(realm), Some(scope)) = (target.join(realm), pull_scope(target.path())) else {
            return Ok(None);
        };
        if !is_own_realm(target, &realm) {
            return Ok(None);
        }
        reach.check(&format!("login at {}", redacted(&realm)), &realm)?;
        let key = TokenKey { realm, service: service.clone(), scope };
        let token = self.token((wire, reach), &key, &Credential::Anonymous, None).await?;
        Ok(bearer(&token.secret))
    }

    async fn token(
        &self,
        by: (&Wire, Reach),
        key: &TokenKey,
        credential: &Credential,
        rejected: Option<&Secret>,
    ) -> Result<Token, RequestError> {
        let slot = self.tokens.slot(key);
        let mut slot = slot.lock().await;
        if let Some(token) = slot.as_ref()
            && token.is_fresh()
            && Some(&token.secret) != rejected
        {
            return Ok(token.clone());
        }
        let token = self.fetch_token(by, key, credential).await.map_err(RequestError::settled)?;
        *slot = Some(token.clone());
        Ok(token)
    }

    async fn fetch_token(
        &self,
        by: (&Wire, Reach),
        key: &TokenKey,
        credential: &Credential,
    ) -> Result<Token, RequestError> {
        if *credential != Credential::Anonymous && !self.may_have_credentials(&key.realm) {
            return Err(self.foreign(&key.realm));
        }
        let (wire, reach) = by;
        let request = token_request(key, credential, reach)?;
        let what = format!("login at {}", redacted(&request.url));
        crate::host::response::small_json::<TokenAnswer>(wire, &request, &what, &self.pace)
            .await
            .map_err(|error| {
                error.anonymously(*credential == Credential::Anonymous).by_token_service()
            })?
            .into_token(Instant::now())
            .ok_or_else(|| {
                RequestError::new(
                    what,
                    ErrorKind::Protocol("the response holds no token".to_owned()),
                )
            })
    }
}

/// What a token service is asked.
fn token_request(
    key: &TokenKey,
    credential: &Credential,
    reach: Reach,
) -> Result<Outgoing, RequestError> {
    let mut url = key.realm.clone();
    let mut headers = HeaderMap::new();
    if let Credential::Refresh(token) = credential {
        let form = [
            ("grant_type", "refresh_token"),
            ("client_id", "mirror"),
            ("service", key.service.as_deref().unwrap_or_default()),
            ("scope", key.scope.as_str()),
            ("refresh_token", token.expose()),
        ];
        let form = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
        let form_type = HeaderValue::from_static("application/x-www-form-urlencoded");
        headers.insert(header::CONTENT_TYPE, form_type);
        return Ok(Outgoing { method: Method::POST, url, headers, body: form.into(), reach });
    }
    let service = key.service.iter().map(|service| ("service", service.as_str()));
    let scopes = key.scope.split(' ').filter(|scope| !scope.is_empty());
    let scopes = scopes.map(|scope| ("scope", scope));
    url.query_pairs_mut().extend_pairs(service.chain(scopes));
    if let Credential::Basic { user, password } = credential {
        headers.insert(header::AUTHORIZATION, required(basic_header(user, password))?);
    }
    Ok(Outgoing { method: Method::GET, url, headers, body: Bytes::new(), reach })
}

/// Whether a token service is that of a registry: on its own host, or a well-known one.
fn is_own_realm(registry: &Url, realm: &Url) -> bool {
    let known = KNOWN_REALMS.iter().any(|(name, host)| {
        registry.host_str() == Some(name)
            && registry.port().is_none()
            && realm.host_str() == Some(host)
            && realm.scheme() == "https"
    });
    known || realm.origin() == registry.origin()
}

/// What reading `/v2/<repository>/manifests/…` or the like takes.
fn pull_scope(path: &str) -> Option<String> {
    let rest = path.strip_prefix("/v2/")?;
    let ends = ["/manifests/", "/blobs/", "/referrers/", "/tags/list"];
    let end = ends.iter().find_map(|end| rest.rfind(end))?;
    let repository: Repository = rest.get(..end)?.parse().ok()?;
    Some(TokenScope::pull(&repository).text)
}

fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost"
        || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn basic_header(user: &str, password: &Secret) -> Option<HeaderValue> {
    sensitive(format!("Basic {}", STANDARD.encode(format!("{user}:{}", password.expose()))))
}

fn bearer(token: &Secret) -> Option<HeaderValue> {
    sensitive(format!("Bearer {}", token.expose()))
}

fn sensitive(text: String) -> Option<HeaderValue> {
    let mut value = HeaderValue::try_from(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

fn required(header: Option<HeaderValue>) -> Result<HeaderValue, RequestError> {
    header.ok_or_else(|| {
        RequestError::new(
            "login",
            ErrorKind::Protocol("the credentials hold control characters".to_owned()),
        )
    })
}
