//! Sorting out why a request failed, by what the registry says.

use mirror_failure::ErrorKind;
use oci_client::errors::OciErrorCode;
use serde_json::Value;

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

/// Reads the error body of the distribution specification, or whatever else there is.
pub(crate) fn status_kind(status: u16, content_type: &str, text: &str) -> ErrorKind {
    if status == 400 && text.contains("HTTP request was sent to HTTPS")
        || text.contains("HTTP request to an HTTPS server")
    {
        return ErrorKind::TlsExpected;
    }
    if is_html(content_type, text) {
        // What a registry itself never answers with a page.
        if matches!(status, 200..=399 | 400 | 404 | 405 | 410) {
            return ErrorKind::NotARegistry(format!("it answers {status} with an HTML page"));
        }
        let message = title(text, status);
        return ErrorKind::Status { status, code: None, message, page: true };
    }
    let (code, message) = said(text);
    if status == 429 && message.as_deref().is_some_and(is_pull_limit) {
        return ErrorKind::PullLimit { message: message.unwrap_or_default(), ends: None };
    }
    ErrorKind::Status { status, code, message, page: false }
}

/// Whether a body is a page for people.
fn is_html(content_type: &str, text: &str) -> bool {
    let start = text.trim_start().get(..14).unwrap_or_default().to_ascii_lowercase();
    content_type.to_ascii_lowercase().starts_with("text/html")
        || start.starts_with("<!doctype html")
        || start.starts_with("<html")
}

/// The title of a page, without the status that many begin with.
fn title(text: &str, status: u16) -> Option<String> {
    let (_, rest) = text.split_once("<title>").or_else(|| text.split_once("<TITLE>"))?;
    let title = one_line(rest.split('<').next()?);
    let title = title.trim_start_matches(&status.to_string()).trim_start();
    Some(title.to_owned()).filter(|title| !title.is_empty())
}

/// Code and message of a body in whatever shape.
fn said(text: &str) -> (Option<String>, Option<String>) {
    let Ok(document) = serde_json::from_str::<Value>(text) else {
        return (None, shown(text.to_owned()));
    };
    let errors = document.get("errors").filter(|errors| !errors.is_null());
    let first = match errors.unwrap_or(&document) {
        Value::Array(several) => several.first().cloned().unwrap_or_default(),
        one => one.clone(),
    };
    // Some put all of it one level deeper.
    let first = match first.get("error") {
        Some(inner @ Value::Object(_)) => inner.clone(),
        _ => first,
    };
    let code = first.get("code").and_then(|code| match code {
        Value::String(code) => Some(code.clone()),
        _ => None,
    });
    let code = code.map(|code| one_line(&known(&code))).filter(|code| !code.is_empty());
    let message = match &first {
        Value::String(text) => Some(text.clone()),
        first => TEXTS.iter().find_map(|name| first.get(name)?.as_str().map(str::to_owned)),
    };
    let detail = first.get("detail").or_else(|| first.get("details"));
    let detail = detail.and_then(|detail| told(detail, message.as_deref(), code.as_deref()));
    let both = [message, detail].into_iter().flatten().filter(|part| !part.trim().is_empty());
    (code, shown(both.collect::<Vec<_>>().join(": ")))
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

fn shown(text: String) -> Option<String> {
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

    #[test]
    fn bodies() {
        for (status, content_type, body, says) in CASES.iter().copied() {
            let kind = status_kind(status, content_type, body);
            assert_eq!(kind.to_string(), says, "{body}");
        }
        let long = status_kind(400, "", &"x".repeat(5000)).to_string();
        assert_eq!(long.len(), LONGEST + "400: ".len());
        let hub = r#"{"errors":[{"code":"TOOMANYREQUESTS","message":"You have reached your pull rate limit. You may increase the limit by authenticating and upgrading: https://www.docker.com/increase-rate-limit"}]}"#;
        let hub = status_kind(429, "application/json", hub).to_string();
        assert!(hub.starts_with("the limit on pulls is reached: You have"), "{hub}");
        let abuse = r#"{"errors":[{"code":"TOOMANYREQUESTS","message":"Too Many Requests"}]}"#;
        let abuse = status_kind(429, "application/json", abuse).to_string();
        assert_eq!(abuse, "429 TOOMANYREQUESTS: Too Many Requests");
    }
}
