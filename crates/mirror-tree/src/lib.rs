//! The parser: a folder of one-line Dockerfiles into entries and diagnostics.
//!
//! [`read`] walks a tree and returns everything it understood together with everything that is wrong with the
//! rest, sorted. [`parse`] does one file, from bytes. The format is described in `images/README.md`.

mod diagnostic;
mod dockerfile;
mod folder;
mod judge;
mod line;
mod names;
mod read;
mod rules;
mod untracked;
pub mod version;

pub use diagnostic::{Code, Fix, Severity, TreeDiagnostic};
pub use dockerfile::{FromLine, MAX_BYTES, MAX_LINES, Parsed, parse};
pub use folder::{folder_allows, folder_keep};
pub use names::{is_docker_hub_alias, look_alike, of_web_page};
pub use read::{Entry, Tree, is_dockerfile_name, is_free, read};
pub use rules::{Bot, Bots, Rules};
pub use untracked::{Untracked, fixed_part, is_unique, untracked};
