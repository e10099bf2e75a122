//! One issue about what is wrong.

use serde::Deserialize;
use serde_json::{Value, json};

use crate::error::Error;
use crate::{GitHub, Kept, User, marked, marker, same_mark};

#[derive(Deserialize)]
struct Issue {
    number: u64,
    body: Option<String>,
    user: Option<User>,
    /// Pull requests are in the list of issues as well.
    pull_request: Option<Value>,
}

impl GitHub {
    /// Makes our open issue called `what` say what `text` makes of what it says now; without text, there is to be none.
    ///
    /// # Errors
    /// When GitHub can't be asked, or refuses.
    pub async fn keep_issue(
        &self,
        what: &str,
        title: &str,
        text: impl FnOnce(Option<&str>) -> Option<String>,
    ) -> Result<Kept, Error> {
        let find = async || Ok(self.our_issues(what).await?.into_iter().next());
        let mut ours = self.our_issues(what).await?.into_iter();
        let found = ours.next();
        let path = |issue: &Issue| self.path(&format!("issues/{}", issue.number));
        let closed = json!({ "state": "closed", "state_reason": "completed" });
        // Two runs at once may have opened one each.
        for extra in ours {
            self.patch("closing a second issue", &path(&extra), &closed).await?;
        }
        let body = text(found.as_ref().and_then(|issue| issue.body.as_deref()));
        let body = body.map(|text| marked(what, &text));
        match (found, body) {
            (None, None) => Ok(Kept::Absent),
            (None, Some(body)) => {
                let new = json!({ "title": title, "body": body });
                self.create("opening the issue", &self.path("issues"), &new, find).await?;
                Ok(Kept::Created)
            }
            (Some(issue), None) => {
                self.patch("closing the issue", &path(&issue), &closed).await?;
                Ok(Kept::Closed)
            }
            (Some(issue), Some(body)) => {
                if same_mark(issue.body.as_deref().unwrap_or_default(), &body) {
                    return Ok(Kept::Unchanged);
                }
                let new = json!({ "title": title, "body": body });
                self.patch("changing the issue", &path(&issue), &new).await?;
                Ok(Kept::Updated)
            }
        }
    }

    async fn our_issues(&self, what: &str) -> Result<Vec<Issue>, Error> {
        let mark = marker(what);
        let marked = |issue: &Issue| {
            issue.pull_request.is_none()
                && issue.body.as_deref().is_some_and(|body| body.starts_with(&mark))
        };
        let path = self.path("issues?state=open");
        let step = "looking for the issue";
        let found = self.all(step, &path, marked).await?;
        self.own(found, |issue| issue.user.as_ref()).await
    }
}
