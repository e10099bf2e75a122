//! Credential helpers: `docker-credential-<name> get`, registry on stdin, JSON on stdout:
//! <https://github.com/docker/docker-credential-helpers#development>.

use std::io::ErrorKind;
use std::process::{Output, Stdio};
use std::time::Duration;

use mirror_failure::{CredentialError, printable, without_secrets};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};

use super::Credential;
use super::entry::field;
use crate::redact::Secret;

/// A helper may ask a cloud; one that takes longer waits for somebody to type.
const LIMIT: Duration = Duration::from_secs(20);
/// How long what a helper has said may be on its way when it has ended.
const LAST_WORDS: Duration = Duration::from_millis(500);
/// Characters of what a helper says that are shown.
const LONGEST_WORDS: usize = 200;
/// What helpers say where they know nothing of a registry:
/// <https://github.com/docker/docker-credential-helpers/blob/master/credentials/error.go>.
const KNOWS_NOTHING: [&str; 4] = [
    "credentials not found",
    "no credentials server url",
    "no credentials username",
    "could not be found in the keychain",
];

struct Answer {
    username: String,
    secret: String,
}

/// The program that is called.
pub(super) fn program(name: &str) -> String {
    format!("docker-credential-{name}")
}

/// Asks a helper that a file names; `None` when it knows nothing of this registry.
pub(super) async fn ask(
    name: &str,
    registry: &str,
    named_in: &str,
) -> Result<Option<Credential>, CredentialError> {
    let program = program(name);
    let wrong = |reason: String| CredentialError::Helper { program: program.clone(), reason };
    // The name comes from a file: it must not be a path.
    if name.contains(['/', '\\']) {
        return Err(wrong(format!("its name in {named_in} must not be a path")));
    }
    let missing = |error: std::io::Error| match error.kind() {
        ErrorKind::NotFound => {
            CredentialError::NoHelper { program: program.clone(), file: named_in.to_owned() }
        }
        _ => wrong(format!("could not be started: {error}")),
    };
    let mut child = Command::new(&program)
        .arg("get")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(missing)?;
    let conversation = async {
        if let Some(mut stdin) = child.stdin.take() {
            // A helper that does not read its input is free to say so by closing it.
            let _ = stdin.write_all(registry.as_bytes()).await;
        }
        heard(child).await
    };
    let output = tokio::time::timeout(LIMIT, conversation)
        .await
        .map_err(|_| wrong(format!("no response in {} s", LIMIT.as_secs())))?
        .map_err(|error| wrong(error.to_string()))?;
    if !output.status.success() {
        let said = [&output.stdout[..], &output.stderr[..]].concat();
        let said = String::from_utf8_lossy(&said).to_ascii_lowercase();
        if KNOWS_NOTHING.iter().any(|words| said.contains(words)) {
            return Ok(None);
        }
        return Err(wrong(format!("ended with {}{}", output.status, words(&output))));
    }
    // What it has printed is where the secret goes, in whatever form: it is not repeated.
    let answer = answer(&output.stdout)
        .ok_or_else(|| wrong("its response is not the JSON it should be".to_owned()))?;
    Ok(match (answer.username.as_str(), answer.secret.as_str()) {
        (_, "") => None,
        ("<token>", _) => Some(Credential::Refresh(Secret::new(answer.secret))),
        (user, secret) => Some(Credential::basic(user, &Secret::new(secret))),
    })
}

/// What a helper says until it ends. What it has started may keep the pipes open, and has nothing to say.
async fn heard(mut child: Child) -> std::io::Result<Output> {
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    let mut pipes = (child.stdout.take(), child.stderr.take());
    let status = {
        let read = async {
            let (out, err) = &mut pipes;
            let out = async { out.as_mut()?.read_to_end(&mut stdout).await.ok() };
            let err = async { err.as_mut()?.read_to_end(&mut stderr).await.ok() };
            tokio::join!(out, err);
        };
        let mut read = std::pin::pin!(read);
        tokio::select! {
            () = &mut read => child.wait().await?,
            status = child.wait() => {
                let _ = tokio::time::timeout(LAST_WORDS, read).await;
                status?
            }
        }
    };
    Ok(Output { status, stdout, stderr })
}

/// The JSON of a response, perhaps among texts of another kind, such as a warning or a log in JSON.
fn answer(stdout: &[u8]) -> Option<Answer> {
    let text = String::from_utf8_lossy(stdout);
    let starts = text.match_indices('{').filter_map(|(at, _)| text.get(at..));
    let documents = starts.filter_map(|rest| {
        // What follows the JSON is not ours to read.
        serde_json::Deserializer::from_str(rest).into_iter::<Value>().next()?.ok()
    });
    let known = |document: &Value| {
        let names = ["Secret", "Username", "ServerURL"];
        names.iter().any(|name| field(document, name).is_some())
            || document.as_object().is_some_and(serde_json::Map::is_empty)
    };
    let mut documents: Vec<Value> = documents.filter(known).collect();
    let whole = documents.iter().position(|document| field(document, "Secret").is_some());
    let document = match documents.is_empty() {
        true => return None,
        false => documents.swap_remove(whole.unwrap_or(0)),
    };
    let text = |name| match field(&document, name) {
        None | Some(Value::Null) => Some(String::new()),
        Some(value) => value.as_str().map(str::to_owned),
    };
    Some(Answer { username: text("Username")?, secret: text("Secret")? })
}

/// The first line of what a helper said, to standard output as the protocol wants it, or else to standard error. A line that
/// could be a part of a response is not shown, nor is a single word where the secret goes.
fn words(output: &Output) -> String {
    let all = [&output.stdout[..], &output.stderr[..]].map(String::from_utf8_lossy);
    let [said, warned] = &all;
    let said = said.lines().map(str::trim).filter(|line| line.contains(' '));
    let mut lines = said.chain(warned.lines().map(str::trim));
    let line = lines.find(|line| !line.is_empty() && !line.contains(['{', '}', '"']));
    let line: Option<String> =
        line.map(|line| printable(&without_secrets(line)).chars().take(LONGEST_WORDS).collect());
    line.map(|line| format!(", and said: {line}")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn responses() {
        let secret = |text: &str| answer(text.as_bytes()).map(|answer| answer.secret);
        let json = r#"{"ServerURL":"r.io","Username":"me","Secret":"s"}"#;
        assert_eq!(secret(json), Some("s".to_owned()));
        assert_eq!(secret(&format!("warning: old version\n{json}\n")), Some("s".to_owned()));
        assert_eq!(secret(&format!("{{not json}}\n{json}\nbye")), Some("s".to_owned()));
        assert_eq!(secret("hello"), None);
        let log = r#"{"level":"warn","msg":"old"}"#;
        let lower = r#"{"username":"me","secret":"s"}"#;
        for text in [lower, &format!("{log}\n{json}"), &format!("\u{feff}warning: {lower}")] {
            assert_eq!(secret(text), Some("s".to_owned()), "{text}");
        }
        assert_eq!(secret("{}"), Some(String::new()));
        assert_eq!(secret(log), None);
        assert_eq!(secret(r#"{"Username":"me","Secret":7}"#), None);
    }
}
