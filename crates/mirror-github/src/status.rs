//! One status on a commit.

use serde::Deserialize;
use serde_json::json;

use crate::error::Error;
use crate::{CommitId, GitHub, Kept};

/// Characters that the description of a status can have:
/// <https://docs.github.com/en/rest/commits/statuses#create-a-commit-status>.
pub const LONGEST_DESCRIPTION: usize = 140;

/// What a status says at a glance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CommitState {
    /// Fine.
    Success,
    /// Something has to change before this can be merged.
    Failure,
    /// It could not be found out.
    Error,
}

impl CommitState {
    fn as_str(self) -> &'static str {
        match self {
            CommitState::Success => "success",
            CommitState::Failure => "failure",
            CommitState::Error => "error",
        }
    }
}

/// A status on a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommitStatus {
    /// Its name among the checks, such as `mirror/plan`.
    pub context: String,
    /// What it says at a glance.
    pub state: CommitState,
    /// And in words; cut at [`LONGEST_DESCRIPTION`].
    pub description: String,
    /// Where more is to be read.
    pub url: Option<String>,
}

#[derive(Deserialize)]
struct Found {
    state: String,
    context: String,
    description: Option<String>,
    target_url: Option<String>,
}

impl GitHub {
    /// Makes the status of a commit what it should be.
    ///
    /// # Errors
    /// When GitHub can't be asked, or refuses.
    pub async fn keep_status(
        &self,
        commit: &CommitId,
        status: &CommitStatus,
    ) -> Result<Kept, Error> {
        let description: String = status.description.chars().take(LONGEST_DESCRIPTION).collect();
        // The newest comes first, and is the one that counts.
        let list = self.path(&format!("commits/{}/statuses", commit.0));
        let look = async || {
            let found = self
                .find("looking for the status", &list, |found: &Found| {
                    found.context == status.context
                })
                .await?;
            Ok(found.filter(|found| {
                found.state == status.state.as_str()
                    && found.description.as_deref() == Some(&description)
                    && found.target_url.as_deref().filter(|url| !url.is_empty())
                        == status.url.as_deref()
            }))
        };
        if look().await?.is_some() {
            return Ok(Kept::Unchanged);
        }
        let mut body = json!({
            "state": status.state.as_str(),
            "context": status.context,
            "description": description,
        });
        if let (Some(url), Some(body)) = (&status.url, body.as_object_mut()) {
            body.insert("target_url".to_owned(), json!(url));
        }
        let path = self.path(&format!("statuses/{}", commit.0));
        self.create("setting the status", &path, &body, look).await?;
        Ok(Kept::Created)
    }
}
