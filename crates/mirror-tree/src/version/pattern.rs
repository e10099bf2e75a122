//! Regular expressions of ours.

use std::sync::LazyLock;

use regex_lite::Regex;

/// A pattern that is compiled when it is first used. A test proves that each is valid.
pub(super) struct Pattern(LazyLock<Option<Regex>>);

impl Pattern {
    pub(super) const fn new(make: fn() -> Option<Regex>) -> Pattern {
        Pattern(LazyLock::new(make))
    }

    pub(super) fn get(&self) -> Option<&Regex> {
        self.0.as_ref()
    }

    pub(super) fn is_match(&self, text: &str) -> bool {
        self.get().is_some_and(|pattern| pattern.is_match(text))
    }
}

macro_rules! pattern {
    ($text:expr) => {
        $crate::version::pattern::Pattern::new(|| regex_lite::Regex::new($text).ok())
    };
}
pub(super) use pattern;
