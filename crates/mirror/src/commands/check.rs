//! `mirror check`

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

use mirror_plan::{Findings, Level, count};
use mirror_tree::{Diagnostic, Fix};

use crate::cli::{Check, CheckFormat};
use crate::exit::Exit;
use crate::load::{Loaded, load};
use crate::print;

/// A correction can uncover the next one; more rounds than this are a mistake of ours.
const MOST_ROUNDS: usize = 8;

pub(crate) fn run(images: Option<&Path>, command: &Check) -> Exit {
    let mut loaded = load(images);
    if command.fix {
        for _ in 0..MOST_ROUNDS {
            match fix(&loaded) {
                Ok(0) => break,
                Ok(_) => loaded = load(images),
                Err(exit) => return exit,
            }
        }
    }
    let findings = &loaded.findings;
    match command.format {
        CheckFormat::Text => text(findings),
        CheckFormat::Json => print::json(findings),
        CheckFormat::Github => print::data(&findings.render_github()),
    }
    let errors = findings.findings.iter().filter(|finding| finding.severity == Level::Error);
    match errors.map(|finding| finding.code == "conflict").reduce(|all, one| all && one) {
        None => Exit::Done,
        Some(true) => Exit::Conflict,
        Some(false) => Exit::Usage,
    }
}

fn text(findings: &Findings) {
    findings.findings.iter().for_each(|finding| print::data(&print::finding(finding)));
    let (errors, warnings) = (findings.count(Level::Error), findings.count(Level::Warning));
    let fixable = findings.findings.iter().filter(|finding| finding.fixable).count();
    let mut summary = format!(
        "{} good, {}, {}",
        if findings.entries == 1 {
            "1 image is".to_owned()
        } else {
            format!("{} images are", findings.entries)
        },
        count(errors as u64, "error"),
        count(warnings as u64, "warning")
    );
    if fixable > 0 {
        summary += &format!("; `mirror check --fix` corrects {fixable}");
    }
    print::data(&format!("{summary}\n"));
}

/// Applies one correction to each file concerned, and says how many files that were.
fn fix(loaded: &Loaded) -> Result<usize, Exit> {
    let mut by_file: BTreeMap<&str, Vec<&Diagnostic>> = BTreeMap::new();
    for diagnostic in loaded.diagnostics.iter().filter(|diagnostic| diagnostic.fix.is_some()) {
        by_file.entry(&diagnostic.file).or_default().push(diagnostic);
    }
    let mut fixed = 0;
    for (file, diagnostics) in by_file {
        // A line is corrected before the file moves: the move depends on what the line says.
        let replace = diagnostics.iter().rev().find(|d| matches!(d.fix, Some(Fix::Replace { .. })));
        let Some(diagnostic) = replace.or(diagnostics.first()) else { continue };
        let outcome = match diagnostic.fix.as_ref() {
            Some(Fix::Replace { span, text }) => replace_in(loaded, diagnostic, span.clone(), text),
            Some(Fix::Move(to)) => move_to(loaded, file, to),
            None => continue,
        };
        match outcome {
            Ok(done) => fixed += usize::from(done),
            Err(error) => {
                let what = format!("could not correct {}", loaded.images.join(file).display());
                print::error(&what, &error.to_string(), Some("correct it by hand"));
                return Err(Exit::Failed);
            }
        }
    }
    Ok(fixed)
}

fn replace_in(
    loaded: &Loaded,
    diagnostic: &Diagnostic,
    span: std::ops::Range<usize>,
    text: &str,
) -> io::Result<bool> {
    let path = loaded.images.join(&diagnostic.file);
    let mut content = fs::read_to_string(&path)?;
    // Somebody may have changed the file since it was read.
    if diagnostic.source.as_deref() != Some(content.as_str()) || content.get(span.clone()).is_none()
    {
        return Err(io::Error::other("the file changed in the meantime"));
    }
    content.replace_range(span, text);
    let parent = path.parent().unwrap_or(Path::new("."));
    let temporary = parent
        .join(format!(".{}.mirror-fix", path.file_name().unwrap_or_default().to_string_lossy()));
    fs::write(&temporary, content)?;
    fs::rename(&temporary, &path)?;
    print::message(&format!("corrected {}: {}", path.display(), diagnostic.code));
    Ok(true)
}

/// Moves a file to a place that is still free. Two files may want the same one: the second stays.
fn move_to(loaded: &Loaded, file: &str, to: &str) -> io::Result<bool> {
    let (from, to) = (loaded.images.join(file), loaded.images.join(to));
    if let Some(parent) = to.parent() {
        fs::create_dir_all(parent)?;
    }
    // A hard link refuses to overwrite, a rename doesn't.
    match fs::hard_link(&from, &to) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(false),
        outcome => outcome?,
    }
    fs::remove_file(&from)?;
    // What is empty now would not be in Git either.
    for folder in from.ancestors().skip(1).take_while(|folder| *folder != loaded.images) {
        if fs::remove_dir(folder).is_err() {
            break;
        }
    }
    print::message(&format!("moved {} to {}", from.display(), to.display()));
    Ok(true)
}
