//! What to do about the way to a host: proxies and certificates.

use crate::error_kind::{ErrorKind, ProxyProblem, TlsCause};

/// What to do about a host that was not reached, or not as it should be.
pub(crate) fn way_help(kind: &ErrorKind) -> Option<&'static str> {
    Some(match kind {
        ErrorKind::PrivateAddress(_) => {
            "if the registry is yours, set `private_redirects = true` for it in images/mirror.toml"
        }
        ErrorKind::Dns => "check the spelling of the registry, and the network",
        ErrorKind::Refused => "is the registry running at this address and port?",
        ErrorKind::PlainHttp => {
            "if that is on purpose, set `endpoint = \"http://…\"` for this registry in images/mirror.toml"
        }
        ErrorKind::TlsExpected => {
            "set `endpoint = \"https://…\"` for this registry in images/mirror.toml"
        }
        ErrorKind::Proxy { problem, .. } => proxy_help(problem),
        ErrorKind::Tls { cause, .. } => tls_help(*cause),
        ErrorKind::TimedOut(_) | ErrorKind::Broken(_) | ErrorKind::TooSlow { .. } => {
            "check the network between here and the registry"
        }
        _ => return None,
    })
}

/// What to do about a proxy.
fn proxy_help(problem: &ProxyProblem) -> &'static str {
    match problem {
        ProxyProblem::Credentials => {
            "check user and password in that variable; special characters must be percent-encoded, `@` as %40"
        }
        ProxyProblem::Login(_) => {
            "mirror logs in to a proxy with user and password alone (Basic): let a proxy on this machine log in there, such as cntlm or px, and name that one in the variable"
        }
        ProxyProblem::SpeaksPlain => {
            "write http:// in that variable: it is how the proxy itself is reached"
        }
        ProxyProblem::SpeaksOther => {
            "check the port in that variable; if the proxy itself is reached by TLS, write https:// there"
        }
        ProxyProblem::Refused(_) => {
            "ask whoever runs the proxy to let this host through, or add the host to NO_PROXY"
        }
        ProxyProblem::Failing(_) | ProxyProblem::Broken(_) => {
            "ask whoever runs the proxy whether it can reach this host; if it should be reached without, add it to NO_PROXY"
        }
        ProxyProblem::Unreachable { .. } => {
            "check that variable; what is to be reached without it belongs into NO_PROXY"
        }
    }
}

/// What to do about a TLS handshake that failed.
fn tls_help(cause: TlsCause) -> &'static str {
    match cause {
        TlsCause::Expired => {
            "the certificate of the server has expired: tell its operator; if it has not, check the clock of this machine"
        }
        TlsCause::NotYetValid => {
            "the certificate of the server is not valid yet: check the clock of this machine"
        }
        TlsCause::OtherName => {
            "the certificate of the server is for another name: check the name of the registry and its `endpoint`, or tell its operator"
        }
        TlsCause::UnknownIssuer => {
            "if an authority of your own has signed it, name its certificate as `ca` of this registry in images/mirror.toml, put it into /etc/docker/certs.d, or add it to the store of the system"
        }
        TlsCause::AuthorityItself => {
            "the server shows a certificate that is made for an authority: its operator has to make another one, with `basicConstraints = CA:FALSE`"
        }
        TlsCause::ClientCertificate => {
            "the server wants another certificate of ours: name one as `client_certificate` of this registry in images/mirror.toml, or put it into /etc/docker/certs.d"
        }
        TlsCause::Files => "fix that file, or what names it",
        TlsCause::Store => {
            "install the package `ca-certificates`; if SSL_CERT_FILE or SSL_CERT_DIR is set, check what it names"
        }
        TlsCause::Protocol => {
            "the server speaks no TLS 1.2 or 1.3 that is still safe: tell its operator"
        }
        TlsCause::Other => "tell the operator of the server",
    }
}
