//! Text from outside, made safe to show.

/// Text from outside on one line, without what a terminal or a CI log would take for a command, and without what makes
/// a reader see something else than there is.
///
/// ```
/// use mirror_failure::printable;
///
/// assert_eq!(printable("red \u{1b}[31m\nnext line"), "red \u{fffd}[31m\u{fffd}next line");
/// ```
pub fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() || is_deceptive(c) { '\u{fffd}' } else { c }).collect()
}

/// What an error of the file system says, without the name that a file has only until it is whole: nobody knows that name,
/// and whoever shows the error says which file it is about.
///
/// ```
/// use std::io::{Error, ErrorKind};
/// use mirror_failure::io_reason;
///
/// let error = Error::new(ErrorKind::NotFound, "No such file at path \"/srv/.part-Zx81Qa\"");
/// assert_eq!(io_reason(&error), "No such file");
/// ```
pub fn io_reason(error: &std::io::Error) -> String {
    let text = error.to_string();
    // That is how tempfile adds the path: <https://docs.rs/tempfile/latest/tempfile/>.
    text.split(" at path \"").next().unwrap_or_default().to_owned()
}

/// Characters that turn the direction of others, or can't be seen: <https://trojansource.codes>.
///
/// ```
/// use mirror_failure::is_deceptive;
///
/// assert!(is_deceptive('\u{202e}') && !is_deceptive('a'));
/// ```
pub fn is_deceptive(c: char) -> bool {
    matches!(
        c,
        '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}'
    )
}

/// A number with its noun: `1 image`, `2 images`.
///
/// ```
/// use mirror_failure::count;
///
/// assert_eq!((count(1, "image"), count(2, "image")), ("1 image".to_owned(), "2 images".to_owned()));
/// ```
pub fn count(number: u64, noun: &str) -> String {
    let ending = if number == 1 { "" } else { "s" };
    format!("{number} {noun}{ending}")
}
