//! One request to a registry, and everything that belongs to it: the pause, who we are, redirects.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::time::Duration;

use http::Method;
use http::header::{self, HeaderValue};
use mirror_failure::{ErrorKind, RequestError, passing_status};
use url::Url;

use crate::auth::Sent;
use crate::auth::challenge::{self, Challenge};
use crate::host::Host;
use crate::host::call::Call;
use crate::host::response::{HostResponse, StallGuard, describe, refusal, within_idle};
use crate::limits::pace::Permit;
use crate::limits::pulls;
use crate::wire::{Outgoing, Reach, Response};

const MOST_REDIRECTS: usize = 5;
/// A login younger than this is good.
const YOUNG: Duration = Duration::from_secs(60);

impl Host {
    /// Resolves a `Location` against the request it answers, and tells how far it may lead.
    pub(crate) fn location(&self, response: &HostResponse) -> Result<(Url, Reach), RequestError> {
        let text =
            response.response.headers().get(header::LOCATION).and_then(|value| value.to_str().ok());
        let protocol = |why: &str| {
            RequestError::new(response.request.clone(), ErrorKind::Protocol(why.to_owned()))
        };
        let text = text.ok_or_else(|| protocol("the response has no Location"))?;
        let asked = response.response.url();
        let url =
            asked.join(text).map_err(|_| protocol("the Location of the response is not a URL"))?;
        let url = without_lost_tls(asked, url);
        if !matches!(url.scheme(), "http" | "https")
            || (asked.scheme() == "https" && url.scheme() == "http")
        {
            return Err(protocol("the Location of the response leads away from TLS"));
        }
        let reach =
            if self.is_home(&url) { Reach::Anywhere } else { self.reach_of(&response.response) };
        reach.check(&response.request, &url)?;
        Ok((url, reach))
    }

    /// How far a response may send us.
    fn reach_of(&self, response: &Response) -> Reach {
        if self.private_redirects { Reach::Anywhere } else { response.reach() }
    }

    /// One attempt in the caller's slot: the pause, the first meeting, redirects. A response that often goes away is an
    /// error.
    pub(crate) async fn exchange(&self, call: &Call) -> Result<HostResponse, RequestError> {
        let request = describe(&call.method, &call.url);
        // Whether and how a registry wants credentials shows with the first response; the others wait for that
        // instead of being refused all at once.
        let mut meeting =
            if self.met.load(Ordering::Acquire) { None } else { Some(self.first.lock().await) };
        if self.met.load(Ordering::Acquire) {
            meeting = None;
        }
        let entry =
            self.pace.enter().await.map_err(|kind| RequestError::new(request.clone(), kind))?;
        let outcome = self.authorized(call, &entry).await;
        self.met.store(true, Ordering::Release);
        drop(meeting);
        let (response, sent) = match (outcome, self.auth.failed_helper()) {
            (Err(error), Some(helper)) if error.lacks_credentials() => {
                return Err(helper.clone());
            }
            (Ok((response, _)), Some(helper))
                if matches!(response.status().as_u16(), 401 | 403) =>
            {
                return Err(helper.clone());
            }
            (outcome, _) => outcome?,
        };
        let anonymous = !self.auth.has_used_credentials();
        let response = HostResponse {
            response,
            request,
            stall_guard: StallGuard::new(self.pace.idle()),
            slot: None,
            clock: self.pace.clock(),
            anonymous,
            authorized: !anonymous && matches!(sent, Sent::Token(_)),
        };
        let response = self.followed(call, response).await?;
        if !passing_status(response.status()) {
            entry.served();
            return Ok(response);
        }
        let told = pulls::told(response.response.headers());
        let error = response.into_error().await;
        if matches!(error.kind(), ErrorKind::PullLimit { .. }) {
            self.pulls.refused(told, error.retry_after());
        }
        if self.wants_fewer_sessions(call, &error) {
            entry.served();
        } else {
            entry.failed(&error);
        }
        Err(error)
    }

    /// Follows redirects of what only reads.
    async fn followed(
        &self,
        call: &Call,
        mut response: HostResponse,
    ) -> Result<HostResponse, RequestError> {
        let follows = call.method == Method::GET || call.method == Method::HEAD;
        let mut hops = 0;
        while follows && matches!(response.response.status().as_u16(), 301 | 302 | 303 | 307 | 308)
        {
            hops += 1;
            if hops > MOST_REDIRECTS {
                return Err(RequestError::new(
                    response.request,
                    ErrorKind::Protocol("too many redirects".to_owned()),
                ));
            }
            let (target, reach) = self.location(&response)?;
            response.response = self.follow(call, target, reach).await?;
        }
        Ok(response)
    }

    /// Sends with the right `Authorization`, and once more when the registry asks for another.
    async fn authorized(
        &self,
        call: &Call,
        entry: &Permit<'_>,
    ) -> Result<(Response, Sent), RequestError> {
        let (sent, header) = self.auth.header(&self.wire, &call.scope, None).await?;
        let response = self.transmit(call, call.url.clone(), header, Reach::Anywhere).await?;
        entry.reached();
        if response.status().as_u16() == 403 && self.auth.logs_in() {
            let response = self.logged_in_anew(call, &sent, response).await?;
            return Ok((response, sent));
        }
        if response.status().as_u16() != 401 {
            return Ok((response, sent));
        }
        let Some(challenge) = challenge_of(&response) else { return Ok((response, sent)) };
        self.auth.challenged(challenge, self.reach_of(&response));
        let rejected = match &sent {
            Sent::Token(token) => Some(token),
            _ => None,
        };
        let (again, header) = self.auth.header(&self.wire, &call.scope, rejected).await?;
        if header.is_none() || again == sent {
            return Ok((response, sent));
        }
        drop(response);
        let mut response = self.transmit(call, call.url.clone(), header, Reach::Anywhere).await?;
        let refused = matches!(response.status().as_u16(), 401 | 403);
        if refused && again == Sent::Basic && self.auth.refuse_stored() {
            let (_, header) = self.auth.header(&self.wire, &call.scope, None).await?;
            response = self.transmit(call, call.url.clone(), header, Reach::Anywhere).await?;
        }
        Ok((response, again))
    }

    /// After a 403: another login, if that is what it says.
    async fn logged_in_anew(
        &self,
        call: &Call,
        sent: &Sent,
        response: Response,
    ) -> Result<Response, RequestError> {
        let what = describe(&call.method, &call.url);
        let refusal = refusal(response, what, self.pace.idle(), self.pace.clock()).await;
        let Sent::Token(over) = sent else { return Err(refusal) };
        // A HEAD has no body that says why. A login of a moment ago is not over.
        let silent = call.method == Method::HEAD && self.auth.login_age().await > YOUNG;
        if !refusal.is_expired_login() && !silent {
            return Err(refusal);
        }
        let (again, header) = self.auth.header(&self.wire, &call.scope, Some(over)).await?;
        if again == *sent {
            return Err(refusal);
        }
        self.transmit(call, call.url.clone(), header, Reach::Anywhere).await
    }

    /// A redirect is followed with the request's own headers, but credentials stay on their host. A registry that stands
    /// in front of another one, as lscr.io does before ghcr.io, leaves us to ask that for a token, as strangers.
    async fn follow(
        &self,
        call: &Call,
        target: Url,
        reach: Reach,
    ) -> Result<Response, RequestError> {
        if self.is_home(&target) {
            let (_, header) = self.auth.header(&self.wire, &call.scope, None).await?;
            return self.transmit(call, target, header, reach).await;
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
        let Some(challenge) = challenge_of(&response) else { return Ok(response) };
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

    async fn transmit(
        &self,
        call: &Call,
        url: Url,
        authorization: Option<HeaderValue>,
        reach: Reach,
    ) -> Result<Response, RequestError> {
        let what = describe(&call.method, &url);
        tracing::debug!(request = %what, "sending");
        let mut headers = call.headers.clone();
        // Digests are of the bytes as they are; what stands between must not pack them.
        headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        headers.extend(authorization.map(|value| (header::AUTHORIZATION, value)));
        let (method, body) = (call.method.clone(), call.body.clone());
        let outgoing = Outgoing { method, url, headers, body, reach };
        within_idle(&what, self.pace.idle(), self.wire.send(outgoing)).await
    }
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

fn challenge_of(response: &Response) -> Option<Challenge> {
    let headers = response.headers().get_all(header::WWW_AUTHENTICATE);
    challenge::parse(headers.iter().filter_map(|value| value.to_str().ok()))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{Body, Credentials, HostOptions, World};

    #[test]
    fn a_location_must_not_lead_away_from_tls() {
        let options = HostOptions { concurrency: 1, ..HostOptions::default() };
        let credentials = Arc::new(Credentials::new([], Vec::new()));
        let name = "registry.example".parse().unwrap();
        let host = Host::new(&World::real().unwrap(), credentials, &name, &options).unwrap();
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
            let stall_guard = StallGuard::new(std::time::Duration::from_secs(1));
            let request = asked.to_owned();
            let response = HostResponse {
                response: Response::new(asked.parse().unwrap(), response),
                request,
                stall_guard,
                slot: None,
                clock: crate::Clock::system(),
                anonymous: true,
                authorized: false,
            };
            assert_eq!(host.location(&response).is_ok(), allowed, "{asked} to {location}");
        }
    }
}
