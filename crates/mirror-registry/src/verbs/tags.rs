//! The tags of a repository.
//!
//! <https://github.com/opencontainers/distribution-spec/blob/main/spec.md#listing-tags>

use std::collections::HashSet;

use bytes::Bytes;
use http::Method;
use http::header::HeaderMap;
use mirror_failure::{ErrorKind, RequestError};
use serde::Deserialize;

use crate::host::call::Call;
use crate::remote::Remote;
use crate::verbs::pages::Pages;

/// Most tags that are read. Whoever has more publishes every commit, and more than that.
const MOST_TAGS: usize = 1_000_000;
/// Most pages that are read: servers make them as small as they like, fifty tags or a hundred.
const MOST_PAGES: usize = 20_000;
/// Most bytes of a page: some servers send all tags at once, however many there are.
const LARGEST_PAGE: usize = 64 << 20;
/// How many tags are asked for at once.
const PAGE: usize = 1000;
/// Servers that make pages of another size than was asked for make them of a multiple of this. Such a page may be the last
/// one by chance, or a list that was cut short.
const ROUND: usize = 50;

#[derive(Deserialize)]
struct List {
    /// Some registries say `null` for none.
    tags: Option<Vec<String>>,
}

impl Remote {
    /// All tags of a repository, each once, in the order in which the host sends them.
    ///
    /// # Errors
    /// When the host can't be asked, or answers with no list of tags, one without end, or one that goes on where nobody can
    /// read.
    pub async fn tags(&self) -> Result<Vec<String>, RequestError> {
        let mut url = self.url("tags/list");
        url.set_query(Some(&format!("n={PAGE}")));
        let (scope, headers) = (self.look_scope(), HeaderMap::new());
        let first = Call { method: Method::GET, url, scope, headers, body: Bytes::new() };
        let mut pages = Pages::of("tags", first.clone(), |_| true, LARGEST_PAGE);
        let mut found = Tags::default();
        let mut size = Some(PAGE);
        for _ in 0..MOST_PAGES {
            let Some(page) = pages.read(&self.host).await? else { return Ok(found.in_order) };
            match page.response.status() {
                200 => {}
                // distribution from 3.0 on takes no more than its configuration allows: distribution/distribution#4844.
                400 | 405..=422 if size.is_some() && found.in_order.is_empty() => {
                    size = None;
                    pages.go_on(&first, "");
                    continue;
                }
                // It was a guess that there is more.
                400..=499 if found.guessed => return Ok(found.in_order),
                _ => return Err(page.response.into_error().await),
            }
            let list: List = pages.parse(&page)?;
            let tags = list.tags.unwrap_or_default();
            let (read, last) = (tags.len(), tags.last().cloned());
            let new = found.add(tags);
            if found.in_order.len() > MOST_TAGS && pages.has_more() {
                return Err(pages.wrong(&page, &format!("over {MOST_TAGS} tags")));
            }
            if pages.has_more() {
                continue;
            }
            let cut = new > 0 && read % ROUND == 0;
            let Some(last) = last.filter(|_| cut) else { return Ok(found.in_order) };
            found.guessed = true;
            pages.go_on(&first, &after(&last, size));
        }
        let why = format!("over {MOST_PAGES} pages of tags");
        Err(RequestError::new(self.url("tags/list").path(), ErrorKind::Protocol(why)))
    }
}

/// Tags that were read.
#[derive(Default)]
struct Tags {
    in_order: Vec<String>,
    known: HashSet<String>,
    /// Whether the page that is asked for was named by nobody.
    guessed: bool,
}

impl Tags {
    /// Takes those that are new, and tells how many those are.
    fn add(&mut self, tags: Vec<String>) -> usize {
        let before = self.in_order.len();
        self.in_order.extend(tags.into_iter().filter(|tag| self.known.insert(tag.clone())));
        self.in_order.len() - before
    }
}

/// The query of the tags that come after one.
fn after(last: &str, size: Option<usize>) -> String {
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    if let Some(size) = size {
        query.append_pair("n", &size.to_string());
    }
    query.append_pair("last", last).finish()
}
