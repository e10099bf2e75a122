//! Branches, commits and pull requests: <https://docs.github.com/en/rest/git>, <https://docs.github.com/en/rest/pulls>.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};

use super::GitHub;
use crate::CommitId;
use crate::error::ForgeError;

/// The commit that a branch ends with.
pub(crate) struct Head {
    pub(crate) message: String,
}

/// The branch that pull requests go to, and the tree that they are based on.
#[derive(Debug)]
pub(crate) struct BaseBranch {
    pub(crate) name: String,
    pub(crate) tree: String,
}

/// The newest pull request from a branch.
#[derive(Deserialize)]
pub(crate) struct OpenProposal {
    pub(crate) number: u64,
    state: String,
    merged_at: Option<String>,
    #[serde(default, deserialize_with = "or_empty")]
    pub(crate) body: String,
}

impl OpenProposal {
    pub(crate) fn is_open(&self) -> bool {
        self.state == "open"
    }

    /// Whether somebody has closed it without merging it.
    pub(crate) fn is_rejected(&self) -> bool {
        !self.is_open() && self.merged_at.is_none()
    }
}

fn or_empty<'de, D: serde::Deserializer<'de>>(value: D) -> Result<String, D::Error> {
    Ok(Option::<String>::deserialize(value)?.unwrap_or_default())
}

#[derive(Deserialize)]
struct Object {
    sha: String,
}

#[derive(Deserialize)]
struct Reference {
    #[serde(rename = "ref")]
    name: String,
    object: Object,
}

#[derive(Deserialize)]
struct Commit {
    tree: Object,
    message: String,
}

impl GitHub {
    /// The branch that pull requests go to, and the tree of a commit that must be in it: what another one brings besides
    /// would be proposed as well.
    pub(crate) async fn base_branch(&self, commit: &CommitId) -> Result<BaseBranch, ForgeError> {
        #[derive(Deserialize)]
        struct Repository {
            default_branch: String,
        }
        #[derive(Deserialize)]
        struct Comparison {
            ahead_by: u64,
        }
        let path = format!("/repos/{}", self.repository.as_str());
        let found: Repository = self.get("looking at the repository", &path).await?;
        let name = found.default_branch;
        let commit = commit.as_str();
        let path = self.path(&format!("compare/{name}...{commit}?per_page=1"));
        match self.get::<Comparison>("comparing commits", &path).await {
            Ok(Comparison { ahead_by: 0 }) => {}
            Err(error) if error.status() != Some(404) => return Err(error),
            _ => {
                return Err(ForgeError::Unusable(format!(
                    "the commit {commit} is not in the branch `{name}` of {}",
                    self.repository.as_str()
                )));
            }
        }
        let tree = self.commit_called(commit).await?.tree.sha;
        Ok(BaseBranch { name, tree })
    }

    /// The branches whose names begin like this.
    pub(crate) async fn branches(&self, prefix: &str) -> Result<Vec<String>, ForgeError> {
        let path = self.path(&format!("git/matching-refs/heads/{prefix}"));
        // All at once: this list has no pages.
        let found: Vec<Reference> = self.get("looking for branches", &path).await?;
        let names = found.iter().filter_map(|found| found.name.strip_prefix("refs/heads/"));
        Ok(names.map(str::to_owned).collect())
    }

    /// What a branch ends with, if there is one.
    pub(crate) async fn branch(&self, name: &str) -> Result<Option<Head>, ForgeError> {
        let path = self.path(&format!("git/ref/heads/{name}"));
        let commit = match self.get::<Reference>("looking at a branch", &path).await {
            Ok(found) => found.object.sha,
            Err(error) if error.status() == Some(404) => return Ok(None),
            Err(error) => return Err(error),
        };
        let found = self.commit_called(&commit).await?;
        Ok(Some(Head { message: found.message }))
    }

    async fn commit_called(&self, id: &str) -> Result<Commit, ForgeError> {
        self.get("looking at a commit", &self.path(&format!("git/commits/{id}"))).await
    }

    /// A tree like another one with some files changed. The same makes the same.
    pub(crate) async fn tree(
        &self,
        base: &str,
        files: &BTreeMap<String, String>,
    ) -> Result<String, ForgeError> {
        let files: Vec<Value> = files
            .iter()
            .map(|(path, content)| {
                json!({ "path": path, "mode": "100644", "type": "blob", "content": content })
            })
            .collect();
        let body = json!({ "base_tree": base, "tree": files });
        let made: Object = self.post_again("writing files", &self.path("git/trees"), &body).await?;
        Ok(made.sha)
    }

    /// A commit, which nobody sees until a branch has it.
    pub(crate) async fn commit(
        &self,
        message: &str,
        tree: &str,
        parent: &CommitId,
    ) -> Result<String, ForgeError> {
        let body = json!({ "message": message, "tree": tree, "parents": [parent.as_str()] });
        let path = self.path("git/commits");
        let made: Object = self.post_again("writing a commit", &path, &body).await?;
        Ok(made.sha)
    }

    /// Makes a branch end with a commit.
    pub(crate) async fn set_branch(
        &self,
        name: &str,
        commit: &str,
        is_there: bool,
    ) -> Result<(), ForgeError> {
        if is_there {
            let body = json!({ "sha": commit, "force": true });
            let path = self.path(&format!("git/refs/heads/{name}"));
            return self.patch("moving the branch", &path, &body).await;
        }
        let body = json!({ "ref": format!("refs/heads/{name}"), "sha": commit });
        let find = async || Ok(self.branch(name).await?.map(|_| ()));
        self.create("making the branch", &self.path("git/refs"), &body, find).await
    }

    pub(crate) async fn delete_branch(&self, name: &str) -> Result<(), ForgeError> {
        self.delete("deleting the branch", &self.path(&format!("git/refs/heads/{name}"))).await
    }

    /// The newest pull request from a branch of the repository itself: the open one, if there is one.
    pub(crate) async fn proposal(&self, branch: &str) -> Result<Option<OpenProposal>, ForgeError> {
        let owner = self.repository.as_str().split('/').next().unwrap_or_default();
        // The newest comes first, and there can be only one open one for a branch.
        let path = self.path(&format!("pulls?state=all&head={owner}:{branch}"));
        let found: Vec<OpenProposal> =
            self.all("looking for the pull request", &path, |_| true).await?;
        let open = found.iter().position(OpenProposal::is_open).unwrap_or(0);
        Ok(found.into_iter().nth(open))
    }

    /// Opens a pull request, unless `find` finds it after an attempt whose outcome is unknown.
    pub(crate) async fn open_proposal(
        &self,
        branch: &str,
        base: &str,
        title: &str,
        body: &str,
        find: impl AsyncFn() -> Result<Option<()>, ForgeError>,
    ) -> Result<(), ForgeError> {
        let new = json!({ "title": title, "body": body, "head": branch, "base": base });
        self.create("opening the pull request", &self.path("pulls"), &new, find).await
    }

    /// Gives labels to the pull request from a branch.
    pub(crate) async fn label(&self, branch: &str, labels: &[String]) -> Result<(), ForgeError> {
        let Some(found) = self.proposal(branch).await? else { return Ok(()) };
        let path = self.path(&format!("issues/{}/labels", found.number));
        let labels = json!({ "labels": labels });
        self.post_again::<Value>("setting labels", &path, &labels).await.map(|_| ())
    }

    pub(crate) async fn update_proposal(
        &self,
        number: u64,
        title: &str,
        body: &str,
    ) -> Result<(), ForgeError> {
        let new = json!({ "title": title, "body": body });
        self.patch("changing the pull request", &self.path(&format!("pulls/{number}")), &new).await
    }

    pub(crate) async fn close_proposal(&self, number: u64) -> Result<(), ForgeError> {
        let closed = json!({ "state": "closed" });
        let path = self.path(&format!("pulls/{number}"));
        self.patch("closing the pull request", &path, &closed).await
    }
}
