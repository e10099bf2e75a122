//! Diagnostics for people: with the lines concerned.

use annotate_snippets::renderer::DecorStyle;
use annotate_snippets::{AnnotationKind, Group, Level as Shown, Origin, Renderer, Snippet};
use mirror_failure::count;
use mirror_plan::report::{Diagnostic, Diagnostics, Level};

/// Everything that `mirror check` found, and what it adds up to.
///
/// ```
/// use mirror_plan::report::Diagnostics;
///
/// let found = Diagnostics { format_version: 1, entries: 3, diagnostics: Vec::new() };
/// let text = mirror_render::people::render_diagnostics(&found);
/// assert_eq!(text, "3 images are good, 0 errors, 0 warnings\n");
/// ```
pub fn render_diagnostics(found: &Diagnostics) -> String {
    let mut out: String = found.diagnostics.iter().map(render_diagnostic).collect();
    let (errors, warnings) = (found.count(Level::Error), found.count(Level::Warning));
    let fixable = found.diagnostics.iter().filter(|diagnostic| diagnostic.fixable).count();
    let good = match found.entries {
        1 => "1 image is".to_owned(),
        entries => format!("{entries} images are"),
    };
    let (errors, warnings) = (count(errors as u64, "error"), count(warnings as u64, "warning"));
    out += &format!("{good} good, {errors}, {warnings}");
    if fixable > 0 {
        out += &format!("; `mirror check --fix` corrects {fixable}");
    }
    out + "\n"
}

/// A diagnostic with the lines concerned.
///
/// ```
/// use mirror_plan::report::Diagnostic;
/// use mirror_render::people::render_diagnostic;
///
/// let text = render_diagnostic(&Diagnostic::of_unused_glob("images/mirror.toml", "quay.io/**"));
/// assert!(text.contains("`match = \"quay.io/**\"` matches no image of the tree"));
/// ```
pub fn render_diagnostic(diagnostic: &Diagnostic) -> String {
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
        None => Group::with_title(title).element(Origin::path(diagnostic.file.as_str())),
    };
    if let Some(help) = &diagnostic.help {
        group = group.element(Shown::HELP.message(help.as_str()));
    }
    Renderer::styled().decor_style(DecorStyle::Ascii).render(&[group]) + "\n\n"
}
