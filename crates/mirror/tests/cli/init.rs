//! `mirror init`: an empty repository becomes a mirror, wherever the tree is.

use expect_test::expect;
use mirror_testkit::ImageBuilder;

use crate::scope::git;
use crate::{Pair, Project};

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

fn read(project: &Project, file: &str) -> String {
    std::fs::read_to_string(project.path().join(file)).unwrap()
}

#[test]
fn an_empty_repository_becomes_a_mirror() {
    let image = ImageBuilder::new("busybox").build();
    let pair = Pair::new(&[]);
    pair.source.add("library/busybox", "1.37.0", &image);
    let project = &pair.project;
    std::fs::remove_dir_all(project.path().join("images")).unwrap();
    let ran = project.mirror(&["init"]).run();
    crate::reads(
        &ran.stderr,
        expect![[r#"
            wrote images/mirror.toml
            wrote images/docker.io/library/busybox/Dockerfile
            wrote .github/dependabot.yml
            wrote .gitignore

            next: mirror check, mirror plan, mirror apply; more images: mirror add REFERENCE
            to run this on GitHub: mirror init --registry HOST --workflows OWNER/REPOSITORY@COMMIT, with mirror's repository or your copy of it
        "#]],
    );
    let ran = project.mirror(&["check"]).run();
    assert_eq!(ran.stdout, "1 image is good, 0 errors, 0 warnings\n");
    project.mirror(&["bots", "--check"]).run();
    let config = read(project, "images/mirror.toml");
    let there =
        format!("{config}[registry.\"docker.io\"]\nendpoint = \"{}\"\n", pair.source.endpoint());
    project.write("images/mirror.toml", &there);
    let ran = project.mirror(&["apply"]).run();
    crate::reads(
        &ran.stdout,
        expect![[r#"
        applied: 1 copied, 0 unchanged; 2.5 KiB fetched, 2.5 KiB pushed; N.N s
    "#]],
    );
    assert!(project.path().join("mirror-store/index.json").exists());
    // Again, and with more: what is there stays.
    let workflows = format!("acme/mirror@{COMMIT}");
    let again = ["init", "redis:7.4", "--registry", "r.example.com", "--workflows", &workflows];
    let ran = project.mirror(&again).run();
    crate::reads(
        &ran.stderr,
        expect![[r#"
        kept images/mirror.toml
        kept .github/dependabot.yml
        kept .gitignore
        wrote images/docker.io/library/redis/Dockerfile
        wrote .github/workflows/mirror-plan.yml
        wrote .github/workflows/mirror-comment.yml
        wrote .github/workflows/mirror-apply.yml

        next: mirror check, mirror plan, mirror apply; more images: mirror add REFERENCE
        on GitHub, require the check `mirror / mirror` for merges; mirror's README says which settings there are
        images/mirror.toml was there, and says nothing of that registry: add it there
    "#]],
    );
    assert_eq!(read(project, "images/mirror.toml"), there);
    for name in ["plan", "comment", "apply"] {
        let text = read(project, &format!(".github/workflows/mirror-{name}.yml"));
        let line = format!("    uses: acme/mirror/.github/workflows/{name}.yml@{COMMIT}\n");
        assert!(text.contains(&line), "{text}");
        assert!(!text.contains("@REPOSITORY@") && !text.contains("@COMMIT@"), "{text}");
        assert!(!text.contains("@BRANCH@"), "{text}");
    }
    assert!(project.path().join("images/docker.io/library/redis/Dockerfile").exists());
}

#[test]
fn a_tree_further_down_on_enterprise_server() {
    let project = Project::new();
    std::fs::remove_dir_all(project.path().join("images")).unwrap();
    git(project.path(), &["init", "--quiet"]);
    let workflows = format!("acme/mirror@{COMMIT}");
    let init = ["init", "redis:7.4", "--registry", "r.example.com", "--workflows", &workflows];
    let more = ["--images", "deploy/its images", "--enterprise-server"];
    let ran = project.mirror(&[&init[..], &more].concat()).run();
    crate::reads(
        &ran.stderr,
        expect![[r#"
            wrote deploy/its images/mirror.toml
            wrote deploy/its images/docker.io/library/redis/Dockerfile
            wrote .github/dependabot.yml
            wrote .github/workflows/mirror-plan.yml
            wrote .github/workflows/mirror-apply.yml
            wrote deploy/.gitignore

            next, with --images 'deploy/its images': mirror check, mirror plan, mirror apply; more images: mirror add REFERENCE
            on GitHub, require the check `mirror / mirror` for merges; mirror's README says which settings there are
        "#]],
    );
    let plan = read(&project, ".github/workflows/mirror-plan.yml");
    let (_, jobs) = plan.split_once("\njobs:\n").unwrap();
    crate::reads(
        &format!("jobs:\n{}", jobs.replace(COMMIT, "COMMIT")),
        expect![[r#"
            jobs:
              mirror:
                permissions:
                  contents: read
                  id-token: write # for the AWS role in the variable MIRROR_PLAN_ROLE
                  pull-requests: write # to show the plan
                  statuses: write
                uses: acme/mirror/.github/workflows/plan-server.yml@COMMIT
                with:
                  mirror-repository: acme/mirror
                  mirror-ref: COMMIT
                  images: "deploy/its images"
                  # The label of a machine with Linux, which may reach the registries.
                  runner: self-hosted
                secrets:
                  MIRROR_PLAN_DOCKER_CONFIG: ${{ secrets.MIRROR_PLAN_DOCKER_CONFIG }}
                  MIRROR_TOKEN: ${{ secrets.MIRROR_TOKEN }}
        "#]],
    );
    let apply = read(&project, ".github/workflows/mirror-apply.yml");
    assert!(apply.contains("      images: \"deploy/its images\"\n"), "{apply}");
    // A repository has the workflows of one tree, and of one kind of server.
    let before = read(&project, ".github/dependabot.yml");
    for (tree, server) in [("other", true), ("deploy/its images", false)] {
        let mut again = [&init[..], &["--images", tree]].concat();
        again.extend(server.then_some("--enterprise-server"));
        let ran = project.mirror(&again).ends_with(2).run();
        let called = if server { "plan-server.yml" } else { "plan.yml" };
        let told = format!(
            "error: nothing was written\n  caused by: .github/workflows/mirror-plan.yml is for the tree deploy/its images and calls plan-server.yml; this one is {tree} and needs {called}\n  help: a repository has the workflows of one tree: add the images there, or remove those workflows\n"
        );
        assert!(ran.stderr.ends_with(&told), "{}", ran.stderr);
    }
    assert!(!project.path().join("other").exists());
    assert_eq!(read(&project, ".github/dependabot.yml"), before);
    let ran =
        project.mirror(&[&init[..], &["--images", "${{ secrets.X }}"]].concat()).ends_with(2).run();
    assert!(ran.stderr.contains("has an expression of GitHub's in its name"), "{}", ran.stderr);
    let other = Project::new();
    let ran = other.mirror(&["init", "--enterprise-server"]).ends_with(2).run();
    assert!(ran.stderr.contains("--workflows"), "{}", ran.stderr);
}

#[test]
fn another_trees_entries_are_not_replaced() {
    for (bot, file) in [("dependabot", ".github/dependabot.yml"), ("renovate", "renovate.json")] {
        let project = Project::new();
        std::fs::remove_dir_all(project.path().join("images")).unwrap();
        git(project.path(), &["init", "--quiet"]);
        for tree in ["a/images", "b/images"] {
            project.write(&format!("{tree}/mirror.toml"), "");
            project.write(&format!("{tree}/docker.io/library/app/Dockerfile"), "FROM app:1\n");
        }
        project.mirror(&["bots", bot, "--images", "a/images"]).run();
        let before = read(&project, file);
        for check in [None, Some("--check")] {
            let mut arguments = vec!["bots", bot, "--images", "b/images"];
            arguments.extend(check);
            let ran = project.mirror(&arguments).ends_with(2).run();
            let verb = if check.is_some() { "check" } else { "write" };
            let told = format!(
                "error: could not {verb} {file}\n  caused by: it is for the tree a/images: a repository has one tree; add the images there, or take its entries out of the file\n"
            );
            assert_eq!(ran.stderr, told);
            assert_eq!(read(&project, file), before);
        }
        // One that was moved takes its entries along.
        std::fs::rename(project.path().join("a"), project.path().join("c")).unwrap();
        project.mirror(&["bots", bot, "--images", "c/images"]).run();
        assert!(read(&project, file).contains("c/images"));
    }
}

#[test]
fn a_tree_that_is_the_repository() {
    let project = Project::new();
    std::fs::remove_dir_all(project.path().join("images")).unwrap();
    let root = project.path().join("tree");
    std::fs::create_dir(&root).unwrap();
    git(&root, &["init", "--quiet"]);
    let workflows = format!("acme/mirror@{COMMIT}");
    let init = ["init", "--images", "tree", "--registry", "r.example.com"];
    project.mirror(&[&init[..], &["--workflows", &workflows]].concat()).run();
    let plan = read(&project, "tree/.github/workflows/mirror-plan.yml");
    assert!(plan.contains("      images: \".\"\n"), "{plan}");
    assert!(root.join(".gitignore").exists() && !project.path().join(".gitignore").exists());
    project.mirror(&["check", "--images", "tree"]).run();
}

#[test]
fn what_init_does_not_take() {
    let project = Project::new();
    for (arguments, why) in [
        (["--workflows", "acme/mirror"], "OWNER/REPOSITORY@COMMIT"),
        (["--workflows", "acme/mirror@main"], "all of its 40 digits"),
        (["--workflows", "acme@0123456789abcdef0123456789abcdef01234567"], "OWNER/NAME"),
        (["--registry", "https://x"], "invalid value"),
        (["--workflows", "acme/mirror@0123456789abcdef0123456789abcdef01234567"], "--registry"),
    ] {
        let ran = project.mirror(&[&["init"], &arguments[..]].concat()).ends_with(2).run();
        assert!(ran.stderr.contains(why), "{}", ran.stderr);
    }
    let ran = project.mirror(&["init", "postgres"]).ends_with(2).run();
    crate::reads(
        &ran.stderr,
        expect![[r#"
            error[missing-tag]: the reference has no tag
             --> <command line>:1:6
              |
            1 | FROM postgres
              |      ^^^^^^^^
              |
              = help: name the version: `FROM postgres:<tag>`, best with its digest behind it
            nothing was written
        "#]],
    );
    assert!(!project.path().join(".github").exists());
    project
        .mirror(&["init", "--registry", "123456789012.dkr.ecr.eu-central-1.amazonaws.com"])
        .run();
    assert!(read(&project, "images/mirror.toml").contains("[destination.ecr]\n"));
    project.mirror(&["check"]).run();
}
