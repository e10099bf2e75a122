//! Why an image could not be copied.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use mirror_oci::{Digest, DigestMismatch, ManifestError, Registry};

/// What a reader of bytes is told that were thrown away. Nothing else here is ever interrupted.
pub(crate) fn starting_over() -> std::io::Error {
    let why = "wrong bytes came first, starting over";
    std::io::Error::new(std::io::ErrorKind::Interrupted, why)
}

/// A step of a copy that failed for good.
#[derive(Debug, Clone)]
pub struct CopyError(Arc<(Side, String, Cause)>);

/// Which side failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Where the image comes from.
    Source,
    /// Where it goes.
    Destination,
    /// The machine that copies.
    Local,
}

/// What was behind it.
#[derive(Debug, Clone)]
pub enum Cause {
    /// The registry, or the way there.
    Registry(mirror_registry::Error),
    /// Bytes that hash to something else.
    Digest(DigestMismatch),
    /// A manifest that can't be mirrored.
    Manifest(ManifestError),
    /// The registry has no such image.
    Missing(Registry),
    /// The tag at the destination is another image, or none, since it was looked at.
    Moved(Option<Digest>),
    /// The file system.
    Io(std::io::ErrorKind, String),
    /// More of something than is taken from any registry.
    TooMuch(String),
    /// Anything else, in words.
    Other(String),
}

impl CopyError {
    pub(crate) fn new(side: Side, step: impl Into<String>, cause: Cause) -> CopyError {
        CopyError(Arc::new((side, step.into(), cause)))
    }

    pub(crate) fn source(step: impl Into<String>, cause: mirror_registry::Error) -> CopyError {
        CopyError::new(Side::Source, step, Cause::Registry(cause))
    }

    pub(crate) fn destination(step: impl Into<String>, cause: mirror_registry::Error) -> CopyError {
        CopyError::new(Side::Destination, step, Cause::Registry(cause))
    }

    /// An upload that failed; perhaps for want of its own bytes, which is nobody else's fault.
    pub(crate) fn uploading(step: impl Into<String>, cause: mirror_registry::Error) -> CopyError {
        let local = matches!(cause.kind(), mirror_registry::ErrorKind::Body(_));
        let side = if local { Side::Local } else { Side::Destination };
        CopyError::new(side, step, Cause::Registry(cause))
    }

    pub(crate) fn io(
        side: Side,
        step: impl Into<String>,
        path: &Path,
        error: &std::io::Error,
    ) -> CopyError {
        CopyError::new(side, step, Cause::Io(error.kind(), format!("{}: {error}", path.display())))
    }

    /// Which side failed.
    pub fn side(&self) -> Side {
        self.0.0
    }

    /// What was behind it.
    pub fn cause(&self) -> &Cause {
        &self.0.2
    }

    /// Whether a destination refused a manifest because it lacks what the manifest points to:
    /// <https://github.com/opencontainers/distribution-spec/blob/main/spec.md#error-codes>.
    pub(crate) fn misses_content(&self) -> bool {
        let Cause::Registry(error) = self.cause() else { return false };
        let missing = ["MANIFEST_BLOB_UNKNOWN", "BLOB_UNKNOWN", "MANIFEST_UNKNOWN"];
        self.side() == Side::Destination && error.code().is_some_and(|code| missing.contains(&code))
    }

    /// Whether an upload ended because its own bytes did.
    pub(crate) fn is_body(&self) -> bool {
        match self.cause() {
            Cause::Registry(error) => matches!(error.kind(), mirror_registry::ErrorKind::Body(_)),
            Cause::Io(kind, _) => *kind == std::io::ErrorKind::Interrupted,
            _ => false,
        }
    }

    /// What is at the destination now, if that has changed since it was looked at.
    pub fn moved(&self) -> Option<Option<&Digest>> {
        match self.cause() {
            Cause::Moved(found) => Some(found.as_ref()),
            _ => None,
        }
    }

    /// Whether the bytes that came are not those that were asked for.
    pub fn is_tampering(&self) -> bool {
        match self.cause() {
            Cause::Digest(_) | Cause::Manifest(ManifestError::Digest(_)) => true,
            Cause::Registry(error) => error.is_tampering(),
            _ => false,
        }
    }

    /// Whether the source says that it has no such image, or has it no more.
    pub fn is_gone(&self) -> bool {
        match self.cause() {
            Cause::Missing(_) => true,
            Cause::Registry(error) => error.status() == Some(404),
            _ => false,
        }
    }

    /// Whether a limit on pulls or requests stands in the way, which time alone removes.
    pub fn is_deferred(&self) -> bool {
        matches!(self.cause(), Cause::Registry(error) if error.is_deferred())
    }

    /// Whether nothing is known to be wrong but that nobody has told us who we are there.
    pub fn lacks_credentials(&self) -> bool {
        matches!(self.cause(), Cause::Registry(error) if error.lacks_credentials())
    }

    /// What the person at the keyboard can do about it.
    pub fn help(&self) -> Option<String> {
        match self.cause() {
            Cause::Registry(error) => error.help(),
            Cause::Missing(_) => {
                Some("check the name and the tag, and that they still exist there".into())
            }
            Cause::Digest(_) | Cause::Manifest(ManifestError::Digest(_)) => {
                Some(mirror_registry::TAMPERING.into())
            }
            Cause::Io(std::io::ErrorKind::StorageFull, _) => {
                Some("free some space, and run again: what is there already is kept".into())
            }
            Cause::Io(std::io::ErrorKind::PermissionDenied, _) => {
                Some("mend the permissions of that path".into())
            }
            Cause::Manifest(_) => Some(
                "ask the publisher of the image; no registry can hold it byte for byte as it is"
                    .into(),
            ),
            Cause::Io(..) => Some("check the path, and the disk it is on".into()),
            Cause::Moved(_) => Some("somebody pushed there; run again to look again".into()),
            Cause::TooMuch(_) => Some(
                "no honest image is like that: ask its publisher, or take it out of the tree"
                    .into(),
            ),
            Cause::Other(_) => None,
        }
    }
}

impl fmt::Display for CopyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.0.1)?;
        match self.cause() {
            Cause::Registry(error) => error.fmt(f),
            Cause::Digest(error) => error.fmt(f),
            Cause::Manifest(error) => error.fmt(f),
            Cause::Moved(Some(found)) => write!(f, "the tag is {found} by now"),
            Cause::Moved(None) => f.write_str("the tag is gone by now"),
            Cause::Missing(registry) => write!(f, "{registry} has no such image (404)"),
            Cause::Io(_, text) | Cause::TooMuch(text) | Cause::Other(text) => f.write_str(text),
        }
    }
}

impl std::error::Error for CopyError {}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Side::Source => "source",
            Side::Destination => "destination",
            Side::Local => "local disk",
        })
    }
}
