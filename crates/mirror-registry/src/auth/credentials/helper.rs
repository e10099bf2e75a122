//! Credential helpers: `docker-credential-<name> get`, registry on stdin, JSON on stdout:
//! <https://github.com/docker/docker-credential-helpers#development>.

use std::process::Stdio;
use std::time::Duration;

use mirror_failure::CredentialError;
use serde::Deserialize;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use super::Credential;
use crate::redact::Secret;

/// A helper may ask a cloud; one that takes longer waits for somebody to type.
const LIMIT: Duration = Duration::from_secs(20);

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct HostResponse {
    username: String,
    secret: String,
}

/// Asks a helper; `None` when it knows nothing of this registry.
pub(super) async fn ask(name: &str, registry: &str) -> Result<Option<Credential>, CredentialError> {
    let program = format!("docker-credential-{name}");
    let wrong = |reason: String| CredentialError::Helper { program: program.clone(), reason };
    // The name comes from a file: it must not be a path.
    if name.contains(['/', '\\']) {
        return Err(wrong("its name must not be a path".to_owned()));
    }
    let mut child = Command::new(&program)
        .arg("get")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| wrong(format!("could not be started: {error}")))?;
    let conversation = async {
        if let Some(mut stdin) = child.stdin.take() {
            // A helper that does not read its input is free to say so by closing it.
            let _ = stdin.write_all(registry.as_bytes()).await;
        }
        child.wait_with_output().await
    };
    let output = tokio::time::timeout(LIMIT, conversation)
        .await
        .map_err(|_| wrong(format!("no response in {} s", LIMIT.as_secs())))?
        .map_err(|error| wrong(error.to_string()))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stdout);
        if said.contains("credentials not found") {
            return Ok(None);
        }
        return Err(wrong(format!("ended with {}", output.status)));
    }
    let response: HostResponse = serde_json::from_slice(&output.stdout)
        .map_err(|_| wrong("its response is not the JSON it should be".to_owned()))?;
    Ok(Some(match response.username.as_str() {
        "<token>" => Credential::Refresh(Secret::new(response.secret)),
        _ => Credential::Basic { user: response.username, password: Secret::new(response.secret) },
    }))
}
