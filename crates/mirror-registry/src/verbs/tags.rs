//! The tags of a repository.
//!
//! <https://github.com/opencontainers/distribution-spec/blob/main/spec.md#listing-tags>

use bytes::Bytes;
use http::Method;
use http::header::HeaderMap;
use mirror_failure::{ErrorKind, RequestError};
use serde::Deserialize;

use crate::host::call::Call;
use crate::remote::Remote;
use crate::verbs::pages::Pages;

/// Most tags that are read. Whoever has more publishes every commit.
const MOST_TAGS: usize = 200_000;
/// Most pages that are read: servers make them as small as they like, fifty tags or a hundred.
const MOST_PAGES: usize = 4000;

#[derive(Deserialize)]
struct List {
    /// Some registries say `null` for none.
    tags: Option<Vec<String>>,
}

impl Remote {
    /// All tags of a repository, as the host sends them.
    ///
    /// # Errors
    /// When the host can't be asked, or answers with no list of tags, or one without end.
    pub async fn tags(&self) -> Result<Vec<String>, RequestError> {
        let mut url = self.url("tags/list");
        url.set_query(Some("n=1000"));
        let first = Call {
            method: Method::GET,
            url,
            scope: self.look_scope(),
            headers: HeaderMap::new(),
            body: Bytes::new(),
        };
        let mut pages = Pages::of("tags", first, |_| true);
        let mut found = Vec::new();
        for _ in 0..MOST_PAGES {
            let Some(page) = pages.read(&self.host).await? else { return Ok(found) };
            if page.response.status() != 200 {
                return Err(page.response.into_error().await);
            }
            let list: List = pages.parse(&page)?;
            let tags = list.tags.unwrap_or_default();
            // A page without tags that has a next one would go on for ever.
            if tags.is_empty() {
                return Ok(found);
            }
            found.extend(tags);
            if found.len() > MOST_TAGS && pages.has_more() {
                return Err(pages.wrong(&page, &format!("over {MOST_TAGS} tags")));
            }
        }
        let why = format!("over {MOST_PAGES} pages of tags");
        Err(RequestError::new(self.url("tags/list").path(), ErrorKind::Protocol(why)))
    }
}
