//! Globs over names.

use globset::{GlobBuilder, GlobMatcher};

/// A glob over names whose parts are divided by `/`: `*` stops there, `**` doesn't.
#[derive(Debug, Clone)]
pub(crate) struct Glob(GlobMatcher);

impl Glob {
    /// Whether it matches all of a name.
    pub(crate) fn matches(&self, name: &str) -> bool {
        self.0.is_match(name)
    }

    /// As it was written.
    pub(crate) fn as_str(&self) -> &str {
        self.0.glob().glob()
    }
}

impl std::str::FromStr for Glob {
    type Err = String;

    fn from_str(text: &str) -> Result<Glob, String> {
        let glob = GlobBuilder::new(text).literal_separator(true).build();
        glob.map(|glob| Glob(glob.compile_matcher())).map_err(|error| error.kind().to_string())
    }
}

impl PartialEq for Glob {
    fn eq(&self, other: &Glob) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for Glob {}
