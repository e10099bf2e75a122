//! `WWW-Authenticate` headers: <https://distribution.github.io/distribution/spec/auth/token/> and RFC 9110, 11.6.1.

use std::collections::BTreeMap;

use http::header::{HeaderMap, WWW_AUTHENTICATE};

/// How a registry wants to be asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Challenge {
    /// User and password with each request.
    Basic,
    /// A token from a token service.
    Bearer {
        /// URL of the token service.
        realm: String,
        /// Name of the registry at the token service.
        service: Option<String>,
    },
}

/// The challenge of a response.
pub(crate) fn of(headers: &HeaderMap) -> Option<Challenge> {
    parse(texts(headers))
}

/// What a token has to be for, as the challenge of a response says.
pub(crate) fn scope_of(headers: &HeaderMap) -> Option<String> {
    scope(texts(headers))
}

fn texts(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    headers.get_all(WWW_AUTHENTICATE).iter().filter_map(|value| value.to_str().ok())
}

/// The challenge that we can answer best: Bearer before Basic.
fn parse<'a>(headers: impl Iterator<Item = &'a str>) -> Option<Challenge> {
    let mut basic = None;
    for header in headers {
        for (scheme, mut parameters) in schemes(header) {
            if scheme.eq_ignore_ascii_case("bearer") {
                let realm = parameters.remove("realm").filter(|realm| !realm.trim().is_empty());
                let Some(realm) = realm else { continue };
                let service = parameters.remove("service");
                return Some(Challenge::Bearer { realm, service });
            }
            if scheme.eq_ignore_ascii_case("basic") {
                basic = Some(Challenge::Basic);
            }
        }
    }
    basic
}

fn scope<'a>(headers: impl Iterator<Item = &'a str>) -> Option<String> {
    let mut schemes = headers.flat_map(schemes);
    let (_, mut parameters) = schemes.find(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))?;
    parameters.remove("scope").filter(|scope| !scope.is_empty())
}

/// Splits one header into its schemes with their parameters.
fn schemes(header: &str) -> Vec<(String, BTreeMap<String, String>)> {
    let mut found: Vec<(String, BTreeMap<String, String>)> = Vec::new();
    for part in split_unquoted(header) {
        let part = part.trim();
        let (name, value) = match part.split_once('=') {
            Some((name, value)) => (name.trim(), Some(unquote(value.trim()))),
            None => (part, None),
        };
        // `Bearer realm="x"` starts a scheme; `service="y"` belongs to the one before.
        match (name.split_once(char::is_whitespace), value) {
            (Some((scheme, name)), Some(value)) => {
                found.push((
                    scheme.to_owned(),
                    BTreeMap::from([(name.trim().to_ascii_lowercase(), value)]),
                ));
            }
            (None, Some(value)) => {
                if let Some((_, parameters)) = found.last_mut() {
                    parameters.insert(name.to_ascii_lowercase(), value);
                }
            }
            (_, None) if !name.is_empty() => found.push((name.to_owned(), BTreeMap::new())),
            _ => {}
        }
    }
    found
}

/// Splits at commas outside of quotes.
fn split_unquoted(header: &str) -> Vec<&str> {
    let mut quoted = false;
    let mut escaped = false;
    header
        .split(move |c| {
            let split = c == ',' && !quoted;
            if c == '"' && !escaped {
                quoted = !quoted;
            }
            escaped = c == '\\' && quoted && !escaped;
            split
        })
        .collect()
}

fn unquote(value: &str) -> String {
    let Some(inner) = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) else {
        return value.to_owned();
    };
    let mut text = String::new();
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        text.extend(if c == '\\' { chars.next() } else { Some(c) });
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bearer(realm: &str, service: Option<&str>) -> Option<Challenge> {
        Some(Challenge::Bearer { realm: realm.into(), service: service.map(Into::into) })
    }

    #[test]
    fn table() {
        let hub = r#"Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:library/x:pull""#;
        let cases = [
            (hub, bearer("https://auth.docker.io/token", Some("registry.docker.io"))),
            (r#"bearer REALM=https://a/t"#, bearer("https://a/t", None)),
            (
                r#"Bearer realm="a", scope="repository:x:pull,push repository:y:pull""#,
                bearer("a", None),
            ),
            (r#"Bearer realm="a\"b\\c",service="d""#, bearer("a\"b\\c", Some("d"))),
            (r#"Basic realm="Registry Realm""#, Some(Challenge::Basic)),
            ("Basic", Some(Challenge::Basic)),
            (r#"Negotiate, Basic realm="x""#, Some(Challenge::Basic)),
            (r#"Basic realm="x", Bearer realm="a",service="s""#, bearer("a", Some("s"))),
            (r#"Bearer service="s""#, None),
            ("Digest realm=\"x\"", None),
            ("", None),
            (",,=,\"", None),
        ];
        for (header, expected) in cases {
            assert_eq!(parse([header].into_iter()), expected, "{header}");
        }
        assert_eq!(parse(["Basic", r#"Bearer realm="a""#].into_iter()), bearer("a", None));
    }

    proptest::proptest! {
        #[test]
        fn any_header_is_understood_or_refused(
            headers in proptest::collection::vec("(Bearer |Basic |realm=|service=|[\"\\\\,= a-z]){0,400}", 0..4),
        ) {
            let found = parse(headers.iter().map(String::as_str));
            let says = |scheme: &str| headers.iter().any(|one| one.to_lowercase().contains(scheme));
            proptest::prop_assert!(found.is_none() || says("bearer") || says("basic"), "{headers:?}");
        }
    }
}
