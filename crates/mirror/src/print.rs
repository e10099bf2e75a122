//! Printing: data to standard output, everything else to standard error. Where nobody listens, there is nobody to
//! tell, and a copy goes on without its messages.

use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, Ordering};

use mirror_plan::report::Diagnostics;
use mirror_render::ci::System;
use mirror_render::people::render_diagnostic;
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

/// Adds to the summary of the step, where the CI system shows one; `text` is given how long it may be.
pub(crate) fn step_summary(text: impl FnOnce(usize) -> String) {
    let budget = environment::system().summary_budget();
    let Some((file, budget)) = environment::step_summary().zip(budget) else { return };
    let opened = std::fs::OpenOptions::new().append(true).create(true).open(&file);
    let written = opened.and_then(|mut file| file.write_all(text(budget).as_bytes()));
    if let Err(why) = written {
        message(&format!("could not write the summary of the step, {}: {why}", file.display()));
    }
}

/// Shows diagnostics beside the files, where the CI system does that.
pub(crate) fn annotations(diagnostics: impl FnOnce() -> Diagnostics) {
    let system = environment::system();
    if system != System::None {
        note(system.annotations(&diagnostics()).map(|text| text.trim_end().to_owned()));
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
    if let Some(outcome) = &said.outcome {
        message(outcome);
    }
}

/// Says what is in the way.
pub(crate) fn problems(problems: &[Problem]) {
    for problem in problems {
        match problem {
            Problem::Error { what, cause, help } => error(what, cause, help.as_deref()),
            Problem::Diagnostic(one) => message(render_diagnostic(one).trim_end()),
        }
    }
}
