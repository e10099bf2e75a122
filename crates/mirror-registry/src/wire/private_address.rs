//! Names that lead to private addresses only.

use std::fmt;

/// A name has private addresses only.
#[derive(Debug)]
pub(crate) struct PrivateAddress(pub(crate) String);

impl fmt::Display for PrivateAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} has private addresses only", self.0)
    }
}

impl std::error::Error for PrivateAddress {}
