//! Plans about a part of the tree.

use std::path::Path;
use std::process::Command;

use expect_test::expect;
use mirror_testkit::ImageBuilder;

use crate::{Pair, Project};

/// Runs git with an identity of its own and without anybody's configuration.
pub(crate) fn git(folder: &Path, arguments: &[&str]) -> String {
    let output = Command::new("git")
        .args(["-c", "user.name=Test", "-c", "user.email=test@example.com", "-C"])
        .arg(folder)
        .args(arguments)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_SYSTEM", "/dev/null")
        .output()
        .unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// Commits everything, and says which commit that is.
pub(crate) fn commit(project: &Project, message: &str) -> String {
    if !project.path().join(".git").exists() {
        git(project.path(), &["init", "--quiet", "--initial-branch", "main"]);
        project.write(".gitignore", "/.cache\n/*.json\n");
    }
    git(project.path(), &["add", "--all"]);
    git(project.path(), &["commit", "--quiet", "--allow-empty", "--message", message]);
    git(project.path(), &["rev-parse", "HEAD"])
}

fn lines(text: &str) -> Vec<&str> {
    text.lines().filter(|line| line.starts_with("  ") || line.starts_with("plan")).collect()
}

/// Three images, of which one gets a new version, one moves, one goes; a fourth comes.
fn changed() -> (Pair, String) {
    let image = ImageBuilder::new("any").layers(&[10]).build();
    let pair = Pair::new(&[
        ("library/app", "1.0", &image),
        ("library/moved", "1", &image),
        ("library/gone", "1", &image),
        ("library/still", "1", &image),
    ]);
    pair.source.add("library/app", "1.1", &image);
    pair.source.add("team/fresh", "1", &image);
    let before = commit(&pair.project, "before");
    let images = pair.project.path().join("images/docker.io/library");
    pair.project.write("images/docker.io/library/app/Dockerfile", "FROM app:1.1\n");
    std::fs::create_dir(images.join("moved/v1")).unwrap();
    std::fs::rename(images.join("moved/Dockerfile"), images.join("moved/v1/Dockerfile")).unwrap();
    std::fs::remove_file(images.join("gone/Dockerfile")).unwrap();
    (pair, before)
}

#[test]
fn what_a_branch_changes() {
    let (pair, before) = changed();
    commit(&pair.project, "after");
    // Not committed yet, but there.
    pair.project.entry("team/fresh:1");
    let plan = ["plan", "--no-sizes", "--changed-since", &before];
    let ran = pair.project.mirror(&plan).run();
    let image = ImageBuilder::new("any").layers(&[10]).build();
    let digest = image.digest().short();
    assert_eq!(
        lines(&ran.stdout),
        [
            format!("  + docker.io/library/app:1.1  new → {digest}  was 1.0"),
            format!("  + docker.io/library/moved:1  new → {digest}"),
            format!("  + docker.io/team/fresh:1     new → {digest}"),
            "  - docker.io/library/gone:1   no longer wanted; it stays there".to_owned(),
            "plan: 3 to create, 0 to update, 0 unchanged, 1 no longer wanted".to_owned(),
            "  to move: at least 3 manifests from docker.io".to_owned(),
        ]
    );
    // From any folder, and with a glob on top.
    let ran = pair.project.mirror(&[&plan[..], &["--only", "{gone,moved}"]].concat()).run();
    crate::reads(
        &ran.stdout,
        expect![[r#"
        prod
          + docker.io/library/moved:1  new → sha256:65e103d75bfc
          - docker.io/library/gone:1   no longer wanted; it stays there

        plan: 1 to create, 0 to update, 0 unchanged, 1 no longer wanted
          to move: at least 1 manifest from docker.io
    "#]],
    );
    let ran = pair.project.mirror(&[&plan[..], &["--only", "nothing"]].concat()).run();
    crate::reads(
        &ran.stdout,
        expect![[r#"
        plan: 0 to create, 0 to update, 0 unchanged
    "#]],
    );
    // Nothing has changed since now.
    commit(&pair.project, "fresh");
    let ran = pair.project.mirror(&["plan", "--changed-since", "HEAD"]).run();
    assert_eq!(ran.stdout, "plan: 0 to create, 0 to update, 0 unchanged\n");
    // A saved plan of a part is a plan for the whole tree.
    pair.project.mirror(&["plan", "--changed-since", &before, "--out", "mirror.plan"]).run();
    let ran = pair.project.mirror(&["apply", "mirror.plan"]).run();
    crate::reads(
        &ran.stdout,
        expect![[r#"
        applied: 3 copied, 0 unchanged; 242 B fetched, 242 B pushed, 4 blobs reused; N.N s
    "#]],
    );
    // Where the configuration has changed, everything may go elsewhere.
    let config = std::fs::read_to_string(pair.project.path().join("images/mirror.toml")).unwrap();
    pair.project.write("images/mirror.toml", &(config + "# changed\n"));
    let ran = pair.project.mirror(&["plan", "--changed-since", "HEAD"]).run();
    crate::reads(
        &ran.stdout,
        expect![[r#"
        prod
          + docker.io/library/still:1  new → sha256:65e103d75bfc  242 B
          = docker.io/library/app:1.1  sha256:65e103d75bfc
          = docker.io/library/moved:1  sha256:65e103d75bfc
          = docker.io/team/fresh:1     sha256:65e103d75bfc

        plan: 1 to create, 0 to update, 3 unchanged
          to move: 242 B of distinct blobs at most; 1 manifest from docker.io
    "#]],
    );
    crate::reads(
        &ran.stderr,
        expect![[r#"
        the configuration has changed since that commit, or may have: everything is planned
    "#]],
    );
}

#[test]
fn shallow_clones() {
    let (pair, before) = changed();
    commit(&pair.project, "after");
    let clone = tempfile::tempdir().unwrap();
    let url = format!("file://{}", pair.project.path().display());
    git(clone.path(), &["clone", "--quiet", "--depth", "1", &url, "."]);
    let run = |revision: &str| {
        let plan = ["plan", "--no-sizes", "--changed-since", revision];
        mirror_testkit::Mirror::new(env!("CARGO_BIN_EXE_mirror"), clone.path(), &plan)
    };
    let ran = run(&before).ends_with(2).run();
    assert_eq!(
        ran.stderr,
        format!(
            "error: could not tell what has changed since {before}\n  caused by: the commit `{before}` is not in \
             this clone\n  help: name a commit, branch or tag. A shallow clone lacks older ones: run `git fetch --depth 1 \
             origin {before}`\n"
        )
    );
    git(clone.path(), &["fetch", "--quiet", "--depth", "1", "origin", &before]);
    let ran = run(&before).run();
    crate::reads(
        &ran.stdout,
        expect![[r#"
        prod
          + docker.io/library/app:1.1  new → sha256:65e103d75bfc  was 1.0
          + docker.io/library/moved:1  new → sha256:65e103d75bfc
          - docker.io/library/gone:1   no longer wanted; it stays there

        plan: 2 to create, 0 to update, 0 unchanged, 1 no longer wanted
          to move: at least 2 manifests from docker.io
    "#]],
    );
}

#[test]
fn what_is_no_revision_and_no_clone() {
    let (pair, _) = changed();
    for revision in ["no-such-branch", "--help", "", "HEAD:images", "a b"] {
        let revision = format!("--changed-since={revision}");
        let ran = pair.project.mirror(&["plan", &revision]).ends_with(2).run();
        assert!(ran.stderr.contains("could not tell what has changed"), "{}", ran.stderr);
    }
    std::fs::remove_dir_all(pair.project.path().join(".git")).unwrap();
    let ran = pair.project.mirror(&["plan", "--changed-since", "HEAD"]).ends_with(2).run();
    crate::reads(
        &ran.stderr,
        expect![[r#"
        error: could not tell what has changed since HEAD
          caused by: fatal: not a git repository (or any of the parent directories): .git
          help: changes are found by git: the tree must be in a clone, and git installed
    "#]],
    );
}

#[test]
fn a_git_that_will_not() {
    let (pair, _) = changed();
    let plan = ["plan", "--changed-since", "HEAD"];
    // Git's own switch for its tests: the clone is somebody else's.
    let ran = pair.project.mirror(&plan).env("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1");
    let ran = ran.env("LANG", "de_DE.UTF-8").ends_with(2).run();
    let folder = std::fs::canonicalize(pair.project.path()).unwrap().display().to_string();
    crate::reads(
        &ran.stderr.replace(&folder, "FOLDER"),
        expect![[r#"
            error: could not tell what has changed since HEAD
              caused by: fatal: detected dubious ownership in repository at 'FOLDER' To add an exception for this directory, call:  git config --global --add safe.directory FOLDER
              help: the clone belongs to another user, as it does in containers. If you trust it, say so to Git with the command above
        "#]],
    );
    // What 1.8 says.
    let old = "#!/bin/sh\necho 'Unknown option: -C' >&2\nexit 129\n";
    pair.project.write("bin/git", old);
    let git = pair.project.path().join("bin/git");
    assert!(Command::new("chmod").arg("+x").arg(&git).status().unwrap().success());
    let path = format!("{}:/usr/bin:/bin", git.parent().unwrap().display());
    let ran = pair.project.mirror(&plan).env("PATH", &path).ends_with(2).run();
    crate::reads(
        &ran.stderr,
        expect![[r#"
            error: could not tell what has changed since HEAD
              caused by: Unknown option: -C
              help: this Git is too old: install version 1.9 or later
        "#]],
    );
}

#[test]
fn a_part_by_name() {
    let image = ImageBuilder::new("any").build();
    let pair = Pair::new(&[("library/app", "1", &image), ("team/app", "2", &image)]);
    for glob in ["app", "docker.io/library/*"] {
        let ran = pair.project.mirror(&["plan", "--only", glob]).run();
        assert!(ran.stdout.contains("library/app:1"), "{}", ran.stdout);
        assert!(ran.stdout.contains("plan: 1 to create"), "{}", ran.stdout);
    }
    let ran = pair.project.mirror(&["apply", "--only", "team/*", "--only", "x"]).run();
    crate::reads(
        &ran.stdout,
        expect![[r#"
        applied: 1 copied, 0 unchanged; 2.5 KiB fetched, 2.5 KiB pushed; N.N s
    "#]],
    );
    for command in ["plan", "apply"] {
        let ran = pair.project.mirror(&[command, "--only", "redis"]).ends_with(2).run();
        assert!(ran.stderr.contains("`--only` matches no image"), "{}", ran.stderr);
        let ran = pair.project.mirror(&[command, "--only", "["]).ends_with(2).run();
        assert!(ran.stderr.contains("invalid value '['"), "{}", ran.stderr);
    }
    pair.project.mirror(&["apply", "mirror.plan", "--only", "app"]).ends_with(2).run();
}

#[test]
fn names_and_clones_of_every_kind() {
    let image = ImageBuilder::new("any").build();
    let pair = Pair::new(&[
        ("library/app", "1", &image),
        ("library/b", "1", &image),
        ("library/c", "1", &image),
    ]);
    let odd = "images/docker.io/library/app/a \"b\"\nc\u{fc}/Dockerfile";
    pair.project.write(odd, "FROM app:0.9\n");
    pair.project.write(".gitignore", "build/\n/.cache\n");
    let before = commit(&pair.project, "before");
    std::fs::remove_file(pair.project.path().join(odd)).unwrap();
    // What Git ignores is in the tree all the same.
    pair.project.write("images/docker.io/library/app/build/Dockerfile", "FROM app:1.1\n");
    pair.source.add("library/app", "1.1", &image);
    // A file that moves to another variant and says something else is another entry.
    std::fs::create_dir_all(pair.project.path().join("images/docker.io/library/b/2")).unwrap();
    git(
        pair.project.path(),
        &["mv", "images/docker.io/library/b/Dockerfile", "images/docker.io/library/b/2/Dockerfile"],
    );
    pair.project.write("images/docker.io/library/b/2/Dockerfile", "FROM b:2\n");
    pair.source.add("library/b", "2", &image);
    let plan = ["plan", "--no-sizes", "--changed-since", &before];
    let ran = pair.project.mirror(&plan).run();
    for line in [
        "- docker.io/library/app:0.9  no longer wanted",
        "- docker.io/library/b:1      no longer wanted",
        "+ docker.io/library/app:1.1  new",
        "+ docker.io/library/b:2      new",
        "plan: 2 to create, 0 to update, 0 unchanged, 2 no longer wanted",
    ] {
        assert!(ran.stdout.contains(line), "{line}: {}", ran.stdout);
    }
    // Hooks have variables that are about another place.
    let hook = pair.project.mirror(&plan).env("GIT_DIR", ".git").env("GIT_WORK_TREE", "/");
    assert_eq!(hook.run().stdout, ran.stdout);
    // A clone without the files of the past can't tell what went.
    git(pair.project.path(), &["add", "--all", "--force"]);
    commit(&pair.project, "after");
    git(pair.project.path(), &["config", "uploadpack.allowFilter", "true"]);
    let clone = tempfile::tempdir().unwrap();
    let url = format!("file://{}", pair.project.path().display());
    git(clone.path(), &["clone", "--quiet", "--filter=blob:none", &url, "."]);
    let ran = mirror_testkit::Mirror::new(env!("CARGO_BIN_EXE_mirror"), clone.path(), &plan);
    let ran = ran.ends_with(2).run();
    crate::reads(
        &ran.stderr,
        expect![[r#"
        error: could not tell what has changed since COMMIT
          caused by: this clone is a partial one: warning: lazy fetching disabled; some objects may not be available fatal: could not fetch COMMIT from promisor remote
          help: fetch the files of earlier commits: `git fetch --refetch --no-filter`
    "#]],
    );
}
