//! TLS for one host: whom to trust, what to show, and whether the host has asked for that.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use mirror_failure::{ErrorKind, TlsCause};
use rustls::client::ResolvesClientCert;
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, SignatureScheme};
use rustls_platform_verifier::Verifier;

use super::trust::TlsFiles;
use crate::sorting::one_line;

/// The settings of TLS for a host. `asked` becomes true when it wants a certificate of ours and there is none: with TLS 1.3 it
/// hangs up after that, and what is heard of it is a connection that broke.
pub(crate) fn config(
    files: &TlsFiles,
    asked: Arc<AtomicBool>,
    store_problem: Option<&str>,
) -> Result<ClientConfig, ErrorKind> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let authorities = files.read_authorities()?;
    let verifier = match authorities.is_empty() {
        true => Verifier::new(provider.clone()),
        false => Verifier::new_with_extra_roots(authorities, provider.clone()),
    };
    let verifier = verifier.map_err(|error| store(store_problem.unwrap_or(&error.to_string())))?;
    let own = files.read_client()?.map(|own| {
        let key = provider.key_provider.load_private_key(own.key).and_then(|key| {
            let certified = CertifiedKey::new(own.chain, key);
            certified.keys_match().map(|()| certified)
        });
        let wrong = |error| match error {
            rustls::Error::InconsistentKeys(_) => "it is not the key of the certificate",
            rustls::Error::InvalidCertificate(_) => {
                "the certificate is none of version 3: issue it anew, with extensions"
            }
            _ => "the key is of an unknown kind",
        };
        key.map_err(|error| TlsFiles::unusable_key(&own.file, wrong(error)))
    });
    let resolver = Resolver { own: own.transpose()?.map(Arc::new), asked };
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| store(&error.to_string()))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_client_cert_resolver(Arc::new(resolver));
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

/// The store of the system can't be used.
fn store(why: &str) -> ErrorKind {
    let why = one_line(why);
    let text = format!("the certificates that the system trusts can't be used: {why}");
    ErrorKind::Tls { cause: TlsCause::Store, text }
}

#[derive(Debug)]
struct Resolver {
    own: Option<Arc<CertifiedKey>>,
    asked: Arc<AtomicBool>,
}

impl ResolvesClientCert for Resolver {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.asked.store(self.own.is_none(), Ordering::Relaxed);
        self.own.clone()
    }

    fn has_certs(&self) -> bool {
        true
    }
}
