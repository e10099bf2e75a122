//! GitHub: the paths and fields of its REST API. octocrab makes the calls.

mod app;
mod call;
mod client;
mod git;

use mirror_failure::RetryPolicy;
use octocrab::Octocrab;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use self::app::App;
pub(crate) use self::git::{BaseBranch, OpenProposal};
use crate::error::ForgeError;
use crate::{CommitId, CommitState, CommitStatus, ForgeLogin, ForgeWire, RepositoryName};

/// The API of github.com. That of a GitHub Enterprise server is `https://<host>/api/v3`.
pub const PUBLIC_API: &str = "https://api.github.com";

/// Characters that the description of a status can have:
/// <https://docs.github.com/en/rest/commits/statuses#create-a-commit-status>.
pub const LONGEST_DESCRIPTION: usize = 140;

/// A repository on GitHub.
pub(crate) struct GitHub {
    client: Octocrab,
    repository: RepositoryName,
    retry_policy: RetryPolicy,
    /// The login of an App, which can't ask for its own.
    app: Option<String>,
    author: OnceCell<Author>,
}

/// Who writes comments and issues with this login.
pub(crate) enum Author {
    Login(String),
    /// An App that can't say which. Its marker is at the start of a text, where no other App would put it.
    SomeApp,
}

/// A comment or an issue that begins with a marker of ours.
pub(crate) struct KeptText {
    pub(crate) id: u64,
    pub(crate) body: String,
    /// Unknown of a deleted user.
    pub(crate) author: Option<String>,
}

#[derive(Deserialize)]
struct User {
    login: String,
}

/// Only what is needed, and nothing that can be missing: one comment of a deleted user must not hide the others.
#[derive(Deserialize)]
struct KeptItem {
    id: u64,
    /// Of an issue, which is called by its number.
    number: Option<u64>,
    body: Option<String>,
    user: Option<User>,
    /// Pull requests are in the list of issues as well.
    pull_request: Option<Value>,
}

impl KeptItem {
    fn is_marked(&self, mark: &str) -> bool {
        self.body.as_deref().is_some_and(|body| body.starts_with(mark))
    }

    fn text(self) -> KeptText {
        KeptText {
            id: self.number.unwrap_or(self.id),
            body: self.body.unwrap_or_default(),
            author: self.user.map(|user| user.login),
        }
    }
}

impl GitHub {
    pub(crate) async fn open(
        api: &str,
        repository: RepositoryName,
        login: &ForgeLogin,
        retry_policy: RetryPolicy,
        wire: ForgeWire,
    ) -> Result<GitHub, ForgeError> {
        let open = |token: &str, app: Option<String>| -> Result<GitHub, ForgeError> {
            Ok(GitHub {
                client: client::client(api, token, wire.clone())?,
                repository: repository.clone(),
                retry_policy,
                app,
                author: OnceCell::new(),
            })
        };
        match login {
            ForgeLogin::Token(token) => open(token, None),
            ForgeLogin::App { id, key } => {
                let app = App::new(id, key)?;
                let asking = open(&app.token()?, None)?;
                let (token, slug) = asking.installation().await?;
                open(&token, Some(format!("{slug}[bot]")))
            }
        }
    }

    /// The open pull requests whose head is this commit.
    pub(crate) async fn pull_requests(&self, head: &CommitId) -> Result<Vec<u64>, ForgeError> {
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
        let of_head = |pull: &Pull| pull.head.sha == head.as_str();
        let found = self.all(what, &self.path("pulls?state=open"), of_head).await?;
        Ok(found.into_iter().map(|pull| pull.number).collect())
    }

    /// Who we are, to tell our own comments from those of others.
    pub(crate) async fn author(&self) -> Result<&Author, ForgeError> {
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

    /// Comments on a pull request that begin with `mark`.
    pub(crate) async fn comments(
        &self,
        pull_request: u64,
        mark: &str,
    ) -> Result<Vec<KeptText>, ForgeError> {
        let path = self.path(&format!("issues/{pull_request}/comments"));
        let marked = |item: &KeptItem| item.is_marked(mark);
        let found = self.all("looking for the comment", &path, marked).await?;
        Ok(found.into_iter().map(KeptItem::text).collect())
    }

    /// Writes a comment, unless `find` finds it after an attempt whose outcome is unknown.
    pub(crate) async fn create_comment<T>(
        &self,
        pull_request: u64,
        body: &str,
        find: impl AsyncFn() -> Result<Option<T>, ForgeError>,
    ) -> Result<(), ForgeError> {
        let path = self.path(&format!("issues/{pull_request}/comments"));
        self.create("writing the comment", &path, &json!({ "body": body }), find).await
    }

    pub(crate) async fn update_comment(&self, id: u64, body: &str) -> Result<(), ForgeError> {
        let path = self.path(&format!("issues/comments/{id}"));
        self.patch("changing the comment", &path, &json!({ "body": body })).await
    }

    pub(crate) async fn delete_comment(&self, id: u64) -> Result<(), ForgeError> {
        let path = self.path(&format!("issues/comments/{id}"));
        self.delete("deleting a second comment", &path).await
    }

    /// Open issues that begin with `mark`.
    pub(crate) async fn open_issues(&self, mark: &str) -> Result<Vec<KeptText>, ForgeError> {
        let marked = |item: &KeptItem| item.pull_request.is_none() && item.is_marked(mark);
        let path = self.path("issues?state=open");
        let found = self.all("looking for the issue", &path, marked).await?;
        Ok(found.into_iter().map(KeptItem::text).collect())
    }

    /// Opens an issue, unless `find` finds it after an attempt whose outcome is unknown.
    pub(crate) async fn create_issue<T>(
        &self,
        title: &str,
        body: &str,
        find: impl AsyncFn() -> Result<Option<T>, ForgeError>,
    ) -> Result<(), ForgeError> {
        let new = json!({ "title": title, "body": body });
        self.create("opening the issue", &self.path("issues"), &new, find).await
    }

    pub(crate) async fn update_issue(
        &self,
        number: u64,
        title: &str,
        body: &str,
    ) -> Result<(), ForgeError> {
        let new = json!({ "title": title, "body": body });
        self.patch("changing the issue", &self.path(&format!("issues/{number}")), &new).await
    }

    pub(crate) async fn close_issue(&self, step: &str, number: u64) -> Result<(), ForgeError> {
        let closed = json!({ "state": "closed", "state_reason": "completed" });
        self.patch(step, &self.path(&format!("issues/{number}")), &closed).await
    }

    /// Whether the status of a commit is this one.
    pub(crate) async fn has_status(
        &self,
        commit: &CommitId,
        status: &CommitStatus,
    ) -> Result<bool, ForgeError> {
        #[derive(Deserialize)]
        struct ListedStatus {
            state: String,
            context: String,
            description: Option<String>,
            target_url: Option<String>,
        }
        // The newest comes first, and is the one that counts.
        let path = self.path(&format!("commits/{}/statuses", commit.as_str()));
        let named = |listed: &ListedStatus| listed.context == status.context;
        let found = self.find("looking for the status", &path, named).await?;
        Ok(found.is_some_and(|listed| {
            listed.state == state(status.state)
                && listed.description == Some(cut(&status.description))
                && listed.target_url.filter(|url| !url.is_empty()) == status.url
        }))
    }

    /// Sets a status, unless `find` finds it after an attempt whose outcome is unknown.
    pub(crate) async fn create_status<T>(
        &self,
        commit: &CommitId,
        status: &CommitStatus,
        find: impl AsyncFn() -> Result<Option<T>, ForgeError>,
    ) -> Result<(), ForgeError> {
        let mut body = json!({
            "state": state(status.state),
            "context": status.context,
            "description": cut(&status.description),
        });
        if let (Some(url), Some(body)) = (&status.url, body.as_object_mut()) {
            body.insert("target_url".to_owned(), json!(url));
        }
        let path = self.path(&format!("statuses/{}", commit.as_str()));
        self.create("setting the status", &path, &body, find).await
    }

    fn path(&self, rest: &str) -> String {
        format!("/repos/{}/{rest}", self.repository.as_str())
    }
}

fn state(state: CommitState) -> &'static str {
    match state {
        CommitState::Success => "success",
        CommitState::Failure => "failure",
        CommitState::Error => "error",
    }
}

fn cut(description: &str) -> String {
    description.chars().take(LONGEST_DESCRIPTION).collect()
}
