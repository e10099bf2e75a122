//! GitHub: one comment on a pull request, one status on a commit, one issue about what is wrong.
//!
//! Each of them is kept: looked for first, by a hidden marker and our own author, and written only when it differs.
//! A request that made something and whose answer was lost is not sent again before it was looked for.

mod app;
mod call;
mod comment;
mod error;
mod issue;
mod status;

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use octocrab::Octocrab;
use serde::Deserialize;
use tokio::sync::OnceCell;

pub use error::Error;
pub use status::{CommitState, CommitStatus, LONGEST_DESCRIPTION};

use crate::app::App;

/// The API of github.com. That of a GitHub Enterprise server is `https://<host>/api/v3`.
pub const PUBLIC_API: &str = "https://api.github.com";

/// Who asks.
#[derive(Clone)]
pub enum Login {
    /// A token: that of a workflow, a person, or an installation.
    Token(String),
    /// An App that is installed where the repository is, by its number and its private key (PEM).
    App {
        /// The number, or the client id.
        id: String,
        /// The private key.
        key: String,
    },
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Login::Token(_) => "Token(…)",
            Login::App { .. } => "App(…)",
        })
    }
}

/// How long to wait for what.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// For a whole answer.
    pub answer: Duration,
    /// The pause before the second attempt, about; each further one is twice as long.
    pub first_pause: Duration,
}

impl Default for Patience {
    fn default() -> Patience {
        Patience { answer: Duration::from_secs(30), first_pause: Duration::from_secs(1) }
    }
}

/// `owner/name`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RepositoryName(String);

impl RepositoryName {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for RepositoryName {
    type Err = String;

    fn from_str(text: &str) -> Result<RepositoryName, String> {
        let part = |part: &str| {
            let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
            !part.is_empty()
                && part.len() <= 100
                && part.chars().all(plain)
                && !part.trim_matches('.').is_empty()
        };
        match text.split_once('/') {
            Some((owner, name)) if part(owner) && part(name) => Ok(RepositoryName(text.to_owned())),
            _ => Err("a repository is named OWNER/NAME".to_owned()),
        }
    }
}

/// The full name of a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommitId(String);

impl CommitId {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for CommitId {
    type Err = String;

    fn from_str(text: &str) -> Result<CommitId, String> {
        let hex = |c: char| c.is_ascii_digit() || ('a'..='f').contains(&c);
        if matches!(text.len(), 40 | 64) && text.chars().all(hex) {
            Ok(CommitId(text.to_owned()))
        } else {
            Err("a commit is named by all of its 40 digits".to_owned())
        }
    }
}

/// What was done about something that is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    /// It is as it should be.
    Unchanged,
    /// It was not there.
    Created,
    /// It was there, and differed.
    Updated,
    /// It was there, and is not needed any more.
    Closed,
    /// It is not there, nor needed.
    Absent,
}

/// Who writes.
enum Author {
    Login(String),
    /// An App that can't say which. Its marker is at the start of a text, where no other App would put it.
    SomeApp,
}

#[derive(Deserialize)]
struct User {
    login: String,
}

/// A repository on GitHub, as one who may write there sees it.
pub struct GitHub {
    client: Octocrab,
    repository: RepositoryName,
    patience: Patience,
    /// The login of an App, which can't ask for its own.
    app: Option<String>,
    author: OnceCell<Author>,
}

impl GitHub {
    /// Gets ready to work on a repository. `api` is [`PUBLIC_API`] or that of a GitHub Enterprise server.
    ///
    /// # Errors
    /// When the address, the token or the key can't be used, or when an App is not installed there.
    pub async fn new(
        api: &str,
        repository: RepositoryName,
        login: &Login,
        patience: Patience,
    ) -> Result<GitHub, Error> {
        let open = |token: &str, app: Option<String>| -> Result<GitHub, Error> {
            Ok(GitHub {
                client: call::client(api, token, patience)?,
                repository: repository.clone(),
                patience,
                app,
                author: OnceCell::new(),
            })
        };
        match login {
            Login::Token(token) => open(token, None),
            Login::App { id, key } => {
                let app = App::new(id, key)?;
                let asking = open(&app.token()?, None)?;
                let (token, slug) = asking.installation().await?;
                open(&token, Some(format!("{slug}[bot]")))
            }
        }
    }

    /// The open pull requests whose head is this commit; none when it has moved on, or was closed.
    ///
    /// # Errors
    /// When GitHub can't be asked.
    pub async fn pull_requests(&self, head: &CommitId) -> Result<Vec<u64>, Error> {
        #[derive(Deserialize)]
        struct Pull {
            number: u64,
            head: Head,
        }
        #[derive(Deserialize)]
        struct Head {
            sha: String,
        }
        // The endpoint "pull requests of a commit" leaves out those from forks.
        let what = "looking for the pull request";
        let of_head = |pull: &Pull| pull.head.sha == head.0;
        let found = self.all(what, &self.path("pulls?state=open"), of_head).await?;
        Ok(found.into_iter().map(|pull| pull.number).collect())
    }

    /// Who we are, to tell our own comments from those of others.
    async fn author(&self) -> Result<&Author, Error> {
        let ask = async || {
            if let Some(app) = &self.app {
                return Ok(Author::Login(app.clone()));
            }
            match self.get::<User>("asking who we are", "/user").await {
                Ok(user) => Ok(Author::Login(user.login)),
                // The token of a workflow, or of any App, stands for no user, and can't say whose it is:
                // https://docs.github.com/en/actions/concepts/security/github_token
                Err(error) if error.status() == Some(403) => Ok(Author::SomeApp),
                Err(error) => Err(error),
            }
        };
        self.author.get_or_try_init(ask).await
    }

    /// Those that we have written ourselves. Others may have our marker in their texts: quoted, or to mislead.
    async fn own<T>(
        &self,
        found: Vec<T>,
        author: impl Fn(&T) -> Option<&User>,
    ) -> Result<Vec<T>, Error> {
        if found.is_empty() {
            return Ok(found);
        }
        let us = self.author().await?;
        let ours = |user: &User| match us {
            Author::Login(login) => user.login == *login,
            // People can't have such a name.
            Author::SomeApp => user.login.ends_with("[bot]"),
        };
        Ok(found.into_iter().filter(|item| author(item).is_some_and(ours)).collect())
    }

    fn path(&self, rest: &str) -> String {
        format!("/repos/{}/{rest}", self.repository.0)
    }
}

/// The hidden first line of a text that is kept: which text, and a digest of it, so that one that GitHub has changed
/// (line ends, spaces) still counts as the same.
fn marker(what: &str) -> String {
    format!("<!-- mirror {what} ")
}

fn marked(what: &str, text: &str) -> String {
    let digest = mirror_oci::Digest::of(mirror_oci::Algorithm::Sha256, text.as_bytes());
    format!("{}{digest} -->\n{text}", marker(what))
}

/// Whether two texts have the same first line.
fn same_mark(one: &str, other: &str) -> bool {
    one.lines().next() == other.lines().next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for good in ["a/b", "acme-corp/images.mirror", "A_1/x"] {
            assert!(good.parse::<RepositoryName>().is_ok(), "{good}");
        }
        for wrong in ["", "a", "a/", "/b", "a/b/c", "a/..", "../b", "a b/c", "a/b?x", "a/b#"] {
            assert!(wrong.parse::<RepositoryName>().is_err(), "{wrong}");
        }
        assert!("0123456789abcdef0123456789abcdef01234567".parse::<CommitId>().is_ok());
        for wrong in ["", "HEAD", "0123456789ABCDEF0123456789abcdef01234567", "../x"] {
            assert!(wrong.parse::<CommitId>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn logins_are_not_shown() {
        let login = Login::App { id: "1".into(), key: "secret".into() };
        assert_eq!(format!("{login:?} {:?}", Login::Token("secret".into())), "App(…) Token(…)");
    }

    #[test]
    fn marks() {
        let text = marked("plan", "hello");
        assert!(text.starts_with(&marker("plan")) && text.ends_with(" -->\nhello"), "{text}");
        assert!(same_mark(&text, &(text.replace('\n', "\r\n"))));
        assert!(!same_mark(&text, &marked("plan", "hallo")));
    }
}
