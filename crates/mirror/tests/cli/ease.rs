//! Filling and refreshing a tree, and what the bots are told.

use expect_test::expect;
use mirror_testkit::ImageBuilder;

use crate::{Pair, Project};

fn read(project: &Project, file: &str) -> String {
    std::fs::read_to_string(project.path().join(file)).unwrap()
}

#[test]
fn added_in_the_right_place() {
    let project = Project::new();
    let ran = project
        .mirror(&[
            "add",
            "--offline",
            "postgres:14.2",
            "quay.io/prometheus/node-exporter:v1.8.1",
            "postgres:13.6",
        ])
        .run();
    assert_eq!(
        ran.stdout,
        "images/docker.io/library/postgres/Dockerfile: FROM postgres:14.2\n\
         images/quay.io/prometheus/node-exporter/Dockerfile: FROM quay.io/prometheus/node-exporter:v1.8.1\n\
         images/docker.io/library/postgres/13/Dockerfile: FROM postgres:13.6\n"
    );
    assert_eq!(
        read(&project, "images/docker.io/library/postgres/13/Dockerfile"),
        "FROM postgres:13.6\n"
    );
    let ran = project
        .mirror(&["add", "--offline", "postgres:13.7", "docker.io/library/postgres:14.2"])
        .run();
    assert_eq!(
        ran.stdout,
        "images/docker.io/library/postgres/13.7/Dockerfile: FROM postgres:13.7\n"
    );
    crate::reads(
        &ran.stderr,
        expect![[r#"
        docker.io/library/postgres:14.2 is in the tree already: images/docker.io/library/postgres/Dockerfile
    "#]],
    );
    project.mirror(&["check"]).run();
    // A tree that isn't there yet.
    let empty = Project::new();
    std::fs::remove_dir(empty.path().join("images")).unwrap();
    empty
        .mirror(&[
            "add",
            "--offline",
            "redis:7.4@sha256:0000000000000000000000000000000000000000000000000000000000000000",
        ])
        .run();
    assert!(
        read(&empty, "images/docker.io/library/redis/Dockerfile").contains("redis:7.4@sha256:00")
    );
}

#[test]
fn what_can_be_added_is() {
    for (wrong, why) in [
        ("postgres", "the reference has no tag"),
        ("Postgres:14", "upper-case"),
        ("docker://postgres:14", "not a URL"),
        ("postgres:14 AS x", "is not an image reference"),
        ("postgres:14\nRUN x", "is not an image reference"),
        ("scratch", "nothing to mirror"),
        ("../../etc/passwd:1", "bad-reference"),
        ("", "names no image"),
        ("https://hub.docker.com/_/postgres", "the reference has no tag"),
    ] {
        let project = Project::new();
        let ran = project.mirror(&["add", "--offline", wrong]).ends_with(2).run();
        assert!(ran.stderr.contains(why), "{wrong}: {}", ran.stderr);
        assert!(ran.stderr.ends_with("nothing was added\n"), "{wrong}: {}", ran.stderr);
        assert_eq!(std::fs::read_dir(project.path().join("images")).unwrap().count(), 0, "{wrong}");
        let ran = project.mirror(&["add", "--offline", wrong, "redis:7"]).ends_with(2).run();
        assert!(ran.stderr.ends_with("1 image added, 1 not\n"), "{wrong}: {}", ran.stderr);
        project.mirror(&["check"]).run();
    }
    // What is there is not overwritten.
    let project = Project::new();
    for folder in ["", "/7", "/7.4", "/7.4-n2"] {
        project.write(&format!("images/docker.io/library/redis{folder}/Dockerfile"), "mine\n");
    }
    let ran = project.mirror(&["add", "--offline", "nginx:1", "redis:7.4"]).run();
    assert_eq!(
        ran.stdout,
        "images/docker.io/library/nginx/Dockerfile: FROM nginx:1\n\
         images/docker.io/library/redis/7.4-n3/Dockerfile: FROM redis:7.4\n"
    );
    assert_eq!(read(&project, "images/docker.io/library/redis/7.4/Dockerfile"), "mine\n");
}

#[test]
fn added_beside_other_versions_and_variants() {
    for (references, expected) in [
        (&["mysql:8", "mysql:5.7", "mysql:5"][..], &["mysql", "mysql/5.7", "mysql/5"][..]),
        (
            &["node:20.11-alpine", "node:20.11", "node:20.11-slim"],
            &["node/alpine", "node", "node/slim"],
        ),
        (&["node:22.1.0", "node:20.11.0", "node:20.10.0"], &["node", "node/20.11", "node/20.10"]),
        (
            &["redis:7.2-bookworm", "redis:7.4-bookworm", "redis:latest"],
            &["redis/7.2-bookworm", "redis", "redis/latest"],
        ),
        (
            &["postgres:14", "postgres:17", "postgres:18"],
            &["postgres/14", "postgres/17", "postgres"],
        ),
        (
            &["app:1.3.0", "app:1.5.0", "app:1.6.0", "app:1.6.1", "app:2.0.0", "app:2.0.1"],
            &["app/1.3", "app/1.5", "app/1.6.0", "app/1.6", "app/2.0.0", "app"],
        ),
        (
            &["app:v4.7.0-20241219", "app:v4.9.0-20250709", "app:v4.9.0-20250710"],
            &["app/4.7", "app/v4.9.0-20250709", "app"],
        ),
        (
            &[
                "https://hub.docker.com/_/redis:7",
                "registry-1.docker.io/library/redis:6",
                "redis:7",
            ],
            &["redis", "redis/6"],
        ),
        (&["app:V1", "app:v1", "app:1"], &["app/V1", "app/v1-n2", "app"]),
    ] {
        let project = Project::new();
        let arguments = [&["add", "--offline"], references].concat();
        let ran = project.mirror(&arguments).run();
        let folders = ran.stdout.lines().map(|line| {
            let (file, _) = line.split_once("/Dockerfile: FROM ").unwrap();
            file.strip_prefix("images/docker.io/library/").unwrap()
        });
        assert_eq!(folders.collect::<Vec<_>>(), expected, "{references:?}");
        let ran = project.mirror(&["check", "--fix"]).run();
        assert!(ran.stdout.contains(" 0 errors"), "{}", ran.stdout);
    }
}

/// What a registry says it has not got is not added; what can't be asked is.
#[test]
fn added_when_it_exists() {
    let image = ImageBuilder::new("app").build();
    let pair = Pair::new(&[]);
    pair.source.add("library/app", "1.0", &image);
    pair.source.take_requests();
    let ran = pair.project.mirror(&["add", "app:1.0", "app:1.1", "gone:1"]).ends_with(1).run();
    assert_eq!(ran.stdout, "images/docker.io/library/app/Dockerfile: FROM app:1.0\n");
    crate::reads(
        &ran.stderr,
        expect![[r#"
            error: could not add docker.io/library/app:1.1
              caused by: looking up library/app:1.1: docker.io has no such image (404)
              help: check the name and the tag, and that they still exist there; a private image may need a login
            error: could not add docker.io/library/gone:1
              caused by: looking up library/gone:1: docker.io has no such image (404)
              help: check the name and the tag, and that they still exist there; a private image may need a login
            1 image added, 2 not
        "#]],
    );
    let requests = pair.source.take_requests();
    assert_eq!(requests.iter().filter(|request| request.method == "HEAD").count(), 3);
    let ran = pair.project.mirror(&["add", "127.0.0.1:1/app:1"]).run();
    crate::reads(
        &ran.stderr,
        expect![[r#"
        could not ask 127.0.0.1:PORT whether tags exist: looking up app:1: HEAD http://127.0.0.1:PORT/v2/app/manifests/1: connection refused (5 attempts in N.N s)
    "#]],
    );
}

/// Where the same images are served and nobody counts pulls, is said once.
#[test]
fn a_place_without_limits_is_named() {
    let image = ImageBuilder::new("app").build();
    let pair = Pair::new(&[]);
    let project = &pair.project;
    pair.source.add("library/app", "1.0", &image);
    pair.source.add("library/app", "2.0", &image);
    pair.source.add("docker/library/app", "1.0", &image);
    let file = project.path().join("images/mirror.toml");
    let config = std::fs::read_to_string(&file).unwrap();
    // Whoever has a proxy for Docker Hub may not reach others.
    let ran = project.mirror(&["add", "app:1.0"]).run();
    assert_eq!(ran.stderr, "");
    project.mirror(&["remove", "app:1.0"]).run();
    let gallery = format!(
        "{config}\n[registry.\"public.ecr.aws\"]\nendpoint = \"{}\"\n",
        pair.source.endpoint()
    );
    std::fs::write(&file, &gallery).unwrap();
    let ran = project.mirror(&["add", "app:1.0", "app:2.0"]).run();
    crate::reads(
        &ran.stderr,
        expect![[r#"
        public.ecr.aws/docker has app:1.0 with the same digest, and does not count pulls: with `alternatives = ["public.ecr.aws/docker"]` below `[registry."docker.io"]` in images/mirror.toml, official images come from there
    "#]],
    );
    // Another image, or none.
    project.mirror(&["remove", "app:1.0"]).run();
    pair.source.add("docker/library/app", "1.0", &ImageBuilder::new("other").build());
    assert_eq!(project.mirror(&["add", "app:1.0"]).run().stderr, "");
    // It is taken from there already.
    project.mirror(&["remove", "app:1.0"]).run();
    pair.source.add("docker/library/app", "1.0", &image);
    let hub = "[registry.\"docker.io\"]\n";
    let taken = gallery.replace(hub, &format!("{hub}alternatives = [\"public.ecr.aws/docker\"]\n"));
    assert_ne!(taken, gallery);
    std::fs::write(&file, taken).unwrap();
    assert_eq!(project.mirror(&["add", "app:1.0"]).run().stderr, "");
}

#[test]
fn removed() {
    let project = Project::new();
    let all = ["postgres:14.2", "postgres:13.6", "quay.io/a/b:1", "redis:7"];
    project.mirror(&[&["add", "--offline"], &all[..]].concat()).run();
    let ran = project.mirror(&["remove", "postgres:12", "nginx", "redis:7"]).ends_with(2).run();
    crate::reads(
        &ran.stderr,
        expect![[r#"
        error: could not remove postgres:12
          caused by: the tree has it as :13.6, :14.2
          help: `mirror check` and the folders below the tree list what is there
        error: could not remove nginx
          caused by: the tree has no such image
          help: `mirror check` and the folders below the tree list what is there
        nothing was removed
    "#]],
    );
    let ran = project.mirror(&["remove", "docker.io/library/postgres", "quay.io/a/b:1"]).run();
    assert_eq!(
        ran.stdout,
        "removed images/docker.io/library/postgres/13/Dockerfile\n\
         removed images/docker.io/library/postgres/Dockerfile\n\
         removed images/quay.io/a/b/Dockerfile\n"
    );
    crate::reads(
        &ran.stderr,
        expect![[r#"
        copies at the destinations stay; delete them there if nobody needs them
    "#]],
    );
    assert!(!project.path().join("images/quay.io").exists());
    assert_eq!(read(&project, "images/docker.io/library/redis/Dockerfile"), "FROM redis:7\n");
}

#[test]
fn added_with_digests() {
    let image = ImageBuilder::new("app").platforms(&["linux/amd64"]).build();
    let pair = Pair::new(&[("library/other", "1", &image)]);
    pair.source.add("library/app", "1.0", &image);
    pair.source.take_requests();
    pair.project.mirror(&["add", "--pin", "app:1.0"]).run();
    let digest = image.digest();
    assert_eq!(
        read(&pair.project, "images/docker.io/library/app/Dockerfile"),
        format!("FROM app:1.0@{digest}\n")
    );
    assert!(pair.source.take_requests().iter().all(|request| request.method == "HEAD"));
    let ran = pair.project.mirror(&["add", "--pin", "app:2.0", "gone:1"]).ends_with(1).run();
    crate::reads(
        &ran.stderr,
        expect![[r#"
            error: could not add docker.io/library/app:2.0
              caused by: looking up library/app:2.0: docker.io has no such image (404)
              help: check the name and the tag, and that they still exist there; a private image may need a login
            error: could not add docker.io/library/gone:1
              caused by: looking up library/gone:1: docker.io has no such image (404)
              help: check the name and the tag, and that they still exist there; a private image may need a login
            nothing was added
        "#]],
    );
    assert!(!pair.project.path().join("images/docker.io/library/app/2").exists());
}

#[test]
fn pinned_without_touching_another_byte() {
    let (old, new) = (ImageBuilder::new("old").build(), ImageBuilder::new("new").build());
    let pair = Pair::new(&[("library/plain", "1", &new)]);
    pair.source.add("library/app", "1.0", &new);
    let file = "images/docker.io/library/app/Dockerfile";
    let content = |digest: &str| {
        format!(
            "# why\r\nfrom   --platform=linux/amd64 docker.io/app:1.0{digest} AS x  \r\n\r\n# end"
        )
    };
    pair.project.write(file, &content(&format!("@{}", old.digest())));
    let ran = pair.project.mirror(&["pin", "--check"]).ends_with(3).run();
    crate::reads(
        &ran.stderr,
        expect![[r#"
        2 images to pin, 0 already up to date
    "#]],
    );
    assert_eq!(read(&pair.project, file), content(&format!("@{}", old.digest())));
    let ran = pair.project.mirror(&["pin", "--only", "app"]).run();
    crate::reads(
        &ran.stderr,
        expect![[r#"
        1 image pinned, 0 already up to date
    "#]],
    );
    assert_eq!(read(&pair.project, file), content(&format!("@{}", new.digest())));
    // Where the configuration demands digests, this is how they come.
    let config = read(&pair.project, "images/mirror.toml") + "[check]\nrequire_digest = true\n";
    pair.project.write("images/mirror.toml", &config);
    pair.project.mirror(&["check"]).ends_with(2).run();
    pair.project.mirror(&["pin"]).run();
    pair.project.mirror(&["check"]).run();
    pair.project.mirror(&["pin", "--check"]).run();
    // Two that exclude each other are brought together by it, wherever they come from.
    pair.project.write(file, &content(&format!("@{}", old.digest())));
    pair.project.write(
        "images/docker.io/library/app/b/Dockerfile",
        &format!("FROM app:1.0@{}\n", new.digest()),
    );
    pair.project.mirror(&["check"]).ends_with(4).run();
    pair.project.mirror(&["pin", "--only", "app"]).run();
    assert_eq!(read(&pair.project, file), content(&format!("@{}", new.digest())));
    std::fs::remove_dir_all(pair.project.path().join("images/docker.io/library/app/b")).unwrap();
    // One that can't be looked up does not stop the others.
    pair.project.write("images/docker.io/library/gone/Dockerfile", "FROM gone:1\n");
    pair.project.entry("library/plain2:1");
    pair.source.add("library/plain2", "1", &new);
    let ran = pair.project.mirror(&["pin"]).ends_with(1).run();
    crate::reads(
        &ran.stderr,
        expect![[r#"
            error: could not pin docker.io/library/gone:1 in images/docker.io/library/gone/Dockerfile
              caused by: looking up library/gone:1: docker.io has no such image (404)
              help: check the name and the tag, and that they still exist there; a private image may need a login
            1 image pinned, 2 already up to date, 1 failed
        "#]],
    );
}

#[test]
fn newer_tags_that_no_bot_proposes() {
    let image = ImageBuilder::new("app").build();
    let pair = Pair::new(&[
        ("minio/minio", "RELEASE.2022-03-26T06-49-28Z", &image),
        ("library/node", "22.1.0-alpine3.20", &image),
        ("library/app", "1.0", &image),
        ("team/commit", "sha-1a2b3c4", &image),
    ]);
    pair.source.add("minio/minio", "RELEASE.2023-01-02T09-40-09Z", &image);
    pair.source.add("minio/minio", "latest", &image);
    pair.source.add("library/node", "22.1.0-alpine", &image);
    pair.source.add("library/app", "2.0", &image);
    let ran = pair.project.mirror(&["outdated", "--exit-code"]).ends_with(3).run();
    crate::reads(
        &ran.stdout,
        expect![[r#"
        docker.io/minio/minio:RELEASE.2022-03-26T06-49-28Z → RELEASE.2023-01-02T09-40-09Z
          no bot updates `RELEASE.2022-03-26T06-49-28Z`: neither of them finds a version in it
        docker.io/team/commit:sha-1a2b3c4 cannot be compared: it names a commit, and none is newer than another
        1 newer tag for 3 tags that no bot updates, 1 cannot be compared
    "#]],
    );
    let ran = pair.project.mirror(&["outdated", "--only", "app"]).run();
    assert_eq!(ran.stdout, "a bot can update all tags\n");
    pair.project.entry("team/gone:1-r1");
    let ran = pair.project.mirror(&["outdated", "--format", "json"]).ends_with(1).run();
    let found: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(found.pointer("/images/0/newest").unwrap(), "RELEASE.2023-01-02T09-40-09Z");
    assert_eq!(found.pointer("/failures/0/name").unwrap(), "docker.io/team/gone");
}

#[test]
fn completions_and_manual_pages() {
    let project = Project::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let ran = project.mirror(&["completions", shell]).run();
        assert!(ran.stdout.contains("changed-since"), "{shell}");
    }
    project.mirror(&["man", "man1"]).run();
    let page = read(&project, "man1/mirror-plan.1");
    assert!(page.contains(".SH OPTIONS") && page.contains("changed"), "{page}");
    project.mirror(&["man", "/dev/null/man1"]).ends_with(2).run();
}
