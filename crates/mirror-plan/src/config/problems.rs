//! What is wrong with a configuration, and where.

use std::ops::Range;
use std::str::FromStr;

use toml::Spanned;

use crate::config::glob::Glob;

/// Something wrong with the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigProblem {
    /// The offending bytes of the file, where they are known.
    pub span: Option<Range<usize>>,
    /// What is wrong there.
    pub message: String,
    /// What to do about it, where that is known.
    pub help: Option<String>,
}

/// Collects what is wrong.
pub(crate) struct Problems<'a> {
    pub(crate) found: Vec<ConfigProblem>,
    pub(crate) read: &'a dyn Fn(&str) -> Result<String, String>,
}

impl Problems<'_> {
    pub(crate) fn add(
        &mut self,
        span: Range<usize>,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        self.found.push(ConfigProblem {
            span: Some(span),
            message: message.into(),
            help: Some(help.into()),
        });
    }

    pub(crate) fn glob(&mut self, text: &Spanned<String>) -> Option<Glob> {
        let glob = text.get_ref().parse::<Glob>();
        let problem = |why: String| {
            let message = format!("`{}` is not a glob: {why}", text.get_ref());
            self.add(text.span(), message, "such as docker.io/library/*");
        };
        glob.map_err(problem).ok()
    }

    pub(crate) fn parsed<T: FromStr<Err: std::fmt::Display>>(
        &mut self,
        text: &Spanned<String>,
        help: &str,
    ) -> Option<T> {
        match text.get_ref().parse() {
            Ok(value) => Some(value),
            Err(error) => {
                self.add(text.span(), format!("`{}`: {error}", text.get_ref()), help);
                None
            }
        }
    }
}
