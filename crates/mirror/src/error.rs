//! Why a command ends before its work is done. Commands return it; `main` says it.

use mirror_failure::{Failure, RequestError, Side};
use mirror_plan::report::Diagnostic;
use mirror_registry::ProxyError;

use crate::exit::Exit;

/// Why a command ends before its work is done, and how.
#[derive(Debug)]
pub(crate) struct CommandError {
    /// Everything there is to say, in this order.
    pub(crate) problems: Vec<Problem>,
    /// What that means for what was asked for.
    pub(crate) outcome: Option<String>,
    /// How the command ends.
    pub(crate) exit: Exit,
}

/// Something that is in the way.
#[derive(Debug)]
pub(crate) enum Problem {
    /// In the usual form: what could not be done, why, and what to do.
    Error {
        /// What could not be done.
        what: String,
        /// Why it could not be done.
        cause: String,
        /// What to do about it, where that is known.
        help: Option<String>,
    },
    /// With the lines concerned.
    Diagnostic(Box<Diagnostic>),
}

impl Problem {
    pub(crate) fn new(
        what: impl Into<String>,
        cause: impl Into<String>,
        help: Option<&str>,
    ) -> Problem {
        let help = help.map(str::to_owned);
        Problem::Error { what: what.into(), cause: cause.into(), help }
    }
}

impl CommandError {
    /// Everything that is in the way.
    pub(crate) fn of(problems: Vec<Problem>, exit: Exit) -> CommandError {
        CommandError { problems, outcome: None, exit }
    }

    /// Something that whoever called can mend: arguments, files, the tree.
    pub(crate) fn usage(
        what: impl Into<String>,
        cause: impl Into<String>,
        help: Option<&str>,
    ) -> CommandError {
        CommandError::of(vec![Problem::new(what, cause, help)], Exit::Usage)
    }

    /// Something that was tried and failed.
    pub(crate) fn failed(
        what: impl Into<String>,
        cause: impl Into<String>,
        help: Option<&str>,
    ) -> CommandError {
        CommandError::usage(what, cause, help).ending(Exit::Failed)
    }

    /// Ends in another way.
    pub(crate) fn ending(self, exit: Exit) -> CommandError {
        CommandError { exit, ..self }
    }

    /// Says what it means for what was asked for.
    pub(crate) fn so(self, outcome: impl Into<String>) -> CommandError {
        CommandError { outcome: Some(outcome.into()), ..self }
    }
}

impl From<ProxyError> for CommandError {
    fn from(error: ProxyError) -> CommandError {
        let help =
            "correct it, or unset it; what is to be reached without a proxy belongs into NO_PROXY";
        CommandError::usage("could not start", error.to_string(), Some(help))
    }
}

impl From<RequestError> for CommandError {
    fn from(error: RequestError) -> CommandError {
        let Failure { message, help, .. } = Failure::new(Side::Local, "", &error.into());
        CommandError::failed("could not start", message, help.as_deref())
    }
}
