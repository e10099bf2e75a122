use super::*;

fn user(user: &str, password: &str) -> Credential {
    Credential::Basic { user: user.into(), password: Secret::new(password) }
}

async fn with_file(text: &str, authority: &str) -> Result<Credential, CredentialError> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config.json");
    std::fs::write(&path, text).unwrap();
    Credentials::new([], vec![folder.path().join("missing"), path]).lookup(authority, true).await
}

#[test]
fn variable_names() {
    assert_eq!(variable_name("registry.example.com:5000"), "MIRROR_AUTH_REGISTRY_EXAMPLE_COM_5000");
    assert_eq!(variable_name("registry-1.docker.io"), "MIRROR_AUTH_DOCKER_IO");
    assert_ne!(variable_name("registry-gitlab.com"), variable_name("registry.gitlab.com"));
    assert_eq!(variable_name("[::1]:5000"), "MIRROR_AUTH____1__5000");
}

#[tokio::test]
async fn environment_comes_first() {
    let variables = [
        ("MIRROR_AUTH_QUAY_IO".to_owned(), "me:pass:word".to_owned()),
        ("MIRROR_AUTH_R_IO".into(), "x".into()),
    ];
    let credentials = Credentials::new(variables, Vec::new());
    assert_eq!(credentials.lookup("quay.io", true).await, Ok(user("me", "pass:word")));
    assert_eq!(
        credentials.lookup("r.io", true).await,
        Err(CredentialError::Variable("MIRROR_AUTH_R_IO".into()))
    );
    assert_eq!(credentials.lookup("ghcr.io", true).await, Ok(Credential::Anonymous));
    assert!(!format!("{credentials:?}").contains("pass"));
}

#[tokio::test]
async fn stored_in_files() {
    // base64 of "me:secret"
    let auth = "bWU6c2VjcmV0";
    let cases = [
        (
            format!(r#"{{"auths":{{"quay.io":{{"auth":"{auth}"}}}}}}"#),
            "quay.io",
            user("me", "secret"),
        ),
        (
            format!(r#"{{"auths":{{"https://quay.io/v2/":{{"auth":"{auth}"}}}}}}"#),
            "quay.io",
            user("me", "secret"),
        ),
        (
            format!(r#"{{"auths":{{"https://index.docker.io/v1/":{{"auth":"{auth}"}}}}}}"#),
            "registry-1.docker.io",
            user("me", "secret"),
        ),
        (
            format!(r#"{{"auths":{{"docker.io":{{"auth":"{auth}"}}}}}}"#),
            "registry-1.docker.io",
            user("me", "secret"),
        ),
        (
            format!(r#"{{"auths":{{"quay.io/org":{{"auth":"{auth}"}}}}}}"#),
            "quay.io",
            Credential::Anonymous,
        ),
        (
            format!(r#"{{"auths":{{"quay.io":{{"auth":"{auth}"}}}}}}"#),
            "quay.io:443",
            Credential::Anonymous,
        ),
        (r#"{"auths":{"r.io":{"username":"a","password":"b"}}}"#.into(), "r.io", user("a", "b")),
        (
            r#"{"auths":{"r.io":{"auth":"","identitytoken":"t"}}}"#.into(),
            "r.io",
            Credential::Refresh(Secret::new("t")),
        ),
        (
            r#"{"auths":{"r.io":{"registrytoken":"t"}}}"#.into(),
            "r.io",
            Credential::Bearer(Secret::new("t")),
        ),
        (r#"{"auths":{"r.io":{}},"HttpHeaders":{"x":"y"}}"#.into(), "r.io", Credential::Anonymous),
    ];
    for (text, authority, expected) in cases {
        assert_eq!(with_file(&text, authority).await, Ok(expected), "{text}");
    }
}

#[tokio::test]
async fn broken_files_are_errors_without_secrets() {
    let error = with_file(r#"{"auths":{"r.io":{"password":hunter2}}}"#, "r.io")
        .await
        .unwrap_err()
        .to_string();
    assert!(error.contains("line 1") && !error.contains("hunter2"), "{error}");
    let error =
        with_file(r#"{"auths":{"r.io":{"auth":"!!!"}}}"#, "r.io").await.unwrap_err().to_string();
    assert!(error.contains("`auth` of r.io"), "{error}");
}

#[tokio::test]
async fn helpers_that_are_not_there_or_are_paths() {
    let error =
        with_file(r#"{"credsStore":"no-such-helper-x"}"#, "r.io").await.unwrap_err().to_string();
    assert!(error.contains("docker-credential-no-such-helper-x: could not be started"), "{error}");
    let error =
        with_file(r#"{"credHelpers":{"r.io":"../x"}}"#, "r.io").await.unwrap_err().to_string();
    assert!(error.contains("must not be a path"), "{error}");
    assert_eq!(
        with_file(r#"{"credHelpers":{"other.io":"x"}}"#, "r.io").await,
        Ok(Credential::Anonymous)
    );
}

#[tokio::test]
async fn without_tls_only_what_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config.json");
    let auths = r#"{"auths":{"a.io":{"username":"a","password":"b"},"http://b.io":{"username":"a","password":"b"}}}"#;
    std::fs::write(&path, auths).unwrap();
    let credentials =
        Credentials::new([("MIRROR_AUTH_A_IO".to_owned(), "a:b".to_owned())], vec![path]);
    assert_eq!(credentials.lookup("a.io", false).await, Ok(Credential::Anonymous));
    assert_eq!(credentials.lookup("b.io", false).await, Ok(user("a", "b")));
    assert_eq!(credentials.lookup("a.io", true).await, Ok(user("a", "b")));
}
