//! What is kept on a forge: looked for first, written only when it differs.

use crate::error::ForgeError;
use crate::github::{Author, KeptText};
use crate::{CommitId, CommitStatus, Forge, ForgeKind};

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
    /// A person has said no to it.
    Rejected,
    /// Somebody else has changed it, and goes on with it.
    Foreign,
}

impl Forge {
    /// Makes our comment called `what` on a pull request say `text`.
    ///
    /// # Errors
    /// When the forge can't be asked, or refuses.
    ///
    /// # Cancellation
    /// When the future is dropped, the comment may have been written or not; calling again finds it and writes no second one.
    pub async fn keep_comment(
        &self,
        change: u64,
        what: &str,
        text: &str,
    ) -> Result<Kept, ForgeError> {
        let ForgeKind::GitHub(forge) = &self.kind;
        let body = marked(what, text);
        let find = async || Ok(saying(self.our_comments(change, what).await?, &body));
        let mut ours = self.our_comments(change, what).await?.into_iter();
        let Some(found) = ours.next() else {
            forge.create_comment(change, &body, find).await?;
            return Ok(Kept::Created);
        };
        // Two runs at once may have written one each.
        for extra in ours.filter(|extra| extra.author == found.author) {
            forge.delete_comment(extra.id).await?;
        }
        if same_mark(&found.body, &body) {
            return Ok(Kept::Unchanged);
        }
        forge.update_comment(found.id, &body).await?;
        Ok(Kept::Updated)
    }

    /// Makes the status of a commit what it should be.
    ///
    /// # Errors
    /// When the forge can't be asked, or refuses.
    ///
    /// # Cancellation
    /// When the future is dropped, the status may have been written or not; calling again finds it and writes no second one.
    pub async fn keep_status(
        &self,
        commit: &CommitId,
        status: &CommitStatus,
    ) -> Result<Kept, ForgeError> {
        let ForgeKind::GitHub(forge) = &self.kind;
        let find = async || Ok(forge.has_status(commit, status).await?.then_some(()));
        if find().await?.is_some() {
            return Ok(Kept::Unchanged);
        }
        forge.create_status(commit, status, find).await?;
        Ok(Kept::Created)
    }

    /// Makes our open issue called `what` say what `text` makes of what it says now; without text, there is to be none.
    ///
    /// # Errors
    /// When the forge can't be asked, or refuses.
    ///
    /// # Cancellation
    /// When the future is dropped, the issue may have been written or not; calling again finds it and writes no second one.
    pub async fn keep_issue(
        &self,
        what: &str,
        title: &str,
        text: impl FnOnce(Option<&str>) -> Option<String>,
    ) -> Result<Kept, ForgeError> {
        let ForgeKind::GitHub(forge) = &self.kind;
        let mut ours = self.our_issues(what).await?.into_iter();
        let found = ours.next();
        // Two runs at once may have opened one each.
        for extra in ours {
            forge.close_issue("closing a second issue", extra.id).await?;
        }
        let body = text(found.as_ref().map(|issue| issue.body.as_str()));
        let body = body.map(|text| marked(what, &text));
        match (found, body) {
            (None, None) => Ok(Kept::Absent),
            (None, Some(body)) => {
                let find = async || Ok(saying(self.our_issues(what).await?, &body));
                forge.create_issue(title, &body, find).await?;
                Ok(Kept::Created)
            }
            (Some(issue), None) => {
                forge.close_issue("closing the issue", issue.id).await?;
                Ok(Kept::Closed)
            }
            (Some(issue), Some(body)) if same_mark(&issue.body, &body) => Ok(Kept::Unchanged),
            (Some(issue), Some(body)) => {
                forge.update_issue(issue.id, title, &body).await?;
                Ok(Kept::Updated)
            }
        }
    }

    async fn our_comments(&self, change: u64, what: &str) -> Result<Vec<KeptText>, ForgeError> {
        let ForgeKind::GitHub(forge) = &self.kind;
        self.own(forge.comments(change, &marker(what)).await?).await
    }

    async fn our_issues(&self, what: &str) -> Result<Vec<KeptText>, ForgeError> {
        let ForgeKind::GitHub(forge) = &self.kind;
        self.own(forge.open_issues(&marker(what)).await?).await
    }

    /// Those that we have written ourselves. Others may have our marker in their texts: quoted, or to mislead.
    async fn own(&self, found: Vec<KeptText>) -> Result<Vec<KeptText>, ForgeError> {
        if found.is_empty() {
            return Ok(found);
        }
        let ForgeKind::GitHub(forge) = &self.kind;
        let us = forge.author().await?;
        let ours = |login: &String| match us {
            Author::Login(us) => login == us,
            // People can't have such a name.
            Author::SomeApp => login.ends_with("[bot]"),
        };
        Ok(found.into_iter().filter(|text| text.author.as_ref().is_some_and(ours)).collect())
    }
}

/// The hidden first line of a text that is kept: which text, and a digest of it, so that one that the forge has changed
/// (line ends, spaces) still counts as the same.
fn marker(what: &str) -> String {
    format!("<!-- mirror {what} ")
}

pub(crate) fn marked(what: &str, text: &str) -> String {
    let digest = mirror_oci::Digest::of(mirror_oci::Algorithm::Sha256, text.as_bytes());
    format!("{}{digest} -->\n{text}", marker(what))
}

/// The one of ours that says this. One that says something else is that of another run at the same time; of two, the next
/// run leaves one.
fn saying(ours: Vec<KeptText>, body: &str) -> Option<KeptText> {
    ours.into_iter().find(|ours| same_mark(&ours.body, body))
}

/// Whether two texts have the same first line.
pub(crate) fn same_mark(one: &str, other: &str) -> bool {
    one.lines().next() == other.lines().next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks() {
        let text = marked("plan", "hello");
        assert!(text.starts_with(&marker("plan")) && text.ends_with(" -->\nhello"), "{text}");
        assert!(same_mark(&text, &(text.replace('\n', "\r\n"))));
        assert!(!same_mark(&text, &marked("plan", "hallo")));
    }
}
