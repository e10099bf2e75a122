//! Tokens of a token service: <https://distribution.github.io/distribution/spec/auth/token/>, and its OAuth 2 form
//! for refresh tokens: <https://distribution.github.io/distribution/spec/auth/oauth/>.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use http::Method;
use http::header;
use mirror_failure::{ErrorKind, RequestError};
use serde::Deserialize;
use tokio::sync::Mutex;
use tokio::time::Instant;
use url::Url;

use super::realm::authority;
use crate::host::response::{read_capped, refusal, unpacked, within_idle};
use crate::limits::pace::Pace;
use crate::limits::retry::retrying;
use crate::redact::Secret;
use crate::wire::{Outgoing, Response, Wire};

const LARGEST: usize = 1 << 20;
const MOST_REDIRECTS: usize = 3;

/// What a token is for; one is fetched for each.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct TokenKey {
    pub(crate) realm: Url,
    pub(crate) service: Option<String>,
    /// Scopes, space-separated: `repository:library/x:pull`.
    pub(crate) scope: String,
}

/// A token with the time it stops being used, a little before it expires.
#[derive(Debug, Clone)]
pub(crate) struct Token {
    pub(crate) secret: Secret,
    until: Instant,
}

/// The response of a token service. `expires_in` defaults to 60 s, says the specification.
#[derive(Deserialize)]
pub(crate) struct TokenAnswer {
    token: Option<String>,
    access_token: Option<String>,
    #[serde(default)]
    expires_in: serde_json::Value,
}

impl TokenAnswer {
    /// `None` when there is no token in it.
    pub(crate) fn into_token(self, asked: Instant) -> Option<Token> {
        let given = [self.token, self.access_token].into_iter().flatten();
        let text = given.map(|token| token.trim().to_owned()).find(|token| !token.is_empty())?;
        // Some services answer 0; treat anything under a minute as a minute. A tenth of the time, at most 30 s,
        // covers clocks and requests on their way.
        let lifetime =
            Duration::from_secs(self.expires_in.as_f64().unwrap_or(60.0).clamp(60.0, 1e6) as u64);
        let skew = (lifetime / 10).min(Duration::from_secs(30));
        Some(Token {
            secret: Secret::new(text),
            until: asked + lifetime.saturating_sub(skew).min(Duration::from_secs(43_200)),
        })
    }
}

/// Asks a token service, again where that may help. `misled` is whether the registry may have named the wrong one: then
/// nobody there means that.
///
/// # Errors
/// When it refuses, or its response is no token.
pub(crate) async fn fetch(
    wire: &Wire,
    request: &Outgoing,
    what: &str,
    pace: &Pace,
    misled: bool,
) -> Result<TokenAnswer, RequestError> {
    let misleading = |error: RequestError| {
        let unknown = matches!(error.kind(), ErrorKind::Status { status: 404 | 405 | 501, .. });
        if request.method == Method::POST && unknown {
            let why = format!(
                "the token service takes no identity token ({}): log in with a user and a password or access token",
                error.kind()
            );
            return RequestError::unusable(what, why);
        }
        let why = format!(
            "the registry names {} as its token service, which can't be reached ({}): its external URL is misconfigured",
            authority(&request.url),
            error.kind()
        );
        match misled && error.is_unreachable() {
            true => RequestError::new(what, ErrorKind::Misconfigured(why)),
            false => error,
        }
    };
    retrying(pace, what, || async { once(wire, request, what, pace).await.map_err(misleading) })
        .await
}

async fn once(
    wire: &Wire,
    request: &Outgoing,
    what: &str,
    pace: &Pace,
) -> Result<TokenAnswer, RequestError> {
    let idle = pace.idle();
    let mut request = request.clone();
    let mut response = within_idle(what, idle, wire.send(request.clone())).await?;
    for _ in 0..MOST_REDIRECTS {
        let Some(next) = redirected(&request, &response) else { break };
        request = next;
        response = within_idle(what, idle, wire.send(request.clone())).await?;
    }
    if !response.status().is_success() {
        return Err(refusal(response, what.to_owned(), idle, pace.clock()).await);
    }
    let headers = response.headers().clone();
    let body = read_capped(&mut response, what, LARGEST, idle).await?.unwrap_or_default();
    let kind = || ErrorKind::Protocol("the response is not the JSON it should be".to_owned());
    serde_json::from_slice(&unpacked(&headers, body, LARGEST))
        .map_err(|_| RequestError::new(what, kind()))
}

/// Where a token service sends us: to another path of the same host, or from plain HTTP to TLS. Who we are is told to nobody
/// else, and a token that somebody else gives is not one of the registry's.
fn redirected(asked: &Outgoing, response: &Response) -> Option<Outgoing> {
    let keeps_method = matches!(response.status().as_u16(), 307 | 308);
    let reads = asked.method == Method::GET && matches!(response.status().as_u16(), 301..=303);
    let location = response.headers().get(header::LOCATION)?.to_str().ok()?;
    let url = asked.url.join(location).ok()?;
    let usual = url.port().is_none() && asked.url.port().is_none();
    let safer = url.scheme() == "https" && usual && url.host_str() == asked.url.host_str();
    let stays = url.origin() == asked.url.origin() || safer;
    (stays && (keeps_method || reads)).then(|| Outgoing { url, ..asked.clone() })
}

/// Tokens in use. Concurrent requests for the same one wait for a single fetch.
#[derive(Debug, Default)]
pub(crate) struct Tokens(std::sync::Mutex<HashMap<TokenKey, Arc<Mutex<Option<Token>>>>>);

impl Tokens {
    /// The slot of a token. Whoever holds its lock fetches.
    pub(crate) fn slot(&self, key: &TokenKey) -> Arc<Mutex<Option<Token>>> {
        let mut slots = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        slots.entry(key.clone()).or_default().clone()
    }
}

impl Token {
    /// Whether it can still be sent.
    pub(crate) fn is_fresh(&self) -> bool {
        Instant::now() < self.until
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(json: &str) -> Option<Token> {
        serde_json::from_str::<TokenAnswer>(json).unwrap().into_token(Instant::now())
    }

    #[test]
    fn a_login_goes_to_the_same_service_alone() {
        for (url, location, allowed) in [
            ("https://r.io/token", "/other?x", true),
            ("https://r.io/token", "https://r.io/other", true),
            ("http://r.io/token", "https://r.io/token", true),
            ("https://r.io/token", "https://r.io:8443/token", false),
            ("http://r.io:5000/token", "https://r.io:5443/token", false),
            ("https://r.io/token", "http://r.io/token", false),
            ("https://r.io/token", "https://auth.r.io/token", false),
        ] {
            let asked = Outgoing {
                method: Method::GET,
                url: url.parse().unwrap(),
                headers: http::HeaderMap::new(),
                body: bytes::Bytes::new(),
                reach: crate::wire::Reach::Anywhere,
                tls: None,
            };
            let response = http::Response::builder().status(307).header("location", location);
            let body = crate::wire::Body::from(bytes::Bytes::new());
            let response = response.body(body).unwrap();
            let secrets = crate::redact::SentSecrets::default();
            let response = Response::new(asked.url.clone(), response, secrets);
            assert_eq!(redirected(&asked, &response).is_some(), allowed, "{url} {location}");
        }
    }

    #[test]
    fn responses() {
        assert_eq!(token(r#"{"token":"a","access_token":"b"}"#).unwrap().secret.expose(), b"a");
        assert_eq!(token(r#"{"access_token":"b","issued_at":"x"}"#).unwrap().secret.expose(), b"b");
        assert_eq!(token(r#"{"token":"","access_token":"b"}"#).unwrap().secret.expose(), b"b");
        assert!(token("{}").is_none());
    }

    #[test]
    fn expiry_has_skew() {
        let lifetime = |json: &str| token(json).unwrap().until - Instant::now();
        assert!(lifetime(r#"{"token":"a"}"#) < Duration::from_secs(55));
        assert!(lifetime(r#"{"token":"a","expires_in":0}"#) > Duration::from_secs(50));
        assert!(lifetime(r#"{"token":"a","expires_in":-1}"#) > Duration::from_secs(50));
        assert!(lifetime(r#"{"token":"a","expires_in":300}"#) <= Duration::from_secs(270));
        assert!(
            lifetime(r#"{"token":"a","expires_in":99999999999}"#) <= Duration::from_secs(43_200)
        );
    }
}
