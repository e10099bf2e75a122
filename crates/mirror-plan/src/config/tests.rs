use super::*;

const FULL: &str = r#"
[[destination]]
name = "prod"
registry = "registry.example.com:5000"
repository = "mirror/{registry}/{name}"

[[destination]]
name = "disk"
layout = "./store"

[registry."docker.io"]
endpoint = "http://127.0.0.1:5001/"
concurrency = 8
alternatives = ["public.ecr.aws/docker", "mirror.example"]

[check]
require_digest = true

[[image]]
match = "docker.io/**"
destinations = ["prod"]

[[image]]
match = "docker.io/library/*"
platforms = ["linux/amd64"]
"#;

fn name(text: &str) -> Name {
    text.parse::<mirror_oci::Reference>().unwrap().name
}

#[test]
fn everything_is_read() {
    let config = Config::parse(FULL).unwrap();
    assert_eq!(config.destinations.len(), 2);
    assert_eq!(config.destinations[0].repository.to_string(), "mirror/{registry}/{name}");
    assert_eq!(config.destinations[1].location, Location::Layout("./store".into()));
    let hub = &config.registries[&Registry::docker_hub()];
    assert_eq!(
        (hub.endpoint.clone(), hub.concurrency),
        ("http://127.0.0.1:5001".parse().ok(), Some(8))
    );
    let original = "library/redis".parse().unwrap();
    let there: Vec<_> =
        hub.alternatives.iter().map(|a| a.repository(&original).unwrap().to_string()).collect();
    assert_eq!(there, ["docker/library/redis", "library/redis"]);
    assert!(config.rules.require_digest);
    assert!(config.sends(&name("postgres"), "prod") && !config.sends(&name("postgres"), "disk"));
    assert!(config.sends(&name("quay.io/a/b"), "disk"));
    assert_eq!(config.platforms(&name("postgres")).unwrap().len(), 1);
    assert_eq!(config.platforms(&name("grafana/grafana")), None);
}

#[test]
fn nothing_is_a_configuration_too() {
    let config = Config::parse("").unwrap();
    assert_eq!(config.destinations[0].location, Location::Layout("./mirror-store".into()));
}

/// A configuration, what is underlined in it, and a part of the message.
const PROBLEMS: &[(&str, &str, &str)] = &[
    ("x = 1", "x", "unknown field `x`"),
    (
        "[registry.\"123456789012.dkr.ecr.eu-central-1.amazonaws.com\"]\nendpoint = \"http://evil.example\"",
        "\"http://evil.example\"",
        "an AWS login must not go there",
    ),
    (
        "[registry.\"123456789012.dkr.ecr.eu-central-1.amazonaws.com\"]\ntoken_realm = \"https://evil.example\"",
        "\"https://evil.example\"",
        "an AWS login must not go there",
    ),
    (
        "[registry.\"public.ecr.aws\"]\nendpoint = \"https://evil.example\"",
        "\"https://evil.example\"",
        "an AWS login must not go there",
    ),
    ("[check]\nrequire = true", "require", "unknown field `require`"),
    ("a = \"", "", "invalid basic string"),
    ("[[destination]]\nname = \"a\"", "\"a\"", "needs a registry or a layout"),
    (
        "[[destination]]\nname = \"a\"\nregistry = \"r.io\"\nlayout = \"x\"",
        "\"a\"",
        "needs a registry or a layout",
    ),
    ("[[destination]]\nname = \"a b\"\nlayout = \"x\"", "\"a b\"", "one word"),
    ("[[destination]]\nname = \"a\"\nregistry = \"R.io/x\"", "\"R.io/x\"", "upper-case"),
    (
        "[[destination]]\nname = \"a\"\nlayout = \"x\"\nrepository = \"y\"",
        "\"y\"",
        "no placeholder",
    ),
    (
        "[[destination]]\nname = \"a\"\nlayout = \"x\"\nrepository = \"{tag}/{name}\"",
        "\"{tag}/{name}\"",
        "each version would get a repository of its own",
    ),
    (
        "[[destination]]\nname = \"a\"\nlayout = \"x\"\nrepository = \"{nam}\"",
        "\"{nam}\"",
        "there is no field `{nam}`",
    ),
    (
        "[[destination]]\nname = \"a\"\nlayout = \"x\"\ntag = \"{name}\"",
        "\"{name}\"",
        "all versions of an image would get this tag",
    ),
    (
        "[[destination]]\nname = \"a\"\nlayout = \"x\"\ntag = \"{digest:12}/{tag}\"",
        "\"{digest:12}/{tag}\"",
        "doesn't make a tag",
    ),
    ("[bots]\ncooldown = 91", "91", "at most 90 days"),
    ("[bots]\nlimit = 0", "0", "from 1 to 100"),
    ("[bots]\nlabels = [\"a\", \"\"]", "\"\"", "1 to 50 characters"),
    (
        "[[image]]\nmatch = \"*\"\nkeep = \"latest\"",
        "\"latest\"",
        "does not start with the numbers of a version",
    ),
    ("[[image]]\nmatch = \"*\"\nkeep = \"/(/\"", "\"/(/\"", "is not a regular expression"),
    ("[registry.\"Docker.io\"]", "\"Docker.io\"", "upper-case"),
    (
        "[registry.\"docker.io\"]\nendpoint = \"127.0.0.1:5000\"",
        "\"127.0.0.1:5000\"",
        "is not an endpoint",
    ),
    (
        "[registry.\"docker.io\"]\nendpoint = \"http://u:p@h.io\"",
        "\"http://u:p@h.io\"",
        "is not an endpoint",
    ),
    ("[registry.\"docker.io\"]\nalternatives = [\"Ecr/x\"]", "\"Ecr/x\"", "is not a registry with"),
    ("[registry.\"docker.io\"]\nconcurrency = 0", "0", "from 1 to 256"),
    ("[registry.\"docker.io\"]\nconcurrency = 100000", "100000", "invalid value"),
    ("[[image]]\nmatch = \"*\"\ndestinations = []", "\"*\"", "copies nothing"),
    (
        "[registry.\"docker.io\"]\n[registry.\"index.docker.io\"]",
        "\"index.docker.io\"",
        "has settings already",
    ),
    (
        "[[destination]]\nname = \"a\"\nlayout = \"x\"\n[[destination]]\nname = \"b\"\nlayout = \"x\"",
        "\"b\"",
        "have the same target",
    ),
    ("[[image]]\nmatch = \"[\"", "\"[\"", "is not a glob"),
    ("[[image]]\nmatch = \"*\"\ndestinations = [\"x\"]", "\"x\"", "there is no destination `x`"),
    ("[[image]]\nmatch = \"*\"\nplatforms = []", "\"*\"", "copies nothing"),
    ("[[image]]\nmatch = \"*\"\nplatforms = [\"arm\"]", "\"arm\"", "is not a platform"),
];

#[test]
fn problems_have_their_place() {
    for (text, underlined, message) in PROBLEMS {
        let problems = Config::parse(text).unwrap_err();
        assert_eq!(problems.len(), 1, "{text}: {problems:?}");
        assert!(problems[0].message.contains(message), "{text}: {problems:?}");
        assert_eq!(
            text.get(problems[0].span.clone().unwrap()).unwrap(),
            *underlined,
            "{text}: {problems:?}"
        );
    }
}

#[test]
fn unused_globs() {
    let config = Config::parse(FULL).unwrap();
    assert_eq!(
        config.unused_globs([&name("grafana/grafana")].into_iter()),
        ["docker.io/library/*"]
    );
}

#[test]
fn all_problems_at_once() {
    let text = "[[destination]]\nname = \"a\"\n[[destination]]\nname = \"a\"\nlayout = \"x\"\n[[image]]\nmatch = \"[\"\ndestinations = [\"z\"]";
    assert_eq!(Config::parse(text).unwrap_err().len(), 3);
    let twice = "[[destination]]\nname = \"a\"\nlayout = \"x\"\n[[destination]]\nname = \"a\"\nlayout = \"y\"";
    assert!(
        Config::parse(twice).unwrap_err()[0].message.contains("two destinations are called `a`")
    );
}

proptest::proptest! {
    #[test]
    fn any_text_is_a_configuration_or_has_problems(
        lines in proptest::collection::vec(
            "(\\[\\[?(destination|image|registry\\.\"a\\.b\"|check|copy|destination\\.ecr)\\]\\]?|(name|registry|layout|match|platforms|endpoint|repository|create) = [\"\\[\\]a-z0-9{}/:.,]{0,300}|[ -~é]{0,60})",
            0..40,
        ),
    ) {
        let text = lines.join("\n");
        if let Err(problems) = Config::parse(&text) {
            proptest::prop_assert!(!problems.is_empty());
            for problem in problems {
                let inside = problem.span.is_none_or(|span| text.get(span).is_some());
                proptest::prop_assert!(inside && !problem.message.is_empty(), "{text}");
            }
        }
    }
}
