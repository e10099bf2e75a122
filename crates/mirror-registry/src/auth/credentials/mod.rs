//! Who we are at a registry, from wherever people keep that.
//!
//! In this order: `MIRROR_AUTH_<HOST>` in the environment, Docker's `config.json` with its helpers, podman's
//! `auth.json`, nobody. The environment itself is read by the command line and handed in.

mod files;
mod helper;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use files::AuthFile;
use mirror_failure::{CredentialError, RequestError};
use mirror_oci::Endpoint;

use crate::redact::Secret;

/// How Docker Hub is called in the files of Docker and podman, the first being what helpers are asked for.
const DOCKER_HUB: [&str; 4] =
    ["https://index.docker.io/v1/", "index.docker.io", "docker.io", "registry-1.docker.io"];

/// Who we are at one registry.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Credential {
    /// Anonymous access.
    #[default]
    Anonymous,
    /// A user with a password.
    Basic {
        /// The name of the user.
        user: String,
        /// The password of the user, or an access token.
        password: Secret,
    },
    /// A refresh token, what Docker calls an identity token.
    Refresh(Secret),
    /// A token to be sent as it is.
    Bearer(Secret),
}

/// A user and password that are made for the moment, by a cloud.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Login {
    /// The name of the user.
    pub user: String,
    /// The password of the user, or an access token.
    pub password: Secret,
    /// How long it holds from now on.
    pub lifetime: Duration,
}

/// Where to get a login from, when no other source knows who we are, and where that login may be sent.
#[derive(Clone)]
pub struct LoginSource {
    belongs_to: Arc<dyn Fn(&Endpoint) -> bool + Send + Sync>,
    source: Arc<dyn Fn() -> LoginResponse + Send + Sync>,
}

/// A login on its way; none where there are no credentials and none are needed.
pub type LoginResponse = Pin<Box<dyn Future<Output = Result<Option<Login>, RequestError>> + Send>>;

impl LoginSource {
    /// Asks `source` for each login. It is sent to those endpoints alone that `belongs_to` is true for, whatever the
    /// registry is called or says.
    pub fn new(
        belongs_to: impl Fn(&Endpoint) -> bool + Send + Sync + 'static,
        source: impl Fn() -> LoginResponse + Send + Sync + 'static,
    ) -> LoginSource {
        LoginSource { belongs_to: Arc::new(belongs_to), source: Arc::new(source) }
    }

    /// Whether a login may be sent there.
    pub(crate) fn belongs_to(&self, endpoint: &Endpoint) -> bool {
        (self.belongs_to)(endpoint)
    }

    pub(crate) async fn ask(&self) -> Result<Option<Login>, RequestError> {
        (self.source)().await
    }
}

impl std::fmt::Debug for LoginSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("LoginSource")
    }
}

/// The places where credentials are kept.
#[derive(Debug, Clone, Default)]
pub struct Credentials {
    environment: BTreeMap<String, Secret>,
    files: Vec<PathBuf>,
}

impl Credentials {
    /// Takes the variables that start with `MIRROR_AUTH_`, and the files to look into, in order. Files that don't
    /// exist are passed over.
    pub fn new(
        variables: impl IntoIterator<Item = (String, String)>,
        files: Vec<PathBuf>,
    ) -> Credentials {
        let environment =
            variables.into_iter().map(|(name, value)| (name, Secret::new(value))).collect();
        Credentials { environment, files }
    }

    /// Who we are at `authority`, a host with an optional port. Without TLS (`secure`), only what is stored for
    /// `http://host` in so many words is used: a password for a host is not one to send in the clear.
    ///
    /// # Errors
    /// When a source that should know cannot be read. That is not the same as being nobody.
    pub(crate) async fn lookup(
        &self,
        authority: &str,
        secure: bool,
    ) -> Result<Credential, CredentialError> {
        let clear = format!("http://{authority}");
        if !secure {
            return self.in_files(&[&clear], &clear).await;
        }
        let variable = variable_name(authority);
        if let Some(value) = self.environment.get(&variable) {
            return basic(value.expose()).ok_or(CredentialError::Variable(variable));
        }
        let names: Vec<&str> =
            if DOCKER_HUB.contains(&authority) { DOCKER_HUB.to_vec() } else { vec![authority] };
        self.in_files(&names, names.first().copied().unwrap_or(authority)).await
    }

    /// The first file that knows one of `names`; helpers are asked for `registry`.
    async fn in_files(
        &self,
        names: &[&str],
        registry: &str,
    ) -> Result<Credential, CredentialError> {
        for path in &self.files {
            let Some(file) = AuthFile::read(path).await? else { continue };
            if let Some(program) = file.helper(names)
                && let Some(found) = helper::ask(&program, registry).await?
            {
                return Ok(found);
            }
            if let Some(found) = file.stored(names, path)? {
                return Ok(found);
            }
        }
        Ok(Credential::Anonymous)
    }
}

/// `my-registry.example.com:5000` → `MIRROR_AUTH_MY__REGISTRY_EXAMPLE_COM_5000`; Docker Hub goes by `docker.io`. A
/// hyphen is doubled, so that no other host has the same name.
fn variable_name(authority: &str) -> String {
    let authority = if DOCKER_HUB.contains(&authority) { "docker.io" } else { authority };
    format!(
        "MIRROR_AUTH_{}",
        authority.to_ascii_uppercase().replace('-', "__").replace(['.', ':', '[', ']'], "_")
    )
}

/// Splits `user:password`.
fn basic(text: &str) -> Option<Credential> {
    let (user, password) = text.split_once(':')?;
    Some(Credential::Basic { user: user.to_owned(), password: Secret::new(password) })
}

/// Decodes what Docker stores as `auth`.
fn decoded(auth: &str) -> Option<Credential> {
    let bytes = STANDARD.decode(auth.trim()).ok()?;
    // Docker pads with NUL bytes.
    basic(String::from_utf8(bytes).ok()?.trim_end_matches('\0'))
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
