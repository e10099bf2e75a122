//! A response whose body is still to come.

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use http_body_util::BodyExt;
use mirror_failure::ErrorKind;
use url::Url;

use super::address::{Reach, is_private_literal};
use super::body::Body;

/// A response whose body is still to come.
#[derive(Debug)]
pub(crate) struct Response {
    url: Url,
    inner: http::Response<Body>,
}

impl Response {
    /// What `url` was answered with.
    pub(crate) fn new(url: Url, inner: http::Response<Body>) -> Response {
        Response { url, inner }
    }

    pub(crate) fn status(&self) -> StatusCode {
        self.inner.status()
    }

    pub(crate) fn headers(&self) -> &HeaderMap {
        self.inner.headers()
    }

    /// What was asked for.
    pub(crate) fn url(&self) -> &Url {
        &self.url
    }

    /// How far it may send us.
    pub(crate) fn reach(&self) -> Reach {
        let told = self.inner.extensions().get().copied();
        told.unwrap_or(match is_private_literal(&self.url) {
            true => Reach::Anywhere,
            false => Reach::Public,
        })
    }

    /// The next bytes of the body; none at the end.
    pub(crate) async fn chunk(&mut self) -> Result<Option<Bytes>, ErrorKind> {
        loop {
            let Some(frame) = self.inner.body_mut().frame().await else { return Ok(None) };
            // Trailers say nothing that is needed.
            if let Ok(bytes) = frame?.into_data() {
                return Ok(Some(bytes));
            }
        }
    }
}
