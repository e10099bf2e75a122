//! Text from outside, made safe to show.

/// Text from outside on one line, without what a terminal or a CI log would take for a command, and without what makes
/// a reader see something else than there is.
pub fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() || is_deceptive(c) { '\u{fffd}' } else { c }).collect()
}

/// Characters that turn the direction of others, or can't be seen: <https://trojansource.codes>.
pub fn is_deceptive(c: char) -> bool {
    matches!(
        c,
        '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}'
    )
}

/// A number with its noun: `1 image`, `2 images`.
pub fn count(number: u64, noun: &str) -> String {
    let ending = if number == 1 { "" } else { "s" };
    format!("{number} {noun}{ending}")
}
