//! Docker's `config.json` and podman's `auth.json`, which share a format:
//! <https://github.com/containers/image/blob/main/docs/containers-auth.json.5.md>. They are read as leniently as Docker
//! does: what is wrong with one entry is no matter of the others.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use mirror_failure::CredentialError;
use serde_json::{Map, Value};

use super::entry::{credential, field};
use super::key::{Key, Wanted};
use super::{Credential, CredentialFile};
use crate::sorting::text_of;

/// How long a place may take to say something.
const LIMIT: Duration = Duration::from_secs(5);

/// A place with credentials.
#[derive(Debug)]
pub(super) struct AuthFile {
    /// The path, or the name of the variable.
    pub(super) name: String,
    /// What it says; nothing, where it does not exist.
    pub(super) contents: Result<Option<Contents>, CredentialError>,
}

/// What such a place says.
#[derive(Debug, Default)]
pub(super) struct Contents {
    auths: Map<String, Value>,
    helpers: Map<String, Value>,
    store: Option<String>,
}

/// What an entry says, under its key.
pub(super) type StoredEntry = (String, Result<Option<Credential>, CredentialError>);

impl AuthFile {
    pub(super) async fn read(place: &CredentialFile) -> AuthFile {
        let (name, text) = match place {
            CredentialFile::Variable { name, value } => {
                (name.clone(), Ok(Some(value.expose().to_vec())))
            }
            CredentialFile::Path(path) => (path.display().to_string(), read(path).await),
        };
        let contents = text.and_then(|text| text.map(|text| Contents::parse(&text)).transpose());
        let wrong = |reason| CredentialError::File { path: name.clone(), reason };
        AuthFile { contents: contents.map_err(wrong), name }
    }

    /// What it says, where it exists and can be read.
    pub(super) fn contents(&self) -> Option<&Contents> {
        self.contents.as_ref().ok()?.as_ref()
    }

    /// How long the paths are that something is stored for, of those that what is wanted is below.
    pub(super) fn lengths(&self, wanted: &Wanted) -> BTreeSet<usize> {
        let keys = self.contents().into_iter().flat_map(|contents| contents.auths.keys());
        let keys = keys.map(|key| Key::parse(key)).filter(|key| wanted.accepts(key).is_some());
        keys.map(|key| key.path.len()).collect()
    }
}

async fn read(path: &Path) -> Result<Option<Vec<u8>>, String> {
    let (sender, read) = tokio::sync::oneshot::channel();
    let file = path.to_owned();
    // A pipe is as good as a file, and may never say anything. A thread of its own keeps nobody from ending.
    std::thread::spawn(move || sender.send(std::fs::read(file)));
    match tokio::time::timeout(LIMIT, read).await {
        Ok(Ok(Ok(text))) => Ok(Some(text)),
        Ok(Ok(Err(error))) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Ok(Ok(Err(error))) => Err(error.to_string()),
        Ok(Err(_)) | Err(_) => Err(format!("nothing could be read in {} s", LIMIT.as_secs())),
    }
}

impl Contents {
    fn parse(text: &[u8]) -> Result<Contents, String> {
        let text = text_of(text);
        if text.is_empty() {
            return Ok(Contents::default());
        }
        // The message of serde_json could quote a secret: line and column are enough.
        let document: Value = serde_json::from_str(&text).map_err(|error| {
            let (line, column) = (error.line(), error.column());
            format!("not the JSON of Docker's config.json (line {line}, column {column})")
        })?;
        let table = |name: &str| match field(&document, name) {
            None | Some(Value::Null) => Ok(Map::new()),
            Some(Value::Object(table)) => Ok(table.clone()),
            Some(_) => Err(format!("`{name}` is not a table of registries")),
        };
        if !document.is_object() && !document.is_null() {
            return Err("not the JSON of Docker's config.json, which is a table".to_owned());
        }
        let store = field(&document, "credsStore").and_then(Value::as_str);
        let store = store.filter(|store| !store.is_empty()).map(str::to_owned);
        Ok(Contents { auths: table("auths")?, helpers: table("credHelpers")?, store })
    }

    /// The helper in charge of what is wanted.
    pub(super) fn helper(&self, wanted: &Wanted) -> Option<String> {
        let own = best(&self.helpers, wanted, 0).and_then(|(_, helper)| helper.as_str());
        let own = own.map(str::to_owned).or_else(|| self.store.clone());
        own.filter(|helper| !helper.is_empty())
    }

    /// What is stored for a path of this length; 0 is the whole host.
    pub(super) fn stored(&self, wanted: &Wanted, length: usize, name: &str) -> Option<StoredEntry> {
        let (key, entry) = best(&self.auths, wanted, length)?;
        let wrong = |reason| CredentialError::File {
            path: name.to_owned(),
            reason: format!("the entry of {key}: {reason}"),
        };
        Some((key.clone(), credential(entry).map_err(wrong)))
    }
}

/// The entry of those for a path of this length that comes first.
fn best<'a>(
    table: &'a Map<String, Value>,
    wanted: &Wanted,
    length: usize,
) -> Option<(&'a String, &'a Value)> {
    let fitting = table.iter().filter_map(|(name, value)| {
        let key = Key::parse(name);
        let rank = wanted.accepts(&key).filter(|_| key.path.len() == length)?;
        Some((rank, name, value))
    });
    let (_, name, value) = fitting.min_by_key(|(rank, name, _)| (*rank, name.len()))?;
    Some((name, value))
}
