use expect_test::expect;

use super::tests::{PLAIN, VARIANTS, rules};

const ALL: &str = r#"
[bots]
interval = "weekly"
cooldown = 0
groups = "registry"
majors = "together"
labels = ["dependencies"]
limit = 5
automerge = "digest"

[[image]]
match = "docker.io/library/postgres"
keep = "exact"

[[image]]
match = "quay.io/**"
keep = "/^jdk-17\\.0\\./"
"#;

#[test]
fn a_new_file() {
    expect![[r#"
        {
          "$schema": "https://docs.renovatebot.com/renovate-schema.json",
          "extends": ["config:recommended"],
          "ignorePaths": [],
          "packageRules": [
            {
              "description": "mirror bots: one pull request for all images, one more for major versions",
              "matchFileNames": ["images/**"],
              "matchManagers": ["dockerfile"],
              "groupName": "images",
              "minimumReleaseAge": "3 days",
              "minimumReleaseAgeBehaviour": "timestamp-optional"
            },
            {
              "description": "mirror bots: no replacement by another image",
              "matchFileNames": ["images/**"],
              "matchManagers": ["dockerfile"],
              "matchUpdateTypes": ["replacement"],
              "enabled": false
            }
          ]
        }
    "#]].assert_eq(&rules(PLAIN, "").renovate(None, None).unwrap());
}

#[test]
fn variants_and_settings() {
    expect![[r#"
        {
          "$schema": "https://docs.renovatebot.com/renovate-schema.json",
          "extends": ["config:recommended"],
          "ignorePaths": [],
          "packageRules": [
            {
              "description": "mirror bots: one pull request for all images, one more for major versions",
              "matchFileNames": ["images/**"],
              "matchManagers": ["dockerfile"],
              "groupName": "images",
              "minimumReleaseAge": "3 days",
              "minimumReleaseAgeBehaviour": "timestamp-optional"
            },
            {
              "description": "mirror bots: stay within the version",
              "matchFileNames": ["images/quay.io/a/jdk/jdk-17/*"],
              "matchManagers": ["dockerfile"],
              "allowedVersions": "/^jdk-v?17([^0-9]|$)/"
            },
            {
              "description": "mirror bots: stay within the version",
              "matchFileNames": ["images/docker.io/library/postgres/12/*"],
              "matchManagers": ["dockerfile"],
              "allowedVersions": "/^v?12([^0-9]|$)/"
            },
            {
              "description": "mirror bots: stay within the version",
              "matchFileNames": ["images/docker.io/library/postgres/13/*"],
              "matchManagers": ["dockerfile"],
              "allowedVersions": "/^v?13([^0-9]|$)/"
            },
            {
              "description": "mirror bots: stay within the version",
              "matchFileNames": ["images/docker.io/library/node/20.10.0/*"],
              "matchManagers": ["dockerfile"],
              "allowedVersions": "/^v?20\\.10\\.0([^0-9]|$)/"
            },
            {
              "description": "mirror bots: stay within the version",
              "matchFileNames": ["images/docker.io/library/node/20.11/*"],
              "matchManagers": ["dockerfile"],
              "allowedVersions": "/^v?20\\.11([^0-9]|$)/"
            },
            {
              "description": "mirror bots: stay within the version",
              "matchFileNames": ["images/docker.io/library/mysql/5/*"],
              "matchManagers": ["dockerfile"],
              "allowedVersions": "/^v?5([^0-9]|$)/"
            },
            {
              "description": "mirror bots: no replacement by another image",
              "matchFileNames": ["images/**"],
              "matchManagers": ["dockerfile"],
              "matchUpdateTypes": ["replacement"],
              "enabled": false
            }
          ]
        }
    "#]].assert_eq(&rules(VARIANTS, "").renovate(None, None).unwrap());
    let rules = rules(VARIANTS, ALL);
    expect![[r#"
        {
          "$schema": "https://docs.renovatebot.com/renovate-schema.json",
          "extends": ["config:recommended"],
          "ignorePaths": [],
          "packageRules": [
            {
              "description": "mirror bots: how updates of images are proposed",
              "matchFileNames": ["images/**"],
              "matchManagers": ["dockerfile"],
              "groupName": "images",
              "separateMajorMinor": false,
              "schedule": ["* * * * 1"],
              "addLabels": ["dependencies"],
              "prConcurrentLimit": 5
            },
            {
              "description": "mirror bots: one pull request for docker.io",
              "matchFileNames": ["images/docker.io/**"],
              "matchManagers": ["dockerfile"],
              "groupName": "images of docker.io"
            },
            {
              "description": "mirror bots: one pull request for quay.io",
              "matchFileNames": ["images/quay.io/**"],
              "matchManagers": ["dockerfile"],
              "groupName": "images of quay.io"
            },
            {
              "description": "mirror bots: stay within the version",
              "matchFileNames": ["images/quay.io/a/jdk/jdk-17/*"],
              "matchManagers": ["dockerfile"],
              "allowedVersions": "/^jdk-v?17([^0-9]|$)/"
            },
            {
              "description": "mirror bots: stay within the version",
              "matchFileNames": ["images/docker.io/library/node/20.10.0/*"],
              "matchManagers": ["dockerfile"],
              "allowedVersions": "/^v?20\\.10\\.0([^0-9]|$)/"
            },
            {
              "description": "mirror bots: stay within the version",
              "matchFileNames": ["images/docker.io/library/node/20.11/*"],
              "matchManagers": ["dockerfile"],
              "allowedVersions": "/^v?20\\.11([^0-9]|$)/"
            },
            {
              "description": "mirror bots: stay within the version",
              "matchFileNames": ["images/docker.io/library/mysql/5/*"],
              "matchManagers": ["dockerfile"],
              "allowedVersions": "/^v?5([^0-9]|$)/"
            },
            {
              "description": "mirror bots: stay on the tag",
              "matchFileNames": ["images/docker.io/library/postgres/*", "images/docker.io/library/postgres/12/*", "images/docker.io/library/postgres/13/*"],
              "matchManagers": ["dockerfile"],
              "matchUpdateTypes": ["major", "minor", "patch"],
              "enabled": false
            },
            {
              "description": "mirror bots: no replacement by another image",
              "matchFileNames": ["images/**"],
              "matchManagers": ["dockerfile"],
              "matchUpdateTypes": ["replacement"],
              "enabled": false
            },
            {
              "description": "mirror bots: merge new digests",
              "matchFileNames": ["images/**"],
              "matchManagers": ["dockerfile"],
              "matchUpdateTypes": ["digest"],
              "automerge": true
            }
          ]
        }
    "#]]
    .assert_eq(&rules.renovate(None, None).unwrap());
    expect![[r#"
        version: 2
        updates:
          # mirror bots: begin
          # Generated by `mirror bots`. Run it again when the tree changes.
          - package-ecosystem: docker # zizmor: ignore[dependabot-cooldown]
            directories:
              - "/images/docker.io/library/mysql/5"
              - "/images/docker.io/library/node/20.11"
              - "/images/docker.io/library/postgres"
            schedule:
              interval: weekly
            open-pull-requests-limit: 5
            labels: ["dependencies"]
            groups:
              images:
                patterns: ["*"]
            ignore:
              - dependency-name: "mysql"
                versions: [">= 6.a"]
              - dependency-name: "node"
                versions: [">= 20.12.a"]
              - dependency-name: "postgres"
                versions: ["> 0"]
          - package-ecosystem: docker # zizmor: ignore[dependabot-cooldown]
            directories:
              - "/images/docker.io/library/node/20.10.0"
              - "/images/docker.io/library/postgres/12"
            schedule:
              interval: weekly
            open-pull-requests-limit: 5
            labels: ["dependencies"]
            groups:
              images:
                patterns: ["*"]
            ignore:
              - dependency-name: "library/postgres"
                versions: ["> 0"]
              - dependency-name: "node"
                versions: [">= 20.10.1.a"]
          - package-ecosystem: docker # zizmor: ignore[dependabot-cooldown]
            directories:
              - "/images/docker.io/library/postgres/13"
            schedule:
              interval: weekly
            open-pull-requests-limit: 5
            labels: ["dependencies"]
            groups:
              images:
                patterns: ["*"]
            ignore:
              - dependency-name: "postgres"
                versions: ["> 0"]
          - package-ecosystem: docker # zizmor: ignore[dependabot-cooldown]
            directories:
              - "/images/quay.io/**/*"
            schedule:
              interval: weekly
            open-pull-requests-limit: 5
            labels: ["dependencies"]
            groups:
              images:
                patterns: ["*"]
            ignore:
              - dependency-name: "a/jdk"
                versions: [">= 18.a"]
          # mirror bots: end
    "#]]
    .assert_eq(&rules.dependabot(None).unwrap());
}

#[test]
fn bytes_of_others_stay() {
    let theirs = r#"// Ours: https://example.com
{
  extends: ['config:recommended'], // as everybody
  "packageRules": [
    {"description": "mirror bots: old"},
    /* not images */ { matchPackageNames: ["x"], enabled: false, },
    {"description": "mirror bots of my own", "big": 12345678901234567890},
  ],
  "big": 1.0000000000000000000001, "hex": 0xFF,
  "labels": ["b", 'a'],
  "labels": ["twice"],
}
"#;
    let once = rules(PLAIN, "").renovate(Some(theirs), None).unwrap();
    expect![[r#"
        // Ours: https://example.com
        {
          extends: ['config:recommended'], // as everybody
          "packageRules": [
            {
              "description": "mirror bots: one pull request for all images, one more for major versions",
              "matchFileNames": ["images/**"],
              "matchManagers": ["dockerfile"],
              "groupName": "images",
              "minimumReleaseAge": "3 days",
              "minimumReleaseAgeBehaviour": "timestamp-optional",
            },
            {
              "description": "mirror bots: no replacement by another image",
              "matchFileNames": ["images/**"],
              "matchManagers": ["dockerfile"],
              "matchUpdateTypes": ["replacement"],
              "enabled": false,
            },
            /* not images */ { matchPackageNames: ["x"], enabled: false, },
            {"description": "mirror bots of my own", "big": 12345678901234567890},
          ],
          "big": 1.0000000000000000000001, "hex": 0xFF,
          "labels": ["b", 'a'],
          "labels": ["twice"],
          "ignorePaths": [],
        }
    "#]].assert_eq(&once);
    assert_eq!(rules(PLAIN, "").renovate(Some(&once), None).unwrap(), once);
    let more = rules(VARIANTS, "").renovate(Some(&once), None).unwrap();
    assert_eq!(rules(PLAIN, "").renovate(Some(&more), None).unwrap(), once);
}

#[test]
fn only_what_matters_is_compared() {
    let text = rules(VARIANTS, "").renovate(None, None).unwrap();
    let value: serde_json::Value = serde_json::from_str(&text).unwrap();
    let compact = value.to_string();
    assert_eq!(rules(VARIANTS, "").renovate(Some(&compact), None).unwrap(), compact);
    let tabs = text.replace("  ", "\t").replace('\n', "\r\n");
    assert_eq!(rules(VARIANTS, "").renovate(Some(&tabs), None).unwrap(), tabs);
}

#[test]
fn in_a_file_of_others() {
    let package = "{\n\t\"name\": \"app\",\n\t\"renovate\": {\n\t\t\"extends\": [\"config:recommended\"]\n\t}\n}\n";
    let written = rules(PLAIN, "").renovate(Some(package), Some("renovate")).unwrap();
    let value: serde_json::Value = serde_json::from_str(&written).unwrap();
    assert!(value.pointer("/renovate/packageRules/0/groupName").is_some(), "{written}");
    assert!(
        value.get("packageRules").is_none() && written.starts_with("{\n\t\"name\": \"app\",\n")
    );
    assert_eq!(rules(PLAIN, "").renovate(Some(&written), Some("renovate")).unwrap(), written);
}

#[test]
fn what_is_no_configuration_is_refused() {
    let refused = |text: &str| rules(PLAIN, "").renovate(Some(text), None).unwrap_err();
    assert_eq!(refused("[1]"), "it is not a JSON object");
    assert_eq!(refused("{\"packageRules\": {}}"), "`packageRules` is not a list");
    assert!(refused("{\"a\": }").starts_with("it is not valid JSON5: "));
    assert_eq!(refused(&"[".repeat(100_000)), "it is nested more than 64 levels deep");
}
