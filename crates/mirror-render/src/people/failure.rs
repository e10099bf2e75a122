//! A failure, in the one form that text, Markdown, annotations and issues are made of.

use mirror_failure::Failure;

/// What is said of bytes that are not what they were said to be.
pub(crate) const SECURITY: &str = "possible tampering, or a broken proxy on the way";

/// What there is to say of a failure.
pub(crate) struct Explained {
    /// That somebody may have meddled with the bytes.
    pub(crate) security: Option<&'static str>,
    /// Which side failed, and why.
    pub(crate) cause: String,
    /// What a person can do about it, where that is known.
    pub(crate) help: Option<String>,
}

/// What there is to say of a failure.
pub(crate) fn explained(failure: &Failure) -> Explained {
    Explained {
        security: failure.is_security().then_some(SECURITY),
        cause: format!("{}: {}", failure.side, failure.message),
        help: failure.help.clone(),
    }
}
