//! Diagnostics: what is wrong with a tree and its configuration, in one shape for all outputs.

use std::ops::Range;
use std::sync::Arc;

use mirror_failure::printable;
use mirror_tree::{Severity, TreeDiagnostic};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::problems::ConfigProblem;
use crate::want::model::Collision;

/// Everything that was found, as `mirror check --format json` prints it.
///
/// ```
/// use mirror_plan::report::{Diagnostic, Diagnostics, Level};
///
/// let found = Diagnostics {
///     diagnostics: vec![Diagnostic::of_unused_glob("images/mirror.toml", "quay.io/**")],
///     ..Diagnostics::default()
/// };
/// assert!(!found.has_errors());
/// assert_eq!(found.count(Level::Warning), 1);
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Diagnostics {
    /// Version of this format; 1.
    pub format_version: u32,
    /// Files that are right.
    pub entries: usize,
    /// What is wrong, sorted by file and position.
    pub diagnostics: Vec<Diagnostic>,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Level,
    /// Which rule: a code of `images/README.md`, `config` or `conflict`.
    pub code: String,
    /// The file, with the folder of the tree in front.
    pub file: String,
    /// Where in the file; none when it is about the file as a whole.
    pub position: Option<Position>,
    /// What is wrong there.
    pub message: String,
    /// What to do about it, where that is known.
    pub help: Option<String>,
    /// Whether `mirror check --fix` corrects it.
    pub fixable: bool,
    /// The text of the file and the bytes to underline.
    #[serde(skip)]
    pub excerpt: Option<(Arc<str>, Range<usize>)>,
}

/// How bad a diagnostic is.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Nothing is mirrored until it is mended.
    Error,
    /// Legal, but somebody will be surprised.
    Warning,
}

/// A place in a file. Lines and columns count from 1, columns in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Position {
    /// The line that it begins on.
    pub line: usize,
    /// The column that it begins at.
    pub column: usize,
    /// Line of the end.
    pub end_line: usize,
    /// Column after the end.
    pub end_column: usize,
}

impl Diagnostics {
    /// Whether anything is an error.
    pub fn has_errors(&self) -> bool {
        self.diagnostics.iter().any(|diagnostic| diagnostic.severity == Level::Error)
    }

    /// How many diagnostics are that bad.
    pub fn count(&self, level: Level) -> usize {
        self.diagnostics.iter().filter(|diagnostic| diagnostic.severity == level).count()
    }
}

impl Diagnostic {
    /// A diagnostic of the tree in the folder `images`.
    ///
    /// ```
    /// use mirror_plan::report::{Diagnostic, Position};
    /// use mirror_tree::{Rules, parse};
    ///
    /// let parsed = parse("quay.io/app/Dockerfile", b"FROM quay.io/app\n", &Rules::default());
    /// let found = parsed.diagnostics.first().ok_or("the tag is missing")?;
    /// let diagnostic = Diagnostic::of_tree("images", found);
    /// assert_eq!(diagnostic.file, "images/quay.io/app/Dockerfile");
    /// assert_eq!(diagnostic.position.map(|at| (at.line, at.column)), Some((1, 6)));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn of_tree(images: &str, found: &TreeDiagnostic) -> Diagnostic {
        let excerpt = found.source.clone().zip(found.span.clone());
        let file = if found.file.is_empty() {
            images.to_owned()
        } else {
            format!("{images}/{}", found.file)
        };
        Diagnostic {
            severity: if found.severity() == Severity::Error {
                Level::Error
            } else {
                Level::Warning
            },
            code: found.code.to_string(),
            file: printable(&file),
            position: excerpt.as_ref().map(|(text, span)| position(text, span)),
            message: printable(&found.message),
            help: found.help.as_deref().map(printable),
            fixable: found.fix.is_some(),
            excerpt,
        }
    }

    /// A problem of the configuration file `file` with the text `text`.
    ///
    /// ```
    /// use mirror_plan::config::Config;
    /// use mirror_plan::report::Diagnostic;
    ///
    /// let text = "[check]\nrequire_digests = true\n";
    /// let problems = Config::parse(text).unwrap_err();
    /// let diagnostic = Diagnostic::of_config("images/mirror.toml", &text.into(), &problems[0]);
    /// assert_eq!(diagnostic.position.map(|at| at.line), Some(2));
    /// ```
    pub fn of_config(file: &str, text: &Arc<str>, problem: &ConfigProblem) -> Diagnostic {
        let excerpt = problem.span.clone().map(|span| (text.clone(), span));
        Diagnostic {
            severity: Level::Error,
            code: "config".to_owned(),
            file: file.to_owned(),
            position: excerpt.as_ref().map(|(text, span)| position(text, span)),
            message: printable(&problem.message),
            help: problem.help.clone(),
            fixable: false,
            excerpt,
        }
    }

    /// An exception of the configuration `file` that is about no image.
    ///
    /// ```
    /// use mirror_plan::report::Diagnostic;
    ///
    /// let diagnostic = Diagnostic::of_unused_glob("images/mirror.toml", "quay.io/**");
    /// assert_eq!(diagnostic.message, "`match = \"quay.io/**\"` matches no image of the tree");
    /// ```
    pub fn of_unused_glob(file: &str, glob: &str) -> Diagnostic {
        Diagnostic {
            severity: Level::Warning,
            code: "config".to_owned(),
            file: file.to_owned(),
            position: None,
            message: format!("`match = \"{}\"` matches no image of the tree", printable(glob)),
            help: Some(
                "globs are matched against names such as docker.io/library/postgres".to_owned(),
            ),
            fixable: false,
            excerpt: None,
        }
    }

    /// A configuration at `file` that nobody reads, since it isn't where it belongs.
    ///
    /// ```
    /// use mirror_plan::report::Diagnostic;
    ///
    /// let diagnostic = Diagnostic::of_unread_config("mirror.toml", "images/mirror.toml");
    /// assert_eq!(diagnostic.help.as_deref(), Some("move it to images/mirror.toml"));
    /// ```
    pub fn of_unread_config(file: &str, belongs: &str) -> Diagnostic {
        Diagnostic {
            severity: Level::Warning,
            code: "config".to_owned(),
            file: printable(file),
            position: None,
            message: "this file is not read: the configuration is in the folder of the tree"
                .to_owned(),
            help: Some(format!("move it to {}", printable(belongs))),
            fixable: false,
            excerpt: None,
        }
    }

    /// A file with certificates that a setting of a registry names, and that is not on this machine.
    ///
    /// ```
    /// use mirror_plan::report::Diagnostic;
    ///
    /// let diagnostic = Diagnostic::of_missing_file("images/mirror.toml", "ca", "~/ca.pem");
    /// assert_eq!(diagnostic.message, "`ca` names ~/ca.pem, which does not exist");
    /// ```
    pub fn of_missing_file(file: &str, setting: &str, path: &str) -> Diagnostic {
        let help = "paths start at the folder that holds the tree, and `~` is not expanded";
        Diagnostic {
            severity: Level::Warning,
            code: "config".to_owned(),
            file: printable(file),
            position: None,
            message: format!("`{setting}` names {}, which does not exist", printable(path)),
            help: Some(help.to_owned()),
            fixable: false,
            excerpt: None,
        }
    }

    /// A collision, shown at the first file concerned.
    ///
    /// ```
    /// use mirror_plan::report::Diagnostic;
    /// use mirror_plan::want::Collision;
    ///
    /// let collision = Collision {
    ///     files: vec!["a/Dockerfile".to_owned(), "b/Dockerfile".to_owned()],
    ///     destination: "prod".to_owned(),
    ///     target: "app:1".to_owned(),
    ///     reason: "two images for one tag".to_owned(),
    /// };
    /// let diagnostic = Diagnostic::of_collision("images", &collision);
    /// assert_eq!(diagnostic.file, "images/a/Dockerfile");
    /// assert_eq!(diagnostic.message, "app:1 at prod: two images for one tag");
    /// ```
    pub fn of_collision(images: &str, collision: &Collision) -> Diagnostic {
        let files: Vec<String> =
            collision.files.iter().map(|file| format!("{images}/{file}")).collect();
        Diagnostic {
            severity: Level::Error,
            code: "conflict".to_owned(),
            file: files.first().map(|file| printable(file)).unwrap_or_default(),
            position: None,
            message: printable(&format!(
                "{} at {}: {}",
                collision.target, collision.destination, collision.reason
            )),
            help: Some(match files.as_slice() {
                [file] => format!("change {file}, or the destination's templates in mirror.toml"),
                files => format!(
                    "change one of {}, or the destination's `repository` or `tag` in mirror.toml",
                    files.join(", ")
                ),
            }),
            fixable: false,
            excerpt: None,
        }
    }
}

fn position(text: &str, span: &Range<usize>) -> Position {
    let (line, column) = line_and_column(text, span.start);
    let (end_line, end_column) = line_and_column(text, span.end);
    Position { line, column, end_line, end_column }
}

fn line_and_column(text: &str, at: usize) -> (usize, usize) {
    let before = text.get(..at).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let start = before.rfind('\n').map_or(0, |newline| newline + 1);
    (line, before.get(start..).unwrap_or("").chars().count() + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions() {
        let text = "# é\r\nFROM ü:1\n";
        assert_eq!(
            position(text, &(11..13)),
            Position { line: 2, column: 6, end_line: 2, end_column: 7 }
        );
        assert_eq!(
            position(text, &(0..text.len())),
            Position { line: 1, column: 1, end_line: 3, end_column: 1 }
        );
        assert_eq!(position("", &(0..0)).line, 1);
    }
}
