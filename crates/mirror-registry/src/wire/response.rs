//! A response whose body is still to come.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, StatusCode, header};
use http_body_util::BodyExt;
use mirror_failure::ErrorKind;
use mirror_oci::media_type;
use url::Url;

use super::address::{Reach, is_private_literal};
use super::body::Body;
use super::proxies::ProxyServer;
use crate::redact::SentSecrets;

/// A response whose body is still to come.
#[derive(Debug)]
pub(crate) struct Response {
    url: Url,
    inner: http::Response<Body>,
    secrets: SentSecrets,
}

impl Response {
    /// What `url` was answered with, when it was sent these secrets.
    pub(crate) fn new(url: Url, inner: http::Response<Body>, secrets: SentSecrets) -> Response {
        Response { url, inner, secrets }
    }

    /// What must not be shown of it.
    pub(crate) fn secrets(&self) -> &SentSecrets {
        &self.secrets
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

    /// Whether it is called a page for people.
    pub(crate) fn is_called_page(&self) -> bool {
        let content_type = self.headers().get(header::CONTENT_TYPE);
        let content_type = content_type.and_then(|value| value.to_str().ok()).unwrap_or_default();
        media_type::essence(content_type) == "text/html"
    }

    /// How far it may send us.
    pub(crate) fn reach(&self) -> Reach {
        let told = self.inner.extensions().get().copied();
        told.unwrap_or(match is_private_literal(&self.url) {
            true => Reach::Anywhere,
            false => Reach::Public,
        })
    }

    /// `, through the proxy …`, for the end of a sentence about a response that the proxy may have made.
    pub(crate) fn through(&self) -> String {
        let proxy = self.inner.extensions().get::<Option<Arc<ProxyServer>>>();
        let proxy = proxy.and_then(Option::as_ref);
        proxy.map(|proxy| format!(", through the proxy {proxy}")).unwrap_or_default()
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
