//! CI systems: how each shows what is wrong beside the lines, and how much its summaries take.

use std::fmt::Write as _;

use mirror_plan::report::{Diagnostics, Level};

/// A CI system, with the dialect that it understands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum System {
    /// GitHub Actions.
    GitHub,
    /// None, or one that understands nothing but text.
    None,
}

/// What a step may add to the summary of its job in GitHub Actions, of which it has 1 MiB:
/// <https://docs.github.com/en/actions/reference/workflows-and-actions/workflow-commands#adding-a-job-summary>. Most
/// characters are one byte; an arrow is three.
const GITHUB_SUMMARY: usize = 300_000;

impl System {
    /// What shows these diagnostics beside the lines; nothing, where there is no such thing. GitHub takes ten of a kind from
    /// a step, and drops the rest: <https://docs.github.com/en/actions/reference/limits>.
    ///
    /// ```
    /// use mirror_plan::report::Diagnostics;
    /// use mirror_render::ci::System;
    ///
    /// assert_eq!(System::GitHub.annotations(&Diagnostics::default()).unwrap(), "");
    /// assert_eq!(System::None.annotations(&Diagnostics::default()), None);
    /// ```
    pub fn annotations(self, diagnostics: &Diagnostics) -> Option<String> {
        match self {
            System::GitHub => Some(workflow_commands(diagnostics)),
            System::None => None,
        }
    }

    /// How many characters the summary of a step may have; nothing, where there is none.
    ///
    /// ```
    /// use mirror_render::ci::System;
    ///
    /// assert!(System::GitHub.summary_budget().is_some() && System::None.summary_budget().is_none());
    /// ```
    pub fn summary_budget(self) -> Option<usize> {
        match self {
            System::GitHub => Some(GITHUB_SUMMARY),
            System::None => None,
        }
    }

    /// The parts of a plan as a matrix of jobs, for whoever splits the work; on one line.
    ///
    /// ```
    /// use mirror_render::ci::System;
    ///
    /// let matrix = System::GitHub.matrix(&["1/2".to_owned(), "2/2".to_owned()]);
    /// assert_eq!(matrix, "{\"shard\":[\"1/2\",\"2/2\"]}\n");
    /// ```
    pub fn matrix(self, shards: &[String]) -> String {
        // The one that all systems we know read: an object with a list.
        format!("{}\n", serde_json::json!({ "shard": shards }))
    }
}

/// Workflow commands:
/// <https://docs.github.com/en/actions/reference/workflow-commands-for-github-actions#setting-an-error-message>.
fn workflow_commands(diagnostics: &Diagnostics) -> String {
    let mut out = String::new();
    for diagnostic in &diagnostics.diagnostics {
        let level = if diagnostic.severity == Level::Error { "error" } else { "warning" };
        let _ = write!(out, "::{level} file={}", property(&diagnostic.file));
        if let Some(at) = diagnostic.position {
            let _ = write!(out, ",line={},endLine={},col={}", at.line, at.end_line, at.column);
            // GitHub wants the end column on one line only, and inclusive.
            if at.line == at.end_line && at.end_column > at.column {
                let _ = write!(out, ",endColumn={}", at.end_column - 1);
            }
        }
        let help = diagnostic.help.iter().map(|help| format!("\nhelp: {help}")).collect::<String>();
        let text = data(&format!("{}{help}", diagnostic.message));
        let _ = writeln!(out, ",title={}::{text}", property(&diagnostic.code));
    }
    out
}

/// The text behind `::`.
fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

/// The value of a property.
fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use mirror_plan::report::{Diagnostic, Position};

    use super::*;

    #[test]
    fn workflow_commands_are_escaped() {
        let diagnostic = Diagnostic {
            severity: Level::Error,
            code: "bad-reference".into(),
            file: "images/localhost:5000/a,b/Dockerfile".into(),
            position: Some(Position { line: 2, column: 6, end_line: 2, end_column: 9 }),
            message: "100% wrong\r\n::error::injected".into(),
            help: Some("mend it".into()),
            fixable: false,
            excerpt: None,
        };
        let diagnostics = Diagnostics { diagnostics: vec![diagnostic], ..Diagnostics::default() };
        assert_eq!(
            workflow_commands(&diagnostics),
            "::error file=images/localhost%3A5000/a%2Cb/Dockerfile,line=2,endLine=2,col=6,endColumn=8,title=bad-reference::100%25 wrong%0D%0A::error::injected%0Ahelp: mend it\n"
        );
    }
}
