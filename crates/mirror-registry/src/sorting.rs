//! Sorting out why a request failed, by what the registry says.

use mirror_failure::{ErrorKind, is_unknown_content};
use oci_client::errors::OciErrorCode;
use serde_json::Value;

use crate::redact::SentSecrets;

/// The longest text from outside that is shown.
const LONGEST: usize = 300;

/// Under which names services say why, the most telling first.
const TEXTS: [&str; 9] = [
    "message",
    "error_description",
    "msg",
    "reason",
    "description",
    "error",
    "title",
    "detail",
    "details",
];

/// Reads the error body of the distribution specification, or whatever else there is. The secrets that were sent are not
/// repeated.
pub(crate) fn status_kind(
    status: u16,
    called_page: bool,
    body: &[u8],
    secrets: &SentSecrets,
) -> ErrorKind {
    let text = text_of(body);
    if status == 400 && text.contains("HTTP request was sent to HTTPS")
        || text.contains("HTTP request to an HTTPS server")
    {
        return ErrorKind::TlsExpected;
    }
    if is_page(called_page, &text) {
        // What a registry itself never answers with a page.
        if matches!(status, 200..=399 | 400 | 404 | 405 | 410) {
            return ErrorKind::NotARegistry(format!("it answers {status} with an HTML page"));
        }
        let message = title(&text, status).and_then(|title| shown(&title, secrets));
        return ErrorKind::Status { status, code: None, message, page: true };
    }
    let (code, message) = said(&text);
    let message = message.and_then(|message| shown(&message, secrets));
    let code = code.and_then(|code| shown(&code, secrets));
    if status == 429 && message.as_deref().is_some_and(is_pull_limit) {
        return ErrorKind::PullLimit { message: message.unwrap_or_default(), ends: None };
    }
    ErrorKind::Status { status, code, message, page: false }
}

/// The text of a body, in UTF-8 or UTF-16.
pub(crate) fn text_of(body: &[u8]) -> String {
    let wide = |of: fn([u8; 2]) -> u16| {
        let units: Vec<u16> = body.as_chunks().0.iter().map(|pair| of(*pair)).collect();
        String::from_utf16_lossy(&units)
    };
    let text = match body {
        [0xff, 0xfe, ..] | [1..=255, 0, ..] => wide(u16::from_le_bytes),
        [0xfe, 0xff, ..] | [0, 1..=255, ..] => wide(u16::from_be_bytes),
        _ => String::from_utf8_lossy(body).into_owned(),
    };
    text.trim_start_matches('\u{feff}').trim().to_owned()
}

/// Whether a body is a page for people, whatever it is called.
pub(crate) fn is_page(called_page: bool, text: &str) -> bool {
    let text = text.trim_start();
    let start = text.get(..14).unwrap_or_default().to_ascii_lowercase();
    (called_page && !text.starts_with(['{', '[']))
        || start.starts_with("<!doctype html")
        || start.starts_with("<html")
}

/// The title of a page, without the status that many begin with.
fn title(text: &str, status: u16) -> Option<String> {
    let (_, rest) = text.split_once("<title>").or_else(|| text.split_once("<TITLE>"))?;
    let title = rest.split('<').next()?.trim();
    let title = title.trim_start_matches(&status.to_string()).trim_start();
    Some(title.to_owned())
}

/// Code and message of a body in whatever shape.
fn said(text: &str) -> (Option<String>, Option<String>) {
    let Ok(document) = serde_json::from_str::<Value>(text) else {
        return (None, Some(text.to_owned()));
    };
    let errors = document.get("errors").filter(|errors| !errors.is_null());
    let entries = match errors.unwrap_or(&document) {
        Value::Array(several) => several.clone(),
        one => vec![one.clone()],
    };
    let mut entries: Vec<_> = entries.into_iter().map(inner).collect();
    // Of several, that what is not known yet is what can be done something about.
    let unknown = |entry: &Value| code_of(entry).is_some_and(|code| is_unknown_content(&code));
    let first = entries.iter().position(unknown);
    let first = first.or((!entries.is_empty()).then_some(0)).map(|at| entries.swap_remove(at));
    let first = first.unwrap_or_default();
    let code = code_of(&first);
    let message = match &first {
        Value::String(text) => Some(text.clone()),
        first => TEXTS.iter().find_map(|name| words(first.get(name)?)),
    };
    let detail = first.get("detail").or_else(|| first.get("details"));
    let detail = detail.and_then(|detail| told(detail, message.as_deref(), code.as_deref()));
    let nothing = message.is_none() && detail.is_none() && code.is_none();
    // An object whose keys are what is wrong.
    let whole = nothing.then(|| errors.filter(|errors| errors.is_object())).flatten();
    let whole = whole.filter(|it| it.as_object().is_some_and(|it| !it.is_empty()));
    let parts = [message, detail, whole.map(ToString::to_string)].into_iter().flatten();
    let parts = parts.filter(|part| !part.trim().is_empty());
    (code, Some(parts.collect::<Vec<_>>().join(": ")))
}

/// What is in `error` or `data`, where somebody has put all of it one level deeper.
fn inner(entry: Value) -> Value {
    let deeper = ["error", "data"].into_iter().find_map(|name| entry.get(name));
    match deeper.filter(|inner| inner.is_object()).cloned() {
        Some(deeper) => inner(deeper),
        None => entry,
    }
}

/// The code of an error, or that of OAuth 2 (<https://www.rfc-editor.org/rfc/rfc6749#section-5.2>).
fn code_of(entry: &Value) -> Option<String> {
    const OAUTH: [&str; 6] = [
        "invalid_request",
        "invalid_client",
        "invalid_grant",
        "unauthorized_client",
        "unsupported_grant_type",
        "invalid_scope",
    ];
    let text = |name: &str| entry.get(name).and_then(Value::as_str);
    let oauth = || text("error").filter(|code| OAUTH.contains(code)).map(str::to_owned);
    let code = text("code").map(known).filter(|code| !code.trim().is_empty());
    code.or_else(oauth)
}

/// A text, or the first one in a list or table of them.
fn words(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Array(several) => several.iter().find_map(words),
        Value::Object(table) => {
            TEXTS.iter().find_map(|name| table.get(*name)?.as_str().map(str::to_owned))
        }
        _ => None,
    }
}

/// The code as the specification writes it, whatever its case.
fn known(code: &str) -> String {
    let upper = Value::String(code.to_ascii_uppercase());
    match serde_json::from_value(upper.clone()) {
        Ok(OciErrorCode::Other(_)) | Err(_) => code.to_owned(),
        Ok(_) => upper.as_str().unwrap_or(code).to_owned(),
    }
}

/// What a detail adds to a message: its text; the whole of another one where the message says nothing.
fn told(detail: &Value, message: Option<&str>, code: Option<&str>) -> Option<String> {
    let text = match detail {
        Value::String(text) => Some(text.clone()),
        detail => TEXTS.iter().find_map(|name| detail.get(name)?.as_str().map(str::to_owned)),
    };
    if let Some(text) = text {
        return Some(text).filter(|text| !message.unwrap_or_default().contains(text.as_str()));
    }
    let said = message.unwrap_or_default().to_ascii_lowercase();
    let plain = code.unwrap_or_default().to_ascii_lowercase().replace('_', " ");
    let says_nothing = said.is_empty() || said == "unknown error" || said == plain;
    let empty = matches!(detail, Value::Null | Value::Bool(_))
        || detail.as_object().is_some_and(serde_json::Map::is_empty)
        || detail.as_array().is_some_and(Vec::is_empty);
    (says_nothing && !empty).then(|| detail.to_string())
}

/// What is shown of a text, without the secrets that it repeats.
fn shown(text: &str, secrets: &SentSecrets) -> Option<String> {
    let text = secrets.taken_from(text);
    let text = text.unwrap_or_else(|| "*** (it repeats what was sent)".to_owned());
    Some(one_line(&text)).filter(|text| !text.is_empty())
}

/// Docker Hub's message names the page about raising the limit; its limit on abuse is a plain 429:
/// <https://docs.docker.com/docker-hub/usage/pulls/>.
fn is_pull_limit(message: &str) -> bool {
    let message = message.to_ascii_lowercase();
    message.contains("pull rate limit") || message.contains("increase-rate-limit")
}

/// One line, no control characters, at most so many characters: messages come from outside.
pub(crate) fn one_line(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(LONGEST)
        .collect::<String>()
        .trim()
        .to_owned()
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;

    use super::*;

    const CASES: &[(u16, &str, &str, &str)] = &[
        (
            403,
            "application/json",
            r#"{"errors":[{"code":"DENIED","message":"not\nyours","detail":null}]}"#,
            "403 DENIED: not yours",
        ),
        (400, "", r#"{"errors":[{"code":"ARTIFACT_LOCKED"}]}"#, "400 ARTIFACT_LOCKED"),
        (404, "", r#"{"errors":[{"code":"manifest_unknown"}]}"#, "404 MANIFEST_UNKNOWN"),
        (
            500,
            "",
            r#"{"errors":[{"code":"UNKNOWN","message":"unknown error","detail":"no space left on device"}]}"#,
            "500 UNKNOWN: unknown error: no space left on device",
        ),
        (
            500,
            "",
            r#"{"errors":[{"code":"UNKNOWN","message":"unknown error","detail":{"Err":28,"Op":"mkdir"}}]}"#,
            "500 UNKNOWN: unknown error: {\"Err\":28,\"Op\":\"mkdir\"}",
        ),
        (
            404,
            "",
            r#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown to registry","detail":{"Tag":"1"}}]}"#,
            "404 MANIFEST_UNKNOWN: manifest unknown to registry",
        ),
        (
            412,
            "",
            r#"{"errors":[{"code":"X","message":"no","detail":{"reason":"too old"}}]}"#,
            "412 X: no: too old",
        ),
        (403, "", r#"{"errors":["go away"]}"#, "403: go away"),
        (
            403,
            "",
            r#"{"error":"forbidden","error_description":"no such client"}"#,
            "403: no such client",
        ),
        (403, "", r#"{"error":{"code":"denied","message":"of no use"}}"#, "403 DENIED: of no use"),
        (403, "", r#"{"status":403,"message":"blocked by policy"}"#, "403: blocked by policy"),
        (
            403,
            "",
            r#"{"errors":[{"status":403,"message":"Forbidden by Xray"}]}"#,
            "403: Forbidden by Xray",
        ),
        (400, "", r#"{"detail":"bad digest"}"#, "400: bad digest"),
        (
            400,
            "",
            r#"{"errors":[{"code":"UNKNOWN","message":"no"},{"code":"BLOB_UNKNOWN","message":"x"}]}"#,
            "400 BLOB_UNKNOWN: x",
        ),
        (422, "", r#"{"errors":{"tag":["is taken"]}}"#, "422: {\"tag\":[\"is taken\"]}"),
        (403, "", r#"{"data":{"error":{"message":"no"}}}"#, "403: no"),
        (403, "", r#"{"message":{"reason":"no"}}"#, "403: no"),
        (403, "text/html", r#"{"message":"no"}"#, "403: no"),
        (403, "", "\u{feff}{\"message\":\"no\"}", "403: no"),
        (
            400,
            "",
            r#"{"error":"invalid_grant","error_description":"over"}"#,
            "400 invalid_grant: over",
        ),
        (500, "", r#"{"errors":[]}"#, "500"),
        (500, "", r#"{"errors":null,"msg":"down"}"#, "500: down"),
        (429, "text/plain", "Wait for 0s", "429: Wait for 0s"),
        (429, "text/plain", "Too Many Requests (HAP429).", "429: Too Many Requests (HAP429)."),
        (404, "", "{}", "404"),
        (404, "", "", "404"),
        (502, "text/html", "<html>", "502 with an HTML page"),
        (
            502,
            "text/html",
            "<html><head><title>502 Bad Gateway</title></head></html>",
            "502 with an HTML page: Bad Gateway",
        ),
        (
            413,
            "text/html; charset=utf-8",
            "<html><title>413 Request Entity Too Large</title>",
            "413 with an HTML page: Request Entity Too Large",
        ),
        (
            403,
            "",
            "<!DOCTYPE html><title>Access Denied</title>",
            "403 with an HTML page: Access Denied",
        ),
        (
            404,
            "text/html; charset=utf-8",
            "<html>",
            "this is not a container registry: it answers 404 with an HTML page",
        ),
        (
            400,
            "text/plain",
            "Client sent an HTTP request to an HTTPS server.\n",
            "the server speaks TLS, but was asked in plain HTTP",
        ),
    ];

    fn kind(status: u16, content_type: &str, body: &str) -> ErrorKind {
        let called_page = content_type.starts_with("text/html");
        status_kind(status, called_page, body.as_bytes(), &SentSecrets::default())
    }

    #[test]
    fn what_was_sent_is_not_repeated_in_any_spelling() {
        let mut headers = http::HeaderMap::new();
        let login = STANDARD.encode("me:s/c&r e=tä");
        headers.insert("authorization", format!("Basic {login}").parse().unwrap());
        let secrets = SentSecrets::of(&headers, &[]);
        let utf16 = "{\"message\":\"s/c&r e=t\u{e4}\"}";
        let utf16: Vec<u8> = utf16.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let long = format!("{{\"message\":\"{}s/c&r e=tä\"}}", "x".repeat(LONGEST - 5));
        for body in [
            br#"{"message":"no s\/c&r e=t\u00e4 here"}"#.as_slice(),
            br#"{"message":"no s/c\u0026r e\u003dt\u00e4 here"}"#,
            b"no password=s%2Fc%26r%20e%3Dt%C3%A4 here",
            b"no password=s%2fc%26r+e%3dt%c3%a4 here",
            format!("<html><title>no {login}</title>").as_bytes(),
            long.as_bytes(),
            &utf16,
        ] {
            let kind = status_kind(403, false, body, &secrets).to_string();
            let shown = kind.to_ascii_lowercase();
            assert!(!shown.contains("r e") && !shown.contains("r%20e"), "{kind}");
            assert!(
                !shown.contains("r+e") && !kind.contains(&login) && !kind.contains("s/c"),
                "{kind}"
            );
        }
    }

    #[test]
    fn bodies() {
        for (status, content_type, body, says) in CASES.iter().copied() {
            let kind = kind(status, content_type, body);
            assert_eq!(kind.to_string(), says, "{body}");
        }
        let long = kind(400, "", &"x".repeat(5000)).to_string();
        assert_eq!(long.len(), LONGEST + "400: ".len());
        let hub = r#"{"errors":[{"code":"TOOMANYREQUESTS","message":"You have reached your pull rate limit. You may increase the limit by authenticating and upgrading: https://www.docker.com/increase-rate-limit"}]}"#;
        let hub = kind(429, "application/json", hub).to_string();
        assert!(hub.starts_with("the limit on pulls is reached: You have"), "{hub}");
        let abuse = r#"{"errors":[{"code":"TOOMANYREQUESTS","message":"Too Many Requests"}]}"#;
        let abuse = kind(429, "application/json", abuse).to_string();
        assert_eq!(abuse, "429 TOOMANYREQUESTS: Too Many Requests");
    }
}
