//! The real wire: TLS, connection pools, proxies, and names that are resolved only as far as they may lead.

use std::error::Error as _;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Request;
use http_body_util::BodyExt;
use hyper_util::client::proxy::matcher::Matcher;
use mirror_failure::{ErrorKind, RequestError};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use tower::Service;

use super::address::{Reach, is_private_literal, is_public};
use super::body::Body;
use super::private_address::PrivateAddress;
use crate::sorting::one_line;

const KEEPALIVE: Duration = Duration::from_secs(30);
const CONNECT: Duration = Duration::from_secs(10);

/// Connections to hosts as they are.
#[derive(Clone)]
pub(super) struct Internet {
    anywhere: reqwest::Client,
    public: reqwest::Client,
    /// The proxies that both clients use: they read the same environment.
    proxies: Arc<Matcher>,
}

impl Internet {
    pub(super) fn new() -> Result<Internet, RequestError> {
        // Another provider may have been installed by whoever embeds us; either will do.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let builder = || {
            reqwest::Client::builder()
                .user_agent(concat!("mirror/", env!("CARGO_PKG_VERSION")))
                .redirect(reqwest::redirect::Policy::none())
                .connect_timeout(CONNECT)
                .tcp_keepalive(KEEPALIVE)
        };
        let failed = |error| RequestError::new("setting up TLS", kind_of(&error));
        Ok(Internet {
            anywhere: builder().build().map_err(failed)?,
            public: builder().dns_resolver(PublicAddresses).build().map_err(failed)?,
            proxies: Arc::new(Matcher::from_system()),
        })
    }

    async fn send(self, request: Request<Body>) -> Result<http::Response<Body>, ErrorKind> {
        let (parts, body) = request.into_parts();
        let client = match parts.extensions.get().copied().unwrap_or(Reach::Anywhere) {
            Reach::Anywhere => &self.anywhere,
            Reach::Public => &self.public,
        };
        // What is here as a whole can be sent again on another connection, when one turns out to be closed.
        let body = match body.into_whole() {
            Ok(bytes) => reqwest::Body::from(bytes),
            Err(body) => reqwest::Body::wrap(body),
        };
        let request = Request::from_parts(parts, body);
        let request = request.try_into().map_err(|error| kind_of(&error))?;
        let response = client.execute(request).await.map_err(|error| kind_of(&error))?;
        let reach = self.reach_of(&response);
        let (mut parts, body) = http::Response::<reqwest::Body>::from(response).into_parts();
        parts.extensions.insert(reach);
        let body = Body::new(body.map_err(|error| kind_of(&error)));
        Ok(http::Response::from_parts(parts, body))
    }

    /// How far a response may send us: one that came from a private address, anywhere. Behind a proxy, whose address is
    /// all that is seen, a host counts as public unless its name is a private address.
    fn reach_of(&self, response: &reqwest::Response) -> Reach {
        let asked = response.url();
        let proxied =
            asked.as_str().parse().is_ok_and(|uri| self.proxies.intercept(&uri).is_some());
        let peer = response.remote_addr().filter(|_| !proxied).map(|address| address.ip());
        match peer.map_or_else(|| !is_private_literal(asked), is_public) {
            true => Reach::Public,
            false => Reach::Anywhere,
        }
    }
}

impl Service<Request<Body>> for Internet {
    type Response = http::Response<Body>;
    type Error = ErrorKind;
    type Future = Pin<Box<dyn Future<Output = Result<http::Response<Body>, ErrorKind>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ErrorKind>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        Box::pin(self.clone().send(request))
    }
}

/// Gives public addresses and no others.
struct PublicAddresses;

impl Resolve for PublicAddresses {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let public: Vec<SocketAddr> = found.filter(|address| is_public(address.ip())).collect();
            if public.is_empty() {
                return Err(PrivateAddress(name.as_str().to_owned()).into());
            }
            Ok(Box::new(public.into_iter()) as Addrs)
        })
    }
}

/// The error of rustls that an io error carries, however deep.
fn inside(error: &io::Error) -> Option<rustls::Error> {
    let inner = error.get_ref()?;
    let deeper = || inner.downcast_ref::<io::Error>().and_then(inside);
    inner.downcast_ref::<rustls::Error>().cloned().or_else(deeper)
}

/// Sorts out what reqwest, hyper and rustls report.
fn kind_of(error: &reqwest::Error) -> ErrorKind {
    let mut deepest = error.to_string();
    let mut source = error.source();
    let mut io_kind = None;
    let mut tls = None;
    let mut private = None;
    let mut chain = String::new();
    while let Some(cause) = source {
        deepest = cause.to_string();
        chain.push_str(&deepest);
        chain.push('\n');
        if let Some(io) = cause.downcast_ref::<std::io::Error>() {
            io_kind = Some(io.kind());
            // The io error of a handshake holds rustls' own, which `source` passes over.
            tls = tls.or_else(|| inside(io));
        }
        tls = tls.or_else(|| cause.downcast_ref::<rustls::Error>().cloned());
        private = private.or_else(|| cause.downcast_ref::<PrivateAddress>());
        source = cause.source();
    }
    if let Some(PrivateAddress(host)) = private {
        return ErrorKind::PrivateAddress(host.clone());
    }
    if error.is_timeout() && error.is_connect() {
        return ErrorKind::TimedOut(CONNECT);
    }
    match (io_kind, tls) {
        (Some(io::ErrorKind::ConnectionRefused), _) => ErrorKind::Refused,
        // rustls reads `HTTP/1.1 400` as a record of an unknown type.
        (_, Some(rustls::Error::InvalidMessage(_))) => ErrorKind::PlainHttp,
        (_, Some(error)) => ErrorKind::Tls(one_line(&error.to_string())),
        _ if chain.contains("dns error") || chain.contains("failed to lookup address") => {
            ErrorKind::Dns
        }
        // hyper reads a TLS alert as a bad HTTP version.
        _ if chain.contains("invalid HTTP version parsed") => ErrorKind::TlsExpected,
        _ => ErrorKind::Broken(one_line(&deepest)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn names_of_this_machine_are_not_resolved() {
        let error = PublicAddresses.resolve("localhost".parse().unwrap()).await.err().unwrap();
        assert!(error.downcast_ref::<PrivateAddress>().is_some(), "{error}");
    }
}
