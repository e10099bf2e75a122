//! Sorting out why a request failed, by what the registry says.

use mirror_failure::{ErrorKind, passing_status};
use oci_client::errors::{OciEnvelope, OciErrorCode};

/// Reads the error body of the distribution specification, or says that there is none.
pub(crate) fn status_kind(status: u16, content_type: &str, body: &[u8]) -> ErrorKind {
    let envelope: Option<OciEnvelope> = serde_json::from_slice(body).ok();
    if let Some(first) = envelope.and_then(|envelope| envelope.errors.into_iter().next()) {
        let code = match first.code {
            OciErrorCode::Other(code) => Some(code),
            code => {
                serde_json::to_value(code).ok().and_then(|code| code.as_str().map(str::to_owned))
            }
        };
        let message = Some(one_line(&first.message)).filter(|message| !message.is_empty());
        if status == 429 && message.as_deref().is_some_and(is_pull_limit) {
            return ErrorKind::PullLimit { message: message.unwrap_or_default(), ends: None };
        }
        return ErrorKind::Status { status, code: code.map(|code| one_line(&code)), message };
    }
    let text = String::from_utf8_lossy(body);
    if status == 400 && text.contains("HTTP request was sent to HTTPS")
        || text.contains("HTTP request to an HTTPS server")
    {
        return ErrorKind::TlsExpected;
    }
    if content_type.starts_with("text/html")
        && !passing_status(status)
        && !matches!(status, 401 | 403)
    {
        return ErrorKind::NotARegistry(format!("it answers {status} with an HTML page"));
    }
    ErrorKind::Status { status, code: None, message: None }
}

/// Docker Hub's message names the page about raising the limit; its limit on abuse is a plain 429:
/// <https://docs.docker.com/docker-hub/usage/pulls/>.
fn is_pull_limit(message: &str) -> bool {
    let message = message.to_ascii_lowercase();
    message.contains("pull rate limit") || message.contains("increase-rate-limit")
}

/// One line, no control characters, at most 300 characters: messages come from outside.
pub(crate) fn one_line(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(300)
        .collect::<String>()
        .trim()
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies() {
        let show = |status, content_type: &str, body: &str| {
            status_kind(status, content_type, body.as_bytes()).to_string()
        };
        let denied = r#"{"errors":[{"code":"DENIED","message":"not\nyours","detail":null}]}"#;
        assert_eq!(show(403, "application/json", denied), "403 DENIED: not yours");
        assert_eq!(
            show(400, "", r#"{"errors":[{"code":"ARTIFACT_LOCKED"}]}"#),
            "400 ARTIFACT_LOCKED"
        );
        assert_eq!(show(502, "text/html", "<html>"), "502");
        assert_eq!(
            show(404, "text/html; charset=utf-8", "<html>"),
            "this is not a container registry: it answers 404 with an HTML page"
        );
        assert_eq!(
            show(400, "text/plain", "Client sent an HTTP request to an HTTPS server.\n"),
            ErrorKind::TlsExpected.to_string()
        );
        assert_eq!(show(404, "", "{}"), "404");
        let hub = r#"{"errors":[{"code":"TOOMANYREQUESTS","message":"You have reached your pull rate limit. You may increase the limit by authenticating and upgrading: https://www.docker.com/increase-rate-limit"}]}"#;
        assert!(
            show(429, "application/json", hub)
                .starts_with("the limit on pulls is reached: You have")
        );
        let abuse = r#"{"errors":[{"code":"TOOMANYREQUESTS","message":"Too Many Requests"}]}"#;
        assert_eq!(show(429, "application/json", abuse), "429 TOOMANYREQUESTS: Too Many Requests");
        assert_eq!(show(429, "text/plain", "Too Many Requests (HAP429)."), "429");
    }
}
