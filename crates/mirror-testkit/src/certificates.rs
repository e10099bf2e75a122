//! A throw-away authority, and certificates by openssl that are right or wrong in one way.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

/// A throw-away authority with what it has signed, in a folder of its own.
pub struct Authority(TempDir);

/// What is to be wrong with a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flaw {
    /// Nothing is.
    None,
    /// Its time is over.
    Expired,
    /// Its time has not come.
    Early,
    /// It is for another name.
    OtherName,
    /// It is one of an authority, made as most do it: `openssl req -x509`.
    AuthorityItself,
}

/// A certificate and its key, as PEM.
#[derive(Debug, Clone)]
pub struct KeyPair {
    /// The certificate.
    pub certificate: PathBuf,
    /// The key.
    pub key: PathBuf,
}

impl Authority {
    /// A new one, whose certificate is for an authority.
    pub fn new() -> Authority {
        let authority = Authority(tempfile::tempdir().unwrap());
        let subject = ["-x509", "-days", "2", "-subj", "/CN=throw-away authority"];
        authority.openssl("req", &[&NEW_KEY[..], &subject].concat(), "authority");
        authority
    }

    fn folder(&self) -> &Path {
        self.0.path()
    }

    /// The certificate of the authority.
    pub fn certificate(&self) -> PathBuf {
        self.folder().join("authority.pem")
    }

    /// A certificate for a server at 127.0.0.1 and `registry.test`.
    pub fn server(&self, flaw: Flaw) -> KeyPair {
        let names = match flaw {
            Flaw::OtherName => "subjectAltName=DNS:other.test",
            _ => "subjectAltName=IP:127.0.0.1,DNS:registry.test",
        };
        if flaw == Flaw::AuthorityItself {
            let subject = ["-x509", "-days", "2", "-subj", "/CN=registry.test", "-addext", names];
            return self.openssl("req", &[&NEW_KEY[..], &subject].concat(), "itself");
        }
        let (from, to) = match flaw {
            Flaw::Expired => ("20200101000000Z", "20200102000000Z"),
            Flaw::Early => ("20980101000000Z", "20990101000000Z"),
            _ => ("20200101000000Z", "20990101000000Z"),
        };
        self.signed(&format!("server-{flaw:?}").to_lowercase(), names, (from, to))
    }

    /// A certificate for a client.
    pub fn client(&self) -> KeyPair {
        let names = "extendedKeyUsage=clientAuth";
        self.signed("client", names, ("20200101000000Z", "20990101000000Z"))
    }

    fn signed(&self, name: &str, extension: &str, (from, to): (&str, &str)) -> KeyPair {
        let subject = ["-subj", "/CN=throw-away", "-addext", extension];
        let request =
            self.openssl("req", &[&NEW_KEY[..], &subject].concat(), &format!("{name}-request"));
        let pair =
            KeyPair { certificate: self.folder().join(format!("{name}.pem")), key: request.key };
        // `openssl ca` is what takes dates.
        let config = "[ca]\ndefault_ca=own\n[own]\nnew_certs_dir=.\ndatabase=index.txt\nrand_serial=yes\ndefault_md=sha256\npolicy=any\ncopy_extensions=copy\nunique_subject=no\n[any]\ncommonName=supplied\n";
        std::fs::write(self.folder().join("ca.cnf"), config).unwrap();
        std::fs::write(self.folder().join("index.txt"), "").unwrap();
        self.run(&[
            "ca",
            "-batch",
            "-notext",
            "-config",
            "ca.cnf",
            "-cert",
            "authority.pem",
            "-keyfile",
            "authority.key",
            "-startdate",
            from,
            "-enddate",
            to,
            "-in",
            request.certificate.to_str().unwrap(),
            "-out",
            pair.certificate.to_str().unwrap(),
        ]);
        pair
    }

    fn openssl(&self, verb: &str, arguments: &[&str], name: &str) -> KeyPair {
        let certificate = self.folder().join(format!("{name}.pem"));
        let key = self.folder().join(format!("{name}.key"));
        let files = ["-keyout", key.to_str().unwrap(), "-out", certificate.to_str().unwrap()];
        self.run(&[&[verb], arguments, &files].concat());
        KeyPair { certificate, key }
    }

    fn run(&self, arguments: &[&str]) {
        let output = Command::new("openssl")
            .args(arguments)
            .current_dir(self.folder())
            .stdin(Stdio::null())
            .output()
            .expect("openssl is needed");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "openssl {arguments:?}: {said}");
    }
}

impl Default for Authority {
    fn default() -> Authority {
        Authority::new()
    }
}

const NEW_KEY: [&str; 5] = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
