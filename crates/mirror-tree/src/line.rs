//! Lines and words of a Dockerfile, as far as they are looked at before dockerfile-parser sees them.

use std::ops::Range;

/// The lines that are neither blank nor comment, without surrounding space, joined where a backslash continues them.
pub(crate) fn instructions(text: &str, start: usize) -> Vec<Range<usize>> {
    let escape = escape(text.get(start..).unwrap_or(""));
    let mut found: Vec<Range<usize>> = Vec::new();
    let mut at = start;
    let mut continued = false;
    let mut heredoc: Option<String> = None;
    for line in text.get(start..).unwrap_or("").split_inclusive('\n') {
        let content = line.trim();
        let from = at + line.len() - line.trim_start().len();
        at += line.len();
        // The lines of a heredoc are nobody's instructions, whatever they begin with.
        if let Some(end) = heredoc.take() {
            heredoc = Some(end).filter(|end| content != end);
            continue;
        }
        if content.is_empty() || content.starts_with('#') {
            continue;
        }
        match found.last_mut() {
            Some(last) if continued => last.end = from + content.len(),
            _ => found.push(from..from + content.len()),
        }
        continued = content.ends_with(escape);
        heredoc = heredoc_end(content);
    }
    found
}

/// What continues a line: a backslash, or what a directive at the top says
/// (<https://docs.docker.com/reference/dockerfile/#escape>).
pub(crate) fn escape(text: &str) -> char {
    let directives = text.lines().map(str::trim).take_while(|line| line.starts_with('#'));
    let mut values = directives.filter_map(|line| {
        let (name, value) = line.trim_start_matches('#').split_once('=')?;
        name.trim().eq_ignore_ascii_case("escape").then(|| value.trim().chars().next())?
    });
    if values.next() == Some('`') { '`' } else { '\\' }
}

/// The word that ends the heredoc which a line begins.
fn heredoc_end(line: &str) -> Option<String> {
    let (_, rest) = line.split_once("<<")?;
    let word = rest.trim_start_matches('-').trim_start_matches(['"', '\'']);
    let end = word.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(word.len());
    word.get(..end).filter(|word| !word.is_empty()).map(str::to_owned)
}

/// What a line starts with.
pub(crate) fn first_word(line: &str) -> &str {
    line.split_whitespace().next().unwrap_or("")
}

/// Bytes of the first character.
pub(crate) fn first_len(text: &str) -> usize {
    text.chars().next().map_or(0, char::len_utf8)
}

/// Words and where they start.
pub(crate) fn words(line: &str) -> impl Iterator<Item = (usize, &str)> {
    let start = line.as_ptr() as usize;
    line.split_whitespace().map(move |word| (word.as_ptr() as usize - start, word))
}

/// The text between quotes, if it stands in some.
pub(crate) fn unquoted(word: &str) -> Option<&str> {
    ['"', '\''].iter().find_map(|quote| word.strip_prefix(*quote)?.strip_suffix(*quote))
}

/// Slips of the keyboard, and a FROM that has lost its space.
pub(crate) fn looks_like_from(word: &str) -> bool {
    let word = word.to_ascii_lowercase();
    matches!(
        word.as_str(),
        "form"
            | "frm"
            | "fom"
            | "rom"
            | "fro"
            | "fron"
            | "fromm"
            | "ffrom"
            | "frrom"
            | "froom"
            | "fomr"
            | "rfom"
    ) || word.starts_with("from")
}

/// The text with the letters of `span` in lower case.
pub(crate) fn lowered(text: &str, span: &Range<usize>) -> String {
    let mut lower = text.to_owned();
    if let Some(part) = lower.get_mut(span.clone()) {
        part.make_ascii_lowercase();
    }
    lower
}

/// A reference without its tag and digest.
pub(crate) fn name_of(reference: &str) -> &str {
    let bare = reference.split_once('@').map_or(reference, |(bare, _)| bare);
    match bare.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => name,
        _ => bare,
    }
}
