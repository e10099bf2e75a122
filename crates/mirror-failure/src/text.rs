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

/// A line of some program's without the words that could be secret, as in what a shell script traces
/// (`curl -u me:password`), or in what a credential helper complains of. Words of prose stay.
///
/// ```
/// use mirror_failure::without_secrets;
///
/// assert_eq!(without_secrets("+ curl -u me:S3cr3t https://vault"), "+ curl -u *** https://vault");
/// assert_eq!(without_secrets("wrong password S3cr3tPW"), "wrong password ***");
/// assert_eq!(without_secrets("the token has expired"), "the token has expired");
/// ```
pub fn without_secrets(line: &str) -> String {
    const NAMES: [&str; 12] = [
        "u",
        "user",
        "p",
        "password",
        "passwd",
        "passphrase",
        "pass",
        "secret",
        "token",
        "bearer",
        "basic",
        "key",
    ];
    const BETWEEN: [&str; 5] = ["is", "was", "for", "of", "="];
    // Whether a secret may follow, and whether one has to.
    let (mut may, mut must) = (false, false);
    let mask = |word: &str| {
        let core = word.trim_matches([':', ',', '.', ';', '\'', '`', '(', ')', '[', ']']);
        let lower = core.to_ascii_lowercase();
        let between = BETWEEN.contains(&lower.as_str()) || word == "=";
        let prose = core.chars().all(|letter| letter.is_ascii_lowercase());
        let hidden = (must && !between) || (may && !prose && !between) || looks_secret(word, core);
        let named = NAMES.contains(&lower.trim_start_matches('-'));
        if !(between && (may || must)) {
            must = named && (word.starts_with('-') || word.ends_with(':'));
            may = named;
        }
        if hidden { "***".to_owned() } else { word.to_owned() }
    };
    line.split_whitespace().map(mask).collect::<Vec<_>>().join(" ")
}

/// Whether a word looks like a secret, or a pair with one.
fn looks_secret(word: &str, core: &str) -> bool {
    const USUAL: [&str; 6] = ["sha256", "sha512", "base64", "oauth2", "x86_64", "aarch64"];
    // Names of AWS are none, though they have colons.
    if core.starts_with("arn:") {
        return false;
    }
    let pair = core.contains(['=', '@']) || (core.contains(':') && !core.contains("://"));
    let glued = (word.starts_with("-p") || word.starts_with("-u")) && word.len() > 2;
    let mixed = |part: &str| {
        let has = |wanted: fn(&char) -> bool| part.chars().any(|letter| wanted(&letter));
        part.len() >= 6
            && has(char::is_ascii_digit)
            && has(char::is_ascii_alphabetic)
            && !USUAL.contains(&part)
    };
    pair || glued || core.split(['/', '.', ':', '-', '_']).any(mixed)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_that_could_be_secret_are_not_shown() {
        for line in [
            "run aws sso login: the session has expired",
            "no password found for the user",
            "The token has expired",
            "cannot reach https://vault.example.com:8200/v1/secret in us-east-1",
            "error getting credentials, exit code 255",
            "123456789012.dkr.ecr.eu-central-1.amazonaws.com is unknown",
        ] {
            assert_eq!(without_secrets(line), line);
        }
        for (line, shown) in [
            ("+ login --password S3cr3t r.io", "+ login --password *** r.io"),
            ("password=S3cr3t", "***"),
            ("Secret: hunter", "Secret: ***"),
            ("https://me:S3cr3t@vault is down", "*** is down"),
            ("got eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln instead", "got *** instead"),
            ("password is S3cr3tPW", "password is ***"),
            ("access denied for token S3cr3tPW", "access denied for token ***"),
            ("-pS3cr3tPW --pass hunter", "*** --pass ***"),
            ("me/S3cr3tPW rejected", "*** rejected"),
            ("wrong password Hunter!", "wrong password ***"),
        ] {
            assert_eq!(without_secrets(line), shown);
        }
    }
}
