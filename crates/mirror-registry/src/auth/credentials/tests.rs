use mirror_failure::CredentialError;

use super::*;

fn user(user: &str, password: &str) -> Credential {
    Credential::basic(user, &Secret::new(password))
}

/// base64 of "me:secret"
const AUTH: &str = "bWU6c2VjcmV0";

fn kept(files: &[&str]) -> Credentials {
    let place = |(number, text): (usize, &&str)| CredentialFile::Variable {
        name: format!("file {number}"),
        value: Secret::new(*text),
    };
    Credentials::new([], files.iter().enumerate().map(place).collect())
}

async fn with_file(text: &str, authority: &str) -> Credential {
    kept(&[text]).lookup(authority, None, true).await.credential
}

async fn failure(text: &str) -> String {
    let lookup = kept(&[text]).lookup("r.io", None, true).await;
    lookup.failures().next().map(ToString::to_string).unwrap_or_default()
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
        ("MIRROR_AUTH_QUAY_IO".to_owned(), "me:pass:word\r\n".to_owned()),
        ("MIRROR_AUTH_R_IO".into(), "x".into()),
        ("MIRROR_AUTH_GHCR_IO".into(), "\n".into()),
    ];
    let credentials = Credentials::new(variables, Vec::new());
    let lookup = async |host| credentials.lookup(host, None, true).await;
    assert_eq!(lookup("quay.io").await.credential, user("me", "pass:word"));
    let wrong = CredentialError::Variable("MIRROR_AUTH_R_IO".into());
    assert_eq!(lookup("r.io").await.failures().collect::<Vec<_>>(), [&wrong]);
    let unset = lookup("ghcr.io").await;
    assert_eq!(unset.credential, Credential::Anonymous);
    assert_eq!(unset.failures().count(), 0, "an empty variable is not set");
    assert!(!format!("{credentials:?}").contains("pass"));
}

#[tokio::test]
async fn stored_in_files() {
    let token = |token: &str| Secret::new(token);
    for (key, authority, known) in [
        ("quay.io", "quay.io", true),
        ("https://quay.io/v2/", "quay.io", true),
        ("quay.io/v1", "quay.io", true),
        ("HTTPS://Quay.IO/some/path/", "quay.io", true),
        ("quay.io:443", "quay.io", true),
        ("https://quay.io:443/", "quay.io", true),
        ("quay.io:8443", "quay.io", false),
        ("quay.io", "quay.io:8443", false),
        ("notquay.io", "quay.io", false),
        ("https://index.docker.io/v1/", "registry-1.docker.io", true),
        ("docker.io", "registry-1.docker.io", true),
        ("quay.io/org", "quay.io", false),
    ] {
        let text = format!(r#"{{"auths":{{"{key}":{{"auth":"{AUTH}"}}}}}}"#);
        let expected = if known { user("me", "secret") } else { Credential::Anonymous };
        assert_eq!(with_file(&text, authority).await, expected, "{key} for {authority}");
    }
    for (entry, expected) in [
        (r#"{"username":"a","password":"b"}"#, user("a", "b")),
        (r#"{"auth":"","identitytoken":"t"}"#, Credential::Refresh(token("t"))),
        (r#"{"registrytoken":"t","auth":null}"#, Credential::Bearer(token("t"))),
        (r#"{"auth":"bWU6\n  c2Vj\r\ncmV0","email":7}"#, user("me", "secret")),
        (r#"{"auth":"bTpwYXNzd29yZAAAAAA"}"#, user("m", "password")),
        ("{}", Credential::Anonymous),
        ("null", Credential::Anonymous),
    ] {
        let text = format!(r#"{{"auths":{{"r.io":{entry}}},"HttpHeaders":{{"x":1}}}}"#);
        assert_eq!(with_file(&text, "r.io").await, expected, "{entry}");
    }
    // As Docker's decoder does not look at the case, nor Windows at the encoding.
    let text = format!(r#"{{"Auths":{{"r.io":{{"Auth":"{AUTH}"}}}}}}"#);
    assert_eq!(with_file(&text, "r.io").await, user("me", "secret"));
    // Latin-1, as the bytes that they are.
    let text = r#"{"auths":{"r.io":{"auth":"bfxsbGVyOnNlY3JldA=="}}}"#;
    let Credential::Basic { login, .. } = with_file(text, "r.io").await else { panic!("a user") };
    assert_eq!(login.expose(), b"m\xfcller:secret");
}

#[tokio::test]
async fn the_exact_key_counts_more_than_one_that_means_the_same() {
    let text = format!(
        r#"{{"auths":{{"https://index.docker.io/v1/access-token":{{"auth":"eDp4"}},"https://index.docker.io/v1/":{{"auth":"{AUTH}"}}}}}}"#
    );
    assert_eq!(with_file(&text, "registry-1.docker.io").await, user("me", "secret"));
    let text = format!(
        r#"{{"auths":{{"https://r.io/v1/":{{"auth":"eDp4"}},"r.io":{{"auth":"{AUTH}"}}}}}}"#
    );
    assert_eq!(with_file(&text, "r.io").await, user("me", "secret"));
}

#[tokio::test]
async fn the_longest_path_counts_whichever_file_it_is_in() {
    let entry =
        |key: &str| format!(r#"{{"auths":{{"{key}":{{"username":"{key}","password":"x"}}}}}}"#);
    let files = ["r.io", "r.io/team-a", "r.io/team-a/tools/", "docker.io/library"].map(entry);
    let credentials = kept(&files.each_ref().map(String::as_str));
    for (authority, repository, expected) in [
        ("r.io", "team-b/x", "r.io"),
        ("r.io", "team-a", "r.io/team-a"),
        ("r.io", "team-a/x", "r.io/team-a"),
        ("r.io", "team-ab/x", "r.io"),
        ("r.io", "x/team-a", "r.io"),
        ("r.io", "team-a/tools", "r.io/team-a/tools/"),
        ("r.io", "team-a/tools/x/y", "r.io/team-a/tools/"),
        ("registry-1.docker.io", "library/redis", "docker.io/library"),
    ] {
        let name = repository.parse().unwrap();
        let found = credentials.lookup(authority, Some(&name), true).await.credential;
        assert_eq!(found, user(expected, "x"), "{authority}/{repository}");
    }
    let name = "a/b".parse().unwrap();
    let nobody = credentials.lookup("registry-1.docker.io", Some(&name), true).await;
    assert_eq!(nobody.credential, Credential::Anonymous);
}

#[tokio::test]
async fn what_is_wrong_with_one_place_or_entry_is_no_matter_of_others() {
    let good = format!(r#"{{"auths":{{"r.io":{{"auth":"{AUTH}"}}}}}}"#);
    for (wrong, says) in [
        ("", ""),
        (" \n", ""),
        ("\u{feff}", ""),
        ("null", ""),
        (r#"{"auths":null,"credHelpers":null,"credsStore":null}"#, ""),
        (r#"{"auths":{"r.io":{"auth":7}}}"#, "the entry of r.io: `auth` is not text"),
        (r#"{"auths":{"r.io":7}}"#, "the entry of r.io: the entry is not a table of settings"),
        (
            r#"{"auths":{"r.io":{"auth":"!!!"}}}"#,
            "the entry of r.io: `auth` is not base64 of user:password",
        ),
        (r#"{"auths":[]}"#, "`auths` is not a table of registries"),
        ("[]", "not the JSON of Docker's config.json, which is a table"),
        (r#"{"auths":{"r.io":{"password":hunter2}}}"#, "(line 1, column 30)"),
        (
            r#"{"credsStore":"no-such-helper-x"}"#,
            "credential helper docker-credential-no-such-helper-x, which file 0 names, is not installed",
        ),
        (r#"{"credHelpers":{"r.io":"../x"}}"#, "its name in file 0 must not be a path"),
    ] {
        let lookup = kept(&[wrong, &good]).lookup("r.io", None, true).await;
        assert_eq!(lookup.credential, user("me", "secret"), "{wrong}");
        let said = lookup.failures().map(ToString::to_string).collect::<String>();
        assert!(said.ends_with(says) && said.is_empty() == says.is_empty(), "{wrong}: {said}");
        assert!(!said.contains("hunter2"), "{said}");
    }
    let bom = format!("\u{feff}{good}");
    assert_eq!(with_file(&bom, "r.io").await, user("me", "secret"));
    let other = r#"{"auths":{"a.io":7},"credHelpers":{"other.io":"x"}}"#;
    assert_eq!(failure(other).await, "", "nobody asked for that one");
}

#[tokio::test]
async fn without_tls_only_what_says_so() {
    let auths = r#"{"auths":{"a.io":{"username":"a","password":"b"},"http://b.io":{"username":"a","password":"b"}}}"#;
    let file = CredentialFile::Variable { name: "x".to_owned(), value: Secret::new(auths) };
    let credentials =
        Credentials::new([("MIRROR_AUTH_A_IO".to_owned(), "a:b".to_owned())], vec![file]);
    let lookup = async |host, secure| credentials.lookup(host, None, secure).await.credential;
    assert_eq!(lookup("a.io", false).await, Credential::Anonymous);
    assert_eq!(lookup("b.io", false).await, user("a", "b"));
    assert_eq!(lookup("a.io", true).await, user("a", "b"));
}

#[tokio::test]
async fn the_places_that_were_asked_are_told() {
    let good = format!(r#"{{"auths":{{"r.io":{{"auth":"{AUTH}"}}}}}}"#);
    let missing = CredentialFile::Path("/no/such/file".into());
    let texts = ["{}", &good, "{}"].map(|text| CredentialFile::Variable {
        name: format!("{} bytes", text.len()),
        value: Secret::new(text),
    });
    let places = [missing].into_iter().chain(texts).collect();
    let lookup = Credentials::new([], places).lookup("r.io", None, true).await;
    let outcomes: Vec<&LookupOutcome> = lookup.steps.iter().map(|step| &step.outcome).collect();
    use LookupOutcome::{Absent, Found, NotAsked, Nothing};
    assert_eq!(outcomes, [&Absent, &Absent, &Nothing, &Found("r.io".to_owned()), &NotAsked]);
    assert_eq!(lookup.steps[0].place, "MIRROR_AUTH_R_IO");
}
