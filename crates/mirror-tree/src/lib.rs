//! The parser: a folder of one-line Dockerfiles into entries and diagnostics.
//!
//! [`read`] walks a tree and returns everything it understood together with everything that is wrong with the
//! rest, sorted. [`parse`] does one file, from bytes. The format is described in `images/README.md`.

mod bots;
mod diagnostic;
mod dockerfile;
mod line;
mod read;
mod rules;

pub use bots::{Untracked, untracked};
pub use diagnostic::{Code, Fix, Severity, TreeDiagnostic};
pub use dockerfile::{FromLine, MAX_BYTES, MAX_LINES, Parsed, parse};
pub use read::{Entry, Tree, is_dockerfile_name, is_free, read};
pub use rules::Rules;
