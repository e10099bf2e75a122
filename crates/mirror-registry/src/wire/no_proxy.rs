//! `NO_PROXY`: what is reached without a proxy.

use std::net::IpAddr;

use url::{Host, Url};

/// What is reached without a proxy.
#[derive(Debug, Clone, Default)]
pub(crate) struct NoProxy(Vec<Pattern>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Pattern {
    hosts: Hosts,
    port: Option<u16>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Hosts {
    All,
    /// A name and all names below it.
    Name(String),
    /// Names below this one.
    Below(String),
    /// Addresses with the same first bits.
    Network(IpAddr, u8),
}

impl NoProxy {
    /// Reads a list: names (`example.com` and what is below it; `.example.com` and `*.example.com` likewise below), addresses,
    /// networks (`10.0.0.0/8`), each perhaps with a port; `*` for everything. Commas and spaces are between them.
    pub(crate) fn parse(text: &str) -> NoProxy {
        let parts = text.split([',', ' ', '\t', '\n', ';']).map(str::trim);
        NoProxy(parts.filter(|part| !part.is_empty()).map(Pattern::parse).collect())
    }

    /// Whether a URL is one of them.
    pub(crate) fn covers(&self, url: &Url) -> bool {
        let port = url.port_or_known_default();
        let fits = |pattern: &Pattern| pattern.port.is_none() || pattern.port == port;
        url.host().is_some_and(|host| {
            self.0.iter().any(|pattern| fits(pattern) && pattern.hosts.cover(&host))
        })
    }
}

impl Pattern {
    fn parse(text: &str) -> Pattern {
        let text = text.to_ascii_lowercase();
        // Some write whole URLs.
        let text = text.split_once("://").map_or(text.as_str(), |(_, rest)| rest);
        if let Some(network) = network(text) {
            return Pattern { hosts: network, port: None };
        }
        let text = text.split('/').next().unwrap_or_default();
        let (host, port) = match text.rsplit_once(':') {
            Some((host, port)) if !host.contains(':') || host.ends_with(']') => {
                (host, port.parse().ok())
            }
            _ => (text, None),
        };
        Pattern { hosts: Hosts::parse(host.trim_end_matches('.')), port }
    }
}

/// `10.0.0.0/8`.
fn network(text: &str) -> Option<Hosts> {
    let (address, bits) = text.split_once('/')?;
    let address: IpAddr = address.trim_matches(['[', ']']).parse().ok()?;
    let most = if address.is_ipv4() { 32 } else { 128 };
    bits.parse().ok().filter(|bits| *bits <= most).map(|bits| Hosts::Network(address, bits))
}

impl Hosts {
    fn parse(host: &str) -> Hosts {
        if host == "*" {
            return Hosts::All;
        }
        if let Ok(address) = host.trim_matches(['[', ']']).parse::<IpAddr>() {
            return Hosts::Network(address, if address.is_ipv4() { 32 } else { 128 });
        }
        match host.strip_prefix("*.").or_else(|| host.strip_prefix('.')) {
            Some(below) => Hosts::Below(below.to_owned()),
            None => Hosts::Name(host.to_owned()),
        }
    }

    fn cover(&self, host: &Host<&str>) -> bool {
        let address = match host {
            Host::Domain(_) => None,
            Host::Ipv4(address) => Some(IpAddr::from(*address)),
            Host::Ipv6(address) => Some(IpAddr::from(*address)),
        };
        let below = |name: &str, host: &str| {
            host.strip_suffix(name).is_some_and(|rest| rest.ends_with('.') && rest.len() > 1)
        };
        match (self, host, address) {
            (Hosts::All, ..) => true,
            (Hosts::Name(name), Host::Domain(host), _) => {
                let host = host.trim_end_matches('.').to_ascii_lowercase();
                host == *name || below(name, &host)
            }
            (Hosts::Below(name), Host::Domain(host), _) => {
                let host = host.trim_end_matches('.').to_ascii_lowercase();
                host == *name || below(name, &host)
            }
            (Hosts::Network(network, bits), _, Some(address)) => {
                first_bits(*network, *bits) == first_bits(address, *bits)
                    && network.is_ipv4() == address.is_ipv4()
            }
            _ => false,
        }
    }
}

/// The first bits of an address.
fn first_bits(address: IpAddr, bits: u8) -> u128 {
    let (number, width) = match address {
        IpAddr::V4(address) => (u128::from(u32::from(address)), 32),
        IpAddr::V6(address) => (u128::from(address), 128),
    };
    number.checked_shr(width - u32::from(bits)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        for (list, url, covered) in [
            ("*", "https://r.io/", true),
            ("example.com", "https://example.com/", true),
            ("example.com", "https://a.b.example.com:8443/", true),
            ("example.com", "https://notexample.com/", false),
            (".corp.example", "https://a.corp.example/", true),
            (".corp.example", "https://corp.example/", true),
            ("*.corp.example", "https://A.Corp.Example/", true),
            ("*.corp.example", "https://acorp.example/", false),
            ("Example.COM.", "https://example.com./", true),
            ("r.io:5000", "https://r.io:5000/", true),
            ("r.io:5000", "https://r.io/", false),
            ("r.io:443", "https://r.io/", true),
            ("https://r.io/", "https://r.io/", true),
            ("10.0.0.0/8", "http://10.1.2.3/", true),
            ("10.0.0.0/8", "http://11.1.2.3/", false),
            ("10.0.0.0/0", "http://11.1.2.3/", true),
            ("10.1.2.3", "http://10.1.2.3:5000/", true),
            ("10.1.2.3:80", "http://10.1.2.3:5000/", false),
            ("fd00::/8", "http://[fd12::1]/", true),
            ("[fd12::1]:5000", "http://[fd12::1]:5000/", true),
            ("fd12::1", "http://[fd12::1]:5000/", true),
            ("a.example, b.example c.example", "https://c.example/", true),
            ("10.0.0.0/33", "http://10.0.0.1/", false),
            ("", "https://r.io/", false),
        ] {
            assert_eq!(NoProxy::parse(list).covers(&url.parse().unwrap()), covered, "{list} {url}");
        }
    }
}
