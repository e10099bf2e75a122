//! Exit codes: part of the interface, so there is one list.

use std::process::ExitCode;

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Everything is done.
    Done = 0,
    /// An action failed.
    Failed = 1,
    /// Usage, configuration or tree.
    Usage = 2,
    /// Changes are pending (`plan --exit-code`).
    Pending = 3,
    /// Wants exclude each other.
    Conflict = 4,
    /// Stopped by Ctrl-C.
    Interrupted = 130,
}

/// For `--help`. Codes 5 and 6 are spoken for: stale plan, deferred by a rate limit.
pub(crate) const TABLE: &str = "\
Exit codes:
  0    done
  1    an action or a look-up failed
  2    usage, configuration or tree error
  3    changes are pending (plan --exit-code)
  4    conflict: wants that exclude each other
  130  interrupted";

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit as u8)
    }
}
