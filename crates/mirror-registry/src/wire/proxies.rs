//! Which proxy a request goes through: one decision for registries, clouds and forges.
//!
//! The variables are those of curl (<https://everything.curl.dev/usingcurl/proxies/env.html>), with what others understand by
//! `NO_PROXY` (<https://pkg.go.dev/golang.org/x/net/http/httpproxy>).

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderValue;
use percent_encoding::percent_decode_str;
use url::{Host, Url};

use super::no_proxy::NoProxy;

/// The proxies of this machine, and what goes past them.
#[derive(Debug, Clone, Default)]
pub struct Proxies {
    http: Option<Arc<ProxyServer>>,
    https: Option<Arc<ProxyServer>>,
    direct: NoProxy,
}

/// One proxy. Its user and password are never shown.
pub(crate) struct ProxyServer {
    /// Without user and password.
    pub(crate) url: Url,
    /// `Proxy-Authorization`.
    pub(crate) login: Option<HeaderValue>,
    /// The variable that names it.
    variable: String,
}

impl fmt::Debug for ProxyServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ProxyServer({})", self.authority())
    }
}

impl fmt::Display for ProxyServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.authority(), self.variable)
    }
}

impl ProxyServer {
    /// Host and port.
    pub(crate) fn authority(&self) -> String {
        let port = self.url.port_or_known_default().unwrap_or_default();
        format!("{}:{port}", self.url.host_str().unwrap_or_default())
    }
}

/// A variable that names no proxy that can be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProxyError {
    /// The variable.
    pub variable: String,
    /// What is wrong with it, without what could be secret.
    pub why: String,
}

impl fmt::Display for ProxyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ProxyError { variable, why } = self;
        write!(f, "the environment variable {variable} names no proxy that can be used: {why}")
    }
}

impl std::error::Error for ProxyError {}

impl Proxies {
    /// The proxies that variables name: `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY`, or the same in lower case,
    /// which counts more. `variable` gives the value of one.
    ///
    /// # Errors
    /// When a value can't be used.
    pub fn from_variables(
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Proxies, ProxyError> {
        let value = |name: &str| {
            let both = [name.to_ascii_lowercase(), name.to_owned()].into_iter();
            let set = |name: String| Some((name.clone(), variable(&name)?));
            both.filter_map(set).find(|(_, value)| !value.trim().is_empty())
        };
        let server = |name: &str| {
            let found = value(name).or_else(|| value("ALL_PROXY"));
            let parse = |(variable, value): (String, String)| match parse(value.trim()) {
                Ok((url, login)) => Ok(Arc::new(ProxyServer { url, login, variable })),
                Err(why) => Err(ProxyError { variable, why }),
            };
            found.map(parse).transpose()
        };
        let direct = value("NO_PROXY").map(|(_, value)| NoProxy::parse(&value));
        Ok(Proxies {
            http: server("HTTP_PROXY")?,
            https: server("HTTPS_PROXY")?,
            direct: direct.unwrap_or_default(),
        })
    }

    /// The proxy that a request to `url` goes through. This machine is never reached by one, nor is what is beside it: the
    /// services that hand out the credentials of a machine (golang/go#51416).
    pub(crate) fn of(&self, url: &Url) -> Option<&Arc<ProxyServer>> {
        let server = match url.scheme() {
            "https" => self.https.as_ref(),
            _ => self.http.as_ref(),
        }?;
        let near = match url.host()? {
            Host::Domain(name) => name == "localhost" || name.ends_with(".localhost"),
            Host::Ipv4(address) => is_near(address.into()),
            Host::Ipv6(address) => is_near(address.into()),
        };
        let direct = near || self.direct.covers(url);
        (!direct).then_some(server)
    }
}

/// Whether an address is of this machine or its link.
fn is_near(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => address.is_loopback() || address.is_link_local(),
        IpAddr::V6(address) => {
            let [first, second, ..] = address.segments();
            // fd00:ec2::254 and fd00:ec2::23 are what 169.254.169.254 and 169.254.170.23 are.
            let of_aws = (first, second) == (0xfd00, 0x0ec2);
            address.is_loopback() || first & 0xffc0 == 0xfe80 || of_aws
        }
    }
}

/// What people write who want no proxy.
const NONE: [&str; 6] = ["direct", "none", "off", "no", "false", "disabled"];

/// `http://user:password@host:port`; without a scheme it is HTTP. Gives the URL without the user, and the login.
fn parse(value: &str) -> Result<(Url, Option<HeaderValue>), String> {
    if NONE.contains(&value.to_ascii_lowercase().as_str()) {
        return Err(format!("`{value}` is no address; leave it empty to use none"));
    }
    let whole = if value.contains("://") { value.to_owned() } else { format!("http://{value}") };
    let (scheme, rest) = whole.split_once("://").unwrap_or_default();
    let scheme = scheme.to_ascii_lowercase();
    if !matches!(scheme.as_str(), "http" | "https") {
        return Err(format!("{scheme}:// is not supported, only http:// and https://"));
    }
    // A password with an `@` or a `/` would make another host of a part of it.
    let authority = rest.split(['/', '?', '#', '\\']).next().unwrap_or_default();
    let behind = rest.get(authority.len()..).unwrap_or_default();
    if authority.matches('@').count() > 1 || behind.contains('@') {
        return Err("user and password must be percent-encoded: `@` is %40, `/` is %2F, `:` is %3A, `#` is %23, `\\` is %5C".to_owned());
    }
    if !matches!(behind, "" | "/") {
        return Err("there is more behind its host and port; write http://host:port, and no address of a PAC file".to_owned());
    }
    let mut url: Url = format!("{scheme}://{authority}").parse().map_err(|error: url::ParseError| {
        format!("it is not a URL, {error}; special characters of user and password must be percent-encoded")
    })?;
    if url.host_str().is_none_or(str::is_empty) {
        return Err("it has no host".to_owned());
    }
    let plain = |text: &str| percent_decode_str(text).collect::<Vec<u8>>();
    let login = (!url.username().is_empty() || url.password().is_some()).then(|| {
        let login = [plain(url.username()), plain(url.password().unwrap_or_default())].join(&b':');
        let mut header = HeaderValue::try_from(format!("Basic {}", STANDARD.encode(login))).ok()?;
        header.set_sensitive(true);
        Some(header)
    });
    let _ = (url.set_username(""), url.set_password(None));
    Ok((url, login.flatten()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxies(variables: &[(&str, &str)]) -> Result<Proxies, ProxyError> {
        let value = |name: &str| variables.iter().find(|(key, _)| *key == name);
        Proxies::from_variables(|name| value(name).map(|(_, value)| (*value).to_owned()))
    }

    fn of(proxies: &Proxies, url: &str) -> Option<String> {
        proxies.of(&url.parse().unwrap()).map(|proxy| proxy.authority())
    }

    #[test]
    fn by_scheme_and_case() {
        let some = |text: &str| Some(text.to_owned());
        let all = proxies(&[
            ("HTTPS_PROXY", "http://s:3128"),
            ("http_proxy", "p:80"),
            ("HTTP_PROXY", "x:1"),
        ])
        .unwrap();
        assert_eq!(of(&all, "https://r.io/v2/"), some("s:3128"));
        assert_eq!(of(&all, "http://r.io/v2/"), some("p:80"));
        let all = proxies(&[("ALL_PROXY", "https://both/"), ("HTTPS_PROXY", " ")]).unwrap();
        assert_eq!(of(&all, "https://r.io/"), some("both:443"));
        assert_eq!(of(&all, "http://r.io/"), some("both:443"));
        assert_eq!(of(&proxies(&[]).unwrap(), "https://r.io/"), None);
    }

    #[test]
    fn this_machine_and_its_link_are_reached_without() {
        let all = proxies(&[("ALL_PROXY", "http://p:1")]).unwrap();
        for url in [
            "http://localhost:5000/",
            "http://registry.localhost/",
            "http://127.0.0.1:5000/",
            "https://127.9.9.9/",
            "http://[::1]:5000/",
            "http://169.254.169.254/latest/",
            "http://169.254.170.2/",
            "http://[fd00:ec2::254]/",
            "http://[fe80::1]/",
            "http://[::ffff:127.0.0.1]/",
        ] {
            assert_eq!(of(&all, url), None, "{url}");
        }
        for url in [
            "http://10.0.0.1/",
            "https://localhost.example/",
            "http://[fd00::1]/",
            "http://128.0.0.1/",
        ] {
            assert!(of(&all, url).is_some(), "{url}");
        }
    }

    #[test]
    fn logins_are_decoded_and_not_shown() {
        let all = proxies(&[("HTTPS_PROXY", "http://hunter:p%40s%2Fs@p:3128")]).unwrap();
        let proxy = all.of(&"https://r.io/".parse().unwrap()).unwrap();
        assert_eq!(
            proxy.login.as_ref().unwrap(),
            &format!("Basic {}", STANDARD.encode("hunter:p@s/s"))
        );
        assert_eq!(proxy.url.as_str(), "http://p:3128/");
        assert!(!format!("{all:?} {proxy:?}").contains("hunter"));
    }

    #[test]
    fn what_cannot_be_used_is_an_error_without_secrets() {
        for (value, says) in [
            ("socks5://p:1080", "socks5:// is not supported"),
            ("ftp://p", "ftp:// is not supported"),
            ("http://me:hun@ter2@p:1", "must be percent-encoded"),
            ("http://me:hun/ter2@p:1", "must be percent-encoded"),
            ("http://me:hun#ter2@p:1", "must be percent-encoded"),
            ("http://CORP\\me:hunter2@p:1", "`\\` is %5C"),
            ("CORP\\me:hunter2@p:1", "must be percent-encoded"),
            ("http:/p:3128", "there is more behind its host and port"),
            ("http//p:3128", "there is more behind its host and port"),
            ("http://wpad/proxy.pac", "there is more behind its host and port"),
            ("DIRECT", "`DIRECT` is no address; leave it empty to use none"),
            ("http://", "it is not a URL"),
            ("http://p:port", "it is not a URL"),
            ("http://a b", "it is not a URL"),
        ] {
            let error = proxies(&[("HTTPS_PROXY", value)]).unwrap_err().to_string();
            assert!(
                error.starts_with("the environment variable HTTPS_PROXY names no proxy"),
                "{error}"
            );
            assert!(error.contains(says) && !error.contains("ter2"), "{value}: {error}");
        }
    }
}
