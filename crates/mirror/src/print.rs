//! Printing: data to standard output, everything else to standard error. Where nobody listens, there is nobody to
//! tell, and a copy goes on without its messages.

use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, Ordering};

use annotate_snippets::renderer::DecorStyle;
use annotate_snippets::{AnnotationKind, Group, Level as Shown, Renderer, Snippet};
use mirror_plan::report::{Diagnostic, Diagnostics, Level};
use serde::Serialize;

use crate::environment;
use crate::error::{CommandError, Problem};
use crate::exit::Exit;

/// Whether data was lost on its way to whoever asked for it.
static LOST: AtomicBool = AtomicBool::new(false);

/// Prints data. Colours go only to a terminal. A reader that has heard enough is no failure, a full disk is.
pub(crate) fn data(text: &str) {
    let mut out = anstream::stdout();
    let written = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    if let Err(why) = written
        && why.kind() != io::ErrorKind::BrokenPipe
        && !LOST.swap(true, Ordering::Relaxed)
    {
        error("could not print", &why.to_string(), Some("make room where the output goes"));
    }
}

/// How a command really ended: one whose output is lost has failed.
pub(crate) fn told(exit: Exit) -> Exit {
    if exit == Exit::Done && LOST.load(Ordering::Relaxed) { Exit::Failed } else { exit }
}

/// Prints data as JSON.
pub(crate) fn json(value: &impl Serialize) {
    let text = serde_json::to_string_pretty(value).unwrap_or_else(|error| format!("\"{error}\""));
    data(&format!("{text}\n"));
}

/// Prints a message that is not data.
pub(crate) fn message(text: &str) {
    let _ = anstream::stderr().write_all(format!("{text}\n").as_bytes());
}

/// Prints a message that is not data, if there is one.
pub(crate) fn note(text: Option<impl AsRef<str>>) {
    if let Some(text) = text {
        message(text.as_ref());
    }
}

/// Adds to the summary of the step, where GitHub Actions shows one.
pub(crate) fn step_summary(text: impl FnOnce() -> String) {
    let Some(file) = environment::step_summary() else { return };
    let opened = std::fs::OpenOptions::new().append(true).create(true).open(&file);
    let written = opened.and_then(|mut file| file.write_all(text().as_bytes()));
    if let Err(why) = written {
        message(&format!("could not write the summary of the step, {}: {why}", file.display()));
    }
}

/// Shows diagnostics beside the files, where GitHub Actions does that. It takes ten of a kind from a step, and drops the
/// rest: <https://docs.github.com/en/actions/reference/limits>.
pub(crate) fn annotations(diagnostics: impl FnOnce() -> Diagnostics) {
    if environment::in_github_actions() {
        message(diagnostics().render_github().trim_end());
    }
}

/// Prints an error in the usual form.
pub(crate) fn error(what: &str, cause: &str, help: Option<&str>) {
    let help = help.map(|help| format!("\n  help: {help}")).unwrap_or_default();
    message(&format!("\u{1b}[1m\u{1b}[31merror\u{1b}[0m: {what}\n  caused by: {cause}{help}"));
}

/// Says why a command ends.
pub(crate) fn command_error(said: &CommandError) {
    problems(&said.problems);
    if let Some(outcome) = said.outcome {
        message(outcome);
    }
}

/// Says what is in the way.
pub(crate) fn problems(problems: &[Problem]) {
    for problem in problems {
        match problem {
            Problem::Error { what, cause, help } => error(what, cause, help.as_deref()),
            Problem::Diagnostic(one) => message(diagnostic(one).trim_end()),
        }
    }
}

/// A diagnostic with the lines concerned.
pub(crate) fn diagnostic(diagnostic: &Diagnostic) -> String {
    let level = match diagnostic.severity {
        Level::Error => Shown::ERROR,
        Level::Warning => Shown::WARNING,
    };
    let title = level.primary_title(diagnostic.message.as_str()).id(diagnostic.code.as_str());
    let mut group = match &diagnostic.excerpt {
        Some((text, span)) => {
            let snippet = Snippet::source(&**text).path(diagnostic.file.as_str());
            title.element(snippet.annotation(AnnotationKind::Primary.span(span.clone())))
        }
        None => Group::with_title(title)
            .element(annotate_snippets::Origin::path(diagnostic.file.as_str())),
    };
    if let Some(help) = &diagnostic.help {
        group = group.element(Shown::HELP.message(help.as_str()));
    }
    Renderer::styled().decor_style(DecorStyle::Ascii).render(&[group]) + "\n\n"
}
