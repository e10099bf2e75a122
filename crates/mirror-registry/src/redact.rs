//! What may be printed: secrets never, URLs without what could be one.

use std::borrow::Cow;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use http::header::{self, HeaderMap};
use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, percent_encode};
use url::Url;

/// A password or token. It only leaves through [`Secret::expose`].
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Vec<u8>);

impl Secret {
    /// Wraps a secret, so that it can't be printed. It need not be UTF-8: passwords were stored in Latin-1.
    pub fn new(bytes: impl Into<Vec<u8>>) -> Secret {
        Secret(bytes.into())
    }

    /// The bytes, for a request header and nothing else.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

/// A secret shorter than this is in words that have nothing to do with it.
const SHORTEST: usize = 4;

/// Secrets that went out with a request. There are registries and token services that repeat them in their refusals.
#[derive(Debug, Clone, Default)]
pub(crate) struct SentSecrets(Vec<Secret>);

impl SentSecrets {
    /// Those in the headers and the form of a request: tokens, and logins as they go out, whole and without the user.
    pub(crate) fn of(headers: &HeaderMap, form: &[u8]) -> SentSecrets {
        let mut all = Vec::new();
        for value in headers.get_all(header::AUTHORIZATION) {
            let value = String::from_utf8_lossy(value.as_bytes());
            let (scheme, sent) = value.split_once(' ').unwrap_or(("", &value));
            if let ("Basic", Ok(login)) = (scheme, STANDARD.decode(sent)) {
                let password = login.iter().position(|byte| *byte == b':');
                let password = password.and_then(|colon| login.get(colon + 1..));
                all.extend(password.map(Secret::new));
            }
            all.push(Secret::new(sent));
        }
        let form = url::form_urlencoded::parse(form);
        all.extend(form.filter(|(key, _)| key == "refresh_token").map(|(_, it)| Secret::new(&*it)));
        all.retain(|secret| secret.expose().len() >= SHORTEST);
        SentSecrets(all)
    }

    /// A text of whoever got them, without them, as they are and as they are written in URLs.
    pub(crate) fn taken_from(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for secret in &self.0 {
            text = text.replace(&*String::from_utf8_lossy(secret.expose()), "***");
            let in_urls = percent_encode(secret.expose(), NON_ALPHANUMERIC).to_string();
            let in_forms: String = url::form_urlencoded::byte_serialize(secret.expose()).collect();
            for encoded in [in_urls, in_forms] {
                text = text.replace(&encoded, "***").replace(&in_lower_case(&encoded), "***");
            }
        }
        text
    }
}

impl SentSecrets {
    /// Whether a text has one of them in a spelling that nobody can take out: with entities or escapes, in base64, with
    /// something in between.
    pub(crate) fn are_in(&self, text: &str) -> bool {
        let unescaped = text.replace("\\/", "/").replace("\\\"", "\"").replace("\\\\", "\\");
        let percent = percent_decode_str(text).decode_utf8_lossy().into_owned();
        let base64 = |alphabet: &'static [u8]| {
            let is_part =
                move |c: char| !c.is_ascii_alphanumeric() && !alphabet.contains(&(c as u8));
            let words = text.split(is_part).filter(|word| word.len() >= 6);
            words.map(|word| word.trim_end_matches('=').replace('-', "+").replace('_', "/"))
        };
        let decoded = base64(b"+/=").chain(base64(b"-_=")).filter_map(|word| {
            // Part of a login may be cut off.
            let whole = word.get(..word.len() - word.len() % 4)?;
            let bytes =
                STANDARD_NO_PAD.decode(&word).or_else(|_| STANDARD_NO_PAD.decode(whole)).ok()?;
            Some(String::from_utf8_lossy(&bytes).into_owned())
        });
        let forms =
            [text.to_owned(), entities(text), unescaped, percent].into_iter().chain(decoded);
        let secrets: Vec<String> =
            self.0.iter().map(|it| letters(&String::from_utf8_lossy(it.expose()))).collect();
        let mut secrets = secrets.iter().filter(|secret| secret.len() >= LETTERS);
        let forms: Vec<String> = forms.map(|form| letters(&form)).collect();
        // Some cut off what they repeat.
        let begins = |secret: &String| secret.get(..BEGINNING).unwrap_or(secret).to_owned();
        secrets.any(|secret| forms.iter().any(|form| form.contains(&begins(secret))))
    }
}

/// So many letters and digits of a secret are no accident.
const LETTERS: usize = 6;

/// And so many at its beginning.
const BEGINNING: usize = 8;

/// Letters and digits alone, which no way of writing changes.
fn letters(text: &str) -> String {
    text.chars().filter(char::is_ascii_alphanumeric).collect()
}

/// A text without the entities of HTML and XML.
fn entities(text: &str) -> String {
    const NAMED: [(&str, &str); 5] =
        [("lt", "<"), ("gt", ">"), ("quot", "\""), ("apos", "'"), ("amp", "&")];
    let mut parts = text.split('&');
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let known = part.split_once(';').and_then(|(name, rest)| {
            let named =
                NAMED.iter().find(|(known, _)| *known == name).map(|(_, is)| (*is).to_owned());
            let number = || match name.strip_prefix("#x").or_else(|| name.strip_prefix("#X")) {
                Some(digits) => u32::from_str_radix(digits, 16).ok(),
                None => name.strip_prefix('#')?.parse().ok(),
            };
            let is = named.or_else(|| Some(char::from_u32(number()?)?.to_string()))?;
            Some(is + rest)
        });
        out += &known.unwrap_or_else(|| format!("&{part}"));
    }
    out
}

/// `%2F` → `%2f`.
fn in_lower_case(encoded: &str) -> String {
    let mut parts = encoded.split('%');
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |all, part| match part.split_at_checked(2) {
        Some((digits, rest)) => format!("{all}%{}{rest}", digits.to_ascii_lowercase()),
        None => format!("{all}%{part}"),
    })
}

/// Query parameters that are part of the protocol and tell nothing secret. Signed URLs of storage hosts carry
/// their signature in others.
const HARMLESS: [&str; 7] = ["digest", "from", "last", "mount", "n", "scope", "service"];

/// A URL for messages: user, password, fragment and the values of unknown parameters are left out.
pub fn redacted(url: &Url) -> String {
    let mut shown = url.clone();
    let _ = shown.set_username("");
    let _ = shown.set_password(None);
    shown.set_fragment(None);
    shown.set_query(None);
    let mut text = shown.to_string();
    let mut separator = '?';
    for pair in url.query().into_iter().flat_map(|query| query.split('&')) {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        let harmless = HARMLESS.contains(&key);
        text.push(separator);
        text.push_str(key);
        text.push('=');
        text.push_str(&if harmless { readable(value) } else { "…".into() });
        separator = '&';
    }
    text
}

/// A value decoded, if that makes it a plain word: it could be anything, such as a line of its own.
fn readable(value: &str) -> Cow<'_, str> {
    let decoded = url::form_urlencoded::parse(value.as_bytes()).next().map(|(text, _)| text);
    let plain =
        |text: &str| text.bytes().all(|c| c.is_ascii_alphanumeric() || b"-_.:/,@".contains(&c));
    decoded.filter(|text| plain(text)).unwrap_or(value.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls() {
        let cases = [
            ("https://r.io/v2/a/manifests/1", "https://r.io/v2/a/manifests/1"),
            ("https://user:pass@r.io/v2/#x", "https://r.io/v2/"),
            ("https://s3.io/b?X-Amz-Signature=abc&n=3", "https://s3.io/b?X-Amz-Signature=…&n=3"),
            (
                "https://r.io/v2/a/blobs/uploads/?mount=sha256:ab&from=c",
                "https://r.io/v2/a/blobs/uploads/?mount=sha256:ab&from=c",
            ),
            (
                "https://r.io/?from=a%2Fb&mount=sha256%3Aab",
                "https://r.io/?from=a/b&mount=sha256:ab",
            ),
            ("https://r.io/u/1?_state=secret&digest=d", "https://r.io/u/1?_state=…&digest=d"),
            (
                "https://r.io/?%0A::error::forged&n=%0d%0a%1b[2J",
                "https://r.io/?%0A::error::forged=…&n=%0d%0a%1b[2J",
            ),
            (
                "https://r.io/\u{2028}%0A?last=\u{202e}x",
                "https://r.io/%E2%80%A8%0A?last=%E2%80%AEx",
            ),
        ];
        for (url, shown) in cases {
            assert_eq!(redacted(&url.parse().unwrap()), shown);
        }
    }

    #[test]
    fn what_was_sent_is_not_repeated() {
        let sent = |scheme: &str, text: &str, form: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::AUTHORIZATION, format!("{scheme} {text}").parse().unwrap());
            SentSecrets::of(&headers, form.as_bytes())
        };
        let basic = sent("Basic", &STANDARD.encode("me:hunter/2"), "");
        assert_eq!(
            basic.taken_from(
                "me with hunter/2, hunter%2f2, hunter%2F2, bWU6aHVudGVyLzI= is unknown"
            ),
            "me with ***, ***, ***, *** is unknown"
        );
        assert_eq!(sent("Bearer", "ey.x", "").taken_from("no ey.x: here"), "no ***: here");
        let form = sent("Basic", "eA==", "grant_type=refresh_token&refresh_token=a%2Bbcd");
        assert_eq!(form.taken_from("refresh_token a+bcd is over"), "refresh_token *** is over");
        let tricky = sent("Basic", &STANDARD.encode("me:S3c&r3t/P~W\"x"), "");
        for text in [
            "bad S3c&amp;r3t/P~W&#34;x",
            "bad S3c&r3t\\/P~W\\\"x",
            "bad S3c%26r3t%2FP~W%22x",
            "bad S3c&r3t\u{1}/P\n~W\"x",
            "bad UzNjJnIzdC9QflciEng=",
            "bad UzNjJnIzdC9QflcieA",
            "bad bWU6UzNjJnIzdC9QflciEng",
            "bad S3c&r3t/P~W...",
        ] {
            assert!(tricky.are_in(text), "{text}");
        }
        assert!(!tricky.are_in("the repository library/app is unknown to user me"));
        let short = sent("Basic", &STANDARD.encode("me:no"), "");
        assert_eq!(short.taken_from("nobody knows"), "nobody knows");
    }

    #[test]
    fn secrets_do_not_print() {
        let secret = Secret::new("hunter2");
        assert!(!format!("{secret} {secret:?}").contains("hunter2"));
        assert_eq!(secret.expose(), b"hunter2");
    }
}
