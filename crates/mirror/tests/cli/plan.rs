use expect_test::expect;
use mirror_testkit::ImageBuilder;

use crate::{Pair, steady};

#[test]
fn what_a_person_sees() {
    let shared =
        ImageBuilder::new("one").platforms(&["linux/amd64", "linux/arm64"]).layers(&[700_000]);
    let (one, two) = (
        shared.clone().shared_layer("base", 2_000_000).build(),
        ImageBuilder::new("two").shared_layer("base", 2_000_000).build(),
    );
    let pair = Pair::new(&[
        ("library/one", "1.0", &one),
        ("team/two", "2", &two),
        ("library/same", "3", &two),
    ]);
    pair.destination.add("docker.io/library/same", "3", &two);
    pair.destination.add("docker.io/team/two", "2", &one);
    pair.project.entry("library/gone:4");
    pair.destination.take_requests();
    let plan = pair.project.mirror(&["plan"]).ends_with(1).run();
    let expected = format!(
        "alert: docker.io/team/two:2: linux/arm64 is gone
prod
  + docker.io/library/one:1.0  new → {one}  3.2 MiB  linux/amd64 linux/arm64
  ~ docker.io/team/two:2       {one} → {two}  1.9 MiB
  = docker.io/library/same:3   {two}

error: could not look up docker.io/library/gone:4 for prod
  caused by: source: looking up library/gone:4: docker.io has no such image (404)
  help: check the name and the tag, and that they still exist there; a private image may need a login
plan: 1 to create, 1 to update, 1 unchanged, 1 not looked up
  to move: 3.2 MiB of distinct blobs at most; 4 manifests from docker.io
",
        one = one.digest().short(),
        two = two.digest().short()
    );
    assert_eq!(steady(&plan.stdout), expected);
    assert!(
        pair.destination.take_requests().iter().all(|r| r.method == "HEAD" || r.method == "GET"),
        "a plan changes nothing"
    );
}

#[test]
fn sizes_cost_pulls_only_for_what_will_be_copied() {
    let (same, new) = (
        ImageBuilder::new("same").build(),
        ImageBuilder::new("new").platforms(&["linux/amd64"]).build(),
    );
    let pair = Pair::new(&[("library/same", "1", &same), ("library/new", "1", &new)]);
    pair.destination.add("docker.io/library/same", "1", &same);
    let gets = || {
        pair.source
            .take_requests()
            .iter()
            .filter(|r| r.method == "GET")
            .map(|r| r.path.clone())
            .collect::<Vec<_>>()
    };
    pair.project.mirror(&["plan"]).run();
    assert_eq!(gets().len(), 2, "index and child of the new one");
    let plan = pair.project.mirror(&["plan", "--no-sizes"]).run();
    assert_eq!(gets(), Vec::<String>::new());
    crate::reads(
        &plan.stdout,
        expect![[r#"
        prod
          + docker.io/library/new:1   new → sha256:9bf6fc9b4c9f
          = docker.io/library/same:1  sha256:4dbfd850437a

        plan: 1 to create, 0 to update, 1 unchanged
          to move: at least 1 manifest from docker.io
    "#]],
    );
}

#[test]
fn exit_codes() {
    let image = ImageBuilder::new("x").build();
    let pair = Pair::new(&[("library/app", "1", &image)]);
    pair.project.mirror(&["plan"]).run();
    pair.project.mirror(&["plan", "--exit-code"]).ends_with(3).run();
    pair.project.mirror(&["apply"]).run();
    pair.project.mirror(&["plan", "--exit-code"]).run();
    pair.project.write(
        "images/docker.io/library/app/b/Dockerfile",
        &format!("FROM app:1@{}\n", image.digest()),
    );
    let ran = pair.project.mirror(&["plan"]).ends_with(4).run();
    crate::reads(
        &ran.stdout,
        expect![[r#"
        conflict: docker.io/library/app:1 at prod
          different images would go to one tag: docker.io/library/app:1, docker.io/library/app:1@sha256:1f8bba7144ee6f2ca77302c8a6f8ed8f3d480eb09513b987ea15cd7d9ab5730c
          wanted by docker.io/library/app/Dockerfile, docker.io/library/app/b/Dockerfile
        plan: 0 to create, 0 to update, 0 unchanged, 1 in conflict
    "#]],
    );
    pair.project.mirror(&["apply"]).ends_with(4).run();
    pair.project.mirror(&["frobnicate"]).ends_with(2).run();
}

#[test]
fn moved_tags_are_noted() {
    let (old, new) = (ImageBuilder::new("old").build(), ImageBuilder::new("new").build());
    let pair = Pair::new(&[]);
    pair.source.add("library/app", "1", &old);
    pair.source.add("library/app", "1", &new);
    pair.project.entry(&format!("app:1@{}", old.digest()));
    let plan = pair.project.mirror(&["plan"]).run();
    crate::reads(
        &plan.stdout,
        expect![[r#"
        prod
          + docker.io/library/app:1  new → sha256:23ca9f72109d  2.5 KiB

        note: upstream moved the tag of docker.io/library/app:1@sha256:23ca9f72109d1815dd61717df9a0956f55e950a89b132039efd67effcbd84fdd to sha256:1f9ef99c1c7e02c7da784f5aa4fb2ae460a6f939cd969f523bd197885ac5053d
          the pinned digest is used
        plan: 1 to create, 0 to update, 0 unchanged
          to move: 2.5 KiB of distinct blobs at most; 1 manifest from docker.io
    "#]],
    );
    pair.source.take_requests();
    pair.project.mirror(&["apply"]).run();
    let mut asked = pair.source.take_requests();
    asked.retain(|request| !crate::looks_for_referrers(request));
    assert!(asked.iter().all(|r| r.method != "HEAD"), "copying a pinned image asks for no tag");
}

#[test]
fn json_is_a_plan() {
    let image = ImageBuilder::new("x").platforms(&["linux/amd64", "linux/arm64/v8"]).build();
    let pair = Pair::new(&[("library/app", "1", &image)]);
    let ran = pair.project.mirror(&["plan", "--format", "json"]).run();
    let plan: mirror_plan::plan::Plan = serde_json::from_str(&ran.stdout).unwrap();
    let copy = plan.copies().next().unwrap();
    assert_eq!(
        (copy.digest.clone(), copy.bytes),
        (image.digest().clone(), Some(image.blob_bytes()))
    );
    assert_eq!(
        copy.platforms.iter().map(ToString::to_string).collect::<Vec<_>>(),
        ["linux/amd64", "linux/arm64/v8"]
    );
    assert_eq!(copy.want.file, "docker.io/library/app/Dockerfile");
    let value: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(
        (&value["format_version"], &value["actions"][0]["change"]),
        (&1.into(), &"create".into())
    );
}

#[test]
fn one_platform_of_an_index_and_of_a_single_image() {
    let index = ImageBuilder::new("i").platforms(&["linux/amd64", "linux/arm64/v8"]).build();
    let single = ImageBuilder::new("s").build();
    let pair = Pair::new(&[]);
    pair.source.add("library/index", "1", &index);
    pair.source.add("library/single", "1", &single);
    let write = |name: &str, platform: &str| {
        pair.project.write(
            &format!("images/docker.io/library/{name}/Dockerfile"),
            &format!("FROM --platform={platform} {name}:1\n"),
        );
    };
    write("index", "linux/arm64");
    write("single", "linux/amd64");
    pair.project.mirror(&["apply"]).run();
    let digest = |name: &str| {
        pair.destination.manifest(&format!("docker.io/library/{name}"), "1").unwrap().digest
    };
    assert_eq!(digest("index"), index.manifests[1].digest);
    assert_eq!(digest("single"), *single.digest());
    crate::reads(
        &pair.project.mirror(&["plan"]).run().stdout,
        expect![[r#"
        prod
          = docker.io/library/index:1   sha256:930717f257bc
          = docker.io/library/single:1  sha256:c41c07f2dc81

        plan: 0 to create, 0 to update, 2 unchanged
    "#]],
    );
    write("index", "windows/amd64");
    write("single", "linux/s390x");
    let plan = pair.project.mirror(&["plan"]).ends_with(1).run().stdout;
    crate::reads(
        &plan,
        expect![[r#"
        error: could not look up docker.io/library/index:1 for prod
          not refreshed; the destination serves sha256:930717f257bcb1f6df7e6c3ce84e1aa378fefedb7bb9379c5e61dacd9a7070f7
          caused by: source: looking up windows/amd64 of library/index: the image has no manifest for windows/amd64, only for linux/amd64, linux/arm64/v8
        error: could not look up docker.io/library/single:1 for prod
          not refreshed; the destination serves sha256:c41c07f2dc8171b9198dc861daa535d2dae7e95a1053451df7e00f349c27f15e
          caused by: source: looking up linux/s390x of library/single: the image is for `linux/amd64`
        plan: 0 to create, 0 to update, 0 unchanged, 2 not looked up
    "#]],
    );
}

#[test]
fn from_any_folder_of_the_repository() {
    let image = ImageBuilder::new("x").build();
    let pair = Pair::new(&[("library/app", "1", &image)]);
    let below = pair.project.path().join("images/docker.io/library");
    let ran = mirror_testkit::Mirror::new(env!("CARGO_BIN_EXE_mirror"), &below, &["plan"]).run();
    crate::reads(
        &ran.stdout,
        expect![[r#"
        prod
          + docker.io/library/app:1  new → sha256:1f8bba7144ee  2.5 KiB

        plan: 1 to create, 0 to update, 0 unchanged
          to move: 2.5 KiB of distinct blobs at most; 1 manifest from docker.io
    "#]],
    );
}

#[test]
fn pull_requests_and_job_summaries_get_markdown() {
    let image = ImageBuilder::new("page").build();
    let pair = Pair::new(&[("library/app", "1.0", &image)]);
    let page = pair.project.mirror(&["plan", "--format", "markdown"]).run().stdout;
    crate::reads(
        &page,
        expect![[r#"
        ### mirror: 1 to create

        At most 2.5 KiB to move; 1 pull from `docker.io`.


        #### `prod`

        | image | tag | digest | platforms | size | pulls | upstream |
        |---|---|---|---|--:|--:|---|
        | `docker.io/library/app` | `1.0` | new → `f7d80ec97ada` |  | 2.5&nbsp;KiB | 1 | [page](https://hub.docker.com/_/app) |

        <details><summary>Full digests and files</summary>

        - `docker.io/library/app/Dockerfile`: `docker.io/library/app:1.0@sha256:f7d80ec97adabbc777a29acd0990ed3df120e06808cdf54f73b117b3bd14166c`

        </details>
    "#]],
    );
    let file = pair.project.path().join("summary.md");
    let with = |arguments: &[&str]| {
        let mirror = pair.project.mirror(arguments).env("GITHUB_ACTIONS", "true");
        mirror.env("GITHUB_STEP_SUMMARY", &file.display().to_string()).run();
    };
    with(&["plan"]);
    with(&["apply"]);
    let summary = std::fs::read_to_string(&file).unwrap();
    assert!(summary.starts_with(&page), "{summary}");
    assert!(summary.contains("### mirror: 1 copied, 0 unchanged\n"), "{summary}");
}

#[test]
fn actions_show_what_is_wrong_beside_the_files() {
    let image = ImageBuilder::new("x").build();
    let pair = Pair::new(&[("library/app", "1", &image)]);
    pair.project.entry("library/gone:1");
    for command in ["plan", "apply"] {
        let ran = pair.project.mirror(&[command]).env("GITHUB_ACTIONS", "true").ends_with(1).run();
        let line = "::error file=images/docker.io/library/gone/Dockerfile,title=failed::docker.io/library/gone:1 at prod: \
                    source: looking up library/gone:1: docker.io has no such image (404)%0Ahelp: ";
        assert!(ran.stderr.contains(line), "{}", ran.stderr);
        assert!(!ran.stdout.contains("::error"), "{}", ran.stdout);
    }
    pair.project.write("images/docker.io/library/x/Dockerfile", "FROM x:latest\n");
    let ran = pair.project.mirror(&["check"]).env("GITHUB_ACTIONS", "true").run();
    crate::reads(
        &ran.stderr,
        expect![[r#"
        ::warning file=images/docker.io/library/x/Dockerfile,line=1,endLine=1,col=8,endColumn=13,title=floating-tag::`latest` moves: what is mirrored changes without a commit, and no bot proposes it%0Ahelp: name a version, or append the digest: `tag@sha256:…`
    "#]],
    );
}
