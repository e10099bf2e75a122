//! Where responses send us, and how far that may be.

use std::collections::HashMap;

use http::Method;
use http::header;
use mirror_failure::{ErrorKind, RequestError};
use url::Url;

use crate::auth::Authorization;
use crate::auth::challenge::{self, Challenge};
use crate::auth::realm::authority;
use crate::host::Host;
use crate::host::answer::HostResponse;
use crate::host::call::Call;
use crate::wire::{Reach, Response};

const MOST_REDIRECTS: usize = 5;

impl Host {
    /// Resolves a `Location` against the request it answers, and tells how far it may lead.
    pub(crate) fn location(&self, response: &HostResponse) -> Result<(Url, Reach), RequestError> {
        self.location_of(&response.response, &response.request)
    }

    /// The same of what `request` was answered with.
    pub(crate) fn location_of(
        &self,
        response: &Response,
        request: &str,
    ) -> Result<(Url, Reach), RequestError> {
        let text = response.headers().get(header::LOCATION).and_then(|value| value.to_str().ok());
        let protocol = |why: &str| RequestError::new(request, ErrorKind::Protocol(why.to_owned()));
        let text = text.filter(|text| !text.trim().is_empty());
        let text = text.ok_or_else(|| protocol("the response has no Location"))?;
        let asked = response.url();
        let url =
            asked.join(text).map_err(|_| protocol("the Location of the response is not a URL"))?;
        let url = without_lost_tls(asked, url);
        if !matches!(url.scheme(), "http" | "https")
            || (asked.scheme() == "https" && url.scheme() == "http")
        {
            let why = format!("the registry's Location leads away from TLS, to {}", shown(&url));
            return Err(protocol(&why));
        }
        let reach = if self.is_home(&url) { Reach::Anywhere } else { self.reach_of(response) };
        reach.check(request, &url)?;
        Ok((url, reach))
    }

    /// How far a response may send us.
    pub(crate) fn reach_of(&self, response: &Response) -> Reach {
        if self.private_redirects { Reach::Anywhere } else { response.reach() }
    }

    /// Follows redirects: of what only reads all of them, of what writes those that keep method and body
    /// (<https://github.com/opencontainers/distribution-spec/pull/607>).
    pub(crate) async fn followed(
        &self,
        call: &Call,
        mut response: HostResponse,
    ) -> Result<HostResponse, RequestError> {
        let reads = call.method == Method::GET || call.method == Method::HEAD;
        let asked = response.request.clone();
        for _ in 0..MOST_REDIRECTS {
            match response.status() {
                307 | 308 => {}
                301..=303 if reads => {}
                301..=303 => {
                    return Err(self.lost_method(
                        &call.method,
                        &response.response,
                        &response.request,
                    ));
                }
                _ => return Ok(response),
            }
            let (target, reach) = self.location(&response)?;
            response.response = self
                .follow(call, target.clone(), reach, &mut response.authorization)
                .await
                .map_err(|error| self.misled(&target, reads, error))?;
            response.request = match self.is_home(&target) {
                true => asked.clone(),
                false => format!("{asked}, sent on to {}", authority(&target)),
            };
        }
        if !response.response.status().is_redirection() {
            return Ok(response);
        }
        let why = ErrorKind::Protocol("too many redirects".to_owned());
        Err(RequestError::new(response.request, why))
    }

    /// What a failure at a place means that the registry has named. A place where nobody is, or no registry, can't heal; one
    /// that things are only read from may.
    pub(crate) fn misled(&self, target: &Url, reads: bool, error: RequestError) -> RequestError {
        let base = self.base();
        // The registry's own name on a port where nobody listens.
        let lost_port = target.host_str() == base.host_str();
        let means = match error.kind() {
            ErrorKind::Dns => Some("can't be reached"),
            _ if error.is_unreachable() && (!reads || lost_port) => Some("can't be reached"),
            ErrorKind::NotARegistry(_) if !reads => Some("is no registry"),
            ErrorKind::Status { status: 401 | 404 | 405 | 410, .. }
                if !reads && !error.is_lost_session() =>
            {
                Some("does not know of it")
            }
            _ => None,
        };
        let Some(means) = means.filter(|_| !self.is_home(target)) else { return error };
        let why = format!(
            "the registry's Location leads to {}, which {means} ({}): its external URL is misconfigured",
            authority(target),
            error.kind()
        );
        RequestError::new(error.request(), ErrorKind::Misconfigured(why))
    }

    /// A redirect that would make a GET of what writes.
    pub(crate) fn lost_method(
        &self,
        method: &Method,
        response: &Response,
        request: &str,
    ) -> RequestError {
        let target =
            self.location_of(response, request).map(|(url, _)| format!(" to {}", shown(&url)));
        let why = format!(
            "the registry redirects a {method}{} with {}, which is for reading: its external URL is misconfigured",
            target.unwrap_or_default(),
            response.status().as_u16()
        );
        RequestError::new(request, ErrorKind::Misconfigured(why))
    }

    /// A redirect is followed with the request's own headers, but credentials stay on their host. A registry that stands
    /// in front of another one, as lscr.io does before ghcr.io, leaves us to ask that for a token, as strangers.
    async fn follow(
        &self,
        call: &Call,
        target: Url,
        reach: Reach,
        authorization: &mut Authorization,
    ) -> Result<Response, RequestError> {
        if self.is_home(&target) {
            let again = self.auth.authorize(&self.wire, &call.scope, None).await?;
            let response = self.transmit(call, target, again.header.clone(), reach).await;
            *authorization = again;
            return response;
        }
        let origin = target.origin().ascii_serialization();
        let known = self.gateways().get(&origin).cloned();
        let header = match &known {
            Some(challenge) => self.auth.as_stranger(&self.wire, &target, challenge, reach).await?,
            None => None,
        };
        let asked = header.is_some();
        let response = self.transmit(call, target.clone(), header, reach).await?;
        if response.status().as_u16() != 401 || asked || !target.path().starts_with("/v2/") {
            return Ok(response);
        }
        let Some(challenge) = challenge::of(response.headers()) else { return Ok(response) };
        let header = self.auth.as_stranger(&self.wire, &target, &challenge, reach).await?;
        if header.is_none() {
            return Ok(response);
        }
        self.gateways().insert(origin, challenge);
        drop(response);
        self.transmit(call, target, header, reach).await
    }

    fn gateways(&self) -> std::sync::MutexGuard<'_, HashMap<String, Challenge>> {
        self.gateways.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// Scheme, host and port, for a message.
fn shown(url: &Url) -> String {
    format!("{}://{}", url.scheme(), authority(url))
}

/// A registry behind a proxy that ends TLS and doesn't tell sends `http://` and its own name: that is meant as it was
/// asked (distribution/distribution#1984).
fn without_lost_tls(asked: &Url, mut url: Url) -> Url {
    let own = url.host_str() == asked.host_str() && matches!(url.port(), None | Some(80));
    if asked.scheme() == "https" && url.scheme() == "http" && own {
        let _ = url.set_scheme("https");
        let _ = url.set_port(asked.port());
    }
    url
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::redact::SentSecrets;
    use crate::{Body, Credentials, HostOptions, World};

    #[test]
    fn a_location_must_not_lead_away_from_tls() {
        let options = HostOptions { concurrency: 1, ..HostOptions::default() };
        let credentials = Arc::new(Credentials::new([], Vec::new()));
        let name = "registry.example".parse().unwrap();
        let host = Host::new(&World::real(), credentials, &name, &options).unwrap();
        for (asked, location, allowed) in [
            ("https://registry.example/v2/", "/v2/upload", true),
            ("https://registry.example/v2/", "https://storage.example/x", true),
            ("https://registry.example/v2/", "http://registry.example/v2/upload", true),
            ("https://registry.example/v2/", "http://registry.example:5000/v2/upload", false),
            ("https://registry.example/v2/", "http://other.example/v2/upload", false),
            ("https://registry.example/v2/", "file:///etc/passwd", false),
            ("http://127.0.0.1:5000/v2/", "http://127.0.0.1:5000/v2/upload", true),
        ] {
            let response = http::Response::builder()
                .header("location", location)
                .body(Body::from(bytes::Bytes::new()))
                .unwrap();
            let response = Response::new(asked.parse().unwrap(), response, SentSecrets::default());
            assert_eq!(
                host.location_of(&response, asked).is_ok(),
                allowed,
                "{asked} to {location}"
            );
        }
    }
}
