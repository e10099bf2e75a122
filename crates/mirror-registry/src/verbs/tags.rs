//! The tags of a repository.
//!
//! <https://github.com/opencontainers/distribution-spec/blob/main/spec.md#listing-tags>

use bytes::Bytes;
use http::Method;
use http::header::HeaderMap;
use mirror_failure::{ErrorKind, RequestError};
use mirror_oci::MAX_MANIFEST_BYTES;
use serde::Deserialize;

use crate::host::call::Call;
use crate::remote::Remote;
use crate::verbs::referrers::next_page;

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
        let mut call = Call {
            method: Method::GET,
            url,
            scope: self.look_scope(),
            headers: HeaderMap::new(),
            body: Bytes::new(),
        };
        let mut found = Vec::new();
        for _ in 0..MOST_PAGES {
            let (answer, body) = self.host.read(&call, MAX_MANIFEST_BYTES, |_| ()).await?;
            if answer.status() != 200 {
                return Err(answer.into_error().await);
            }
            let next = next_page(&answer);
            let request = answer.request.clone();
            let protocol =
                |why: String| RequestError::new(request.clone(), ErrorKind::Protocol(why));
            let body =
                body.ok_or_else(|| protocol("a page of tags is longer than 4 MiB".to_owned()))?;
            let list: List = serde_json::from_slice(&body)
                .map_err(|why| protocol(format!("not a list of tags: {why}")))?;
            let tags = list.tags.unwrap_or_default();
            // A page without tags that has a next one would go on for ever.
            let next = next.filter(|_| !tags.is_empty());
            found.extend(tags);
            match next {
                Some(_) if found.len() > MOST_TAGS => {
                    return Err(protocol(format!("over {MOST_TAGS} tags")));
                }
                Some(next) if self.host.is_home(&next) => call.url = next,
                Some(_) => {
                    return Err(protocol("the next page of tags is on another host".to_owned()));
                }
                None => return Ok(found),
            }
        }
        let why = format!("over {MOST_PAGES} pages of tags");
        Err(RequestError::new(call.url.path(), ErrorKind::Protocol(why)))
    }
}
