//! Sorting out what reqwest, hyper and rustls report.

use std::error::Error;
use std::io;
use std::time::Duration;

use mirror_failure::{ErrorKind, TlsCause};
use rustls::{AlertDescription, CertificateError};

use super::private_address::PrivateAddress;
use crate::sorting::one_line;

/// How long a connection may take to be there.
pub(crate) const CONNECT: Duration = Duration::from_secs(10);

/// What lies below an error, as far down as it goes.
pub(crate) struct Causes<'a> {
    /// What each of them says, a line each.
    pub(crate) text: String,
    deepest: String,
    io: Option<io::ErrorKind>,
    tls: Option<rustls::Error>,
    private: Option<&'a PrivateAddress>,
}

impl<'a> Causes<'a> {
    pub(crate) fn of(error: &'a reqwest::Error) -> Causes<'a> {
        let mut causes = Causes {
            text: String::new(),
            deepest: error.to_string(),
            io: None,
            tls: None,
            private: None,
        };
        let mut source = error.source();
        while let Some(cause) = source {
            causes.deepest = cause.to_string();
            causes.text.push_str(&causes.deepest);
            causes.text.push('\n');
            if let Some(io) = cause.downcast_ref::<io::Error>() {
                causes.io = Some(io.kind());
                // The io error of a handshake holds rustls' own, which `source` passes over.
                causes.tls = causes.tls.or_else(|| inside(io));
            }
            causes.tls = causes.tls.or_else(|| cause.downcast_ref::<rustls::Error>().cloned());
            causes.private = causes.private.or_else(|| cause.downcast_ref::<PrivateAddress>());
            source = cause.source();
        }
        causes
    }

    /// Why a connection to whoever was dialled could not be made, if that is so.
    pub(crate) fn unreached(&self, error: &reqwest::Error) -> Option<ErrorKind> {
        if error.is_timeout() && error.is_connect() {
            return Some(ErrorKind::TimedOut(CONNECT));
        }
        if self.io == Some(io::ErrorKind::ConnectionRefused) {
            return Some(ErrorKind::Refused);
        }
        let unknown = ["dns error", "failed to lookup address"];
        unknown.iter().any(|words| self.text.contains(words)).then_some(ErrorKind::Dns)
    }
}

/// The error of rustls that an io error carries, however deep.
fn inside(error: &io::Error) -> Option<rustls::Error> {
    let inner = error.get_ref()?;
    let deeper = || inner.downcast_ref::<io::Error>().and_then(inside);
    inner.downcast_ref::<rustls::Error>().cloned().or_else(deeper)
}

/// What an error is.
pub(crate) fn kind_of(error: &reqwest::Error) -> ErrorKind {
    let causes = Causes::of(error);
    if let Some(PrivateAddress(host)) = causes.private {
        return ErrorKind::PrivateAddress(host.clone());
    }
    match (&causes.tls, causes.unreached(error)) {
        (_, Some(kind)) if causes.tls.is_none() || kind == ErrorKind::Refused => kind,
        // rustls reads `HTTP/1.1 400` as a record of an unknown type.
        (Some(rustls::Error::InvalidMessage(_)), _) => ErrorKind::PlainHttp,
        (Some(error), _) => {
            ErrorKind::Tls { cause: tls_cause(error), text: one_line(&error.to_string()) }
        }
        // hyper reads a TLS alert as a bad HTTP version.
        _ if causes.text.contains("invalid HTTP version parsed") => ErrorKind::TlsExpected,
        _ => ErrorKind::Broken(one_line(&causes.deepest)),
    }
}

/// What a handshake failed for.
fn tls_cause(error: &rustls::Error) -> TlsCause {
    use AlertDescription as Alert;
    match error {
        rustls::Error::InvalidCertificate(error) => match error {
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                TlsCause::Expired
            }
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                TlsCause::NotYetValid
            }
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                TlsCause::OtherName
            }
            // The second is what an authority of the same name with another key makes.
            CertificateError::UnknownIssuer | CertificateError::BadSignature => {
                TlsCause::UnknownIssuer
            }
            other if format!("{other:?}").contains("CaUsedAsEndEntity") => {
                TlsCause::AuthorityItself
            }
            _ => TlsCause::Other,
        },
        // A server that wants a certificate of ours says so in one of these ways, after our side of the handshake.
        rustls::Error::AlertReceived(
            Alert::CertificateRequired
            | Alert::BadCertificate
            | Alert::UnsupportedCertificate
            | Alert::CertificateUnknown
            | Alert::CertificateExpired
            | Alert::CertificateRevoked
            | Alert::UnknownCA
            | Alert::AccessDenied,
        ) => TlsCause::ClientCertificate,
        rustls::Error::AlertReceived(Alert::ProtocolVersion | Alert::HandshakeFailure)
        | rustls::Error::PeerIncompatible(_) => TlsCause::Protocol,
        _ => TlsCause::Other,
    }
}
