//! What may be printed: secrets never, URLs without what could be one.

use std::fmt;

use reqwest::Url;

/// A password or token. Its text only leaves through [`Secret::expose`].
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a secret.
    pub fn new(text: impl Into<String>) -> Secret {
        Secret(text.into())
    }

    /// The text, for a request header and nothing else.
    pub fn expose(&self) -> &str {
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
    for (key, value) in url.query_pairs() {
        let value = if HARMLESS.contains(&&*key) { value } else { "…".into() };
        text.push(separator);
        text.push_str(&key);
        text.push('=');
        text.push_str(&value);
        separator = '&';
    }
    text
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
            ("https://r.io/u/1?_state=secret&digest=d", "https://r.io/u/1?_state=…&digest=d"),
        ];
        for (url, shown) in cases {
            assert_eq!(redacted(&url.parse().unwrap()), shown);
        }
    }

    #[test]
    fn secrets_do_not_print() {
        let secret = Secret::new("hunter2");
        assert!(!format!("{secret} {secret:?}").contains("hunter2"));
        assert_eq!(secret.expose(), "hunter2");
    }
}
