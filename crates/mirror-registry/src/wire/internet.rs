//! The real wire: TLS, connection pools, proxies, and names that are resolved only as far as they may lead.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use http::Request;
use http_body_util::BodyExt;
use mirror_failure::{ErrorKind, ProxyProblem, TlsCause};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use tower::Service;
use url::Url;

use super::address::{Reach, is_private_literal, is_public};
use super::body::Body;
use super::breakage::{CONNECT, kind_of};
use super::private_address::PrivateAddress;
use super::proxies::{Proxies, ProxyServer};
use super::through::Through;
use super::tls;
use super::trust::{CertificateFolders, TlsFiles};

const KEEPALIVE: Duration = Duration::from_secs(30);

/// The surroundings of this machine in the network.
#[derive(Debug, Clone, Default)]
pub struct Network {
    /// Which proxies requests go through.
    pub proxies: Proxies,
    /// Folders with certificates for registries, one folder for each: `/etc/docker/certs.d` and its kin.
    pub certificate_folders: Vec<PathBuf>,
    /// What is wrong with the variables that name the store of the system, where that is known: it is told when the store
    /// can't be used.
    pub store_problem: Option<String>,
}

/// Connections to hosts as they are.
#[derive(Clone)]
pub(super) struct Internet {
    proxies: Proxies,
    certificates: CertificateFolders,
    through: Through,
    store_problem: Option<String>,
    /// Made when they are needed: whoever speaks plain HTTP needs no certificates.
    clients: Arc<Mutex<HashMap<ClientKey, Client>>>,
}

/// One client, and what was seen of the host that it is for.
#[derive(Clone)]
struct Client {
    http: reqwest::Client,
    /// Whether the host wants a certificate that we don't have.
    lacks_certificate: Arc<AtomicBool>,
    /// Whether it has ever answered: then it does without.
    has_answered: Arc<AtomicBool>,
}

/// What tells one client from others: each has a pool of connections.
#[derive(Clone, PartialEq, Eq, Hash)]
struct ClientKey {
    reach: Reach,
    proxy: Option<Url>,
    /// The host and what is known of its certificates; nothing for plain HTTP.
    tls: Option<(String, TlsFiles)>,
}

impl Internet {
    pub(super) fn new(network: Network) -> Internet {
        // Another provider may have been installed by whoever embeds us; either will do.
        let _ = rustls::crypto::ring::default_provider().install_default();
        Internet {
            proxies: network.proxies,
            certificates: CertificateFolders::new(network.certificate_folders),
            through: Through::default(),
            store_problem: network.store_problem,
            clients: Arc::default(),
        }
    }

    async fn send(self, request: Request<Body>) -> Result<http::Response<Body>, ErrorKind> {
        let (parts, body) = request.into_parts();
        let reach = parts.extensions.get().copied().unwrap_or(Reach::Anywhere);
        let configured = parts.extensions.get::<Arc<TlsFiles>>().cloned();
        let url: Url = parts.uri.to_string().parse().map_err(|error: url::ParseError| {
            ErrorKind::Protocol(format!("{} can't be asked for: {error}", parts.uri))
        })?;
        let proxy = self.proxies.of(&url).cloned();
        let client = self.client(&url, reach, proxy.as_deref(), configured.as_deref())?;
        // What is here as a whole can be sent again on another connection, when one turns out to be closed.
        let body = match body.into_whole() {
            Ok(bytes) => reqwest::Body::from(bytes),
            Err(body) => reqwest::Body::wrap(body),
        };
        let request = Request::from_parts(parts, body);
        let request = request.try_into().map_err(|error| kind_of(&error))?;
        let response = match &proxy {
            None => client.http.execute(request).await.map_err(|error| kind_of(&error)),
            Some(proxy) => self.through.send(&client.http, request, proxy, &url).await,
        };
        let response = response.map_err(|kind| client.sort(kind))?;
        client.has_answered.store(true, Ordering::Relaxed);
        let reach = reach_of(&response, proxy.is_some());
        let (mut parts, body) = http::Response::<reqwest::Body>::from(response).into_parts();
        parts.extensions.insert(reach);
        parts.extensions.insert(proxy);
        let body = Body::new(body.map_err(|error| kind_of(&error)));
        Ok(http::Response::from_parts(parts, body))
    }

    fn client(
        &self,
        url: &Url,
        reach: Reach,
        proxy: Option<&ProxyServer>,
        configured: Option<&TlsFiles>,
    ) -> Result<Client, ErrorKind> {
        let port = url.port_or_known_default().unwrap_or_default();
        let host = url.host_str().unwrap_or_default();
        let tls = match url.scheme() {
            "https" => {
                let files = self.certificates.files(host, port, configured)?;
                Some((format!("{host}:{port}"), TlsFiles::clone(&files)))
            }
            _ => None,
        };
        // The names of other hosts are resolved by the proxy.
        let reach = if proxy.is_some() { Reach::Anywhere } else { reach };
        let key = ClientKey { reach, proxy: proxy.map(|proxy| proxy.url.clone()), tls };
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = clients.get(&key) {
            return Ok(client.clone());
        }
        let client = build(&key, proxy, self.store_problem.as_deref())?;
        clients.insert(key, client.clone());
        Ok(client)
    }
}

impl Client {
    /// A host that wants a certificate and gets none often says so by hanging up.
    fn sort(&self, kind: ErrorKind) -> ErrorKind {
        let lacks = self.lacks_certificate.load(Ordering::Relaxed);
        let answered = self.has_answered.load(Ordering::Relaxed);
        let broken = matches!(
            kind,
            ErrorKind::Broken(_) | ErrorKind::Proxy { problem: ProxyProblem::Broken(_), .. }
        );
        if !lacks || answered || !broken {
            return kind;
        }
        let text =
            "the server asked for a certificate of ours, and closed the connection without one";
        ErrorKind::Tls { cause: TlsCause::ClientCertificate, text: text.to_owned() }
    }
}

fn build(
    key: &ClientKey,
    proxy: Option<&ProxyServer>,
    store_problem: Option<&str>,
) -> Result<Client, ErrorKind> {
    let mut builder = reqwest::Client::builder()
        .user_agent(concat!("mirror/", env!("CARGO_PKG_VERSION")))
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(CONNECT)
        .tcp_keepalive(KEEPALIVE)
        // The environment has been read, by the one who decides on proxies.
        .no_proxy();
    if let Some(proxy) = proxy {
        let mut through =
            reqwest::Proxy::all(proxy.url.clone()).map_err(|error| kind_of(&error))?;
        if let Some(login) = &proxy.login {
            through = through.custom_http_auth(login.clone());
        }
        builder = builder.proxy(through);
    }
    if key.reach == Reach::Public {
        builder = builder.dns_resolver(PublicAddresses);
    }
    let lacks_certificate = Arc::new(AtomicBool::new(false));
    // A proxy may be reached by TLS, whatever the host is.
    let plain = key.tls.is_none() && proxy.is_none_or(|proxy| proxy.url.scheme() == "http");
    builder = if plain {
        builder.tls_certs_only([])
    } else {
        let files = key.tls.as_ref().map(|(_, files)| files.clone()).unwrap_or_default();
        let config = tls::config(&files, lacks_certificate.clone(), store_problem)?;
        builder.tls_backend_preconfigured(config)
    };
    let http = builder.build().map_err(|error| kind_of(&error))?;
    Ok(Client { http, lacks_certificate, has_answered: Arc::default() })
}

/// How far a response may send us: one that came from a private address, anywhere. Behind a proxy, whose address is
/// all that is seen, a host counts as public unless its name is a private address.
fn reach_of(response: &reqwest::Response, proxied: bool) -> Reach {
    let peer = response.remote_addr().filter(|_| !proxied).map(|address| address.ip());
    match peer.map_or_else(|| !is_private_literal(response.url()), is_public) {
        true => Reach::Public,
        false => Reach::Anywhere,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn names_of_this_machine_are_not_resolved() {
        let error = PublicAddresses.resolve("localhost".parse().unwrap()).await.err().unwrap();
        assert!(error.downcast_ref::<PrivateAddress>().is_some(), "{error}");
    }
}
