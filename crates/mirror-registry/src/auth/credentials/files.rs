//! Docker's `config.json` and podman's `auth.json`, which share a format:
//! <https://github.com/containers/image/blob/main/docs/containers-auth.json.5.md>.

use std::collections::BTreeMap;
use std::path::Path;

use mirror_failure::CredentialError;
use serde::Deserialize;

use super::{Credential, decoded};
use crate::redact::Secret;

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct AuthFile {
    auths: BTreeMap<String, Stored>,
    cred_helpers: BTreeMap<String, String>,
    creds_store: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Stored {
    auth: Option<String>,
    username: Option<String>,
    password: Option<String>,
    identitytoken: Option<String>,
    registrytoken: Option<String>,
}

impl AuthFile {
    /// `None` when there is no such file.
    pub(super) async fn read(path: &Path) -> Result<Option<AuthFile>, CredentialError> {
        let text = match tokio::fs::read(path).await {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(wrong(path, error.to_string())),
        };
        // The message of serde_json could quote a secret: line and column are enough.
        serde_json::from_slice(&text).map(Some).map_err(|error| {
            wrong(
                path,
                format!(
                    "not the JSON of Docker's config.json (line {}, column {})",
                    error.line(),
                    error.column()
                ),
            )
        })
    }

    /// The helper in charge of a registry with one of these names.
    pub(super) fn helper(&self, names: &[&str]) -> Option<String> {
        let own = self
            .cred_helpers
            .iter()
            .find(|(key, _)| is_one_of(key, names))
            .map(|(_, helper)| helper);
        own.or(self.creds_store.as_ref()).filter(|helper| !helper.is_empty()).cloned()
    }

    /// What is stored for a registry with one of these names.
    pub(super) fn stored(
        &self,
        names: &[&str],
        path: &Path,
    ) -> Result<Option<Credential>, CredentialError> {
        let Some((key, stored)) = self.auths.iter().find(|(key, _)| is_one_of(key, names)) else {
            return Ok(None);
        };
        let text = |field: &Option<String>| field.clone().filter(|text| !text.is_empty());
        if let Some(token) = text(&stored.registrytoken) {
            return Ok(Some(Credential::Bearer(Secret::new(token))));
        }
        if let Some(token) = text(&stored.identitytoken) {
            return Ok(Some(Credential::Refresh(Secret::new(token))));
        }
        if let Some(auth) = text(&stored.auth) {
            let found = decoded(&auth);
            return found.map(Some).ok_or_else(|| {
                wrong(path, format!("`auth` of {key} is not base64 of user:password"))
            });
        }
        match (text(&stored.username), text(&stored.password)) {
            (Some(user), Some(password)) => {
                Ok(Some(Credential::Basic { user, password: Secret::new(password) }))
            }
            _ => Ok(None),
        }
    }
}

/// Keys are written as `host`, `https://host` or `https://host/v1/`. podman's keys for single repositories,
/// `host/path`, are not ours.
fn is_one_of(key: &str, names: &[&str]) -> bool {
    let bare = key.strip_prefix("https://").or_else(|| key.strip_prefix("http://")).unwrap_or(key);
    let (host, path) = bare.split_once('/').unwrap_or((bare, ""));
    let whole = matches!(path.trim_end_matches('/'), "" | "v1" | "v2");
    names.contains(&key) || (whole && names.contains(&host))
}

fn wrong(path: &Path, reason: String) -> CredentialError {
    CredentialError::File { path: path.display().to_string(), reason }
}
