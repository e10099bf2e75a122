//! What may be printed: secrets never, URLs without what could be one.

use std::borrow::Cow;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use http::header::{self, HeaderMap};
use percent_encoding::percent_decode_str;
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

    /// A text of whoever got them, without them; nothing, where it has one in a spelling that can't be taken out: encoded, with
    /// entities or escapes, with something in between, or cut off.
    pub(crate) fn taken_from(&self, text: &str) -> Option<String> {
        let mut shown = text.to_owned();
        let secrets: Vec<_> =
            self.0.iter().map(|it| String::from_utf8_lossy(it.expose())).collect();
        for secret in &secrets {
            shown = shown.replace(&**secret, "***");
        }
        let forms = spellings(&shown);
        let has = |secret: &str| {
            let letters = letters(secret);
            let begins = letters.get(..BEGINNING).unwrap_or(&letters);
            let told = letters.len() >= LETTERS;
            forms
                .iter()
                .any(|form| form.contains(secret) || told && self::letters(form).contains(begins))
        };
        (!secrets.iter().any(|secret| has(secret))).then_some(shown)
    }
}

/// A text, and what it is without the ways in which it may be written.
fn spellings(text: &str) -> Vec<String> {
    let unescaped = text.replace("\\/", "/").replace("\\\"", "\"").replace("\\\\", "\\");
    let percent = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
    let base64 = |alphabet: &'static [u8]| {
        let is_part = move |c: char| !c.is_ascii_alphanumeric() && !alphabet.contains(&(c as u8));
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
    let written = [
        text.to_owned(),
        entities(text),
        unescaped,
        percent(text),
        percent(&text.replace('+', " ")),
    ];
    written.into_iter().chain(decoded).collect()
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
        let shown = |sent: SentSecrets, text: &str| sent.taken_from(text);
        let some = |text: &str| Some(text.to_owned());
        let basic = || sent("Basic", &STANDARD.encode("me:hunter/2"), "");
        assert_eq!(shown(basic(), "me with hunter/2, bWU6aHVudGVyLzI="), some("me with ***, ***"));
        assert_eq!(shown(sent("Bearer", "ey.x", ""), "no ey.x: here"), some("no ***: here"));
        let form = sent("Basic", "eA==", "grant_type=refresh_token&refresh_token=a%2Bbcd");
        assert_eq!(shown(form, "refresh_token a+bcd is over"), some("refresh_token *** is over"));
        let short = sent("Basic", &STANDARD.encode("me:no"), "");
        assert_eq!(shown(short, "nobody knows"), some("nobody knows"));
        for text in ["hunter%2f2 is unknown", "hunter%2F2 is unknown"] {
            assert_eq!(shown(basic(), text), None, "{text}");
        }
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
            assert_eq!(tricky.taken_from(text), None, "{text}");
        }
        let harmless = "the repository library/app is unknown to user me";
        assert_eq!(tricky.taken_from(harmless), some(harmless));
    }

    #[test]
    fn secrets_do_not_print() {
        let secret = Secret::new("hunter2");
        assert!(!format!("{secret} {secret:?}").contains("hunter2"));
        assert_eq!(secret.expose(), b"hunter2");
    }
}
