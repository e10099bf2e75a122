//! Who may do what at the test registry.

use std::collections::HashMap;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tokio::time::Instant;

/// How the registry wants to be asked.
#[derive(Debug, Clone, Default)]
pub enum AuthProfile {
    /// Anybody may do anything.
    #[default]
    Open,
    /// User and password with each request.
    Basic(String, String),
    /// Tokens from `/token`, given to this user, or to anybody for pulling when `anonymous_pull` is set.
    Bearer {
        /// The user.
        user: String,
        /// The password.
        password: String,
        /// Whether anybody gets tokens for pulling.
        anonymous_pull: bool,
        /// How long a token lives.
        lifetime: Duration,
        /// Where the challenge sends clients; the registry's own `/token` by default.
        realm: Option<String>,
    },
    /// The first for repositories whose name contains this text, the second for all others.
    Split(&'static str, Box<AuthProfile>, Box<AuthProfile>),
}

impl AuthProfile {
    /// Tokens for one user, living an hour.
    pub fn bearer(user: &str, password: &str) -> AuthProfile {
        AuthProfile::Bearer {
            user: user.to_owned(),
            password: password.to_owned(),
            anonymous_pull: false,
            lifetime: Duration::from_secs(3600),
            realm: None,
        }
    }
}

/// Tokens that were given out.
#[derive(Debug, Default)]
pub(crate) struct Issued(HashMap<String, (Vec<String>, Instant)>);

impl Issued {
    /// Whether a token was given out here.
    pub(crate) fn knows(&self, token: &str) -> bool {
        self.0.contains_key(token)
    }
}

/// What a request may do.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Allowed,
    /// 401 with this challenge.
    Challenge(String),
}

impl AuthProfile {
    /// Where tokens are made.
    pub(crate) fn realm(&self, own: &str) -> String {
        let realm = match self {
            AuthProfile::Bearer { realm, .. } => realm.clone(),
            AuthProfile::Open | AuthProfile::Basic(..) | AuthProfile::Split(..) => None,
        };
        realm.unwrap_or_else(|| format!("{own}/token"))
    }

    /// Judges a request for `action` (`pull` or `push`) on `repository`.
    pub(crate) fn judge(
        &self,
        (header, now): (Option<&str>, Instant),
        repository: &str,
        action: &str,
        own: &str,
        issued: &Issued,
    ) -> Verdict {
        match self {
            AuthProfile::Open => Verdict::Allowed,
            AuthProfile::Basic(user, password) if header == Some(&basic(user, password)) => {
                Verdict::Allowed
            }
            AuthProfile::Split(text, some, others) => {
                let one = if repository.contains(text) { some } else { others };
                one.judge((header, now), repository, action, own, issued)
            }
            AuthProfile::Basic(..) => Verdict::Challenge("Basic realm=\"test\"".to_owned()),
            AuthProfile::Bearer { .. } => {
                let needed = format!("repository:{repository}:{action}");
                let valid = header
                    .and_then(|header| header.strip_prefix("Bearer "))
                    .and_then(|token| issued.0.get(token));
                if valid.is_some_and(|(granted, until)| *until > now && granted.contains(&needed)) {
                    return Verdict::Allowed;
                }
                let realm = self.realm(own);
                let actions = if action == "push" { "pull,push" } else { "pull" };
                let scope = format!("repository:{repository}:{actions}");
                Verdict::Challenge(format!(
                    "Bearer realm=\"{realm}\",service=\"test\",scope=\"{scope}\""
                ))
            }
        }
    }

    /// Answers `/token`: the JSON, or `None` for 401. A token service of one repository gives tokens for that alone.
    pub(crate) fn token(
        &self,
        header: Option<&str>,
        query: &[(String, String)],
        only: Option<&str>,
        own: &str,
        issued: &mut Issued,
    ) -> Option<String> {
        let (user, password, anonymous_pull, lifetime) = match self {
            AuthProfile::Bearer { user, password, anonymous_pull, lifetime, .. } => {
                (user, password, anonymous_pull, lifetime)
            }
            AuthProfile::Split(_, some, others) => {
                let first = some.token(header, query, only, own, issued);
                return first.or_else(|| others.token(header, query, only, own, issued));
            }
            AuthProfile::Open | AuthProfile::Basic(..) => return None,
        };
        let known = header == Some(&basic(user, password));
        if !known && (header.is_some() || !anonymous_pull) {
            return None;
        }
        let mut granted = Vec::new();
        for (_, scope) in query.iter().filter(|(key, _)| key == "scope") {
            let (target, actions) = scope.rsplit_once(':').unwrap_or((scope, ""));
            if only.is_some_and(|only| target != format!("repository:{only}")) {
                return None;
            }
            let allowed = actions.split(',').filter(|action| known || *action == "pull");
            granted.extend(allowed.map(|action| format!("{target}:{action}")));
        }
        // Those of registries that live in one process are told apart.
        let of = own.strip_prefix("https://").map(|host| format!("-of-{host}"));
        let token = format!("token-{}{}", issued.0.len(), of.unwrap_or_default());
        issued.0.insert(token.clone(), (granted, Instant::now() + *lifetime));
        Some(format!(r#"{{"token":"{token}","expires_in":{}}}"#, lifetime.as_secs()))
    }
}

fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
}
