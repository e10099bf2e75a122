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
    let link = response.header("link")?;
    let (target, rest) = link.trim().strip_prefix('<')?.split_once('>')?;
    rest.contains("next").then(|| response.response.url().join(target).ok()).flatten()
}
