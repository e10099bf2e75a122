//! The border between public addresses and private ones.
//!
//! Whoever answers from a public address may send us on to another one, but not into the network that we are in:
//! services there trust whoever reaches them, such as the one that hands out a machine's credentials at
//! 169.254.169.254 (<https://owasp.org/www-community/attacks/Server_Side_Request_Forgery>).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use mirror_failure::{ErrorKind, RequestError};
use url::Url;

/// Where a request may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reach {
    /// It may lead to any address.
    Anywhere,
    /// To public addresses: a public one sends us there.
    Public,
}

impl Reach {
    /// Refuses a URL whose host is an address out of reach. Where it is a name, its addresses are looked at when it is
    /// resolved, so that a name can't mean one thing now and another one later.
    pub(crate) fn check(self, request: &str, target: &Url) -> Result<(), RequestError> {
        if self == Reach::Public && is_private_literal(target) {
            let host = target.host_str().unwrap_or_default().to_owned();
            return Err(RequestError::new(request, ErrorKind::PrivateAddress(host)));
        }
        Ok(())
    }
}

pub(crate) fn is_private_literal(url: &Url) -> bool {
    match url.host() {
        Some(url::Host::Ipv4(address)) => !is_public(address.into()),
        Some(url::Host::Ipv6(address)) => !is_public(address.into()),
        Some(url::Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        None => true,
    }
}

/// Whether an address is one of the public network, as far as
/// <https://www.iana.org/assignments/iana-ipv4-special-registry> and its sister for IPv6 tell private ones, those of
/// providers, and those of this machine and its link apart. Addresses that stand for an IPv4 address are what that is.
pub(crate) fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => match embedded(address) {
            Some(address) => is_public_v4(address),
            None => {
                let first = address.segments().first().copied().unwrap_or_default();
                let unique_local = first & 0xfe00 == 0xfc00;
                // fec0::/10 once was what fc00::/7 is now.
                let on_link_or_site = first & 0xff80 == 0xfe80;
                !(address.is_loopback()
                    || address.is_unspecified()
                    || unique_local
                    || on_link_or_site)
            }
        },
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [first, second, ..] = address.octets();
    let shared_by_a_provider = first == 100 && (64..128).contains(&second);
    let this_network = first == 0;
    !(address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_broadcast()
        || shared_by_a_provider
        || this_network)
}

/// The IPv4 address in a mapped address, a translated one (NAT64) or one of 6to4.
fn embedded(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let v4 = |high: u16, low: u16| Ipv4Addr::from((u32::from(high) << 16) | u32::from(low));
    match address.segments() {
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => Some(v4(high, low)),
        [0x2002, high, low, ..] => Some(v4(high, low)),
        [0, 0, 0, 0, 0, 0xffff, high, low] => Some(v4(high, low)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        for (address, public) in [
            ("1.1.1.1", true),
            ("203.0.113.1", true),
            ("172.15.0.1", true),
            ("172.32.0.1", true),
            ("100.63.0.1", true),
            ("100.128.0.1", true),
            ("2606:4700::1", true),
            ("2001:db8::1", true),
            ("64:ff9b::101:101", true),
            ("127.0.0.1", false),
            ("127.8.9.10", false),
            ("0.0.0.0", false),
            ("0.1.2.3", false),
            ("10.0.0.1", false),
            ("172.16.0.1", false),
            ("192.168.1.1", false),
            ("169.254.169.254", false),
            ("100.64.0.1", false),
            ("100.100.100.200", false),
            ("255.255.255.255", false),
            ("::", false),
            ("::1", false),
            ("fc00::1", false),
            ("fd00:ec2::254", false),
            ("fe80::1", false),
            ("fec0::1", false),
            ("::ffff:10.0.0.1", false),
            ("::ffff:169.254.169.254", false),
            ("64:ff9b::a9fe:a9fe", false),
            ("2002:a9fe:a9fe::1", false),
        ] {
            assert_eq!(is_public(address.parse().unwrap()), public, "{address}");
        }
    }

    #[test]
    fn literals() {
        for (url, private) in [
            ("http://2130706433/", true),
            ("http://0x7f.1/", true),
            ("http://[::1]:80/", true),
            ("http://localhost:1/", true),
            ("http://a.localhost/", true),
            ("http://192.168.0.1/", true),
            ("http://example.com/", false),
            ("http://localhost.example.com/", false),
            ("http://8.8.8.8/", false),
        ] {
            assert_eq!(is_private_literal(&url.parse().unwrap()), private, "{url}");
        }
    }
}
