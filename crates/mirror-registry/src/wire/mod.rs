//! What goes out to hosts and what comes back: one service from an HTTP request to a response, bodies streamed both ways.
//!
//! [`Wire::internet`] is the real one. Anything else that answers requests may stand in for it, such as a registry in the
//! same process; nothing above knows the difference.

mod address;
mod body;
mod breakage;
mod internet;
mod no_proxy;
mod private_address;
mod proxies;
mod response;
mod through;
mod tls;
mod trust;

use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderValue};
use http::{Method, Request, Uri};
use http_body_util::{BodyExt, Limited};
use mirror_failure::ErrorKind;
use percent_encoding::percent_decode_str;
use tower::util::BoxCloneSyncService;
use tower::{Service, ServiceExt};
use url::Url;

pub use self::address::Reach;
pub use self::body::Body;
pub use self::internet::Network;
pub use self::proxies::{Proxies, ProxyError};
pub(crate) use self::response::Response;
pub use self::trust::TlsFiles;
use crate::redact::SentSecrets;

/// The content type of a form.
pub(crate) const FORM: &str = "application/x-www-form-urlencoded";

/// One service that all hosts send their requests to. Redirects are followed by [`crate::Host`] alone.
#[derive(Clone)]
pub struct Wire(BoxCloneSyncService<Request<Body>, http::Response<Body>, ErrorKind>);

/// A request as it goes out, without a body that comes bit by bit.
#[derive(Clone)]
pub(crate) struct Outgoing {
    pub(crate) method: Method,
    pub(crate) url: Url,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    pub(crate) reach: Reach,
    /// Certificates that the configuration names for this host.
    pub(crate) tls: Option<Arc<TlsFiles>>,
}

impl Wire {
    /// The real one: TLS, connection pools, proxies.
    pub fn internet(network: Network) -> Wire {
        Wire::new(internet::Internet::new(network))
    }

    /// Sends a request of somebody beside the registries, such as a cloud or a forge, on the same way out.
    ///
    /// # Errors
    /// When there is no response.
    pub async fn call(&self, request: Request<Body>) -> Result<http::Response<Body>, ErrorKind> {
        self.0.clone().oneshot(request).await
    }

    /// Sends everything to `service`. A request carries its [`Reach`] as an extension, which the service has to respect;
    /// a response may carry how far its host may send us on, and counts as near when its host is a private address
    /// otherwise.
    pub fn new<S>(service: S) -> Wire
    where
        S: Service<Request<Body>, Response = http::Response<Body>, Error = ErrorKind>
            + Clone
            + Send
            + Sync
            + 'static,
        S::Future: Send,
    {
        Wire(BoxCloneSyncService::new(service))
    }

    /// The same for whoever has no use for streams: whole bodies, of responses up to `most` bytes.
    pub fn whole(
        &self,
        most: usize,
    ) -> BoxCloneSyncService<Request<Bytes>, http::Response<Bytes>, ErrorKind> {
        let broken = |error: Box<dyn std::error::Error + Send + Sync>| match error.downcast() {
            Ok(kind) => *kind,
            Err(error) => ErrorKind::Broken(format!("the response broke off: {error}")),
        };
        let wire = self.clone();
        BoxCloneSyncService::new(tower::service_fn(move |request: Request<Bytes>| {
            let wire = wire.clone();
            async move {
                let (parts, body) = wire.call(request.map(Body::from)).await?.into_parts();
                let body = Limited::new(body, most).collect().await.map_err(broken)?;
                Ok(http::Response::from_parts(parts, body.to_bytes()))
            }
        }))
    }

    /// Sends a request, and gives the response when its headers are there.
    pub(crate) async fn send(&self, outgoing: Outgoing) -> Result<Response, ErrorKind> {
        let body = Body::from(outgoing.body.clone());
        self.send_body(outgoing, body).await
    }

    /// The same with a body of its own.
    pub(crate) async fn send_body(
        &self,
        outgoing: Outgoing,
        body: Body,
    ) -> Result<Response, ErrorKind> {
        let Outgoing { method, mut url, mut headers, body: form, reach, tls } = outgoing;
        if let Some(login) = login_in(&mut url) {
            headers.entry(header::AUTHORIZATION).or_insert(login);
        }
        let is_form = headers.get(header::CONTENT_TYPE).is_some_and(|it| it == FORM);
        let secrets = SentSecrets::of(&headers, if is_form { &form } else { &[] });
        let uri: Uri = url.as_str().parse().map_err(|error| {
            ErrorKind::Protocol(format!("{} can't be asked for: {error}", crate::redacted(&url)))
        })?;
        let mut request = Request::new(body);
        (*request.method_mut(), *request.uri_mut()) = (method, uri);
        *request.headers_mut() = headers;
        request.extensions_mut().insert(reach);
        if let Some(tls) = tls {
            request.extensions_mut().insert(tls);
        }
        let response = self.0.clone().oneshot(request).await?;
        Ok(Response::new(url, response, secrets))
    }
}

/// Takes `user:password@` out of a URL. A registry may send us to a store with it.
fn login_in(url: &mut Url) -> Option<HeaderValue> {
    if url.username().is_empty() && url.password().is_none() {
        return None;
    }
    let plain = |text| percent_decode_str(text).decode_utf8_lossy();
    let login = format!("{}:{}", plain(url.username()), plain(url.password().unwrap_or_default()));
    let mut header = HeaderValue::try_from(format!("Basic {}", STANDARD.encode(login))).ok()?;
    header.set_sensitive(true);
    let _ = (url.set_username(""), url.set_password(None));
    Some(header)
}

impl fmt::Debug for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Wire")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_in_a_url_becomes_a_header() {
        let mut url: Url = "https://me:p%40s&s+1@store.example/x?y".parse().unwrap();
        let header = login_in(&mut url).unwrap();
        assert_eq!(header, format!("Basic {}", STANDARD.encode("me:p@s&s+1")));
        assert_eq!(url.as_str(), "https://store.example/x?y");
        assert!(login_in(&mut url).is_none());
    }
}
