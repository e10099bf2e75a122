//! Changes that are proposed: one branch, one commit, one pull request, made anew when what is proposed differs.

use std::collections::BTreeMap;

use mirror_oci::{Algorithm, Digest};
use tokio::sync::OnceCell;

use crate::error::ForgeError;
use crate::github::{BaseBranch, GitHub, OpenProposal};
use crate::keep::{marked, same_mark};
use crate::{CommitId, Forge, ForgeKind, Kept};

/// In the message of each commit of ours: a branch that ends with another one is somebody else's by now.
const OURS: &str = "Proposed-by: mirror ";

/// The commit that proposals are based on, one of the default branch. What the forge knows of it is asked for when it is
/// needed, and once for all of them.
#[derive(Debug)]
pub struct Base {
    commit: CommitId,
    found: OnceCell<BaseBranch>,
}

impl Base {
    /// Files of proposals are those of this commit, but for what is proposed.
    pub fn new(commit: CommitId) -> Base {
        Base { commit, found: OnceCell::new() }
    }

    async fn found(&self, forge: &GitHub) -> Result<&BaseBranch, ForgeError> {
        self.found.get_or_try_init(|| forge.base_branch(&self.commit)).await
    }
}

/// A change of files, to be looked at by people.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Proposal {
    /// The branch that it is on; one proposal for each.
    pub branch: String,
    /// What it does, in a line.
    pub title: String,
    /// What it does, in Markdown.
    pub text: String,
    /// Labels that the pull request gets when it is opened.
    pub labels: Vec<String>,
    /// New texts of files, by their paths in the repository.
    pub files: BTreeMap<String, String>,
}

impl Proposal {
    /// The same for the same files with the same texts.
    fn fingerprint(&self) -> String {
        let files = self.files.iter().map(|(path, text)| format!("{path}\0{text}\0"));
        Digest::of(Algorithm::Sha256, files.collect::<String>().as_bytes()).hex().to_owned()
    }
}

impl Forge {
    /// The branches whose names begin like this. Those that nobody wants any more are to be withdrawn.
    ///
    /// # Errors
    /// When the forge can't be asked.
    pub async fn branches(&self, prefix: &str) -> Result<Vec<String>, ForgeError> {
        let ForgeKind::GitHub(forge) = &self.kind;
        forge.branches(prefix).await
    }

    /// Keeps one pull request for a change of files as they are at `base`: opens it, or brings it up to date. One that a person has closed stays closed, until something else is proposed; a branch to which
    /// somebody else has pushed stays as it is.
    ///
    /// # Errors
    /// When the forge can't be asked, or refuses; when `base` is not in the default branch.
    ///
    /// # Cancellation
    /// When the future is dropped, the branch may be there without the pull request; calling again finds what is there, and
    /// makes no second one.
    pub async fn keep_proposal(
        &self,
        base: &Base,
        proposal: &Proposal,
    ) -> Result<Kept, ForgeError> {
        let ForgeKind::GitHub(forge) = &self.kind;
        let Proposal { branch, title, .. } = proposal;
        let fingerprint = proposal.fingerprint();
        let body = marked("update", &format!("{}\n\n<!-- {fingerprint} -->", proposal.text));
        let found = forge.proposal(branch).await?;
        if found.as_ref().is_some_and(|found| found.is_rejected() && same_mark(&found.body, &body))
        {
            return Ok(Kept::Rejected);
        }
        let there = forge.branch(branch).await?;
        if there.as_ref().is_some_and(|head| !head.message.contains(OURS)) {
            return Ok(Kept::Foreign);
        }
        let mark = format!("{OURS}{fingerprint}");
        let current = there.as_ref().is_some_and(|head| head.message.contains(&mark));
        if !current {
            let tree = forge.tree(&base.found(forge).await?.tree, &proposal.files).await?;
            let commit = forge.commit(&format!("{title}\n\n{mark}"), &tree, &base.commit).await?;
            forge.set_branch(branch, &commit, there.is_some()).await?;
        }
        match found.filter(OpenProposal::is_open) {
            None => {
                let find = async || {
                    let found = forge.proposal(branch).await?;
                    Ok(found.filter(OpenProposal::is_open).map(|_| ()))
                };
                let target = &base.found(forge).await?.name;
                forge.open_proposal(branch, target, title, &body, find).await?;
                if !proposal.labels.is_empty() {
                    forge.label(branch, &proposal.labels).await?;
                }
                Ok(Kept::Created)
            }
            Some(open) if same_mark(&open.body, &body) => {
                Ok(if current { Kept::Unchanged } else { Kept::Updated })
            }
            Some(open) => {
                forge.update_proposal(open.number, title, &body).await?;
                Ok(Kept::Updated)
            }
        }
    }

    /// Takes back what was proposed on a branch: closes the pull request and deletes the branch. One to which somebody else
    /// has pushed stays as it is.
    ///
    /// # Errors
    /// When the forge can't be asked, or refuses.
    ///
    /// # Cancellation
    /// When the future is dropped, the branch may still be there; calling again deletes it.
    pub async fn withdraw_proposal(&self, branch: &str) -> Result<Kept, ForgeError> {
        let ForgeKind::GitHub(forge) = &self.kind;
        let Some(head) = forge.branch(branch).await? else { return Ok(Kept::Absent) };
        if !head.message.contains(OURS) {
            return Ok(Kept::Foreign);
        }
        if let Some(open) = forge.proposal(branch).await?.filter(OpenProposal::is_open) {
            forge.close_proposal(open.number).await?;
        }
        forge.delete_branch(branch).await?;
        Ok(Kept::Closed)
    }
}
