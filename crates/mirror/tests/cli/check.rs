use std::os::unix::fs::PermissionsExt;

use expect_test::expect;

use crate::Project;

fn messy() -> Project {
    let project = Project::new();
    project
        .write("images/docker.io/library/redis/Dockerfile", "# cache\n  FROM Redis:7\n")
        .write("images/postgres/Dockerfile", "FROM postgres:14\r\n")
        .write("images/quay.io/a/b/Dockerfile", "FROM quay.io/a/b:latest\nLABEL x=y\n")
        .write("images/mirror.toml", "[check]\nrequire = true\n");
    project
}

#[test]
fn what_a_person_sees() {
    let ran = messy().mirror(&["check"]).ends_with(2).run();
    let expected = "\
error[indented-from]: space in front of FROM hides the line from Dependabot
 --> images/docker.io/library/redis/Dockerfile:2:1
  |
2 |   FROM Redis:7
  | ^^
  |
  = help: start the line with FROM

error[upper-case]: the repository has upper-case letters; registries accept only lower-case names
 --> images/docker.io/library/redis/Dockerfile:2:8
  |
2 |   FROM Redis:7
  |        ^^^^^
  |
  = help: write `FROM redis:7`

error[config]: unknown field `require`, expected `require_digest` or `allow_digest_only`
 --> images/mirror.toml:2:1
  |
2 | require = true
  | ^^^^^^^
  |
  = help: see images/README.md for all keys

error[folder-mismatch]: this is docker.io/library/postgres, but the file is in folder `postgres`
 --> images/postgres/Dockerfile:1:6
  |
1 | FROM postgres:14
  |      ^^^^^^^^^^^
  |
  = help: move it to `docker.io/library/postgres/Dockerfile`

warning[floating-tag]: `latest` moves: what is mirrored changes without a commit, and no bot proposes it
 --> images/quay.io/a/b/Dockerfile:1:18
  |
1 | FROM quay.io/a/b:latest
  |                  ^^^^^^
  |
  = help: name a version, or append the digest: `tag@sha256:…`

error[other-instruction]: `LABEL` can't be mirrored: a copy has the bytes of its source, nothing is built
 --> images/quay.io/a/b/Dockerfile:2:1
  |
2 | LABEL x=y
  | ^^^^^
  |
  = help: keep the FROM line only

0 images are good, 5 errors, 1 warning; `mirror check --fix` corrects 3
";
    assert_eq!(ran.stdout, expected);
    assert_eq!(ran.stderr, "");
}

#[test]
fn fix_corrects_what_is_certain_and_nothing_else() {
    let project = messy();
    project.write("images/mirror.toml", "").write("images/postgres/notes.txt", "mine");
    let read = |file: &str| std::fs::read_to_string(project.path().join("images").join(file));
    let ran = project.mirror(&["check", "--fix"]).ends_with(2).run();
    let said: Vec<&str> =
        ran.stderr.lines().filter_map(|line| line.split_whitespace().next()).collect();
    assert_eq!(said, ["corrected", "moved", "corrected"]);
    assert_eq!(read("docker.io/library/redis/Dockerfile").unwrap(), "# cache\nFROM redis:7\n");
    assert_eq!(read("docker.io/library/postgres/Dockerfile").unwrap(), "FROM postgres:14\r\n");
    assert!(read("postgres/Dockerfile").is_err());
    assert_eq!(read("postgres/notes.txt").unwrap(), "mine");
    assert_eq!(read("quay.io/a/b/Dockerfile").unwrap(), "FROM quay.io/a/b:latest\nLABEL x=y\n");
    crate::reads(
        &ran.stdout,
        expect![[r#"
        warning[floating-tag]: `latest` moves: what is mirrored changes without a commit, and no bot proposes it
         --> images/quay.io/a/b/Dockerfile:1:18
          |
        1 | FROM quay.io/a/b:latest
          |                  ^^^^^^
          |
          = help: name a version, or append the digest: `tag@sha256:…`

        error[other-instruction]: `LABEL` can't be mirrored: a copy has the bytes of its source, nothing is built
         --> images/quay.io/a/b/Dockerfile:2:1
          |
        2 | LABEL x=y
          | ^^^^^
          |
          = help: keep the FROM line only

        2 images are good, 1 error, 1 warning
    "#]],
    );
    let again = project.mirror(&["check", "--fix"]).ends_with(2).run();
    assert_eq!(again.stderr, "", "nothing left to correct");
}

#[test]
fn fix_never_overwrites() {
    let project = Project::new();
    project
        .write("images/a/Dockerfile", "FROM postgres:13\n")
        .write("images/b/Dockerfile", "FROM postgres:14\n")
        .write("images/docker.io/library/redis/Dockerfile", "FROM redis:7\n")
        .write("images/c/Dockerfile", "FROM redis:6\n");
    let ran = project.mirror(&["check", "--fix"]).ends_with(2).run();
    assert_eq!(ran.stderr.lines().count(), 1, "{}", ran.stderr);
    let read =
        |file: &str| std::fs::read_to_string(project.path().join("images").join(file)).unwrap();
    assert_eq!(read("docker.io/library/postgres/Dockerfile"), "FROM postgres:13\n");
    assert_eq!(
        (read("b/Dockerfile"), read("c/Dockerfile")),
        ("FROM postgres:14\n".into(), "FROM redis:6\n".into())
    );
    assert_eq!(ran.stdout.matches("move it to a variant folder").count(), 2, "{}", ran.stdout);
}

#[test]
fn json_and_github() {
    let project = messy();
    let ran = project.mirror(&["check", "--format", "json"]).ends_with(2).run();
    let diagnostics: mirror_plan::report::Diagnostics = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(
        (diagnostics.diagnostics.len(), diagnostics.diagnostics[1].code.as_str()),
        (6, "upper-case")
    );
    let at = diagnostics.diagnostics[1].position.unwrap();
    assert_eq!((at.line, at.column, at.end_column), (2, 8, 13));
    let ran = project.mirror(&["check", "--format", "github"]).ends_with(2).run();
    let lines: Vec<&str> = ran.stdout.lines().collect();
    assert_eq!(lines.len(), 6);
    assert!(lines[1].starts_with("::error file=images/docker.io/library/redis/Dockerfile,line=2,endLine=2,col=8,endColumn=12,title=upper-case::"), "{}", lines[1]);
}

#[test]
fn collisions_are_found_without_network() {
    let project = Project::new();
    project.entry("a/tool:1").entry("quay.io/b/tool:1").entry("redis:7").write(
        "images/mirror.toml",
        "[[destination]]\nname = \"prod\"\nregistry = \"registry.invalid\"\nrepository = \"{name}\"\n",
    );
    let ran = project.mirror(&["check"]).ends_with(4).run();
    crate::reads(
        &ran.stdout,
        expect![[r#"
            error[conflict]: tool:1 at prod: different images would go to one tag: docker.io/a/tool:1, quay.io/b/tool:1
            --> images/docker.io/a/tool/Dockerfile
             = help: change one of images/docker.io/a/tool/Dockerfile, images/quay.io/b/tool/Dockerfile, or the destination's `repository` or `tag` in mirror.toml

            3 images are good, 1 error, 0 warnings
        "#]],
    );
}

#[test]
fn an_unreadable_folder_is_named() {
    let project = Project::new();
    project.entry("redis:7").entry("quay.io/a/b:1");
    let locked = project.path().join("images/quay.io");
    std::fs::set_permissions(&locked, std::fs::Permissions::from_mode(0o000)).unwrap();
    std::fs::set_permissions(project.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    // Root may read everything, so the command runs as somebody else.
    let root = std::fs::metadata("/proc/self")
        .is_ok_and(|me| std::os::unix::fs::MetadataExt::uid(&me) == 0);
    let binary = env!("CARGO_BIN_EXE_mirror");
    let ran = if root {
        let copy = project.path().join("mirror");
        std::fs::copy(binary, &copy).unwrap();
        let arguments = ["--reuid=65534", "--clear-groups", copy.to_str().unwrap(), "check"];
        mirror_testkit::Mirror::new("setpriv", project.path(), &arguments)
    } else {
        project.mirror(&["check"])
    };
    let ran = ran.ends_with(2).run();
    std::fs::set_permissions(&locked, std::fs::Permissions::from_mode(0o755)).unwrap();
    crate::reads(
        &ran.stdout,
        expect![[r#"
        error[unreadable]: can't be read: Permission denied (os error 13)
        --> images/quay.io
         = help: check its permissions, and those of the folders above

        1 image is good, 1 error, 0 warnings
    "#]],
    );
}

#[test]
fn fix_follows_no_link_and_keeps_permissions() {
    use std::os::unix::fs::symlink;
    let project = Project::new();
    project
        .write("outside/keep", "mine")
        .write("images/docker.io/library/x/Dockerfile", "  FROM x:1\n")
        .write("images/a/Dockerfile", "FROM y:1\n")
        .write("images/.git/Dockerfile", "FROM z:1\n");
    let images = project.path().join("images");
    symlink(
        project.path().join("outside/keep"),
        images.join("docker.io/library/x/.Dockerfile.mirror-fix"),
    )
    .unwrap();
    symlink(project.path().join("outside"), images.join("docker.io/library/y")).unwrap();
    let file = images.join("docker.io/library/x/Dockerfile");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o640)).unwrap();
    let ran = project.mirror(&["check", "--fix"]).ends_with(2).run();
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "FROM x:1\n");
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o640);
    let outside: Vec<_> = std::fs::read_dir(project.path().join("outside"))
        .unwrap()
        .flatten()
        .map(|e| e.file_name())
        .collect();
    assert_eq!(outside, ["keep"]);
    assert_eq!(std::fs::read_to_string(project.path().join("outside/keep")).unwrap(), "mine");
    assert!(
        images.join("a/Dockerfile").exists() && images.join(".git/Dockerfile").exists(),
        "{}",
        ran.stdout
    );
}
