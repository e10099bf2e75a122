//! What goes wrong with a forge, in words.

use std::time::Duration;

use mirror_failure::{RequestError, Side};

/// Why something could not be done on a forge.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ForgeError {
    /// What we were given can't be used.
    #[error("{0}")]
    Unusable(String),
    /// The forge said no.
    #[error("{what}: {status} {message}")]
    Refused {
        /// The step, such as `looking for the comment`.
        what: String,
        /// The HTTP status.
        status: u16,
        /// What the forge said.
        message: String,
    },
    /// The way to the forge is closed, whatever the number of attempts.
    #[error(transparent)]
    Unreachable(Box<RequestError>),
    /// No response that makes sense, whatever the number of attempts.
    #[error("{what}: {why}, {attempts} attempts")]
    Broken {
        /// The step, such as `looking for the comment`.
        what: String,
        /// How it failed last.
        why: String,
        /// How often it was tried.
        attempts: u32,
    },
    /// The number of calls is used up for longer than we wait.
    #[error("{what}: GitHub accepts no more calls for {} s", wait.as_secs())]
    Limited {
        /// The step, such as `looking for the comment`.
        what: String,
        /// How long it would take.
        wait: Duration,
    },
}

impl ForgeError {
    /// The status code, if the forge said no.
    pub fn status(&self) -> Option<u16> {
        match self {
            ForgeError::Refused { status, .. } => Some(*status),
            _ => None,
        }
    }

    /// What a person can do about it, where that is known.
    pub fn help(&self) -> Option<&'static str> {
        match self {
            ForgeError::Unusable(_) => None,
            ForgeError::Unreachable(error) => error.help(Side::Destination),
            ForgeError::Refused { status: 401, .. } => Some("the token is wrong or has expired"),
            ForgeError::Refused { status: 403, .. } => Some(
                "the token needs `pull-requests: write`, `statuses: write`, for `mirror issue` also `issues: write`, and for \
                 `mirror update --propose` also `contents: write`",
            ),
            ForgeError::Refused { status: 404, .. } => {
                Some("check the repository's name, and that the token may see it")
            }
            ForgeError::Refused { status: 301 | 307 | 308, .. } => {
                Some("the repository has moved: use its new name")
            }
            ForgeError::Refused { .. } => None,
            ForgeError::Broken { .. } => Some("run again later; nothing is written twice"),
            ForgeError::Limited { .. } => {
                Some("run again then, or use a token with a limit of its own")
            }
        }
    }
}
