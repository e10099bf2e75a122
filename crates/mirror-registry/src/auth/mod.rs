//! Answers to challenges: which `Authorization` header goes with which request.

pub(crate) mod challenge;
pub(crate) mod challenges;
pub(crate) mod credentials;
pub(crate) mod logins;
pub(crate) mod realm;
pub(crate) mod scope;
pub(crate) mod token;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::Method;
use http::header::{self, HeaderMap, HeaderValue};
use mirror_failure::{CredentialError, ErrorKind, RequestError};
use mirror_oci::Repository;
use tokio::sync::OnceCell;
use url::Url;

use crate::auth::challenge::Challenge;
use crate::auth::challenges::{Asked, Challenges};
use crate::auth::credentials::{Credential, Credentials, Login, LoginSource, Lookup};
use crate::auth::logins::Logins;
use crate::auth::realm::{authority, is_loopback, is_own_realm, realm_url};
use crate::auth::scope::TokenScope;
use crate::auth::token::{Token, TokenKey, Tokens};
use crate::limits::pace::Pace;
use crate::listener::{HostNews, Listener};
use crate::redact::{Secret, redacted};
use crate::wire::{FORM, Outgoing, Reach, TlsFiles, Wire};

/// Who we are at one host, and how it wants to hear it.
pub(crate) struct Auth {
    base: Url,
    authority: String,
    realm: Option<Url>,
    credentials: Arc<Credentials>,
    looked_up: Mutex<HashMap<Option<Repository>, Arc<OnceCell<Lookup>>>>,
    logins: Logins,
    used_credentials: AtomicBool,
    challenges: Challenges,
    tokens: Tokens,
    /// Of the token service, which may be another host.
    pace: Pace,
    listener: Listener<HostNews>,
    /// Certificates that are configured for the host.
    tls: Arc<TlsFiles>,
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

/// What goes with a request.
#[derive(Debug, Clone)]
pub(crate) struct Authorization {
    pub(crate) sent: Sent,
    pub(crate) header: Option<HeaderValue>,
    /// The challenge that it answers.
    pub(crate) asked: Option<Asked>,
    /// Whether it says who we are.
    pub(crate) named: bool,
    /// Whether it is a token that was made just now: a refusal does not mean that it is too old.
    pub(crate) fresh: bool,
}

impl Authorization {
    /// What a stranger sends who was not asked for anything.
    pub(crate) fn nothing(asked: Option<Asked>) -> Authorization {
        Authorization { sent: Sent::Nothing, header: None, asked, named: false, fresh: false }
    }

    /// The token that was sent, if it was one.
    pub(crate) fn token(&self) -> Option<&Secret> {
        match &self.sent {
            Sent::Token(token) => Some(token),
            Sent::Nothing | Sent::Basic => None,
        }
    }
}

impl Auth {
    pub(crate) fn new(
        base: Url,
        realm: Option<Url>,
        credentials: Arc<Credentials>,
        login: Option<LoginSource>,
        pace: Pace,
        listener: Listener<HostNews>,
        tls: Arc<TlsFiles>,
    ) -> Auth {
        Auth {
            authority: authority(&base),
            base,
            realm,
            credentials,
            looked_up: Mutex::default(),
            logins: Logins::new(login),
            used_credentials: AtomicBool::new(false),
            challenges: Challenges::default(),
            tokens: Tokens::default(),
            pace,
            listener,
            tls,
        }
    }

    /// Remembers how a repository wants to be asked, and how far it may send us for a token.
    pub(crate) fn learn(&self, scope: &TokenScope, asked: Asked) {
        self.challenges.learn(scope.repository(), asked);
    }

    /// What was sent is right for this repository.
    pub(crate) fn settle(&self, scope: &TokenScope) {
        scope.repository().into_iter().for_each(|repository| self.challenges.settle(repository));
    }

    /// How this repository wants to be asked, as far as that is known.
    pub(crate) fn asked(&self, scope: &TokenScope) -> Option<Asked> {
        self.challenges.of(scope.repository())
    }

    /// Whether it is only a guess how this repository wants to be asked.
    pub(crate) fn is_guess(&self, scope: &TokenScope) -> bool {
        scope.repository().is_some_and(|repository| self.challenges.is_guess(repository))
    }

    /// Logins that a cloud makes.
    pub(crate) fn logins(&self) -> &Logins {
        &self.logins
    }

    /// How old the login of a cloud is.
    pub(crate) async fn login_age(&self) -> std::time::Duration {
        self.logins.age().await
    }

    /// Why we are strangers here who might not be, if that is so.
    pub(crate) async fn failed_source(&self, scope: &TokenScope) -> Option<RequestError> {
        let lookup = self.looked_up(scope);
        let lookup = lookup.get()?;
        let failed = lookup.failures().next().cloned().or_else(|| lookup.withheld())?;
        (lookup.credential == Credential::Anonymous).then(|| self.unknown(&failed))
    }

    /// Whether credentials of any kind were used.
    pub(crate) fn has_used_credentials(&self) -> bool {
        self.used_credentials.load(Ordering::Relaxed)
    }

    /// Whether something is stored that says who we are.
    pub(crate) async fn is_known(&self, scope: &TokenScope) -> bool {
        self.lookup(scope).await.credential != Credential::Anonymous
    }

    /// What goes with a request, as far as is known what the registry wants. `rejected` is a token that was just
    /// refused and must not be sent again.
    pub(crate) async fn authorize(
        &self,
        wire: &Wire,
        scope: &TokenScope,
        rejected: Option<&Secret>,
    ) -> Result<Authorization, RequestError> {
        match self.asked(scope) {
            Some(asked) => self.answer(wire, scope, asked, rejected).await,
            None => Ok(Authorization::nothing(None)),
        }
    }

    /// The answer to a challenge.
    pub(crate) async fn answer(
        &self,
        wire: &Wire,
        scope: &TokenScope,
        asked: Asked,
        rejected: Option<&Secret>,
    ) -> Result<Authorization, RequestError> {
        let known = self.lookup(scope).await;
        let wrong = known.failures().find(|error| matches!(error, CredentialError::Variable(_)));
        if let Some(wrong) = wrong {
            return Err(self.unknown(wrong));
        }
        let stored = known.credential != Credential::Anonymous && self.logins.trust_stored();
        let login = match stored {
            true => None,
            false => self.logins.ask(&self.pace, &self.base, rejected).await?,
        };
        let password = login.as_ref().map(|login| login.password.clone());
        let logged_in =
            login.map(|Login { user, password, .. }| Credential::basic(&user, &password));
        let stored = if stored { &known.credential } else { &Credential::Anonymous };
        let credential = logged_in.as_ref().unwrap_or(stored);
        let named = *credential != Credential::Anonymous;
        if named {
            self.used_credentials.store(true, Ordering::Relaxed);
        }
        let sent = |sent, header| Authorization {
            sent,
            header,
            asked: Some(asked.clone()),
            named,
            fresh: false,
        };
        match (&asked.challenge, credential) {
            (_, Credential::Bearer(token)) => Ok(sent(Sent::Token(token.clone()), bearer(token))),
            (Challenge::Basic, Credential::Basic { login, .. }) => {
                let kind = password.map_or(Sent::Basic, Sent::Token);
                Ok(sent(kind, basic_header(login)))
            }
            (Challenge::Basic, _) => Ok(sent(Sent::Nothing, None)),
            (Challenge::Bearer { realm, service }, credential) => {
                let realm = realm_url(&self.base, realm)?;
                if logged_in.is_some() && !self.logins.belong_to(&realm) {
                    return Err(self.foreign(&realm));
                }
                let reach = self.reach_to(&realm, asked.reach)?;
                let scope = scope.with(asked.scope.as_deref());
                let key = TokenKey { realm, service: service.clone(), scope };
                let (token, fresh) = self.token((wire, reach), &key, credential, rejected).await?;
                let header = bearer(&token.secret);
                Ok(Authorization { fresh, ..sent(Sent::Token(token.secret), header) })
            }
        }
    }

    /// Who we are here, found out once for each repository.
    async fn lookup(&self, scope: &TokenScope) -> Lookup {
        let secure = self.base.scheme() == "https" || is_loopback(&self.base);
        let found = self.looked_up(scope);
        let lookup = async || {
            let lookup = self.credentials.lookup(&self.authority, scope.repository(), secure).await;
            let failures = lookup.failures().map(ToString::to_string);
            for why in failures.filter(|why| self.credentials.is_news(why)) {
                self.listener.tell(HostNews::CredentialSourceFailed { why });
            }
            lookup
        };
        found.get_or_init(lookup).await.clone()
    }

    fn looked_up(&self, scope: &TokenScope) -> Arc<OnceCell<Lookup>> {
        let mut looked_up = self.looked_up.lock().unwrap_or_else(PoisonError::into_inner);
        looked_up.entry(scope.repository().cloned()).or_default().clone()
    }

    fn unknown(&self, error: &CredentialError) -> RequestError {
        RequestError::new(format!("credentials for {}", self.authority), error.clone().into())
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

    fn foreign(&self, realm: &Url) -> RequestError {
        let kind = ErrorKind::ForeignRealm(authority(realm));
        RequestError::new(format!("login at {}", self.authority), kind)
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
        let (Ok(realm), Some(scope)) = (target.join(realm), TokenScope::of_path(target.path()))
        else {
            return Ok(None);
        };
        if !is_own_realm(target, &realm) {
            return Ok(None);
        }
        reach.check(&format!("login at {}", redacted(&realm)), &realm)?;
        let key = TokenKey { realm, service: service.clone(), scope: scope.with(None) };
        let (token, _) = self.token((wire, reach), &key, &Credential::Anonymous, None).await?;
        Ok(bearer(&token.secret))
    }

    /// A token, and whether it was made just now.
    async fn token(
        &self,
        by: (&Wire, Reach),
        key: &TokenKey,
        credential: &Credential,
        rejected: Option<&Secret>,
    ) -> Result<(Token, bool), RequestError> {
        let slot = self.tokens.slot(key);
        let mut slot = slot.lock().await;
        if let Some(token) = slot.as_ref()
            && token.is_fresh()
            && Some(&token.secret) != rejected
        {
            return Ok((token.clone(), false));
        }
        let token = self.fetch_token(by, key, credential).await.map_err(RequestError::settled)?;
        *slot = Some(token.clone());
        Ok((token, true))
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
        let at_home = key.realm.origin() == self.base.origin();
        let tls = at_home.then(|| self.tls.clone());
        let request = token_request(key, credential, reach, tls)?;
        let what = format!("login at {}", redacted(&request.url));
        let misled =
            key.realm.origin() != self.base.origin() && !self.may_have_credentials(&key.realm);
        token::fetch(wire, &request, &what, &self.pace, misled)
            .await
            .map_err(|error| {
                error.anonymously(*credential == Credential::Anonymous).by_token_service()
            })?
            .into_token(tokio::time::Instant::now())
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
    tls: Option<Arc<TlsFiles>>,
) -> Result<Outgoing, RequestError> {
    let mut url = key.realm.clone();
    let mut headers = HeaderMap::new();
    if let Credential::Refresh(token) = credential {
        let token = String::from_utf8_lossy(token.expose());
        let form = [
            ("grant_type", "refresh_token"),
            ("client_id", "mirror"),
            ("service", key.service.as_deref().unwrap_or_default()),
            ("scope", key.scope.as_str()),
            ("refresh_token", &token),
        ];
        let form = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(FORM));
        return Ok(Outgoing { method: Method::POST, url, headers, body: form.into(), reach, tls });
    }
    let service = key.service.iter().map(|service| ("service", service.as_str()));
    let scopes = key.scope.split(' ').filter(|scope| !scope.is_empty());
    let scopes = scopes.map(|scope| ("scope", scope));
    url.query_pairs_mut().extend_pairs(service.chain(scopes));
    if let Credential::Basic { login, .. } = credential {
        headers.insert(header::AUTHORIZATION, required(basic_header(login))?);
    }
    Ok(Outgoing { method: Method::GET, url, headers, body: Bytes::new(), reach, tls })
}

fn basic_header(login: &Secret) -> Option<HeaderValue> {
    sensitive(format!("Basic {}", STANDARD.encode(login.expose())).into_bytes())
}

fn bearer(token: &Secret) -> Option<HeaderValue> {
    sensitive([b"Bearer ", token.expose()].concat())
}

fn sensitive(bytes: Vec<u8>) -> Option<HeaderValue> {
    let mut value = HeaderValue::try_from(bytes).ok()?;
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
