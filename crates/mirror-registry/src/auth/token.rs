//! Tokens of a token service: <https://distribution.github.io/distribution/spec/auth/token/>, and its OAuth 2 form
//! for refresh tokens: <https://distribution.github.io/distribution/spec/auth/oauth/>.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use tokio::sync::Mutex;
use tokio::time::Instant;
use url::Url;

use crate::redact::Secret;

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
        let text = self.token.filter(|token| !token.is_empty()).or(self.access_token)?;
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
    fn responses() {
        assert_eq!(token(r#"{"token":"a","access_token":"b"}"#).unwrap().secret.expose(), "a");
        assert_eq!(token(r#"{"access_token":"b","issued_at":"x"}"#).unwrap().secret.expose(), "b");
        assert_eq!(token(r#"{"token":"","access_token":"b"}"#).unwrap().secret.expose(), "b");
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
