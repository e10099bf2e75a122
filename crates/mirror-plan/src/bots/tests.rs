use super::*;

fn entry(file: &str, reference: &str) -> Entry {
    let parsed: mirror_oci::Reference = reference.parse().unwrap();
    let version = parsed.version().unwrap();
    let (file, source) = (format!("{file}/Dockerfile"), "".into());
    Entry { file, version, name: parsed.name, platform: None, span: 0..0, source }
}

fn rules(entries: &[(&str, &str)], config: &str) -> BotRules {
    let entries: Vec<Entry> =
        entries.iter().map(|(file, reference)| entry(file, reference)).collect();
    BotRules::new("images", &entries, &Config::parse(config).unwrap())
}

const PLAIN: &[(&str, &str)] =
    &[("docker.io/library/postgres", "postgres:14.2"), ("quay.io/a/b", "quay.io/a/b:v1")];

#[test]
fn variants() {
    for (folder, reference, expected) in [
        ("docker.io/library/postgres", "postgres:13.6", Keep::Nothing),
        ("docker.io/library/postgres/13", "postgres:13.6", Keep::Major),
        ("docker.io/library/postgres/13-alpine", "postgres:13.6-alpine", Keep::Major),
        ("docker.io/library/postgres/v13", "postgres:13.6", Keep::Major),
        ("docker.io/library/postgres/13/slim", "postgres:13.6", Keep::Major),
        ("docker.io/library/node/20.11", "node:20.11.0", Keep::Minor),
        ("docker.io/library/postgres/14", "postgres:13.6", Keep::Nothing),
        ("docker.io/library/postgres/1", "postgres:13.6", Keep::Nothing),
        ("docker.io/library/postgres/old", "postgres:13.6", Keep::Nothing),
        ("docker.io/a/app/v1", "a/app:v1.8.0", Keep::Major),
    ] {
        assert_eq!(keep(&entry(folder, reference)), expected, "{folder} {reference}");
    }
}

#[test]
fn a_new_dependabot_file() {
    let text = rules(PLAIN, "").dependabot(None).unwrap();
    assert_eq!(
        text,
        "version: 2
updates:
  # mirror bots: begin
  # Written by `mirror bots`, which puts it right again when the tree has changed.
  - package-ecosystem: docker # zizmor: ignore[dependabot-cooldown]
    directories:
      - \"/images/**/*\"
    schedule:
      interval: daily
    groups:
      images:
        patterns: [\"*\"]
  # mirror bots: end
"
    );
}

#[test]
fn each_folder_once_and_no_name_twice_in_an_entry() {
    let entries = [
        ("docker.io/library/postgres", "postgres:14.2"),
        ("docker.io/library/postgres/13", "postgres:13.6"),
        ("docker.io/library/postgres/12", "postgres:12.1"),
        ("docker.io/library/mysql/5", "mysql:5.7"),
        ("docker.io/library/node/20.11", "node:20.11.0"),
    ];
    let rules = rules(&entries, "");
    let text = rules.dependabot(None).unwrap();
    for (folder, _) in entries {
        assert_eq!(text.matches(&format!("\"/images/{folder}\"\n")).count(), 1, "{text}");
    }
    assert!(!text.contains("**"), "{text}");
    assert_eq!(text.matches("package-ecosystem").count(), 4, "{text}");
    assert_eq!(text.matches("semver-major").count(), 3, "{text}");
    assert_eq!(text.matches("semver-minor").count(), 1, "{text}");
    let renovate: serde_json::Value = serde_json::from_str(&rules.renovate(None).unwrap()).unwrap();
    let kept = renovate.pointer("/packageRules/1/matchFileNames").unwrap();
    let expected = serde_json::json!([
        "images/docker.io/library/mysql/5/*",
        "images/docker.io/library/postgres/12/*",
        "images/docker.io/library/postgres/13/*"
    ]);
    assert_eq!(*kept, expected);
}

#[test]
fn what_others_wrote_stays() {
    let theirs = "# ours\nversion: 2\n\nupdates:\n- package-ecosystem: cargo\n  directory: /\n  schedule: {interval: weekly}\n# end\n";
    let once = rules(PLAIN, "").dependabot(Some(theirs)).unwrap();
    assert!(once.starts_with("# ours\nversion: 2\n\nupdates:\n# mirror bots: begin\n"), "{once}");
    assert!(once.ends_with("# mirror bots: end\n- package-ecosystem: cargo\n  directory: /\n  schedule: {interval: weekly}\n# end\n"), "{once}");
    assert_eq!(rules(PLAIN, "").dependabot(Some(&once)).unwrap(), once);
    let docker = format!("{theirs}- package-ecosystem: \"docker\"\n  directory: /images\n");
    assert!(rules(PLAIN, "").dependabot(Some(&docker)).unwrap_err().contains("docker already"));
    assert!(rules(PLAIN, "").dependabot(Some("version: 2\n")).unwrap_err().contains("updates:"));

    let theirs = r#"{"packageRules":[{"matchPackageNames":["x"],"enabled":false},{"description":"mirror bots: old"}],
      "labels":["b"],"ignorePaths":["x"]}"#;
    let once = rules(PLAIN, "").renovate(Some(theirs)).unwrap();
    let value: serde_json::Value = serde_json::from_str(&once).unwrap();
    assert_eq!(value.pointer("/labels/0").unwrap(), "b");
    assert_eq!(value.pointer("/packageRules").unwrap().as_array().unwrap().len(), 2);
    assert_eq!(value.pointer("/packageRules/1/matchPackageNames/0").unwrap(), "x");
    // However it is written.
    let compact = serde_json::to_string(&value).unwrap();
    assert_eq!(rules(PLAIN, "").renovate(Some(&compact)).unwrap(), compact);
    assert!(rules(PLAIN, "").renovate(Some("[1]")).is_err());
    assert!(rules(PLAIN, "").renovate(Some("{\"packageRules\":{}}")).is_err());
}

#[test]
fn private_registries_and_plain_http() {
    let entries = [
        ("my-registry.example.com/a", "my-registry.example.com/a:1"),
        ("127.0.0.1-5000/b", "127.0.0.1:5000/b:1"),
    ];
    let config = "[registry.\"my-registry.example.com\"]\nprivate = true\n[registry.\"unused.example.com\"]\nprivate = true\n";
    let with = rules(&entries, config);
    let text = with.dependabot(None).unwrap();
    assert!(text.starts_with(
        "version: 2\n# mirror bots: begin of registries\nregistries:\n  my-registry-example-com:\n    \
         type: docker-registry\n    url: https://my-registry.example.com\n    \
         username: ${{secrets.MIRROR_MY__REGISTRY_EXAMPLE_COM_USERNAME}}\n"
    ), "{text}");
    assert!(text.contains("    registries: [my-registry-example-com]\n"), "{text}");
    assert_eq!(with.dependabot(Some(&text)).unwrap(), text);
    let without = rules(&entries, "").dependabot(Some(&text)).unwrap();
    assert!(!without.contains("registries"), "{without}");
    let renovate: serde_json::Value = serde_json::from_str(&with.renovate(None).unwrap()).unwrap();
    let hosts = renovate.pointer("/hostRules").unwrap().as_array().unwrap();
    assert_eq!(hosts.len(), 2);
    assert_eq!(hosts[1].get("matchHost").unwrap(), "127.0.0.1");
    assert_eq!(hosts[1].get("insecureRegistry").unwrap(), true);
}
