//! Where a host is really reached.

use std::fmt;
use std::str::FromStr;

use crate::Registry;

/// Scheme, host and port that requests go to: `https://registry-1.docker.io`, `http://127.0.0.1:5001`.
///
/// ```
/// use mirror_oci::{Endpoint, Registry};
///
/// let hub = Endpoint::of(&Registry::docker_hub());
/// assert_eq!(hub.to_string(), "https://registry-1.docker.io");
/// assert_eq!((hub.is_secure(), hub.port()), (true, 443));
///
/// let local: Endpoint = "http://127.0.0.1:5001".parse()?;
/// assert_eq!((local.authority().host(), local.port()), ("127.0.0.1", 5001));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Endpoint {
    secure: bool,
    authority: Registry,
}

impl Endpoint {
    /// Where a registry is by itself: TLS to the host of its name, plain HTTP on loopback. The registry of `docker.io`
    /// has another name: <https://docs.docker.com/reference/api/registry/>.
    pub fn of(registry: &Registry) -> Endpoint {
        let hub = *registry == Registry::docker_hub();
        let authority = if hub { "registry-1.docker.io".parse().ok() } else { None };
        Endpoint {
            secure: !registry.is_loopback(),
            authority: authority.unwrap_or_else(|| registry.clone()),
        }
    }

    /// Whether it is reached by TLS.
    pub fn is_secure(&self) -> bool {
        self.secure
    }

    /// The host with its port, if one is written.
    pub fn authority(&self) -> &Registry {
        &self.authority
    }

    /// The port that connections go to.
    pub fn port(&self) -> u16 {
        self.authority.port().unwrap_or(if self.secure { 443 } else { 80 })
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.secure { "https" } else { "http" };
        write!(f, "{scheme}://{}", self.authority)
    }
}

/// Why a text is not an endpoint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("an endpoint is http:// or https://, a host and an optional port, and nothing more")]
pub struct EndpointError;

impl FromStr for Endpoint {
    type Err = EndpointError;

    fn from_str(text: &str) -> Result<Endpoint, EndpointError> {
        let text = text.trim_end_matches('/');
        let (secure, authority) = match text.strip_prefix("https://") {
            Some(authority) => (true, authority),
            None => (false, text.strip_prefix("http://").ok_or(EndpointError)?),
        };
        let authority = authority.parse().map_err(|_| EndpointError)?;
        Ok(Endpoint { secure, authority })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts() {
        for (text, shown, port) in [
            ("https://r.io", Some("https://r.io"), 443),
            ("http://r.io//", Some("http://r.io"), 80),
            ("https://r.io:8443", Some("https://r.io:8443"), 8443),
            ("http://[::1]:5000", Some("http://[::1]:5000"), 5000),
            ("r.io", None, 0),
            ("ftp://r.io", None, 0),
            ("https://me@r.io", None, 0),
            ("https://r.io/path", None, 0),
            ("https://", None, 0),
        ] {
            let endpoint = text.parse::<Endpoint>().ok();
            assert_eq!(endpoint.as_ref().map(ToString::to_string).as_deref(), shown, "{text}");
            assert_eq!(endpoint.map_or(0, |endpoint| endpoint.port()), port, "{text}");
        }
    }

    #[test]
    fn of_registries() {
        for (name, endpoint) in [
            ("docker.io", "https://registry-1.docker.io"),
            ("quay.io", "https://quay.io"),
            ("localhost:5000", "http://localhost:5000"),
            ("127.0.0.1:5000", "http://127.0.0.1:5000"),
            ("[::1]:5000", "http://[::1]:5000"),
            ("10.0.0.1", "https://10.0.0.1"),
        ] {
            assert_eq!(Endpoint::of(&name.parse().unwrap()).to_string(), endpoint);
        }
    }
}
