//! Requests through a proxy: whom to blame when they fail, and when to stop asking it.
//!
//! A proxy that refuses our password would be told it by every request of a run, which locks accounts; so the first request
//! through one goes alone, and what is final is remembered.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::HeaderValue;
use mirror_failure::{ErrorKind, ProxyProblem};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use url::Url;

use super::breakage::{CONNECT, Causes, kind_of};
use super::proxies::ProxyServer;

/// How long a proxy that has refused a connection may take to say why.
const ASKING: Duration = Duration::from_secs(5);

/// Bytes of an answer that are read for its head.
const LARGEST_HEAD: u64 = 16 << 10;

/// What is known of proxies.
#[derive(Clone, Default)]
pub(super) struct Through(Arc<Mutex<HashMap<String, Arc<ProxyState>>>>);

#[derive(Default)]
struct ProxyState {
    first: tokio::sync::Mutex<()>,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    /// Whether it has let something through.
    served: bool,
    given_up: Option<ErrorKind>,
    /// Hosts that it does not let us reach.
    refused: HashMap<String, ErrorKind>,
}

impl Through {
    /// Sends a request by a client that goes through this proxy.
    pub(super) async fn send(
        &self,
        client: &reqwest::Client,
        request: reqwest::Request,
        proxy: &ProxyServer,
        target: &Url,
    ) -> Result<reqwest::Response, ErrorKind> {
        let state = self.state(proxy);
        let host = authority(target);
        let mut _alone = None;
        if !state.known().served {
            _alone = Some(state.first.lock().await);
        }
        if let Some(known) = state.known().refusal(&host) {
            // It may have been reached by another variable.
            return Err(match known {
                ErrorKind::Proxy { problem, .. } => self::problem(proxy, problem),
                known => known,
            });
        }
        if state.known().served {
            _alone = None;
        }
        match client.execute(request).await {
            Ok(response) => match of_proxy(&response) {
                None => {
                    state.known().served = true;
                    Ok(response)
                }
                Some(why) => Err(state.known().refuse(&host, problem(proxy, why))),
            },
            Err(error) => {
                let served = state.known().served;
                let kind = sort(&error, proxy, target, served).await;
                Err(state.known().refuse(&host, kind))
            }
        }
    }

    fn state(&self, proxy: &ProxyServer) -> Arc<ProxyState> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.entry(proxy.url.to_string()).or_default().clone()
    }
}

impl ProxyState {
    fn known(&self) -> std::sync::MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    /// Why a host can't be reached, if that is known.
    fn refusal(&self, host: &str) -> Option<ErrorKind> {
        self.given_up.clone().or_else(|| self.refused.get(host).cloned())
    }

    /// Remembers what is final.
    fn refuse(&mut self, host: &str, kind: ErrorKind) -> ErrorKind {
        match &kind {
            ErrorKind::Proxy { problem: ProxyProblem::Refused(_), .. } => {
                self.refused.insert(host.to_owned(), kind.clone());
            }
            ErrorKind::Proxy { problem, .. } if !problem.passes() => {
                self.given_up = Some(kind.clone());
            }
            _ => {}
        }
        kind
    }
}

fn problem(proxy: &ProxyServer, problem: ProxyProblem) -> ErrorKind {
    ErrorKind::Proxy { proxy: proxy.to_string(), problem }
}

/// What a proxy says itself, whose responses to plain HTTP come like any other.
fn of_proxy(response: &reqwest::Response) -> Option<ProxyProblem> {
    let status = response.status().as_u16();
    let server = response.headers().get("server").and_then(|value| value.to_str().ok());
    let server = server.unwrap_or_default().to_ascii_lowercase();
    let own = response.headers().contains_key("x-squid-error") || server.starts_with("tinyproxy");
    let offered = response.headers().get_all("proxy-authenticate").iter();
    match status {
        407 => Some(login(offered.filter_map(|value| value.to_str().ok()))),
        400..=499 if own => Some(ProxyProblem::Refused(status)),
        500.. if own => Some(ProxyProblem::Failing(Some(status))),
        _ => None,
    }
}

/// What is wrong with our login, by the schemes that a proxy offers with a 407.
fn login<'a>(offered: impl Iterator<Item = &'a str>) -> ProxyProblem {
    let scheme = |offer: &'a str| offer.split([' ', ',']).next().filter(|it| !it.is_empty());
    let schemes: BTreeSet<&str> = offered.filter_map(scheme).collect();
    match schemes.is_empty() || schemes.iter().any(|it| it.eq_ignore_ascii_case("basic")) {
        true => ProxyProblem::Credentials,
        false => ProxyProblem::Login(schemes.into_iter().collect::<Vec<_>>().join(" or ")),
    }
}

/// What a failure through a proxy is: the proxy's, or the host's behind it.
async fn sort(
    error: &reqwest::Error,
    proxy: &ProxyServer,
    target: &Url,
    served: bool,
) -> ErrorKind {
    let causes = Causes::of(error);
    if causes.text.contains("proxy authorization required") {
        // Whoever shows no password can't have a wrong one counted.
        let told = asked(proxy, target, None).await;
        let offers = told.iter().flat_map(|answer| answer.offers.iter().map(String::as_str));
        return problem(proxy, login(offers));
    }
    // Nobody else is dialled. One that has served may be back in a moment.
    if let Some(unreached) = causes.unreached(error) {
        let why = unreached.to_string();
        return problem(proxy, ProxyProblem::Unreachable { why, passing: served });
    }
    if causes.text.contains("tunnel error: unsuccessful") {
        // The status is not in the error.
        let told = asked(proxy, target, proxy.login.as_ref()).await;
        return problem(
            proxy,
            match told.map(|answer| answer.status) {
                Some(None) => ProxyProblem::SpeaksOther,
                Some(Some(407)) => ProxyProblem::Credentials,
                Some(Some(status @ 300..=499)) => ProxyProblem::Refused(status),
                status => ProxyProblem::Failing(status.flatten()),
            },
        );
    }
    let tunnel = causes.text.contains("tunnel error");
    match (kind_of(error), proxy.url.scheme()) {
        (ErrorKind::PlainHttp, "https") if !served => problem(proxy, ProxyProblem::SpeaksPlain),
        (ErrorKind::TlsExpected, "http") if !served => problem(proxy, ProxyProblem::SpeaksOther),
        (ErrorKind::Broken(why), _) if tunnel || error.is_connect() => {
            problem(proxy, ProxyProblem::Broken(why))
        }
        (ErrorKind::Broken(why), _) => {
            ErrorKind::Broken(format!("{why}, through the proxy {proxy}"))
        }
        (kind, _) => kind,
    }
}

/// What a proxy answers to a `CONNECT`.
struct Answer {
    /// Nothing, where it is not HTTP.
    status: Option<u16>,
    /// What it says of logins.
    offers: Vec<String>,
}

/// Asks a proxy for a connection to a host.
async fn asked(proxy: &ProxyServer, target: &Url, login: Option<&HeaderValue>) -> Option<Answer> {
    if proxy.url.scheme() != "http" {
        return None;
    }
    let host = authority(target);
    let login = login.and_then(|login| login.to_str().ok());
    let login = login.map(|it| format!("Proxy-Authorization: {it}\r\n")).unwrap_or_default();
    let question = format!("CONNECT {host} HTTP/1.1\r\nHost: {host}\r\n{login}\r\n");
    let ask = async {
        let mut stream = TcpStream::connect(proxy.authority()).await.ok()?;
        stream.write_all(question.as_bytes()).await.ok()?;
        let mut lines = BufReader::new(stream.take(LARGEST_HEAD)).lines();
        // `HTTP/1.1 403 Forbidden`
        let first = lines.next_line().await.ok()??;
        let status = first.strip_prefix("HTTP/").and_then(|it| it.split(' ').nth(1)?.parse().ok());
        let mut offers = Vec::new();
        while let Ok(Some(line)) = lines.next_line().await
            && !line.is_empty()
        {
            let header = line.split_once(':');
            let offer = header.filter(|(name, _)| name.eq_ignore_ascii_case("proxy-authenticate"));
            offers.extend(offer.map(|(_, offer)| offer.trim().to_owned()));
        }
        Some(Answer { status, offers })
    };
    tokio::time::timeout(ASKING.min(CONNECT), ask).await.ok()?
}

/// Host and port.
fn authority(url: &Url) -> String {
    let port = url.port_or_known_default().unwrap_or_default();
    format!("{}:{port}", url.host_str().unwrap_or_default())
}
