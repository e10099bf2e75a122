//! Lists that come page by page, the next one named by a `Link`:
//! <https://github.com/opencontainers/distribution-spec/blob/main/spec.md#listing-tags>.

use bytes::Bytes;
use mirror_failure::{ErrorKind, RequestError};
use mirror_oci::MAX_MANIFEST_BYTES;
use serde::de::DeserializeOwned;
use url::Url;

use crate::host::Host;
use crate::host::call::Call;
use crate::host::response::HostResponse;

/// A list that is read page by page.
pub(crate) struct Pages {
    next: Option<Call>,
    /// The request that named the next page.
    named_by: String,
    /// What it is a list of, for messages.
    what: &'static str,
    is_page: fn(&HostResponse) -> bool,
}

/// One page, and what is to be said of it.
pub(crate) struct ListPage {
    pub(crate) response: HostResponse,
    body: Option<Bytes>,
}

impl Pages {
    /// A list that begins with the response to this. What is no page of it, as headers tell, is not read.
    pub(crate) fn of(what: &'static str, first: Call, is_page: fn(&HostResponse) -> bool) -> Pages {
        Pages { next: Some(first), named_by: String::new(), what, is_page }
    }

    /// Whether there is another page.
    pub(crate) fn has_more(&self) -> bool {
        self.next.is_some()
    }

    /// The next page; nothing after the last.
    pub(crate) async fn read(&mut self, host: &Host) -> Result<Option<ListPage>, RequestError> {
        let Some(call) = self.next.take() else { return Ok(None) };
        if !host.is_home(&call.url) {
            let why = format!("the next page of {} is on another host", self.what);
            return Err(RequestError::new(self.named_by.as_str(), ErrorKind::Protocol(why)));
        }
        let (response, body) = host.read(&call, MAX_MANIFEST_BYTES, self.is_page).await?;
        self.named_by.clone_from(&response.request);
        if response.status() == 200 {
            self.next = link(&response).map(|url| Call { url, ..call });
        }
        Ok(Some(ListPage { response, body }))
    }

    /// What a page says.
    pub(crate) fn parse<T: DeserializeOwned>(&self, page: &ListPage) -> Result<T, RequestError> {
        let body = page.body.as_ref();
        let body = body.ok_or_else(|| self.wrong(page, "a page is longer than 4 MiB"))?;
        serde_json::from_slice(body).map_err(|why| self.wrong(page, &why.to_string()))
    }

    /// What is wrong with a page.
    pub(crate) fn wrong(&self, page: &ListPage, why: &str) -> RequestError {
        let why = format!("not a list of {}: {why}", self.what);
        RequestError::new(page.response.request.clone(), ErrorKind::Protocol(why))
    }
}

/// `Link: </v2/…?last=…>; rel="next"`
fn link(response: &HostResponse) -> Option<Url> {
    response.response.url().join(next(response.header("link")?)?).ok()
}

/// The target of the link with the relation `next`, of several: <https://www.rfc-editor.org/rfc/rfc8288#section-3>.
fn next(header: &str) -> Option<&str> {
    let mut rest = header;
    loop {
        let (target, after) = rest.split_once('<')?.1.split_once('>')?;
        let (parameters, others) = after.split_at(after.find('<').unwrap_or(after.len()));
        let relations = parameters.split([';', ',']).filter_map(|parameter| {
            let (name, value) = parameter.split_once('=')?;
            name.trim().eq_ignore_ascii_case("rel").then(|| value.trim().trim_matches('"'))
        });
        let mut relations = relations.flat_map(str::split_whitespace);
        if relations.any(|relation| relation.eq_ignore_ascii_case("next")) {
            return Some(target);
        }
        rest = others;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn links() {
        for (header, expected) in [
            (r#"</v2/x?last=a>; rel="next""#, Some("/v2/x?last=a")),
            ("</v2/x?last=a>;rel=next", Some("/v2/x?last=a")),
            (r#"</a>; rel="prev", </b>; title="a"; REL="last Next""#, Some("/b")),
            (r#"</a>; rel="prev"; title="next""#, None),
            ("</a>; rel=nextish", None),
            ("</a", None),
            ("/a; rel=next", None),
            ("", None),
        ] {
            assert_eq!(next(header), expected, "{header}");
        }
    }

    proptest! {
        #[test]
        fn any_header_ends(header in "([<>;,=\" a-z/]|rel|next){0,3000}") {
            if let Some(target) = next(&header) {
                let (wrapped, relation) = (format!("<{target}>"), header.contains("next"));
                prop_assert!(header.contains(&wrapped) && relation, "{header}");
            }
        }
    }
}
