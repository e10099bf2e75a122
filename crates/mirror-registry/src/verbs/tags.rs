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
use crate::verbs::pages::{ListPage, Pages};

/// Most tags that are read. Whoever has more publishes every commit, and more than that.
const MOST_TAGS: usize = 1_000_000;
/// Most pages that are read: servers make them as small as they like, fifty tags or a hundred.
const MOST_PAGES: usize = 20_000;
/// Most bytes of a page: some servers send all tags at once, however many there are.
const LARGEST_PAGE: usize = 64 << 20;
/// How many tags are asked for at once.
const PAGE: usize = 1000;
/// So few tags are no page that was cut short.
const FEW: usize = 10;
/// So many pages in a row may bring nothing new. A list that goes on like that has no end.
const MOST_BARREN: u32 = 10;

/// A page of tags, or what somebody has sent instead.
#[derive(Deserialize)]
struct List {
    #[serde(default)]
    name: Option<String>,
    /// Some registries say `null` for none, and some leave it out.
    #[serde(default)]
    tags: Option<Vec<String>>,
    #[serde(default)]
    errors: Option<serde_json::Value>,
}

/// What comes after a page.
enum Next {
    /// The page that it names.
    Named,
    /// Perhaps another page, which begins after this tag.
    Guess(String),
    Nothing,
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
        let (mut found, mut size) = (Tags::default(), Some(PAGE));
        for _ in 0..MOST_PAGES {
            let Some(page) = pages.read(&self.host).await? else { return Ok(found.in_order) };
            let next = match page.response.status() {
                200 => found.take(&pages, &page, self.host.whole_list())?,
                // distribution from 3.0 on takes no more than its configuration allows: distribution/distribution#4844.
                400 | 405..=422 if size.is_some() && found.in_order.is_empty() => {
                    size = None;
                    pages.go_on(&first, "");
                    continue;
                }
                400 | 404..=422 if found.is_guess() => found.refused(&pages, &page)?,
                _ => return Err(self.host.refused(page.response).await),
            };
            match next {
                Next::Named => {}
                Next::Guess(last) => pages.go_on(&first, &after(&last, size)),
                Next::Nothing => {
                    found.whole().into_iter().for_each(|size| self.host.has_sent_whole(size));
                    return Ok(found.in_order);
                }
            }
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
    /// Whether a page has named the next one.
    linked: bool,
    /// Pages in a row that brought nothing new.
    barren: u32,
    /// How many tags came with the first page that named no other, where a page was asked for that nobody has named.
    guessed: Option<usize>,
}

impl Tags {
    /// Takes those of a page, and tells what comes after it. Lists of up to `trusted` tags have come whole before.
    fn take(
        &mut self,
        pages: &Pages,
        page: &ListPage,
        trusted: usize,
    ) -> Result<Next, RequestError> {
        let list: List = pages.parse(page)?;
        if list.errors.is_some() || list.tags.is_none() && list.name.is_none() {
            return Err(pages.wrong(page, "it has no `tags`"));
        }
        let tags = list.tags.unwrap_or_default();
        let (read, last) = (tags.len(), tags.last().cloned());
        let new = self.add(tags);
        // Whoever does not know what to begin after begins anew.
        if self.is_guess() && new == 0 {
            return Ok(Next::Nothing);
        }
        pages.ends(page)?;
        self.barren = if new == 0 { self.barren + 1 } else { 0 };
        if self.barren > MOST_BARREN {
            return Err(pages.wrong(page, "page after page brings nothing new"));
        }
        if !pages.has_more() {
            return Ok(self.doubted(read, last, trusted).map_or(Next::Nothing, Next::Guess));
        }
        if self.in_order.len() > MOST_TAGS {
            return Err(pages.wrong(page, &format!("over {MOST_TAGS} tags")));
        }
        self.linked = true;
        Ok(Next::Named)
    }

    /// Takes those that are new, and tells how many those are.
    fn add(&mut self, tags: Vec<String>) -> usize {
        let before = self.in_order.len();
        self.in_order.extend(tags.into_iter().filter(|tag| self.known.insert(tag.clone())));
        self.in_order.len() - before
    }

    /// Whether the page that is asked for was named by nobody.
    fn is_guess(&self) -> bool {
        self.guessed.is_some()
    }

    /// The last tag of a page that names no other, if there may be more all the same: many registries make pages of a size of
    /// their own, and some never say that there is another one.
    fn doubted(&mut self, read: usize, last: Option<String>, trusted: usize) -> Option<String> {
        let doubtful = match self.guessed {
            None => !self.linked && read >= FEW && read > trusted,
            Some(size) => read >= size,
        };
        let last = last.filter(|_| doubtful)?;
        self.guessed.get_or_insert(read);
        Some(last)
    }

    /// Nobody can tell whether there is more, and a registry that can't be asked for it makes pages of a round number.
    fn refused(&self, pages: &Pages, page: &ListPage) -> Result<Next, RequestError> {
        let read = self.in_order.len();
        if !read.is_multiple_of(10) && !read.is_power_of_two() {
            return Ok(Next::Nothing);
        }
        let status = page.response.status();
        let why =
            format!("it ends after {read} tags, and the question for more is refused ({status})");
        Err(pages.wrong(page, &why))
    }

    /// How long a list is that came whole though its page named no other, as a question for more has shown.
    fn whole(&self) -> Option<usize> {
        self.guessed.filter(|size| *size == self.in_order.len())
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
