//! Certificates: whom to trust beside the system's store, and who we are to a host that wants to know.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use mirror_failure::{ErrorKind, TlsCause};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

/// Files with certificates for one registry, beside the store of the system.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct TlsFiles {
    /// Authorities to trust, as PEM.
    pub authorities: Vec<PathBuf>,
    /// Our own certificates and their keys, as PEM, in one file or in two.
    pub client: Option<(PathBuf, Option<PathBuf>)>,
}

impl TlsFiles {
    /// Whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        *self == TlsFiles::default()
    }

    /// The authorities to trust.
    pub(crate) fn read_authorities(&self) -> Result<Vec<CertificateDer<'static>>, ErrorKind> {
        let mut all = Vec::new();
        for file in &self.authorities {
            all.extend(certificates(file, &content(file)?)?);
        }
        Ok(all)
    }

    /// Our own certificate with its chain, and the key.
    pub(crate) fn read_client(&self) -> Result<Option<OwnCertificate>, ErrorKind> {
        let Some((file, key)) = &self.client else { return Ok(None) };
        let chain = certificates(file, &content(file)?)?;
        let key = key.as_ref().unwrap_or(file);
        // What the parser says of a key may have the key in it.
        let content = content(key)?;
        let found = PrivateKeyDer::from_pem_slice(&content);
        let found = found.map_err(|_| {
            let other = other_format(key, &content);
            unusable(
                key,
                &other.unwrap_or_else(|| "there is no private key in PEM in it".to_owned()),
            )
        })?;
        Ok(Some(OwnCertificate { chain, key: found, file: key.clone() }))
    }

    /// Our own certificate can't be used with its key.
    pub(crate) fn unusable_key(file: &Path, why: &str) -> ErrorKind {
        unusable(file, why)
    }

    /// Those of a folder, as Docker and podman keep them: `*.crt` are authorities, `x.cert` is our own with `x.key`
    /// (<https://docs.docker.com/engine/security/certificates/>,
    /// <https://github.com/containers/image/blob/main/docs/containers-certs.d.5.md>).
    fn in_folder(folder: &Path) -> Result<TlsFiles, ErrorKind> {
        let mut files = TlsFiles::default();
        let Ok(entries) = fs::read_dir(folder) else { return Ok(files) };
        let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
        paths.sort();
        for path in &paths {
            match path.extension().and_then(|extension| extension.to_str()) {
                Some("crt") => files.authorities.push(path.clone()),
                Some("cert") => {
                    let key = path.with_extension("key");
                    if !paths.contains(&key) {
                        let why = format!("there is no {} beside it", key.display());
                        return Err(unusable(path, &why));
                    }
                    files.client.get_or_insert((path.clone(), Some(key)));
                }
                // Docker refuses this as well.
                Some("key") if !paths.contains(&path.with_extension("cert")) => {
                    let cert = path.with_extension("cert");
                    let why = format!("there is no {} beside it", cert.display());
                    return Err(unusable(path, &why));
                }
                _ => {}
            }
        }
        Ok(files)
    }
}

/// Folders with one folder for each registry, by its host and port.
#[derive(Debug, Clone, Default)]
pub(crate) struct CertificateFolders {
    folders: Vec<PathBuf>,
    known: Arc<Mutex<HashMap<String, Arc<TlsFiles>>>>,
}

impl CertificateFolders {
    pub(crate) fn new(folders: Vec<PathBuf>) -> CertificateFolders {
        CertificateFolders { folders, known: Arc::default() }
    }

    /// What is kept for a host, with what the configuration says of it.
    pub(crate) fn files(
        &self,
        host: &str,
        port: u16,
        configured: Option<&TlsFiles>,
    ) -> Result<Arc<TlsFiles>, ErrorKind> {
        let name = format!("{host}:{port}");
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner).get(&name).cloned();
        let kept = match known {
            Some(kept) => kept,
            None => {
                let kept = Arc::new(self.look(host, port)?);
                let mut all = self.known.lock().unwrap_or_else(PoisonError::into_inner);
                all.entry(name).or_insert(kept).clone()
            }
        };
        let Some(configured) = configured.filter(|configured| !configured.is_empty()) else {
            return Ok(kept);
        };
        let mut both = configured.clone();
        both.authorities.extend(kept.authorities.clone());
        both.client = both.client.or_else(|| kept.client.clone());
        Ok(Arc::new(both))
    }

    fn look(&self, host: &str, port: u16) -> Result<TlsFiles, ErrorKind> {
        let mut names = vec![format!("{host}:{port}")];
        if port == 443 {
            names.push(host.to_owned());
        }
        let mut all = TlsFiles::default();
        for folder in &self.folders {
            for name in &names {
                let found = TlsFiles::in_folder(&folder.join(name))?;
                all.authorities.extend(found.authorities);
                all.client = all.client.or(found.client);
            }
        }
        Ok(all)
    }
}

/// A certificate that we show, with what leads to an authority, and its key from a file.
pub(crate) struct OwnCertificate {
    pub(crate) chain: Vec<CertificateDer<'static>>,
    pub(crate) key: PrivateKeyDer<'static>,
    pub(crate) file: PathBuf,
}

fn certificates(file: &Path, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, ErrorKind> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        found => {
            let usual = match found {
                Ok(_) => "there is no certificate in PEM in it",
                Err(_) => "it is not a certificate in PEM",
            };
            Err(unusable(file, &other_format(file, pem).unwrap_or_else(|| usual.to_owned())))
        }
    }
}

/// What a file is that is of another format, and how to make PEM of it.
fn other_format(file: &Path, content: &[u8]) -> Option<String> {
    let has = |words: &str| content.windows(words.len()).any(|part| part == words.as_bytes());
    let name = file.display();
    // ASN.1: <https://www.rfc-editor.org/rfc/rfc5652#section-3>, <https://www.rfc-editor.org/rfc/rfc7292#section-4>.
    let inside = content.strip_prefix(&[0x30]).and_then(|rest| match rest {
        [0x82, _, _, rest @ ..] => Some(rest),
        [0x81, _, rest @ ..] | [_, rest @ ..] => Some(rest),
        [] => None,
    });
    let (what, command) = match inside {
        Some([0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, ..]) => {
            ("PKCS #7 in DER", format!("openssl pkcs7 -inform der -print_certs -in {name}"))
        }
        Some([0x02, 0x01, 0x03, ..]) => ("PKCS #12", format!("openssl pkcs12 -nodes -in {name}")),
        Some([0x30, ..]) => ("DER", format!("openssl x509 -inform der -in {name}")),
        Some([0x02, 0x01, ..]) => ("DER", format!("openssl pkey -inform der -in {name}")),
        _ if has("BEGIN PKCS7") => ("PKCS #7", format!("openssl pkcs7 -print_certs -in {name}")),
        _ if has("BEGIN ENCRYPTED PRIVATE KEY") || has("Proc-Type: 4,ENCRYPTED") => {
            ("encrypted", format!("openssl pkey -in {name}"))
        }
        _ if has("BEGIN TRUSTED CERTIFICATE") => {
            ("a certificate with OpenSSL's trust settings", format!("openssl x509 -in {name}"))
        }
        _ => return None,
    };
    Some(format!("it is {what}; `{command}` makes PEM of it"))
}

fn content(file: &Path) -> Result<Vec<u8>, ErrorKind> {
    let content = fs::read(file).map_err(|error| unusable(file, &error.to_string()))?;
    // What some editors put in front.
    Ok(content.strip_prefix(b"\xef\xbb\xbf").map_or_else(|| content.clone(), <[u8]>::to_vec))
}

fn unusable(file: &Path, why: &str) -> ErrorKind {
    let text = format!("{} can't be used: {why}", file.display());
    ErrorKind::Tls { cause: TlsCause::Files, text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_of_docker_and_podman() {
        let root = tempfile::tempdir().unwrap();
        let write = |name: &str| {
            let path = root.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, "x").unwrap();
            path
        };
        let own = write("a/r.io:5000/ca.crt");
        let other = write("b/r.io:5000/more.crt");
        let (cert, key) = (write("b/r.io:5000/client.cert"), write("b/r.io:5000/client.key"));
        let usual = write("a/r.io/ca.crt");
        let folders = ["a", "b", "c"].map(|name| root.path().join(name)).to_vec();
        let folders = CertificateFolders::new(folders);
        let files = folders.files("r.io", 5000, None).unwrap();
        assert_eq!(files.authorities, [own, other.clone()]);
        assert_eq!(files.client, Some((cert, Some(key))));
        assert_eq!(folders.files("r.io", 443, None).unwrap().authorities, [usual]);
        assert!(folders.files("other.io", 443, None).unwrap().is_empty());
        let configured = TlsFiles { authorities: vec!["/ca.pem".into()], client: None };
        let both = folders.files("r.io", 5000, Some(&configured)).unwrap();
        assert_eq!((both.authorities.len(), both.client.is_some()), (3, true));
        // A key or a certificate without the other.
        write("c/alone.io/client.key");
        let error = folders.files("alone.io", 443, None).unwrap_err().to_string();
        assert!(error.contains("client.key can't be used: there is no "), "{error}");
        write("c/lost.io/client.cert");
        let error = folders.files("lost.io", 443, None).unwrap_err().to_string();
        assert!(error.contains("client.cert can't be used: there is no "), "{error}");
    }

    #[test]
    fn files_that_are_no_certificates() {
        let root = tempfile::tempdir().unwrap();
        let file = root.path().join("ca.pem");
        let files = TlsFiles { authorities: vec![file.clone()], client: None };
        let says = |files: &TlsFiles| {
            let read = files.read_authorities().map(drop);
            read.and_then(|()| files.read_client().map(drop)).unwrap_err().to_string()
        };
        assert!(says(&files).contains("No such file"), "{}", says(&files));
        fs::write(&file, "").unwrap();
        assert!(says(&files).contains("there is no certificate in PEM in it"), "{}", says(&files));
        let files = TlsFiles { authorities: Vec::new(), client: Some((file, None)) };
        assert!(says(&files).contains("there is no certificate in PEM in it"), "{}", says(&files));
    }

    #[test]
    fn files_of_another_format() {
        for (content, what, command) in [
            (&b"\x30\x82\x03\x0a\x30\x82\x01"[..], "DER", "openssl x509 -inform der -in F"),
            (b"\x30\x82\x03\x0a\x02\x01\x00\x30", "DER", "openssl pkey -inform der -in F"),
            (
                b"\x30\x82\x03\x0a\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x02",
                "PKCS #7 in DER",
                "openssl pkcs7 -inform der -print_certs -in F",
            ),
            (b"\x30\x82\x03\x0a\x02\x01\x03\x30", "PKCS #12", "openssl pkcs12 -nodes -in F"),
            (b"-----BEGIN PKCS7-----\n", "PKCS #7", "openssl pkcs7 -print_certs -in F"),
            (b"-----BEGIN ENCRYPTED PRIVATE KEY-----\n", "encrypted", "openssl pkey -in F"),
            (
                b"-----BEGIN TRUSTED CERTIFICATE-----\n",
                "a certificate with OpenSSL's trust settings",
                "openssl x509 -in F",
            ),
        ] {
            let said = other_format(Path::new("F"), content).unwrap();
            assert_eq!(said, format!("it is {what}; `{command}` makes PEM of it"));
        }
        for content in [&b""[..], b"hello", b"-----BEGIN CERTIFICATE-----", b"\x30"] {
            assert_eq!(other_format(Path::new("F"), content), None);
        }
    }
}
