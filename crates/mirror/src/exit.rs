//! Exit codes: part of the interface, so there is one list.

use std::process::ExitCode;

use mirror_plan::report::Ending;

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Everything that was asked for is done.
    Done = 0,
    /// An action or a look-up failed.
    Failed = 1,
    /// Usage, configuration or tree.
    Usage = 2,
    /// Changes are pending (`plan --exit-code`).
    Pending = 3,
    /// Wants exclude each other.
    Conflict = 4,
    /// A saved plan that is not for this tree, or whose destinations have moved.
    Stale = 5,
    /// Some images wait for a limit on pulls or requests.
    Deferred = 6,
    /// Stopped by Ctrl-C.
    Interrupted = 130,
}

/// The exit codes, for `--help`.
pub(crate) const TABLE: &str = "\
Exit codes:
  0    done
  1    an action or a look-up failed
  2    usage, configuration or tree error
  3    changes are pending, where asked for: --exit-code, --check
  4    conflict: entries that cannot both be satisfied
  5    stale: a saved plan that does not match the tree, or whose destinations have moved
  6    deferred: a registry's limit on pulls or requests is used up
  130  interrupted";

impl From<Ending> for Exit {
    fn from(ending: Ending) -> Exit {
        match ending {
            Ending::Interrupted => Exit::Interrupted,
            Ending::Failed => Exit::Failed,
            Ending::Stale => Exit::Stale,
            Ending::Conflict => Exit::Conflict,
            Ending::Deferred => Exit::Deferred,
            Ending::Pending => Exit::Pending,
            Ending::Done => Exit::Done,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit as u8)
    }
}
