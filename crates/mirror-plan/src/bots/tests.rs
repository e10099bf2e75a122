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
    assert!(
        rules(PLAIN, "")
            .dependabot(Some(&docker))
            .unwrap_err()
            .contains("another entry for docker")
    );

    // Other folders, and other ecosystems, are none of ours.
    for other in [
        "docker\n    directory: /ci",
        "docker-compose\n    directory: /images",
        "'npm' # docker\n    directory: /",
    ] {
        let theirs = format!(
            "version: 2\nupdates:\n  - package-ecosystem: {other}\n    schedule: {{interval: daily}}\n"
        );
        let written = rules(PLAIN, "").dependabot(Some(&theirs)).unwrap();
        assert!(written.contains(&format!("  - package-ecosystem: {other}\n")), "{written}");
        assert_eq!(rules(PLAIN, "").dependabot(Some(&written)).unwrap(), written);
    }
    // What covers a folder counts for its own entry alone, and with whole names.
    let monorepo = "version: 2\nupdates:\n  - package-ecosystem: docker\n    directory: /images-ui\n  - package-ecosystem: npm\n    directories: [\"/packages/*\"]\n";
    assert!(rules(PLAIN, "").dependabot(Some(monorepo)).unwrap().contains("/packages/*"));
    let crlf = "version: 2\r\nupdates: [] # none\r\n";
    let written = rules(PLAIN, "").dependabot(Some(crlf)).unwrap();
    assert!(
        written.starts_with("version: 2\r\nupdates:  # none\r\n")
            && !written.replace("\r\n", "").contains('\n')
    );
    assert_eq!(rules(PLAIN, "").dependabot(Some(&written)).unwrap(), written);
    let comment = rules(PLAIN, "").dependabot(Some("# ours\nupdates: # see [1]\n")).unwrap();
    assert!(comment.starts_with("version: 2\n# ours\nupdates: # see [1]\n"), "{comment}");
    for overlap in [
        "  - package-ecosystem:  docker\n    directories: [\"/**/*\"]",
        "  - {package-ecosystem: docker, directory: /images/x}",
    ] {
        let theirs = format!("version: 2\nupdates:\n{overlap}\n");
        rules(PLAIN, "").dependabot(Some(&theirs)).unwrap_err();
    }
    // However the key is written.
    for key in ["updates: []", "updates: # ours", "\"updates\":", "updates :", ""] {
        let written = rules(PLAIN, "").dependabot(Some(&format!("version: 2\n{key}\n"))).unwrap();
        assert!(!written.contains("[]") && written.matches("updates").count() == 1, "{written}");
    }
    for shape in [
        "updates: [{package-ecosystem: npm}]",
        "{updates: []}",
        "{\n  \"updates\": [\n  ]\n}",
        "  version: 2\n  updates:\n",
        "version: 2\n...\n",
    ] {
        assert!(rules(PLAIN, "").dependabot(Some(shape)).is_err(), "{shape}");
    }

    let theirs = r#"{"packageRules":[{"matchPackageNames":["x"],"enabled":false},{"description":"mirror bots: old"}],
      "labels":["b"],"ignorePaths":["x"]}"#;
    let once = rules(PLAIN, "").renovate(Some(theirs)).unwrap();
    let value: serde_json::Value = serde_json::from_str(&once).unwrap();
    assert_eq!(value.pointer("/labels/0").unwrap(), "b");
    assert_eq!(value.pointer("/ignorePaths/0").unwrap(), "x");
    assert_eq!(value.pointer("/packageRules").unwrap().as_array().unwrap().len(), 2);
    assert_eq!(value.pointer("/packageRules/1/matchPackageNames/0").unwrap(), "x");
    // However it is written.
    let compact = serde_json::to_string(&value).unwrap();
    assert_eq!(rules(PLAIN, "").renovate(Some(&compact)).unwrap(), compact);
    assert!(rules(PLAIN, "").renovate(Some("[1]")).is_err());
    assert!(rules(PLAIN, "").renovate(Some("{\"packageRules\":{}}")).is_err());
}

#[test]
fn what_is_no_mapping_is_refused() {
    let refused = |text: &str| rules(PLAIN, "").dependabot(Some(text)).unwrap_err();
    let no_mapping = "it is not a mapping with keys such as `updates`";
    assert_eq!((refused("~\n").as_str(), refused("- x\n").as_str()), (no_mapping, no_mapping));
    let two = "version: 2\nupdates:\n---\na: 1\n";
    assert_eq!(refused(two), "it has several YAML documents; leave one");
    for text in ["key: [\n", "version: 2\nupdates:\n  key: *nothing\n"] {
        assert!(refused(text).starts_with("it is not valid YAML: "), "{}", refused(text));
    }
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
    assert!(
        text.starts_with(
            "version: 2\nregistries:\n  # mirror bots: begin of registries\n  # Written by `mirror bots`, which puts it \
             right again when the tree has changed.\n  my--registry-example-com:\n    type: docker-registry\n    \
             url: https://my-registry.example.com\n    \
             username: ${{secrets.MIRROR_MY__REGISTRY_EXAMPLE_COM_USERNAME}}\n"
        ),
        "{text}"
    );
    assert!(text.contains("    registries: [my--registry-example-com]\n"), "{text}");
    // Those of others stay, and ours go alone.
    let theirs =
        text.replace("registries:\n  #", "registries:\n  mine:\n    type: npm-registry\n  #");
    assert_eq!(with.dependabot(Some(&theirs)).unwrap(), theirs);
    let alone = rules(&entries, "").dependabot(Some(&theirs)).unwrap();
    assert!(alone.contains("registries:\n  mine:\n    type: npm-registry\nupdates:\n"), "{alone}");
    // Whatever stands between the key and what is below it.
    let apart = "version: 2\nregistries:\n\n# mine\n  mine:\n    type: npm-registry\nupdates:\n";
    let both = with.dependabot(Some(apart)).unwrap();
    let again = rules(&entries, "").dependabot(Some(&both)).unwrap();
    assert!(again.contains("registries:\n\n# mine\n  mine:\n"), "{again}");
    let own = "version: 2\nregistries:\n  mine:\n    type: npm-registry\nupdates:\n";
    let both = with.dependabot(Some(own)).unwrap();
    assert!(both.contains("  # mirror bots: end of registries\n  mine:\n"), "{both}");
    assert_eq!(with.dependabot(Some(&text)).unwrap(), text);
    let without = rules(&entries, "").dependabot(Some(&text)).unwrap();
    assert!(!without.contains("registries"), "{without}");
    let renovate: serde_json::Value = serde_json::from_str(&with.renovate(None).unwrap()).unwrap();
    let hosts = renovate.pointer("/hostRules").unwrap().as_array().unwrap();
    assert_eq!(hosts.len(), 2);
    assert_eq!(hosts[1].get("matchHost").unwrap(), "127.0.0.1");
    assert_eq!(hosts[1].get("insecureRegistry").unwrap(), true);
}

#[test]
fn names_of_folders_are_text() {
    let text = rules(
        &[
            ("docker.io/library/postgres/a\"b\nschedule: x", "postgres:13.6"),
            ("docker.io/library/postgres", "postgres:14.2"),
        ],
        "",
    );
    let text = text.dependabot(None).unwrap();
    assert!(
        text.contains(r#"    - "/images/docker.io/library/postgres/a\"b\nschedule: x""#),
        "{text}"
    );
    // The tree may be the whole repository.
    let entries = [entry("docker.io/library/postgres", "postgres:14.2")];
    let whole = BotRules::new("", &entries, &Config::default());
    assert!(whole.dependabot(None).unwrap().contains("- \"/**/*\"\n"));
    assert!(whole.renovate(None).unwrap().contains("\"**\""));
}

#[test]
fn dependabot_sees_no_registry_in_a_name() {
    let entries = [("docker.io/prom/x", "prom/x:1"), ("quay.io/prom/x", "quay.io/prom/x:1")];
    let text = rules(&entries, "").dependabot(None).unwrap();
    assert_eq!(text.matches("package-ecosystem").count(), 2, "{text}");
}

/// A list of updates that somebody wrote, at some indentation, with what people write around it.
fn somebodys() -> impl proptest::strategy::Strategy<Value = String> {
    use proptest::prelude::*;
    let ecosystem =
        prop_oneof![Just("cargo"), Just("\"github-actions\""), Just("'npm'"), Just("docker")];
    let more = prop_oneof![
        Just(""),
        Just("    open-pull-requests-limit: 3\n"),
        Just("    groups:\n      all:\n        patterns: [\"*\"]\n"),
        Just("    # a comment, with: a colon\n    ignore:\n      - dependency-name: \"a b\"\n"),
        Just(
            "    labels: [a, \"b: c\"]\n    commit-message:\n      prefix: |\n        one\n        two\n"
        ),
    ];
    let entry = (ecosystem, "[a-z/]{0,12}", more, any::<bool>()).prop_map(|(name, folder, more, gap)| {
        let gap = if gap { "\n" } else { "" };
        format!(
            "  - package-ecosystem: {name}\n    directory: \"/{folder}\"\n    schedule:\n      interval: weekly\n{more}{gap}"
        )
    });
    let head = prop_oneof![
        Just("version: 2\n"),
        Just("# ours\nversion: 2 # always\n\n"),
        Just("---\nversion: 2\n"),
        Just(
            "version: 2\nregistries:\n  mine:\n    type: docker-registry\n    url: r.example.com\n"
        ),
    ];
    (head, proptest::collection::vec(entry, 0..5), any::<bool>(), any::<bool>()).prop_map(
        |(head, entries, flat, crlf)| {
            let mut text = if entries.is_empty() {
                head.to_owned()
            } else {
                format!("{head}updates:\n{}", entries.concat())
            };
            if flat {
                // Lists may stand as far left as their key.
                let lines = text.split_inclusive('\n');
                let mut inside = false;
                text = lines
                    .map(|line| {
                        let moved = line.strip_prefix("  ").filter(|_| inside);
                        inside |= line == "updates:\n";
                        moved.unwrap_or(line).to_owned()
                    })
                    .collect();
            }
            if crlf { text.replace('\n', "\r\n") } else { text }
        },
    )
}

proptest::proptest! {
    #[test]
    fn a_splice_is_yaml_with_both_contents(existing in somebodys()) {
        use saphyr::{LoadableYamlNode, Yaml};

        let load = |text: &str| {
            let documents = Yaml::load_from_str(text).unwrap_or_else(|why| panic!("{why}\n{text}"));
            documents.into_iter().next().unwrap()
        };
        let updates = |document: &Yaml<'_>| -> Vec<String> {
            let list = document.as_mapping_get("updates").and_then(Yaml::as_sequence);
            list.into_iter().flatten().map(|entry| format!("{entry:?}")).collect()
        };
        let rules = rules(PLAIN, "");
        let written = match rules.dependabot(Some(&existing)) {
            Ok(written) => written,
            Err(why) => {
                proptest::prop_assert!(why.starts_with("it has another entry for docker"), "{why}");
                return Ok(());
            }
        };
        let (before, after) = (load(&existing), load(&written));
        let version = |document: &Yaml<'_>| format!("{:?}", document.as_mapping_get("version"));
        proptest::prop_assert_eq!(version(&before), version(&after));
        let (theirs, all) = (updates(&before), updates(&after));
        proptest::prop_assert!(all.len() > theirs.len(), "{written}");
        proptest::prop_assert!(theirs.iter().all(|entry| all.contains(entry)), "{existing}\n{written}");
        proptest::prop_assert_eq!(rules.dependabot(Some(&written)), Ok(written));
    }
}
