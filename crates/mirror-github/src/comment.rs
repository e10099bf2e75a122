//! One comment on a pull request.

use serde::Deserialize;
use serde_json::json;

use crate::error::Error;
use crate::{GitHub, Kept, User, marked, marker, same_mark};

/// Only what is needed, and nothing that can be missing: one comment of a deleted user must not hide the others.
#[derive(Deserialize)]
struct Comment {
    id: u64,
    body: Option<String>,
    user: Option<User>,
}

impl GitHub {
    /// Makes our comment called `what` on a pull request say `text`.
    ///
    /// # Errors
    /// When GitHub can't be asked, or refuses.
    pub async fn keep_comment(
        &self,
        pull_request: u64,
        what: &str,
        text: &str,
    ) -> Result<Kept, Error> {
        let body = marked(what, text);
        let find = async || Ok(self.our_comments(pull_request, what).await?.into_iter().next());
        let mut ours = self.our_comments(pull_request, what).await?.into_iter();
        let Some(found) = ours.next() else {
            let path = self.path(&format!("issues/{pull_request}/comments"));
            let step = "writing the comment";
            self.create(step, &path, &json!({ "body": body }), find).await?;
            return Ok(Kept::Created);
        };
        // Two runs at once may have written one each.
        let login = |comment: &Comment| comment.user.as_ref().map(|user| user.login.clone());
        for extra in ours.filter(|extra| login(extra) == login(&found)) {
            let path = self.path(&format!("issues/comments/{}", extra.id));
            self.delete("deleting a second comment", &path).await?;
        }
        if same_mark(found.body.as_deref().unwrap_or_default(), &body) {
            return Ok(Kept::Unchanged);
        }
        let path = self.path(&format!("issues/comments/{}", found.id));
        self.patch("changing the comment", &path, &json!({ "body": body })).await?;
        Ok(Kept::Updated)
    }

    /// Somebody else's comment may have our marker in it: quoted, or to mislead.
    async fn our_comments(&self, pull_request: u64, what: &str) -> Result<Vec<Comment>, Error> {
        let path = self.path(&format!("issues/{pull_request}/comments"));
        let mark = marker(what);
        let marked =
            |comment: &Comment| comment.body.as_deref().is_some_and(|body| body.starts_with(&mark));
        let found = self.all("looking for the comment", &path, marked).await?;
        self.own(found, |comment| comment.user.as_ref()).await
    }
}
