//! Lists that come page by page, the next one named by a `Link`:
//! <https://github.com/opencontainers/distribution-spec/blob/main/spec.md#listing-tags>.

use std::collections::BTreeSet;

use bytes::Bytes;
use http::header::LINK;
use mirror_failure::{ErrorKind, RequestError};
use serde::de::DeserializeOwned;

use crate::host::Host;
use crate::host::answer::HostResponse;
use crate::host::call::Call;
use crate::host::response::unpacked;
use crate::sorting::one_line;

/// A list that is read page by page.
pub(crate) struct Pages {
    next: Option<Call>,
    /// Queries that were asked. One that is named again would go on for ever.
    asked: BTreeSet<String>,
    /// Whether the last page that was read names one as the next that was read before.
    circles: bool,
    /// What it is a list of, for messages.
    what: &'static str,
    is_page: fn(&HostResponse) -> bool,
    /// Most bytes of one page.
    cap: usize,
}

/// One page, and what is to be said of it.
pub(crate) struct ListPage {
    pub(crate) response: HostResponse,
    body: Option<Bytes>,
}

impl Pages {
    /// A list that begins with the response to this. What is no page of it, as headers tell, is not read.
    pub(crate) fn of(
        what: &'static str,
        first: Call,
        is_page: fn(&HostResponse) -> bool,
        cap: usize,
    ) -> Pages {
        Pages { next: Some(first), asked: BTreeSet::new(), circles: false, what, is_page, cap }
    }

    /// Whether there is another page.
    pub(crate) fn has_more(&self) -> bool {
        self.next.is_some()
    }

    /// The next page; nothing after the last. Of what names it only the query counts: proxies and registries that don't know
    /// their own address put others in front (sonatype/nexus-public#1011).
    pub(crate) async fn read(&mut self, host: &Host) -> Result<Option<ListPage>, RequestError> {
        let Some(call) = self.next.take() else { return Ok(None) };
        let (response, body) = host.read(&call, self.cap, self.is_page).await?;
        let body = body.map(|body| unpacked(response.response.headers(), body, self.cap));
        let page = ListPage { response, body };
        self.asked.insert(call.url.query().unwrap_or_default().to_owned());
        if page.response.status() != 200 || !(self.is_page)(&page.response) {
            return Ok(Some(page));
        }
        match next_query(&page.response) {
            Next::End => {}
            Next::Query(query) if self.asked.contains(&query) => self.circles = true,
            Next::Query(query) => self.go_on(&call, &query),
            // Whoever takes it for the end loses what follows.
            Next::Unreadable(text) => {
                let why = format!("its `Link` to the next page can't be read: {}", one_line(&text));
                return Err(self.wrong(&page, &why));
            }
        }
        Ok(Some(page))
    }

    /// Makes an error of a list that goes in circles.
    pub(crate) fn ends(&self, page: &ListPage) -> Result<(), RequestError> {
        match self.circles {
            true => Err(self.wrong(page, "the next page is one that was read before")),
            false => Ok(()),
        }
    }

    /// Goes on with another query of the same list.
    pub(crate) fn go_on(&mut self, call: &Call, query: &str) {
        let mut url = call.url.clone();
        url.set_query(Some(query).filter(|query| !query.is_empty()));
        self.next = Some(Call { url, ..call.clone() });
    }

    /// What a page says.
    pub(crate) fn parse<T: DeserializeOwned>(&self, page: &ListPage) -> Result<T, RequestError> {
        let body = page.body.as_ref();
        let longer = || format!("a page is longer than {} MiB", self.cap >> 20);
        let body = body.ok_or_else(|| self.wrong(page, &longer()))?;
        serde_json::from_slice(body).map_err(|why| self.wrong(page, &why.to_string()))
    }

    /// What is wrong with a page.
    pub(crate) fn wrong(&self, page: &ListPage, why: &str) -> RequestError {
        let why = format!("not a list of {}: {why}", self.what);
        RequestError::new(page.response.request.clone(), ErrorKind::Protocol(why))
    }
}

/// What a response says of the next page.
#[derive(Debug, PartialEq, Eq)]
enum Next {
    End,
    Query(String),
    Unreadable(String),
}

fn next_query(response: &HostResponse) -> Next {
    let headers = response.response.headers().get_all(LINK).iter();
    let texts = headers.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
    let found: Vec<Next> = texts.map(|text| next(&text)).collect();
    let best = |wanted: fn(&Next) -> bool| found.iter().position(wanted);
    let at = best(|next| matches!(next, Next::Query(_)))
        .or_else(|| best(|next| matches!(next, Next::Unreadable(_))));
    at.and_then(|at| found.into_iter().nth(at)).unwrap_or(Next::End)
}

/// `Link: </v2/…?last=…>; rel="next"`: the query of the link with the relation `next`, of several
/// (<https://www.rfc-editor.org/rfc/rfc8288#section-3>). One without any relation can only be meant as that.
fn next(header: &str) -> Next {
    if header.trim().is_empty() {
        return Next::End;
    }
    let unreadable = || Next::Unreadable(header.to_owned());
    let mut rest = header;
    while let Some((_, after)) = rest.split_once('<') {
        let Some((target, after)) = after.split_once('>') else { return unreadable() };
        let (parameters, others) = after.split_at(after.find('<').unwrap_or(after.len()));
        let mut relations = parameters.split([';', ',']).filter_map(|parameter| {
            let (name, value) = parameter.split_once('=')?;
            name.trim().eq_ignore_ascii_case("rel").then(|| value.trim().trim_matches(['"', '\'']))
        });
        let first = relations.next();
        let mut relations = first.into_iter().chain(relations).flat_map(str::split_whitespace);
        if first.is_none() || relations.any(|relation| relation.eq_ignore_ascii_case("next")) {
            let target = target.split('#').next().unwrap_or_default();
            return match target.split_once('?') {
                Some((_, query)) if !query.is_empty() => Next::Query(query.to_owned()),
                _ => unreadable(),
            };
        }
        rest = others;
    }
    // A header without a link at all.
    if rest.len() == header.len() { unreadable() } else { Next::End }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn links() {
        for (header, expected) in [
            (r#"</v2/x?last=a>; rel="next""#, Some("last=a")),
            ("</v2/x?last=a>;rel=next", Some("last=a")),
            (
                "<https://internal:8081/repository/x/v2/y/tags/list?n=50&last=a%2Bb#top>; rel='next'",
                Some("n=50&last=a%2Bb"),
            ),
            ("<?last=a>; rel=next", Some("last=a")),
            ("</v2/x?last=a>", Some("last=a")),
            (r#"</a?1>; rel="prev", </b?2>; title="a"; REL="last Next""#, Some("2")),
            (r#"</a?1>; rel="prev"; title="next""#, None),
            ("</a?1>; rel=nextish", None),
            ("", None),
        ] {
            let expected = expected.map_or(Next::End, |query| Next::Query(query.to_owned()));
            assert_eq!(next(header), expected, "{header}");
        }
        for header in ["</a", "/a?x=1; rel=next", "</a>; rel=next", "</a?>; rel=next", "next"] {
            assert_eq!(next(header), Next::Unreadable(header.to_owned()));
        }
    }

    proptest! {
        #[test]
        fn any_header_ends(header in "([<>;,=?\" a-z/]|rel|next){0,3000}") {
            if let Next::Query(query) = next(&header) {
                let asked = format!("?{query}");
                prop_assert!(header.contains(&asked), "{header}");
            }
        }
    }
}
