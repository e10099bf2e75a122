//! Content digests: `sha256:<64 hex>` and `sha512:<128 hex>`.
//!
//! Grammar: <https://github.com/opencontainers/image-spec/blob/main/descriptor.md#digests>. A digest becomes part
//! of paths and URLs, so nothing but lower-case hex of the exact length is accepted (CVE-2024-3727).

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sha2::digest::DynDigest;

/// The hash functions that registries use.
///
/// ```
/// use mirror_oci::Algorithm;
///
/// assert_eq!(Algorithm::Sha512.name(), "sha512");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Algorithm {
    /// SHA-256, what practically every image uses.
    Sha256,
    /// SHA-512, allowed by the image specification.
    Sha512,
}

impl Algorithm {
    /// The name in front of the colon.
    pub fn name(self) -> &'static str {
        match self {
            Algorithm::Sha256 => "sha256",
            Algorithm::Sha512 => "sha512",
        }
    }

    fn hex_len(self) -> usize {
        match self {
            Algorithm::Sha256 => 64,
            Algorithm::Sha512 => 128,
        }
    }

    fn hasher(self) -> Box<dyn DynDigest + Send + Sync> {
        match self {
            Algorithm::Sha256 => Box::new(sha2::Sha256::default()),
            Algorithm::Sha512 => Box::new(sha2::Sha512::default()),
        }
    }
}

/// A checked content digest. Cheap to clone.
///
/// ```
/// use mirror_oci::{Algorithm, Digest};
///
/// let digest = Digest::of(Algorithm::Sha256, b"hello");
/// assert_eq!(digest.algorithm(), Algorithm::Sha256);
/// assert_eq!(digest.as_str(), format!("sha256:{}", digest.hex()));
/// assert_eq!(digest.short(), "sha256:2cf24dba5fb0");
/// assert_eq!(digest, digest.as_str().parse()?);
/// assert!("sha256:2CF2".parse::<Digest>().is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest {
    algorithm: Algorithm,
    text: Arc<str>,
}

impl Digest {
    /// Hashes `bytes`, all of them at once.
    pub fn of(algorithm: Algorithm, bytes: &[u8]) -> Digest {
        let mut hasher = algorithm.hasher();
        hasher.update(bytes);
        Digest::from_hash(algorithm, &hasher.finalize())
    }

    /// The hash function that the digest is of.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The part behind the colon: lower-case hex.
    pub fn hex(&self) -> &str {
        self.text.split_once(':').map_or("", |(_, hex)| hex)
    }

    /// The whole text, `sha256:…`.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The first twelve hex digits behind the algorithm, for people: `sha256:ab12cd34ef56`.
    pub fn short(&self) -> &str {
        self.text.get(..self.algorithm.name().len() + 13).unwrap_or(&self.text)
    }

    fn from_hash(algorithm: Algorithm, hash: &[u8]) -> Digest {
        let mut text = String::with_capacity(algorithm.hex_len() + 7);
        text.push_str(algorithm.name());
        text.push(':');
        for byte in hash {
            text.extend(
                [byte >> 4, byte & 15]
                    .map(|nibble| char::from_digit(nibble.into(), 16).unwrap_or('0')),
            );
        }
        Digest { algorithm, text: text.into() }
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

/// Why a text is not a digest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DigestError {
    /// There is no `algorithm:` in front.
    #[error("a digest has the form `sha256:` and 64 hex digits")]
    Shape,
    /// The hash function is not one that registries use.
    #[error("`{0}` is not a supported digest algorithm; sha256 and sha512 are")]
    Algorithm(String),
    /// Too short or too long.
    #[error("a {algorithm} digest has {expected} hex digits, this one has {found}")]
    Length {
        /// Name of the hash function.
        algorithm: &'static str,
        /// How many hex digits the hash function has.
        expected: usize,
        /// How many characters were found.
        found: usize,
    },
    /// A character that is not lower-case hex.
    #[error("a digest has lower-case hex digits only, `{0}` is not one")]
    Character(char),
}

impl FromStr for Digest {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Digest, DigestError> {
        let (name, hex) = text.split_once(':').ok_or(DigestError::Shape)?;
        let algorithm = match name {
            "sha256" => Algorithm::Sha256,
            "sha512" => Algorithm::Sha512,
            other => return Err(DigestError::Algorithm(other.to_owned())),
        };
        if let Some(bad) = hex.chars().find(|c| !matches!(c, '0'..='9' | 'a'..='f')) {
            return Err(DigestError::Character(bad));
        }
        if hex.len() != algorithm.hex_len() {
            return Err(DigestError::Length {
                algorithm: algorithm.name(),
                expected: algorithm.hex_len(),
                found: hex.len(),
            });
        }
        Ok(Digest { algorithm, text: text.into() })
    }
}

impl TryFrom<String> for Digest {
    type Error = DigestError;

    fn try_from(text: String) -> Result<Digest, DigestError> {
        text.parse()
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> String {
        digest.as_str().to_owned()
    }
}

/// Bytes hash to something else than they were asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("content has digest {found}, expected {expected}")]
pub struct DigestMismatch {
    /// What was asked for.
    pub expected: Digest,
    /// What the bytes hash to.
    pub found: Digest,
}

/// Hashes bytes as they come.
///
/// ```
/// use mirror_oci::{Algorithm, Digest, Hasher};
///
/// let mut hasher = Hasher::new(Algorithm::Sha256);
/// hasher.update(b"some ");
/// hasher.update(b"bytes");
/// assert_eq!(hasher.digest(), Digest::of(Algorithm::Sha256, b"some bytes"));
/// ```
pub struct Hasher {
    algorithm: Algorithm,
    state: Box<dyn DynDigest + Send + Sync>,
}

impl Hasher {
    /// Starts hashing with `algorithm`; no bytes so far.
    pub fn new(algorithm: Algorithm) -> Hasher {
        Hasher { algorithm, state: algorithm.hasher() }
    }

    /// Adds bytes to what is hashed.
    pub fn update(&mut self, bytes: &[u8]) {
        self.state.update(bytes);
    }

    /// The digest of all bytes so far. It can be asked for several times.
    pub fn digest(&self) -> Digest {
        Digest::from_hash(self.algorithm, &self.state.box_clone().finalize())
    }
}

impl fmt::Debug for Hasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hasher").field("algorithm", &self.algorithm).finish_non_exhaustive()
    }
}

/// Hashes bytes as they come, and compares them with what they should be.
///
/// ```
/// use mirror_oci::{Algorithm, Digest, Verifier};
///
/// let mut verifier = Verifier::new(&Digest::of(Algorithm::Sha256, b"all bytes"));
/// verifier.update(b"all ");
/// verifier.update(b"bits");
/// let mismatch = verifier.finish().unwrap_err();
/// assert_eq!(mismatch.found, Digest::of(Algorithm::Sha256, b"all bits"));
/// ```
#[derive(Debug)]
pub struct Verifier {
    expected: Digest,
    hasher: Hasher,
}

impl Verifier {
    /// Starts hashing for a comparison with `expected`.
    pub fn new(expected: &Digest) -> Verifier {
        Verifier { expected: expected.clone(), hasher: Hasher::new(expected.algorithm()) }
    }

    /// Adds bytes to what is hashed.
    pub fn update(&mut self, bytes: &[u8]) {
        self.hasher.update(bytes);
    }

    /// Compares.
    ///
    /// # Errors
    /// When the bytes hash to another digest.
    pub fn finish(self) -> Result<(), DigestMismatch> {
        let found = self.hasher.digest();
        if found == self.expected {
            Ok(())
        } else {
            Err(DigestMismatch { expected: self.expected, found })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EMPTY: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn known_hashes() {
        assert_eq!(Digest::of(Algorithm::Sha256, b"").as_str(), EMPTY);
        let long = Digest::of(Algorithm::Sha512, b"");
        assert!(long.as_str().starts_with("sha512:cf83e1357eefb8bd"), "{long}");
        assert_eq!(long.as_str().parse::<Digest>().unwrap(), long);
        assert_eq!(long.hex().len(), 128);
        assert_eq!(Digest::of(Algorithm::Sha256, b"").short(), "sha256:e3b0c44298fc");
    }

    #[test]
    fn refused() {
        let cases = [
            ("", DigestError::Shape),
            ("sha256", DigestError::Shape),
            ("sha256:", DigestError::Length { algorithm: "sha256", expected: 64, found: 0 }),
            ("sha256:abc", DigestError::Length { algorithm: "sha256", expected: 64, found: 3 }),
            ("md5:d41d8cd98f00b204e9800998ecf8427e", DigestError::Algorithm("md5".into())),
            ("sha256:../../../etc/passwd", DigestError::Character('.')),
            ("sha256:E3B0", DigestError::Character('E')),
            ("sha256:a\u{e9}", DigestError::Character('\u{e9}')),
        ];
        for (text, error) in cases {
            assert_eq!(text.parse::<Digest>().unwrap_err(), error, "{text}");
        }
        assert!(format!("{EMPTY}0").parse::<Digest>().is_err());
    }

    #[test]
    fn verifier_tells() {
        let mut verifier = Verifier::new(&EMPTY.parse().unwrap());
        verifier.update(b"");
        assert_eq!(verifier.finish(), Ok(()));
        let mut verifier = Verifier::new(&EMPTY.parse().unwrap());
        verifier.update(b"x");
        assert!(verifier.finish().unwrap_err().to_string().contains("expected sha256:e3b0"));
    }

    #[test]
    fn json_is_the_text() {
        let digest: Digest = EMPTY.parse().unwrap();
        assert_eq!(serde_json::to_string(&digest).unwrap(), format!("\"{EMPTY}\""));
        assert!(serde_json::from_str::<Digest>("\"sha256:x\"").is_err());
    }
}
