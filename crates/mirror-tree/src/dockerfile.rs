//! One file: from bytes to the image it names, or to what is wrong with it.
//!
//! Grammar and positions of the `FROM` line come from dockerfile-parser. It is only shown what it handles well:
//! at most 4 KiB and 64 lines (5,000 continuation lines overflow its stack), comments and `FROM` lines only, and
//! `_` for `@`, because it judges digests itself and knows neither SHA-512 nor where in the line the mistake is, and
//! for the brackets of IPv6 addresses, which it takes for no image at all.

use std::ops::Range;
use std::sync::Arc;

use dockerfile_parser::{Dockerfile, FromInstruction, Instruction};
use mirror_oci::{Name, Platform, Reference, ReferenceError, ReferenceErrorKind, Version};

use crate::diagnostic::{Code, Fix, TreeDiagnostic};
use crate::line::{
    escape, first_len, first_word, instructions, looks_like_from, lowered, unquoted, words,
};
use crate::names::of_web_page;
use crate::rules::Rules;

/// Largest file that is parsed. An entry is one line; 4 KiB leaves room for comments.
pub const MAX_BYTES: usize = 4096;
/// Most lines that are parsed.
pub const MAX_LINES: usize = 64;

/// What a good `FROM` line says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FromLine {
    /// Registry and repository, fully spelled.
    pub name: Name,
    /// The tag, the digest, or both.
    pub version: Version,
    /// The one platform to mirror, if not all.
    pub platform: Option<Platform>,
    /// Where the reference stands in the file, in bytes.
    pub span: Range<usize>,
}

/// What came of one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parsed {
    /// The image, unless a problem stands in the way.
    pub from: Option<FromLine>,
    /// The text, where the bytes are text.
    pub text: Option<Arc<str>>,
    /// What is wrong, in the order of the file.
    pub diagnostics: Vec<TreeDiagnostic>,
}

/// Parses the file at `file`, a path relative to the tree that appears in the diagnostics.
///
/// ```
/// use mirror_tree::{Code, Rules, parse};
///
/// let parsed = parse("quay.io/app/Dockerfile", b"FROM quay.io/app:1.2\n", &Rules::default());
/// let from = parsed.from.ok_or("it is a good file")?;
/// assert_eq!((from.name.to_string(), from.span), ("quay.io/app".to_owned(), 5..20));
///
/// let wrong = parse("quay.io/app/Dockerfile", b"FROM quay.io/App:1.2\n", &Rules::default());
/// assert_eq!(wrong.diagnostics.first().map(|found| found.code), Some(Code::UpperCase));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn parse(file: &str, bytes: &[u8], rules: &Rules) -> Parsed {
    let mut notes = Notes { file, text: None, found: Vec::new() };
    let from = notes.guard(bytes).and_then(|text| {
        let start = notes.byte_order_mark(&text);
        let line = notes.scan(&text, start)?;
        notes.image(&text, line, rules)
    });
    notes.found.sort_by_key(|diagnostic| diagnostic.span.as_ref().map_or(0, |span| span.start));
    Parsed { from, text: notes.text, diagnostics: notes.found }
}

/// Collects what is found in one file.
pub(crate) struct Notes<'a> {
    file: &'a str,
    text: Option<Arc<str>>,
    found: Vec<TreeDiagnostic>,
}

impl Notes<'_> {
    pub(crate) fn add(
        &mut self,
        code: Code,
        span: Option<Range<usize>>,
        message: impl Into<String>,
    ) -> &mut TreeDiagnostic {
        self.found.push(TreeDiagnostic {
            code,
            file: self.file.to_owned(),
            source: self.text.clone(),
            span,
            message: message.into(),
            help: None,
            fix: None,
        });
        let last = self.found.len() - 1;
        #[expect(clippy::indexing_slicing, reason = "the element was pushed three lines above")]
        &mut self.found[last]
    }

    /// Size and encoding; what passes is safe to parse.
    fn guard(&mut self, bytes: &[u8]) -> Option<Arc<str>> {
        if bytes.len() > MAX_BYTES {
            let message =
                format!("this file is larger than {MAX_BYTES} bytes; an entry is one FROM line");
            self.add(Code::FileTooLarge, None, message).help =
                Some("keep the FROM line and delete the rest".into());
            return None;
        }
        if let Some(at) = bytes.iter().position(|byte| *byte == 0) {
            self.add(
                Code::NulByte,
                None,
                format!("this file has a NUL byte (byte {at}), it is not a text"),
            )
            .help = Some("save it as UTF-8; UTF-16 editors write NUL bytes".into());
            return None;
        }
        let text: Arc<str> = match std::str::from_utf8(bytes) {
            Ok(text) => text.into(),
            Err(error) => {
                let at = error.valid_up_to();
                let message = format!(
                    "this file is not UTF-8 (byte {at}); one such file stops all of Dependabot's updates"
                );
                self.add(Code::NotUtf8, None, message).help = Some("save it as UTF-8".into());
                return None;
            }
        };
        self.text = Some(text.clone());
        let lines = text.lines().count();
        if lines > MAX_LINES {
            let message = format!(
                "this file has {lines} lines, more than {MAX_LINES}; an entry is one FROM line"
            );
            self.add(Code::TooManyLines, None, message).help =
                Some("keep the FROM line and delete the rest".into());
            return None;
        }
        Some(text)
    }

    /// Where the text starts behind a byte order mark.
    fn byte_order_mark(&mut self, text: &str) -> usize {
        const MARK: &str = "\u{feff}";
        if !text.starts_with(MARK) {
            return 0;
        }
        let problem = self.add(
            Code::ByteOrderMark,
            Some(0..MARK.len()),
            "this file starts with a byte order mark, which some tools take for a part of the first word",
        );
        problem.help = Some("save it as UTF-8 without byte order mark".into());
        problem.fix = Some(Fix::Replace { span: 0..MARK.len(), text: String::new() });
        MARK.len()
    }

    /// Finds the one `FROM` line; anything else but comments is a problem.
    fn scan(&mut self, text: &str, start: usize) -> Option<Range<usize>> {
        let lines = instructions(text, start);
        let word = |line: &Range<usize>| first_word(text.get(line.clone()).unwrap_or(""));
        let is_from = |line: &Range<usize>| word(line).eq_ignore_ascii_case("from");
        let mut others = lines.iter().filter(|line| !is_from(line));
        if let Some(other) = others.next() {
            self.other_instruction(word(other), other.clone(), others.count());
        }
        let froms: Vec<_> = lines.iter().filter(|line| is_from(line)).cloned().collect();
        match froms.as_slice() {
            [] if self.found.iter().any(|d| d.code == Code::MisspelledFrom) => {}
            [] => {
                self.add(Code::NoFrom, None, "this file has no FROM line").help =
                    Some("write one line such as `FROM postgres:14.2`, or delete the file".into());
            }
            [_] => {}
            [_, second, ..] => {
                let message = format!(
                    "{} FROM lines in one file; mirrored images are never built",
                    froms.len()
                );
                self.add(Code::SeveralFrom, Some(second.clone()), message).help =
                    Some("give each image a folder of its own".into());
            }
        }
        if froms.len() == 1 { froms.into_iter().next() } else { None }
    }

    fn other_instruction(&mut self, word: &str, line: Range<usize>, more: usize) {
        let span = line.start..line.start + word.len();
        if looks_like_from(word) {
            let message = format!("`{word}` is not an instruction of Dockerfiles");
            self.add(Code::MisspelledFrom, Some(span), message).help =
                Some("did you mean `FROM `?".into());
            return;
        }
        let more = match more {
            0 => String::new(),
            1 => " (and one more line)".to_owned(),
            n => format!(" (and {n} more lines)"),
        };
        let message = format!(
            "`{word}` can't be mirrored{more}: a copy has the bytes of its source, nothing is built"
        );
        self.add(Code::OtherInstruction, Some(span), message).help =
            Some("keep the FROM line only".into());
    }

    /// Everything about the `FROM` line itself.
    fn image(&mut self, text: &str, line: Range<usize>, rules: &Rules) -> Option<FromLine> {
        let content = text.get(line.clone())?;
        self.indentation(text, &line);
        if let Some(at) = content.find(escape(text.trim_start_matches('\u{feff}'))) {
            let at = line.start + at;
            self.add(
                Code::LineContinuation,
                Some(at..at + 1),
                "the FROM line continues on the next line, which Dependabot and Renovate do not read",
            )
            .help = Some("write FROM and the reference on one line".into());
            return None;
        }
        let Some(from) = self.grammar(text, &line) else {
            self.malformed(text, &line);
            return None;
        };
        let platform = self.flags(&from);
        let span = from.image.span.start..from.image.span.end;
        let written = text.get(span.clone())?;
        let reference = self.reference(written, &span)?;
        let version = self.version(&reference, &span, rules)?;
        self.registry(&reference, written, &span, rules);
        self.untracked(&reference, written, &span, rules);
        Some(FromLine { name: reference.name, version, platform: platform?, span })
    }

    fn indentation(&mut self, text: &str, line: &Range<usize>) {
        let before = text.get(..line.start).unwrap_or("");
        let start = before
            .rfind(['\n', '\u{feff}'])
            .map_or(0, |at| at + before.get(at..).map_or(1, first_len));
        if start == line.start {
            return;
        }
        let span = start..line.start;
        let problem = self.add(
            Code::IndentedFrom,
            Some(span.clone()),
            "space in front of FROM hides the line from Dependabot",
        );
        problem.help = Some("start the line with FROM".into());
        problem.fix = Some(Fix::Replace { span, text: String::new() });
    }

    /// What dockerfile-parser makes of the line; the rest of the file is blanked so that positions stay.
    fn grammar(&self, text: &str, line: &Range<usize>) -> Option<FromInstruction> {
        let content = text.get(line.clone())?.replace(['@', '[', ']'], "_");
        let masked = " ".repeat(line.start) + &content;
        let dockerfile = Dockerfile::parse(&masked).ok()?;
        match dockerfile.instructions.into_iter().next()? {
            Instruction::From(from) => Some(from),
            _ => None,
        }
    }

    /// A line that starts with FROM and goes wrong after it.
    fn malformed(&mut self, text: &str, line: &Range<usize>) {
        let content = text.get(line.clone()).unwrap_or("");
        let mut words = words(content).skip_while(|(at, word)| *at == 0 || word.starts_with("--"));
        let Some((at, image)) = words.next() else {
            self.add(Code::Syntax, Some(line.clone()), "FROM names no image").help =
                Some("write a reference with a tag, such as `FROM postgres:14.2`".into());
            return;
        };
        let span = line.start + at..line.start + at + image.len();
        if let Some(bare) = unquoted(image) {
            let problem =
                self.add(Code::QuotedReference, Some(span.clone()), "the reference is in quotes");
            problem.help = Some(format!("write it without: `FROM {bare}`"));
            problem.fix = certain(bare).then(|| Fix::Replace { span, text: bare.to_owned() });
            return;
        }
        let Some((rest, _)) = words.next() else {
            // The parser's own idea of what may stand in a reference; ours says which character is wrong.
            if self.reference(image, &span).is_some() {
                self.add(Code::Syntax, Some(line.clone()), "this is not the syntax of a FROM line");
            }
            return;
        };
        let rest = line.start + rest..line.end;
        let help = if content.contains('#') {
            "put the comment on a line of its own"
        } else if content.contains("--platform ") {
            "write `--platform=os/architecture`"
        } else {
            "write `FROM reference`, optionally with `--platform=os/architecture` before it and `AS name` behind"
        };
        self.add(Code::Syntax, Some(rest), "this is not the syntax of a FROM line").help =
            Some(help.into());
    }

    /// The platform, if one is set; `None` when a flag is wrong.
    fn flags(&mut self, from: &FromInstruction) -> Option<Option<Platform>> {
        let mut platform = Some(None);
        for flag in &from.flags {
            let span = flag.span.start..flag.span.end;
            if flag.name.content != "platform" || matches!(platform, Some(Some(_))) {
                let message = format!("`--{}` can't stand here", flag.name.content);
                self.add(Code::UnknownFlag, Some(span), message).help = Some(
                    "a FROM line takes one flag: `--platform=os/architecture[/variant]`".into(),
                );
                platform = None;
                continue;
            }
            let value = flag.value.span.start..flag.value.span.end;
            match flag.value.content.parse::<Platform>() {
                Ok(parsed) => platform = Some(Some(parsed)),
                Err(_) if flag.value.content.contains('$') => {
                    self.substitution(value, "remove the flag: all platforms are mirrored");
                    platform = None;
                }
                Err(error) => {
                    self.add(Code::BadPlatform, Some(value), error.to_string()).help =
                        Some("remove the flag to mirror all platforms".into());
                    platform = None;
                }
            }
        }
        platform
    }

    fn substitution(&mut self, span: Range<usize>, help: &str) {
        self.add(
            Code::ArgSubstitution,
            Some(span),
            "variables are not replaced, since nothing is built",
        )
        .help = Some(help.into());
    }

    fn reference(&mut self, written: &str, span: &Range<usize>) -> Option<Reference> {
        if written == "scratch" {
            self.add(
                Code::Scratch,
                Some(span.clone()),
                "`scratch` is not an image, there is nothing to mirror",
            )
            .help = Some("delete the file".into());
            return None;
        }
        if let Some(at) = written.find('$') {
            self.substitution(span.start + at..span.end, "write the value itself");
            return None;
        }
        if let Some(page) = of_web_page(written) {
            let problem =
                self.add(Code::UrlScheme, Some(span.clone()), "this is the address of a web page");
            problem.help = Some(format!("write `FROM {page}`"));
            let fix = Fix::Replace { span: span.clone(), text: page.clone() };
            problem.fix = certain(&page).then_some(fix);
            return None;
        }
        if let Some((scheme, bare)) = written.split_once("://") {
            let bare = bare.to_owned();
            let at = span.start..span.start + scheme.len() + 3;
            let problem = self.add(Code::UrlScheme, Some(at.clone()), "a reference is not a URL");
            problem.help = Some(format!("write `FROM {bare}`"));
            problem.fix = certain(&bare).then_some(Fix::Replace { span: at, text: String::new() });
            return None;
        }
        let parsed = written.parse::<Reference>();
        parsed.map_err(|error| self.bad_reference(written, span, error)).ok()
    }

    fn bad_reference(&mut self, written: &str, span: &Range<usize>, error: ReferenceError) {
        let at = span.start + error.span.start..span.start + error.span.end;
        let code = match error.kind {
            ReferenceErrorKind::UpperCase(_) => Code::UpperCase,
            ReferenceErrorKind::ImageId => Code::ImageId,
            ReferenceErrorKind::Digest(_) | ReferenceErrorKind::Empty("digest") => Code::BadDigest,
            _ => Code::BadReference,
        };
        let lower = lowered(written, &error.span);
        let lower_digest = lower
            .parse::<Reference>()
            .ok()
            .and_then(|_| lower.get(error.span.clone()).map(str::to_owned));
        let problem = self.add(code, Some(at.clone()), error.to_string());
        match code {
            Code::UpperCase => {
                problem.help = Some(format!("write `FROM {lower}`"));
                let replacement = lower.get(error.span).unwrap_or("").to_owned();
                problem.fix = Some(Fix::Replace { span: at, text: replacement });
            }
            Code::BadDigest if lower_digest.is_some() => {
                problem.help = Some("digests are written in lower case".into());
                let replacement = lower_digest.unwrap_or_default();
                problem.fix = Some(Fix::Replace { span: at, text: replacement });
            }
            Code::BadDigest => {
                problem.help = Some("copy the digest whole, or leave it out with its `@`".into())
            }
            Code::ImageId => problem.help = Some("name a repository and a tag".into()),
            _ => {
                problem.help = Some(
                    "the form is `registry/path:tag@sha256:…`, registry and digest optional".into(),
                )
            }
        }
    }
}

/// Whether a corrected reference needs no second look: it is complete.
fn certain(reference: &str) -> bool {
    reference.parse::<Reference>().is_ok_and(|parsed| parsed.version().is_some())
}
