//! What the bots are told, what they are said to do, and what is done where they do nothing.

use expect_test::expect;
use mirror_testkit::ImageBuilder;

use crate::scope::git;
use crate::{Pair, Project};

fn read(project: &Project, file: &str) -> String {
    std::fs::read_to_string(project.path().join(file)).unwrap()
}

#[test]
fn the_one_that_is_there_is_written() {
    let project = Project::new();
    project.entry("postgres:14.2");
    let ran = project.mirror(&["bots"]).ends_with(2).run();
    crate::reads(
        &ran.stderr,
        expect![[r#"
        error: no bot keeps the images up to date
          caused by: neither .github/dependabot.yml nor renovate.json has what `mirror bots` writes
          help: choose one of them: `mirror bots dependabot` or `mirror bots renovate`
    "#]],
    );
    let checked = project.mirror(&["bots", "--check"]).ends_with(3).run();
    assert_eq!(checked.stderr, ran.stderr);
    project.mirror(&["bots", "dependabot"]).run();
    project.mirror(&["bots", "--check"]).run();
    assert!(read(&project, ".github/dependabot.yml").contains("\"/images/**/*\""));
    // A second version of an image needs a list of folders.
    let ran = project.mirror(&["add", "--offline", "postgres:13.6"]).run();
    crate::reads(
        &ran.stderr,
        expect![[r#"
        these do not match the tree: .github/dependabot.yml; run `mirror bots`
    "#]],
    );
    let ran = project.mirror(&["bots", "--check"]).ends_with(3).run();
    let line = "+       - \"/images/docker.io/library/postgres/13\"";
    assert!(ran.stdout.contains(line), "{}", ran.stdout);
    let ran = project.mirror(&["bots"]).run();
    crate::reads(
        &ran.stderr,
        expect![[r#"
        .github/dependabot.yml: written; 2 pull requests at once at most
    "#]],
    );
    assert!(!project.path().join("renovate.json").exists());
    // A file about other things alone is no bot that keeps images up to date.
    project.write("renovate.json", "// other things\n{\"enabledManagers\": [\"cargo\"]}");
    project.mirror(&["bots", "--check"]).run();
    std::fs::remove_dir_all(project.path().join(".github")).unwrap();
    project.mirror(&["bots"]).run();
    let text = read(&project, "renovate.json");
    assert!(text.starts_with("// other things\n{\n  \"enabledManagers\": [\"cargo\"],"), "{text}");
    project.mirror(&["bots", "--check"]).run();
}

#[test]
fn a_configuration_in_package_json() {
    let project = Project::new();
    project.entry("postgres:14.2");
    project.write(
        "package.json",
        "{\"name\": \"app\", \"renovate\": {\"extends\": [\"config:recommended\"]}}",
    );
    project.mirror(&["bots"]).run();
    let found: serde_json::Value = serde_json::from_str(&read(&project, "package.json")).unwrap();
    assert_eq!(found.pointer("/renovate/packageRules/0/groupName").unwrap(), "images");
    assert!(!project.path().join("renovate.json").exists());
    project.mirror(&["bots", "--check"]).run();
}

#[test]
fn what_can_not_be_written() {
    let project = Project::new();
    project.entry("postgres:14.2");
    project.write("renovate.json5", "{ packageRules: 'none' }");
    let ran = project.mirror(&["bots", "renovate"]).ends_with(2).run();
    crate::reads(
        &ran.stderr,
        expect![[r#"
        error: could not write renovate.json5
          caused by: `packageRules` is not a list
    "#]],
    );
    assert_eq!(read(&project, "renovate.json5"), "{ packageRules: 'none' }");
    let theirs = "version: 2\nupdates:\n  - package-ecosystem: docker\n    directory: /images/docker.io/library/postgres\n    schedule: {interval: daily}\n";
    project.write(".github/dependabot.yml", theirs);
    let ran = project.mirror(&["bots", "dependabot"]).ends_with(2).run();
    crate::reads(
        &ran.stderr,
        expect![[r#"
        error: could not write .github/dependabot.yml
          caused by: it has another entry for docker that covers `/images/docker.io/library/postgres`, by `/images/docker.io/library/postgres`: two entries for one folder are invalid. Take the folders of the tree out of that one; ours cover all of them
    "#]],
    );
    assert_eq!(read(&project, ".github/dependabot.yml"), theirs);
}

const ECR: &str = r#"
[[destination]]
name = "prod"
registry = "123456789012.dkr.ecr.eu-central-1.amazonaws.com"
ecr.immutable_tags = { except = ["dev*"] }
"#;

fn explained(config: &str) -> Project {
    let project = Project::new();
    let digest = format!("sha256:{}", "0123456789abcdef".repeat(4));
    project.write("images/mirror.toml", config);
    for (folder, reference) in [
        ("postgres", &format!("postgres:14.2@{digest}")),
        ("postgres/13", &"postgres:13.6".to_owned()),
        ("postgres/14.10", &"postgres:14.10".to_owned()),
        ("postgres/alpine", &"postgres:16.3-alpine3.20".to_owned()),
        ("node/20.11", &format!("node:20.11.0@{digest}")),
        ("app", &"app:sha-1a2b3c4".to_owned()),
        ("app/dev", &format!("app:dev-1.2@{digest}")),
        ("redis", &format!("redis:latest@{digest}")),
        ("nginx", &"nginx:stable".to_owned()),
        ("minio", &"minio:RELEASE.2022-03-26T06-49-28Z".to_owned()),
        ("envoy", &"envoy:v1.34.4-1753677767-266d5a01d1d55bd1".to_owned()),
    ] {
        let file = format!("images/docker.io/library/{folder}/Dockerfile");
        project.write(&file, &format!("FROM {reference}\n"));
    }
    project
}

#[test]
fn each_entry_is_explained() {
    let project = explained("");
    let ran = project.mirror(&["bots", "--explain"]).run();
    crate::reads(
        &ran.stdout,
        expect![[r#"
            docker.io/library/app              sha-1a2b3c4                          Dependabot  nothing: it names a commit
            docker.io/library/app              sha-1a2b3c4                          Renovate    nothing: it names a commit
            docker.io/library/app/dev          dev-1.2                              Dependabot  minor, major, digest
            docker.io/library/app/dev          dev-1.2                              Renovate    digest alone: no version found in it
            docker.io/library/envoy            v1.34.4-1753677767-266d5a01d1d55bd1  Dependabot  nothing: no version found in it
            docker.io/library/envoy            v1.34.4-1753677767-266d5a01d1d55bd1  Renovate    nothing: keeps `-1753677767-266d5a01d1d55bd1`, which no other tag has
            docker.io/library/minio            RELEASE.2022-03-26T06-49-28Z         Dependabot  nothing: no version found in it
            docker.io/library/minio            RELEASE.2022-03-26T06-49-28Z         Renovate    nothing: no version found in it
            docker.io/library/nginx            stable                               Dependabot  nothing: it floats: each run resolves it
            docker.io/library/nginx            stable                               Renovate    nothing: it floats: each run resolves it
            docker.io/library/node/20.11       20.11.0                              Dependabot  patch, digest
            docker.io/library/node/20.11       20.11.0                              Renovate    patch, digest
            docker.io/library/postgres/13      13.6                                 Dependabot  minor
            docker.io/library/postgres/13      13.6                                 Renovate    minor
            docker.io/library/postgres/14.10   14.10                                Dependabot  nothing: stays on 14.10
            docker.io/library/postgres/14.10   14.10                                Renovate    nothing: stays on 14.10
            docker.io/library/postgres         14.2                                 Dependabot  minor, major, digest
            docker.io/library/postgres         14.2                                 Renovate    minor, major, digest
            docker.io/library/postgres/alpine  16.3-alpine3.20                      Dependabot  minor, major; keeps `-alpine3.20`
            docker.io/library/postgres/alpine  16.3-alpine3.20                      Renovate    minor, major; keeps `-alpine3.20`
            docker.io/library/redis            latest                               Dependabot  digest alone: it floats: each run resolves it
            docker.io/library/redis            latest                               Renovate    digest alone: it floats: each run resolves it
            11 images, 5 of them without proposals
        "#]],
    );
    let kept = "[[image]]\nmatch = \"**/minio\"\nkeep = \"RELEASE.2022-*\"\n[[image]]\nmatch = \"**/node\"\nkeep = \"20.*\"\n[[image]]\nmatch = \"**/redis\"\nkeep = \"exact\"\n";
    let project = explained(&format!("{ECR}{kept}"));
    let ran = project.mirror(&["bots", "--explain", "dependabot"]).run();
    crate::reads(
        &ran.stdout,
        expect![[r#"
            docker.io/library/app              sha-1a2b3c4                          Dependabot  nothing: it names a commit
            docker.io/library/app/dev          dev-1.2                              Dependabot  minor, major, digest
            docker.io/library/envoy            v1.34.4-1753677767-266d5a01d1d55bd1  Dependabot  nothing: no version found in it
            docker.io/library/minio            RELEASE.2022-03-26T06-49-28Z         Dependabot  nothing: no version found in it; Dependabot can't be told to keep `RELEASE.2022-*`: it knows ranges of versions alone
            docker.io/library/nginx            stable                               Dependabot  nothing: it floats: each run resolves it
            docker.io/library/node/20.11       20.11.0                              Dependabot  patch, digest; digests can't be merged: the tag is immutable at a destination
            docker.io/library/postgres/13      13.6                                 Dependabot  minor
            docker.io/library/postgres/14.10   14.10                                Dependabot  nothing: stays on 14.10
            docker.io/library/postgres         14.2                                 Dependabot  minor, major, digest; digests can't be merged: the tag is immutable at a destination
            docker.io/library/postgres/alpine  16.3-alpine3.20                      Dependabot  minor, major; keeps `-alpine3.20`
            docker.io/library/redis            latest                               Dependabot  digest alone: it floats: each run resolves it; digests can't be merged: the tag is immutable at a destination
            11 images, 5 of them without proposals
        "#]],
    );
    let ran = project.mirror(&["bots", "--explain", "renovate", "--only", "node"]).run();
    crate::reads(
        &ran.stdout,
        expect![[r#"
            docker.io/library/node/20.11  20.11.0  Renovate  patch; no digests: the tag is immutable at a destination
            1 image, 0 of them without proposals
        "#]],
    );
    let ran = project.mirror(&["bots", "--explain", "renovate", "--format", "json"]).run();
    let found: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    let nothing = found["entries"].as_array().unwrap().iter();
    let nothing = nothing.filter(|entry| entry["proposes"] == serde_json::json!([]));
    let nothing = nothing.map(|entry| entry["file"].as_str().unwrap());
    let nothing: Vec<&str> = nothing.filter_map(|file| file.split('/').nth(2)).collect();
    assert_eq!(nothing, ["app", "envoy", "minio", "nginx", "postgres", "redis"]);
}

/// Tags that can't be moved and digests that can go together where the tag of the copy has the digest in it.
#[test]
fn immutable_tags_and_digests() {
    let renovate = |config: &str| {
        let project = explained(config);
        project.mirror(&["bots", "renovate"]).run();
        let found: serde_json::Value =
            serde_json::from_str(&read(&project, "renovate.json")).unwrap();
        let rules = found["packageRules"].as_array().unwrap().clone();
        let digests = rules.into_iter().filter(|rule| rule["matchUpdateTypes"][0] == "digest");
        digests.map(|rule| rule["matchFileNames"].clone()).collect::<Vec<_>>()
    };
    let found = renovate(ECR);
    assert_eq!(found.len(), 1);
    let files = found[0].as_array().unwrap();
    assert_eq!(files.len(), 10, "all but the one whose tag begins with dev: {files:?}");
    let all = ECR.replace("{ except = [\"dev*\"] }", "true");
    assert_eq!(renovate(&all), [serde_json::json!(["images/**"])]);
    assert!(renovate("").is_empty());
    let by_digest = all.replace("ecr.imm", "tag = \"{tag}-{digest:12}\"\necr.imm");
    assert_ne!(by_digest, all);
    assert!(renovate(&by_digest).is_empty());
    let ran = explained(&by_digest).mirror(&["check"]).ends_with(4).run();
    let first = ran.stdout.split("\n\n").find(|part| part.contains("[conflict]")).unwrap();
    crate::reads(
        first,
        expect![[r#"
        error[conflict]: docker.io/library/app:sha-1a2b3c4 at prod: `{tag}-{digest:12}` needs the digest, which the reference lacks: `mirror pin` writes it
        --> images/docker.io/library/app/Dockerfile
         = help: change images/docker.io/library/app/Dockerfile, or the destination's templates in mirror.toml"#]],
    );
}

#[test]
fn successors_are_written_where_no_bot_proposes_one() {
    let image = |name: &str| ImageBuilder::new(name).build();
    let (old, new) = (image("old"), image("new"));
    let pair = Pair::new(&[
        ("minio/minio", "RELEASE.2022-03-26T06-49-28Z", &old),
        ("library/postgres", "16.3-alpine3.20", &old),
        ("library/app", "1.0", &old),
        ("team/app", "1.4.0-r1", &old),
        ("team/beta", "v2.0.0-beta.3", &old),
        ("team/chrome", "4.20-r3", &old),
        ("team/commit", "sha-1a2b3c4", &old),
        ("team/major", "1.0-alpine3.20", &old),
    ]);
    for (repository, tags) in [
        ("minio/minio", &["RELEASE.2023-01-02T09-40-09Z", "RELEASE.2024-01-02T09-40-09Z.fips"][..]),
        ("library/postgres", &["16.9-alpine3.22", "17.0-alpine3.19"]),
        ("library/app", &["2.0"]),
        ("team/app", &["1.5.0-r0", "20190101.0.0-r9"]),
        ("team/beta", &["v2.0.0-beta.4", "v2.0.0", "v2.1.0"]),
        ("team/chrome", &["4.25-r1", "129.0-r0", "latest"]),
        ("team/major", &["1.2-alpine3.20", "2.0-alpine3.21"]),
    ] {
        for tag in tags {
            pair.source.add(repository, tag, &new);
        }
    }
    let project = &pair.project;
    let ran = project.mirror(&["outdated"]).run();
    crate::reads(
        &ran.stdout,
        expect![[r#"
        docker.io/library/postgres:16.3-alpine3.20 → 16.9-alpine3.22; next major version: 17.0-alpine3.19
          no bot changes `-alpine3.20` in `16.3-alpine3.20`: the tag goes stale when upstream switches to another one
        docker.io/minio/minio:RELEASE.2022-03-26T06-49-28Z → RELEASE.2023-01-02T09-40-09Z
          no bot updates `RELEASE.2022-03-26T06-49-28Z`: neither of them finds a version in it
        docker.io/team/app:1.4.0-r1 → 1.5.0-r0
          no bot changes `-r1` in `1.4.0-r1`: the tag goes stale when upstream switches to another one
        docker.io/team/beta:v2.0.0-beta.3 → v2.1.0
          no bot changes `-beta.3` in `v2.0.0-beta.3`: the tag goes stale when upstream switches to another one
        docker.io/team/chrome:4.20-r3 → 4.25-r1; next major version: 129.0-r0
          no bot changes `-r3` in `4.20-r3`: the tag goes stale when upstream switches to another one
        docker.io/team/major:1.0-alpine3.20 → 1.2-alpine3.20; next major version: 2.0-alpine3.21
          no bot changes `-alpine3.20` in `1.0-alpine3.20`: the tag goes stale when upstream switches to another one
          a bot proposes 1.2-alpine3.20 first
        docker.io/team/commit:sha-1a2b3c4 cannot be compared: it names a commit, and none is newer than another
        6 newer tags for 7 tags that no bot updates, 1 cannot be compared
    "#]],
    );
    let before = read(project, "images/docker.io/minio/minio/Dockerfile");
    let ran = project.mirror(&["update", "--check"]).ends_with(3).run();
    assert_eq!(read(project, "images/docker.io/minio/minio/Dockerfile"), before);
    let would = ran.stdout;
    pair.source.take_requests();
    let ran = project.mirror(&["update"]).run();
    assert_eq!(ran.stdout, would);
    crate::reads(
        &would,
        expect![[r#"
        images/docker.io/library/postgres/Dockerfile: FROM library/postgres:16.9-alpine3.22@sha256:1f9ef99c1c7e02c7da784f5aa4fb2ae460a6f939cd969f523bd197885ac5053d
        images/docker.io/minio/minio/Dockerfile: FROM minio/minio:RELEASE.2023-01-02T09-40-09Z@sha256:1f9ef99c1c7e02c7da784f5aa4fb2ae460a6f939cd969f523bd197885ac5053d
        images/docker.io/team/app/Dockerfile: FROM team/app:1.5.0-r0@sha256:1f9ef99c1c7e02c7da784f5aa4fb2ae460a6f939cd969f523bd197885ac5053d
        images/docker.io/team/beta/Dockerfile: FROM team/beta:v2.1.0@sha256:1f9ef99c1c7e02c7da784f5aa4fb2ae460a6f939cd969f523bd197885ac5053d
        images/docker.io/team/chrome/Dockerfile: FROM team/chrome:4.25-r1@sha256:1f9ef99c1c7e02c7da784f5aa4fb2ae460a6f939cd969f523bd197885ac5053d
    "#]],
    );
    crate::reads(
        &ran.stderr,
        expect![[r#"
        7 warnings about the tree: `mirror check` shows them
        5 images updated, 1 left to a bot or a person: `mirror outdated` lists them
    "#]],
    );
    assert!(
        pair.source
            .take_requests()
            .iter()
            .all(|request| request.method == "HEAD" || request.path.contains("tags/list"))
    );
    project.mirror(&["update", "--check"]).run();
    project.mirror(&["apply"]).run();
}

/// A lower version, or a digest that the file had before, is the first thing that a reviewer reads.
#[test]
fn a_step_back_is_told_first() {
    let (first, second) = (ImageBuilder::new("first").build(), ImageBuilder::new("second").build());
    let pair = Pair::new(&[("library/app", "1.2", &first), ("library/other", "1.0", &first)]);
    pair.source.add("library/app", "1.1", &first);
    let project = &pair.project;
    let file = "images/docker.io/library/other/Dockerfile";
    let commit = |text: &str| {
        project.write(file, text);
        git(project.path(), &["add", "--all"]);
        git(project.path(), &["commit", "--quiet", "--message", "next"]);
    };
    git(project.path(), &["init", "--quiet"]);
    commit(&format!("FROM other:1.0@{}\n", first.digest()));
    commit(&format!("# why\nFROM other:1.0@{}\n", second.digest()));
    pair.source.add("library/other", "1.0", &second);
    project.mirror(&["apply"]).run();
    project.write(file, &format!("FROM other:1.0@{}\n", first.digest()));
    project.write("images/docker.io/library/app/Dockerfile", "FROM app:1.1\n");
    let plan = ["plan", "--changed-since", "HEAD", "--format", "markdown"];
    let ran = project.mirror(&plan).run();
    let top: Vec<&str> = ran.stdout.lines().take(4).collect();
    crate::reads(
        &(top.join("\n") + "\n"),
        expect![[r#"
        - 🚨 **Step back**: `docker.io/library/app:1.1`: a lower version than `1.2` before
        - 🚨 **Step back**: `docker.io/library/other:1.0@sha256:362e052581145696c6fa3ae1d624e13e127e482b42901c90afc14e13689252e9`: digest `sha256:362e05258114` is one that the file named earlier

        ### mirror: 1 to create, 1 to update
    "#]],
    );
    let json = project.mirror(&["plan", "--changed-since", "HEAD", "--format", "json"]).run();
    let plan: serde_json::Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!(plan["alerts"].as_array().unwrap().len(), 2, "{plan:#}");
    // What goes on is none, nor is a file that says the same again.
    project.write("images/docker.io/library/app/Dockerfile", "FROM app:1.2\n");
    project.write(file, &format!("# another word\nFROM other:1.0@{}\n", second.digest()));
    let ran = project.mirror(&["plan", "--changed-since", "HEAD", "--format", "markdown"]).run();
    assert!(ran.stdout.starts_with("### mirror: "), "{}", ran.stdout);
}

/// What the folder and the configuration keep, `update` and `outdated` keep too, beside the version as well.
#[test]
fn kept_as_it_is_called() {
    let image = ImageBuilder::new("app").build();
    let kept = [
        ("q/2024-02-01", "q:2024-02-01"),
        ("p/16.3-alpine3.18", "p:16.3-alpine3.18"),
        ("p/alpine3.19", "p:16.3-alpine3.19"),
        ("b/1.2.3-4", "b:1.2.3-4"),
        ("d/7.2.4-debian-12-r3", "d:7.2.4-debian-12-r3"),
        ("r/1.5.0-rc1", "r:1.5.0-rc1"),
        ("c/16.3-alpine3.18", "c:16.3-alpine3.18"),
    ];
    let pair = Pair::new(&[]);
    let project = &pair.project;
    for (folder, reference) in kept {
        let folder = format!("docker.io/library/{folder}").replace("/c/16.3-alpine3.18", "/c");
        project.write(&format!("images/{folder}/Dockerfile"), &format!("FROM {reference}\n"));
    }
    let file = "images/mirror.toml";
    let config = read(project, file);
    let exact = "\n[[image]]\nmatch = \"docker.io/library/c\"\nkeep = \"exact\"\n";
    project.write(file, &format!("{config}{exact}"));
    for (repository, tags) in [
        ("q", &["2024-01-05", "2024-02-01", "2024-03-01"][..]),
        ("p", &["16.3-alpine3.18", "16.3-alpine3.19", "16.3-alpine3.20", "16.4-alpine3.20"]),
        ("b", &["1.2.3-4", "1.2.3-5"]),
        ("d", &["7.2.4-debian-12-r3", "7.2.4-debian-12-r9"]),
        ("r", &["1.5.0-rc1", "1.5.0"]),
        ("c", &["16.3-alpine3.18", "16.3-alpine3.20"]),
    ] {
        tags.iter().for_each(|tag| pair.source.add(&format!("library/{repository}"), tag, &image));
    }
    project.mirror(&["bots", "renovate"]).run();
    let ran = project.mirror(&["update"]).run();
    assert_eq!(ran.stdout, "");
    // Next to it, within the folder.
    pair.source.add("library/p", "16.5-alpine3.19", &image);
    let ran = project.mirror(&["outdated"]).run();
    assert!(ran.stdout.ends_with("0 newer tags for 1 tag that no bot updates\n"), "{}", ran.stdout);
}

/// A tag that is not within what the configuration keeps it on would never be updated, and nobody would know.
#[test]
fn kept_on_what_it_is_not() {
    let project = Project::new();
    project.entry("postgres:16.3");
    let check = |keep: &str| {
        let config = format!("[[image]]\nmatch = \"**\"\nkeep = \"{keep}\"\n");
        project.write("images/mirror.toml", &config);
        project.mirror(&["check"])
    };
    let ran = check("17").ends_with(2).run();
    crate::reads(
        &ran.stdout,
        expect![[r#"
            error[variant-mismatch]: mirror.toml keeps this image on `17`, but its tag is `16.3`
             --> images/docker.io/library/postgres/Dockerfile:1:6
              |
            1 | FROM postgres:16.3
              |      ^^^^^^^^^^^^^
              |
              = help: name a tag that is within that, or change `keep`; a number in a variant folder takes precedence over it

            0 images are good, 1 error, 0 warnings
        "#]],
    );
    for keep in ["16", "16.3", "exact", "16.*", "/^16/"] {
        check(keep).run();
    }
    for (keep, why) in [
        (".16", "does not start with the numbers of a version"),
        ("16.[3-9]*", "brackets mean nothing in a glob"),
        ("alpine3.18", "does not start with the numbers of a version"),
    ] {
        let ran = check(keep).ends_with(2).run();
        assert!(ran.stdout.contains(why), "{}", ran.stdout);
    }
}

/// No more than the limits let be open, and nothing hidden by a check.
#[test]
fn limits_and_broken_files() {
    let project = Project::new();
    for number in 0..30 {
        project.entry(&format!("team/app{number}:1.0.0"));
    }
    for (bots, renovate, dependabot) in [
        ("groups = \"image\"", "10 pull requests", "5 pull requests"),
        ("groups = \"image\"\nlimit = 3", "3 pull requests", "3 pull requests"),
        ("limit = 1", "1 pull request", "1 pull request"),
    ] {
        project.write("images/mirror.toml", &format!("[bots]\n{bots}\n"));
        let ran = project.mirror(&["bots", "renovate", "dependabot"]).run();
        for (file, count) in [("renovate.json", renovate), (".github/dependabot.yml", dependabot)] {
            let line = format!("{file}: written; {count} at once at most\n");
            assert!(ran.stderr.contains(&line), "{}", ran.stderr);
        }
    }
    std::fs::remove_file(project.path().join(".github/dependabot.yml")).unwrap();
    for broken in ["", "{\"packageRules\": {}}", "{\"packageRules\": [], \"packageRules\": []}"] {
        project.write("renovate.json", broken);
        let ran = project.mirror(&["bots", "--check"]).ends_with(2).run();
        assert!(ran.stderr.starts_with("error: could not check renovate.json\n"), "{}", ran.stderr);
    }
    // Whoever has switched it off has no bot.
    for off in ["{enabled: false}", "{enabledManagers: ['npm']}", "{dockerfile: {enabled: false}}"]
    {
        project.write("renovate.json", off);
        let ran = project.mirror(&["bots", "renovate"]).run();
        assert!(ran.stderr.ends_with("nothing will be proposed\n"), "{off}: {}", ran.stderr);
        let ran = project.mirror(&["bots", "--explain", "--only", "team/app1"]).run();
        assert!(ran.stdout.contains("Dependabot"), "{off}: {}", ran.stdout);
    }
}
