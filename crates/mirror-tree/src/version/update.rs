//! What a bot proposes.

use std::fmt;

/// A kind of update, as the bots call it.
///
/// ```
/// use mirror_tree::version::Update;
///
/// assert_eq!((Update::Minor.as_str(), Update::Minor.keeps()), ("minor", 1));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Update {
    /// The third number of a version, or a later one.
    Patch,
    /// Its second number.
    Minor,
    /// Its first number.
    Major,
    /// The digest of a tag that was pushed again.
    Digest,
}

impl Update {
    /// Those of a version with so many numbers.
    pub(super) fn of(numbers: usize) -> Vec<Update> {
        match numbers {
            0 => vec![],
            1 => vec![Update::Major],
            2 => vec![Update::Minor, Update::Major],
            _ => vec![Update::Patch, Update::Minor, Update::Major],
        }
    }

    /// How many of the first numbers stay as they are; all of them with a digest.
    pub fn keeps(self) -> usize {
        match self {
            Update::Major => 0,
            Update::Minor => 1,
            Update::Patch => 2,
            Update::Digest => usize::MAX,
        }
    }

    /// The name that both bots use.
    pub fn as_str(self) -> &'static str {
        match self {
            Update::Patch => "patch",
            Update::Minor => "minor",
            Update::Major => "major",
            Update::Digest => "digest",
        }
    }
}

impl fmt::Display for Update {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
