//! What can be wrong with a reference.

use std::ops::Range;

use crate::digest::DigestError;

/// Why a text is not a reference, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{kind}")]
pub struct ReferenceError {
    /// What is wrong with the text.
    pub kind: ReferenceErrorKind,
    /// The offending bytes of the text.
    pub span: Range<usize>,
}

/// What can be wrong with a reference.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReferenceErrorKind {
    /// Nothing there, or nothing where a part must be.
    #[error("the {0} is empty")]
    Empty(&'static str),
    /// Registries know lower-case names only.
    #[error("the {0} has upper-case letters; registries accept only lower-case names")]
    UpperCase(&'static str),
    /// A character that may not stand there.
    #[error("`{character}` is not allowed here in a {part}")]
    Character {
        /// Which part of the reference.
        part: &'static str,
        /// The character that was found.
        character: char,
    },
    /// The part is longer than it may be.
    #[error("the {part} is longer than {limit} characters")]
    TooLong {
        /// Which part of the reference.
        part: &'static str,
        /// How long it may be.
        limit: usize,
    },
    /// A port that isn't one.
    #[error("the port is not a number from 1 to 65535")]
    Port,
    /// Docker takes it for an image id.
    #[error("64 hex digits are an image id, not the name of a repository")]
    ImageId,
    /// What stands behind `@`.
    #[error(transparent)]
    Digest(DigestError),
}
