use std::ops::Range;

use proptest::prelude::*;

use super::*;

const HEX: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

fn parse(text: &str) -> Result<Reference, ReferenceError> {
    text.parse()
}

#[test]
fn normalised() {
    let digest = format!("sha256:{HEX}");
    let cases = [
        ("postgres", "docker.io/library/postgres"),
        ("postgres:14.2", "docker.io/library/postgres:14.2"),
        ("docker.io/postgres", "docker.io/library/postgres"),
        ("index.docker.io/postgres", "docker.io/library/postgres"),
        ("index.docker.io/library/postgres", "docker.io/library/postgres"),
        ("docker.io/library/postgres", "docker.io/library/postgres"),
        ("grafana/grafana:9.5.21", "docker.io/grafana/grafana:9.5.21"),
        ("library/redis", "docker.io/library/redis"),
        ("localhost", "docker.io/library/localhost"),
        ("localhost/app", "localhost/app"),
        ("localhost:5000/app:1", "localhost:5000/app:1"),
        ("quay.io/a/b/c/d:e", "quay.io/a/b/c/d:e"),
        ("127.0.0.1:5000/x", "127.0.0.1:5000/x"),
        ("[::1]:5000/x:1", "[::1]:5000/x:1"),
        ("[2001:db8::1]/x", "[2001:db8::1]/x"),
        ("a__b/c--d/e.f_g:T-1._x", "docker.io/a__b/c--d/e.f_g:T-1._x"),
        ("foo_bar/x", "docker.io/foo_bar/x"),
        ("xn--n3h.com/myimage", "xn--n3h.com/myimage"),
        ("rocket.chat:4.5.4", "docker.io/library/rocket.chat:4.5.4"),
    ];
    for (text, spelled) in cases {
        assert_eq!(parse(text).map(|r| r.to_string()).as_deref(), Ok(spelled), "{text}");
        let pinned = parse(&format!("{text}@{digest}")).unwrap();
        assert_eq!(pinned.to_string(), format!("{spelled}@{digest}"));
        assert!(matches!(pinned.version(), Some(Version::Pinned(_))));
    }
    assert_eq!(parse("postgres").unwrap().version(), None);
    assert_eq!(parse("postgres:1").unwrap().version().unwrap().to_string(), ":1");
}

#[test]
fn familiar_names() {
    for (text, familiar) in [
        ("postgres", "postgres"),
        ("docker.io/grafana/grafana", "grafana/grafana"),
        ("library/a/b", "library/a/b"),
        ("quay.io/library/x", "quay.io/library/x"),
    ] {
        let name = parse(text).unwrap().name;
        assert_eq!(name.familiar(), familiar);
        assert_eq!(parse(&name.familiar()).unwrap().name, name);
    }
}

#[test]
fn hosts() {
    for (text, host) in [
        ("quay.io", "quay.io"),
        ("localhost:5000", "localhost"),
        ("[::1]:5000", "::1"),
        ("[::1]", "::1"),
    ] {
        assert_eq!(text.parse::<Registry>().unwrap().host(), host);
    }
}

#[test]
fn refused() {
    let long_tag = format!("a:{}", "t".repeat(129));
    let long_name = format!("quay.io/{}", "a/".repeat(127) + "bb");
    let image_id = HEX.to_owned();
    let nameless = format!("@sha256:{HEX}");
    let cases: &[(&str, &str, Range<usize>)] = &[
        ("", "the name is empty", 0..0),
        (":tag", "the name is empty", 0..0),
        (&nameless, "the name is empty", 0..0),
        ("a@", "the digest is empty", 1..2),
        ("a:", "the tag is empty", 1..2),
        ("quay.io/", "the repository is empty", 8..8),
        ("Postgres:14", "the repository has upper-case", 0..8),
        ("Quay.io/x", "the registry has upper-case", 0..7),
        ("quay.io/Foo/x", "the repository has upper-case", 8..13),
        ("a//b", "`/` is not allowed here in a repository", 2..3),
        ("a/b/", "the repository is empty", 4..4),
        ("a:b:c", "`:` is not allowed here in a tag", 3..4),
        ("a b", "` ` is not allowed here in a repository", 1..2),
        ("-a", "`-` is not allowed here in a repository", 0..1),
        ("a-", "`-` is not allowed here in a repository", 1..2),
        ("a___b", "`_` is not allowed here in a repository", 1..2),
        ("a..b", "`.` is not allowed here in a repository", 1..2),
        ("a._b", "`.` is not allowed here in a repository", 1..2),
        ("a:.b", "`.` is not allowed here in a tag", 2..3),
        ("a:-b", "`-` is not allowed here in a tag", 2..3),
        ("a:b+c", "`+` is not allowed here in a tag", 3..4),
        ("a:ü", "`ü` is not allowed here in a tag", 2..4),
        ("fäö/b", "`ä` is not allowed here in a repository", 1..3),
        ("a:${TAG}", "`$` is not allowed here in a tag", 2..3),
        ("https://quay.io/x", "the port is not a number", 6..6),
        ("quay.io:/x", "the port is not a number", 8..8),
        ("quay.io:0/x", "the port is not a number", 8..9),
        ("quay.io:65536/x", "the port is not a number", 8..13),
        ("quay.io:+80/x", "the port is not a number", 8..11),
        ("-quay.io/x", "`-` is not allowed here in a registry", 0..1),
        ("quay-.io/x", "`-` is not allowed here in a registry", 4..5),
        ("quay..io/x", "`.` is not allowed here in a registry", 5..6),
        ("quay_x.io/x", "`_` is not allowed here in a registry", 4..5),
        ("[::1/x", "`[` is not allowed here in a registry", 0..1),
        ("[zz]/x", "`z` is not allowed here in a registry", 1..2),
        ("[::1]x/x", "`x` is not allowed here in a registry", 5..6),
        (&long_tag, "the tag is longer than 128", 2..131),
        (&long_name, "the repository is longer than 255", 8..264),
        (&image_id, "64 hex digits are an image id", 0..64),
        ("a@sha256:abc", "a sha256 digest has 64", 2..12),
        ("a@md5:abc", "`md5` is not a supported", 2..9),
        ("a@b@c", "a digest has the form", 2..5),
    ];
    for (text, message, span) in cases {
        let error = parse(text).expect_err(text);
        assert!(error.to_string().starts_with(message), "{text}: {error}");
        assert_eq!(&error.span, span, "{text}: {error}");
    }
}

#[test]
fn parts_check_too() {
    assert!("library/x".parse::<Repository>().is_ok());
    assert!("../x".parse::<Repository>().is_err());
    assert!("a/../b".parse::<Repository>().is_err());
    assert!("latest".parse::<Tag>().is_ok());
    assert!("a/b".parse::<Tag>().is_err());
    assert!("quay.io/x".parse::<Registry>().is_err());
    assert!(serde_json::from_str::<Tag>("\"..\"").is_err());
}

/// Every known disagreement with oci-client's `Reference`, by name.
#[test]
fn against_oci_client() {
    let agree = [
        "postgres",
        "postgres:14.2",
        "docker.io/postgres",
        "index.docker.io/postgres",
        "grafana/grafana:9.5.21",
        "localhost:5000/app:1",
        "quay.io/a/b/c:d",
        "a__b/c--d",
        "127.0.0.1:5000/x",
        "localhost/x",
    ];
    for text in agree {
        let theirs: oci_client::Reference = text.parse().expect(text);
        let ours = parse(text).expect(text);
        assert_eq!(theirs.repository(), ours.name.repository.as_str(), "{text}");
        assert_eq!(theirs.registry(), ours.name.registry.as_str(), "{text}");
    }
    let image_id = HEX.to_owned();
    let upper_digest = format!("a@sha256:{}", HEX.to_uppercase());
    // They accept, we refuse.
    let lenient = [
        ("upper-case registry", "Quay.io/x"),
        ("upper-case first component, taken for a registry", "Foo/x"),
        ("Unicode letters in a tag", "a:ü"),
        ("upper-case digest", &upper_digest),
        ("64 hex digits", &image_id),
        ("port 0", "quay.io:0/x"),
        ("port over 65535", "quay.io:65536/x"),
    ];
    for (why, text) in lenient {
        assert!(
            text.parse::<oci_client::Reference>().is_ok(),
            "{why}: {text} is now refused by oci-client as well"
        );
        assert!(parse(text).is_err(), "{why}: {text}");
    }
    // We accept, they refuse: IPv6 addresses.
    for text in ["[::1]:5000/x", "[2001:db8::1]/x"] {
        assert!(text.parse::<oci_client::Reference>().is_err() && parse(text).is_ok(), "{text}");
    }
    // They make up a tag where there is none; we leave that to whoever needs one.
    assert_eq!("a".parse::<oci_client::Reference>().unwrap().tag(), Some("latest"));
    assert_eq!(parse("a").unwrap().tag, None);
}

fn component() -> impl Strategy<Value = String> {
    "[a-z0-9]{1,6}((\\.|_|__|-{1,3})[a-z0-9]{1,6}){0,2}"
}

fn registry() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z0-9]{1,5}(\\.[a-z0-9]{1,3}(-[a-z0-9]{1,3})?){1,3}(:[1-9][0-9]{0,3})?",
        Just("localhost".to_owned()),
        Just("localhost:5000".to_owned()),
        Just("[::1]:5000".to_owned()),
    ]
}

proptest! {
    #[test]
    fn round_trip(
        registry in proptest::option::of(registry()),
        path in proptest::collection::vec(component(), 1..4),
        tag in proptest::option::of("[A-Za-z0-9_][A-Za-z0-9_.-]{0,20}"),
        pinned in any::<bool>(),
    ) {
        // Without a registry in front, a dot would make the first component one.
        let mut path = path;
        path[0] = if registry.is_none() { path[0].replace('.', "-") } else { path[0].clone() };
        let mut text = registry.map(|registry| registry + "/").unwrap_or_default() + &path.join("/");
        tag.iter().for_each(|tag| text += &format!(":{tag}"));
        if pinned {
            text += &format!("@sha256:{HEX}");
        }
        let reference = parse(&text).unwrap();
        let spelled = reference.to_string();
        prop_assert!(spelled.ends_with(&text) || !text.contains('/') || spelled.contains("library/"), "{} {}", text, spelled);
        prop_assert_eq!(parse(&spelled).unwrap(), reference);
        let theirs: Result<oci_client::Reference, _> = text.parse();
        prop_assert!(theirs.is_ok() || text.starts_with('['), "{}", text);
    }

    #[test]
    fn any_text_has_an_outcome(text in "\\PC{0,80}") {
        match parse(&text) {
            Ok(reference) => {
                prop_assert!(text.is_ascii());
                prop_assert_eq!(parse(&reference.to_string()).unwrap(), reference);
            }
            Err(error) => {
                prop_assert!(error.span.end <= text.len() && error.span.start <= error.span.end);
                prop_assert!(text.get(error.span.clone()).is_some(), "{:?} splits a character", error.span);
            }
        }
    }

    #[test]
    fn near_misses_never_panic(text in "[a-zA-Z0-9.:/@_\\[\\]$ -]{0,40}") {
        if let Ok(reference) = parse(&text) {
            prop_assert_eq!(parse(&reference.to_string()).unwrap(), reference);
            let theirs = text.parse::<oci_client::Reference>();
            prop_assert!(theirs.is_ok() || text.starts_with('['), "{} is ours alone", text);
        }
    }
}
