//! What may be printed: secrets never, URLs without what could be one.

use std::borrow::Cow;
use std::fmt;

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
    fn secrets_do_not_print() {
        let secret = Secret::new("hunter2");
        assert!(!format!("{secret} {secret:?}").contains("hunter2"));
        assert_eq!(secret.expose(), b"hunter2");
    }
}
