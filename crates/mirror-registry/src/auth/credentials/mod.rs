//! Who we are at a registry, from wherever people keep that.
//!
//! In this order: `MIRROR_AUTH_<HOST>` in the environment, `DOCKER_AUTH_CONFIG`, Docker's `config.json` with its helpers,
//! podman's `auth.json`, nobody; what is kept for a longer path counts more than what is kept for the whole host. The
//! environment itself is read by the command line and handed in.

mod entry;
mod files;
mod helper;
mod key;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use entry::basic;
use files::{AuthFile, StoredEntry};
use key::{Wanted, variable_name};
use mirror_failure::{CredentialError, RequestError};
use mirror_oci::{Endpoint, Repository};
use tokio::sync::OnceCell;

use crate::redact::Secret;

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
        /// `user:password`, as the bytes that were stored.
        login: Secret,
    },
    /// A refresh token, what Docker calls an identity token.
    Refresh(Secret),
    /// A token to be sent as it is.
    Bearer(Secret),
}

impl Credential {
    /// A user with a password.
    pub(crate) fn basic(user: &str, password: &Secret) -> Credential {
        let login = [user.as_bytes(), b":", password.expose()].concat();
        Credential::Basic { user: user.to_owned(), login: Secret::new(login) }
    }
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
    pub fn belongs_to(&self, endpoint: &Endpoint) -> bool {
        (self.belongs_to)(endpoint)
    }

    /// Asks for a login.
    ///
    /// # Errors
    /// Why there is none, though there should be one.
    pub async fn ask(&self) -> Result<Option<Login>, RequestError> {
        (self.source)().await
    }
}

impl std::fmt::Debug for LoginSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("LoginSource")
    }
}

/// A place with the JSON of Docker's `config.json`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CredentialFile {
    /// A file, which need not exist.
    Path(PathBuf),
    /// The value of a variable, such as GitLab's `DOCKER_AUTH_CONFIG`:
    /// <https://docs.gitlab.com/ci/docker/using_docker_images/#access-an-image-from-a-private-container-registry>.
    Variable {
        /// The name of the variable.
        name: String,
        /// The JSON in it.
        value: Secret,
    },
}

/// The places where credentials are kept.
#[derive(Debug, Default)]
pub struct Credentials {
    environment: BTreeMap<String, Secret>,
    places: Vec<CredentialFile>,
    /// Read when the first registry asks who we are.
    files: OnceCell<Vec<AuthFile>>,
    /// What helpers have said: each is asked once for a registry, since one that hangs would hold up every request.
    helped: Mutex<HashMap<(String, String), Helped>>,
    /// Which failures were told of.
    told: Mutex<BTreeSet<String>>,
}

type Helped = Arc<OnceCell<Result<Option<Credential>, CredentialError>>>;

/// Who we are, and how that was found out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lookup {
    /// Who we are.
    pub credential: Credential,
    /// The places that were asked, in their order.
    pub steps: Vec<LookupStep>,
}

/// A place that was asked who we are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LookupStep {
    /// A variable, a file, or a helper with the file that names it.
    pub place: String,
    /// What it had.
    pub outcome: LookupOutcome,
}

/// What a place had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LookupOutcome {
    /// The variable is not set, or the file does not exist.
    Absent,
    /// It has a password, which is not sent without TLS.
    Withheld,
    /// It is there, and has nothing for this registry.
    Nothing,
    /// It could not be used.
    Failed(CredentialError),
    /// It says who we are: under this key.
    Found(String),
    /// Somebody before it has said who we are.
    NotAsked,
}

impl Lookup {
    /// What kept a place from saying who we are.
    pub fn failures(&self) -> impl Iterator<Item = &CredentialError> {
        self.steps.iter().filter_map(|step| match &step.outcome {
            LookupOutcome::Failed(error) => Some(error),
            _ => None,
        })
    }

    /// What was not sent, since it would be in the clear.
    pub(crate) fn withheld(&self) -> Option<CredentialError> {
        let withheld = self.steps.iter().find(|step| step.outcome == LookupOutcome::Withheld);
        withheld.map(|step| CredentialError::Withheld(step.place.clone()))
    }

    fn add(&mut self, place: String, outcome: LookupOutcome) {
        self.steps.push(LookupStep { place, outcome });
    }

    /// Takes what was found first.
    fn found(&mut self, place: String, key: &str, credential: Credential) {
        self.add(place, LookupOutcome::Found(key.to_owned()));
        self.credential = credential;
    }

    fn stored(&mut self, place: &str, stored: Option<StoredEntry>) {
        match stored {
            Some((key, Ok(Some(found)))) => self.found(place.to_owned(), &key, found),
            Some((_, Err(error))) => self.add(place.to_owned(), LookupOutcome::Failed(error)),
            Some((_, Ok(None))) | None => {}
        }
    }

    /// The step that has found something in a file, out of the others.
    fn take_file(&mut self, files: &[AuthFile]) -> Option<LookupStep> {
        let found = |step: &LookupStep| {
            matches!(step.outcome, LookupOutcome::Found(_))
                && files.iter().any(|file| file.name == step.place)
        };
        let at = self.steps.iter().position(found)?;
        Some(self.steps.remove(at))
    }

    fn is_settled(&self) -> bool {
        self.steps.iter().any(|step| matches!(step.outcome, LookupOutcome::Found(_)))
    }
}

impl Credentials {
    /// Takes the variables that start with `MIRROR_AUTH_`, and the places to look into, in order. Files that don't
    /// exist are passed over.
    pub fn new(
        variables: impl IntoIterator<Item = (String, String)>,
        places: Vec<CredentialFile>,
    ) -> Credentials {
        // A secret that was written to a file and read back often ends with a line break.
        let set = variables.into_iter().map(|(name, value)| {
            let value = value.trim_end_matches(['\r', '\n']).to_owned();
            (name, value)
        });
        let set = set.filter(|(_, value)| !value.is_empty());
        let environment = set.map(|(name, value)| (name, Secret::new(value))).collect();
        Credentials { environment, places, ..Credentials::default() }
    }

    /// Who we are where a registry is asked, when it is about `repository`, and whether passwords may go there.
    pub async fn explain(
        &self,
        endpoint: &Endpoint,
        repository: Option<&Repository>,
    ) -> (Lookup, bool) {
        let authority = endpoint.authority();
        let secure = endpoint.is_secure() || authority.is_loopback();
        let name = authority.as_str();
        let usual = if endpoint.is_secure() { ":443" } else { ":80" };
        let name = name.strip_suffix(usual).unwrap_or(name);
        (self.lookup(name, repository, secure).await, secure)
    }

    /// Who we are at `authority`, a host with an optional port, when it is about `repository`. Without TLS (`secure`), only
    /// what is stored for `http://host` in so many words is used: a password for a host is not one to send in the clear.
    ///
    /// A place that can't be used does not end the search; its failure is in the steps.
    pub(crate) async fn lookup(
        &self,
        authority: &str,
        repository: Option<&Repository>,
        secure: bool,
    ) -> Lookup {
        let mut lookup = Lookup::default();
        let wanted = Wanted::new(authority, repository, secure);
        let variable = variable_name(authority);
        match self.environment.get(&variable).map(Secret::expose) {
            Some(_) if !secure => lookup.add(variable, LookupOutcome::Withheld),
            None => lookup.add(variable, LookupOutcome::Absent),
            Some(value) => match basic(value) {
                Some(credential) => lookup.found(variable.clone(), &variable, credential),
                // It was meant for this host alone: going on would hide that.
                None => {
                    let error = CredentialError::Variable(variable.clone());
                    lookup.add(variable, LookupOutcome::Failed(error));
                    return lookup;
                }
            },
        }
        let files = self.files.get_or_init(|| read_all(&self.places)).await;
        // The longest path counts, whichever file it is in.
        let lengths: BTreeSet<usize> =
            files.iter().flat_map(|file| file.lengths(&wanted)).collect();
        for length in lengths.into_iter().rev().filter(|length| *length > 0) {
            for file in files {
                if lookup.is_settled() {
                    break;
                }
                let stored = file.contents().and_then(|it| it.stored(&wanted, length, &file.name));
                lookup.stored(&file.name, stored);
            }
        }
        // A path that was found is told in its place among the others.
        let by_path = lookup.take_file(files);
        for file in files {
            match &by_path {
                Some(step) if step.place == file.name => lookup.steps.push(step.clone()),
                None if !lookup.is_settled() => self.in_file(file, &wanted, &mut lookup).await,
                _ => lookup.add(file.name.clone(), LookupOutcome::NotAsked),
            }
        }
        lookup
    }

    /// Asks one file for the host as a whole, its helper first.
    async fn in_file(&self, file: &AuthFile, wanted: &Wanted, lookup: &mut Lookup) {
        let contents = match &file.contents {
            Ok(Some(contents)) => contents,
            Ok(None) => return lookup.add(file.name.clone(), LookupOutcome::Absent),
            Err(error) => {
                let failed = LookupOutcome::Failed(error.clone());
                return lookup.add(file.name.clone(), failed);
            }
        };
        if let Some(name) = contents.helper(wanted) {
            let place = format!("{} (named in {})", helper::program(&name), file.name);
            match self.ask_helper(&name, wanted.helper_name(), &file.name).await {
                Ok(Some(found)) => return lookup.found(place, wanted.helper_name(), found),
                Ok(None) => lookup.add(place, LookupOutcome::Nothing),
                Err(error) => lookup.add(place, LookupOutcome::Failed(error)),
            }
        }
        match contents.stored(wanted, 0, &file.name) {
            Some((_, Ok(None))) | None => lookup.add(file.name.clone(), LookupOutcome::Nothing),
            stored => lookup.stored(&file.name, stored),
        }
    }

    /// Whether nobody was told of this failure before: most are the same for all registries.
    pub(crate) fn is_news(&self, failure: &str) -> bool {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        told.insert(failure.to_owned())
    }

    async fn ask_helper(
        &self,
        name: &str,
        registry: &str,
        named_in: &str,
    ) -> Result<Option<Credential>, CredentialError> {
        let helped = {
            let mut all = self.helped.lock().unwrap_or_else(PoisonError::into_inner);
            all.entry((name.to_owned(), registry.to_owned())).or_default().clone()
        };
        helped.get_or_init(|| helper::ask(name, registry, named_in)).await.clone()
    }
}

async fn read_all(places: &[CredentialFile]) -> Vec<AuthFile> {
    let mut files = Vec::new();
    for place in places {
        files.push(AuthFile::read(place).await);
    }
    files
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
