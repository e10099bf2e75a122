//! Words that are true: what a person has to know first, and what is not what it seems.

use expect_test::expect;
use mirror_plan::report::{Report, Status};
use mirror_testkit::{Fault, ImageBuilder};

use crate::Pair;
use crate::scope::{commit, git};
use crate::worst::{APP, index, pinned};

#[test]
fn a_source_that_fails_says_what_is_served() {
    let (old, new) = (index("old"), index("new"));
    let pair = Pair::new(&[("library/app", "1", &old), ("library/none", "1", &old)]);
    pair.project.mirror(&["apply", "--only", "docker.io/library/app"]).run();
    pair.source.add("library/app", "1", &new);
    pair.source.set_faults(|_| Some(Fault::refuse(500, "UNKNOWN", "unknown error")));
    let ran = pair.project.mirror(&["apply", "--report", "report.json"]).ends_with(1).run();
    crate::reads(
        &ran.stdout,
        expect![[r#"
            error: could not look up docker.io/library/app:1 for prod
              not refreshed; the destination serves sha256:d41e29ad18bf837181d4dd5436c91d22ad59c7d1fda747ad14b2a58e32b444d0
              caused by: source: looking up library/app:1: HEAD http://127.0.0.1:PORT/v2/library/app/manifests/1: 500 (5 attempts in N.N s)
              help: the registry reported an internal error; try again later
            error: could not look up docker.io/library/none:1 for prod
              caused by: source: looking up library/none:1: HEAD http://127.0.0.1:PORT/v2/library/none/manifests/1: 500 (5 attempts in N.N s)
              help: the registry reported an internal error; try again later
            applied: 0 copied, 0 unchanged, 2 failed; what had moved by then; N.N s
        "#]],
    );
    assert_eq!(ran.stdout.matches("not refreshed").count(), 1, "{}", ran.stdout);
    let text = std::fs::read_to_string(pair.project.path().join("report.json")).unwrap();
    let report: Report = serde_json::from_str(&text).unwrap();
    assert_eq!(report.failures[0].serves.as_ref(), Some(old.digest()));
    assert_eq!(report.failures[1].serves, None);
    let page = mirror_render::ci::issue_markdown(&report, None, &[], &Default::default()).unwrap();
    assert!(page.contains(&format!("not refreshed, the destination serves `{}`;", old.digest())));
    // While copying, too.
    pair.source.set_faults(|exchange| {
        exchange.path.contains("/blobs/").then(|| Fault::refuse(500, "UNKNOWN", "unknown error"))
    });
    let ran = pair.project.mirror(&["apply", "--format", "json"]).ends_with(1).run();
    let report: Report = serde_json::from_str(&ran.stdout).unwrap();
    let app =
        report.outcomes.iter().find(|one| one.want.target.repository.as_str() == APP).unwrap();
    assert!(matches!(app.status, Status::Failed { .. }));
    assert_eq!(app.serves.as_ref(), Some(old.digest()));
}

#[test]
fn wrong_bytes_are_a_matter_of_security() {
    let image = index("forged");
    let pair = Pair::new(&[]);
    pair.source.add("library/app", "1", &image);
    pair.project.write("images/docker.io/library/app/Dockerfile", &pinned("1", &image));
    for part in ["/manifests/sha256:", "/blobs/"] {
        pair.source.set_faults(move |exchange| {
            (exchange.method == "GET" && exchange.path.contains(part)).then_some(Fault::WrongBytes)
        });
        let ran = pair.project.mirror(&["apply", "--report", "report.json"]).ends_with(1).run();
        let told =
            "  security: possible tampering, or a broken proxy on the way\n  caused by: source: ";
        assert!(ran.stdout.contains(told), "{}", ran.stdout);
        assert!(
            ran.stdout.contains("help: don't use it before somebody has looked"),
            "{}",
            ran.stdout
        );
        assert!(!ran.stdout.contains("publisher"), "{}", ran.stdout);
        let text = std::fs::read_to_string(pair.project.path().join("report.json")).unwrap();
        assert!(text.contains("\"kind\": \"tampering\""), "{text}");
    }
}

#[test]
fn what_weakens_the_tree_is_said_first() {
    let made = |name: &str, year: &str, platforms: &[&str]| {
        ImageBuilder::new(name)
            .created(&format!("{year}-02-03T04:05:06Z"))
            .platforms(platforms)
            .build()
    };
    let both = ["linux/amd64", "linux/arm64"];
    let (old, new) = (made("a", "2024", &both), made("b", "2025", &both));
    let less = made("c", "2026", &["linux/amd64"]);
    let pair = Pair::new(&[]);
    let path = pair.project.path().to_owned();
    git(&path, &["init", "-q", "-b", "main"]);
    for image in [&old, &new, &less] {
        pair.source.add("library/app", "1", image);
    }
    let file = "images/docker.io/library/app/Dockerfile";
    let first = |text: &str| text.lines().next().unwrap_or_default().to_owned();
    let change = |to: &str| {
        pair.project.write(file, to);
        let ran = pair.project.mirror(&["plan", "--changed-since", "HEAD"]).run();
        let page =
            pair.project.mirror(&["plan", "--changed-since", "HEAD", "--format", "markdown"]).run();
        (first(&ran.stdout), page.stdout.lines().nth(2).unwrap_or_default().to_owned())
    };
    pair.project.write(file, &pinned("1", &new));
    pair.project.mirror(&["apply"]).run();
    commit(&pair.project, "as it is");

    let (text, page) = change(&pinned("1", &old));
    let older = "alert: docker.io/library/app:1@";
    assert!(text.starts_with(older), "{text}");
    assert!(text.ends_with(": an older image than the one it replaces, made 2024-02-03T04:05:06Z and not 2025-02-03T04:05:06Z"), "{text}");
    assert!(page.starts_with("### mirror: "), "the step back stands above it: {page}");

    let (text, page) = change(&pinned("1", &less));
    assert!(text.ends_with(": linux/arm64 is gone"), "{text}");
    assert!(page.ends_with(": `linux/arm64` is gone"), "{page}");

    // Nothing is copied for this one.
    pair.source.add("library/app", "1", &new);
    let (text, page) = change("FROM app:1\n");
    let short = new.digest().short();
    assert_eq!(
        text,
        format!("alert: docker.io/library/app:1: digest {short} removed, the tag floats now")
    );
    assert_eq!(
        page,
        format!("- 🚨 `docker.io/library/app:1`: digest `{short}` removed, the tag floats now")
    );
}

#[test]
fn a_tag_that_was_pushed_again_under_a_pinned_digest_is_told() {
    let (old, new) = (index("old"), index("new"));
    let pair = Pair::new(&[]);
    pair.source.add("library/app", "1.2.3", &old);
    pair.source.add("library/same", "1.0", &old);
    pair.source.add("library/gone", "1.0", &old);
    for (name, tag) in [("app", "1.2.3"), ("same", "1.0"), ("gone", "1.0")] {
        pair.project.entry(&format!("{name}:{tag}@{}", old.digest()));
    }
    pair.project.mirror(&["apply"]).run();
    pair.source.add("library/app", "1.2.3", &new);
    pair.source.lose("library/gone", old.digest());
    pair.source.take_requests();
    pair.project.mirror(&["apply"]).run();
    assert_eq!(pair.source.take_requests(), [], "apply spends no request on it");
    let ran = pair.project.mirror(&["outdated"]).run();
    let expected = format!(
        "docker.io/library/app:1.2.3 was pushed again
  the tree has {0}, upstream {1}; `mirror pin --only docker.io/library/app` writes the new digest
docker.io/library/gone:1.0 is gone upstream
  the tree has {0}
a bot can update all tags
1 tag pushed again, 1 gone, of 3 tags with a digest
",
        old.digest(),
        new.digest()
    );
    assert_eq!(ran.stdout, expected);
    let asked = pair.source.take_requests();
    assert_eq!(asked.len(), 5, "one HEAD each, and another one for what was pushed again");
    let gets: Vec<_> = asked.iter().filter(|request| request.method != "HEAD").collect();
    assert!(gets.len() == 1 && gets[0].path.contains("/gone/"), "what is gone is looked at twice");
    pair.project.mirror(&["outdated", "--exit-code"]).ends_with(3).run();
    let json = pair.project.mirror(&["outdated", "--format", "json"]).run().stdout;
    let found: mirror_plan::report::Outdated = serde_json::from_str(&json).unwrap();
    assert_eq!((found.moved.len(), found.pinned), (2, 3));
    let report = Report { format_version: 1, ..Report::default() };
    let earlier = mirror_render::ci::Earlier { text: None, today: "2 Jan 2026" };
    let text = mirror_render::ci::issue_markdown(&report, Some(&found), &[], &earlier).unwrap();
    assert!(text.contains("| gone | 2 Jan 2026 |\n"), "{text}");
    // Whoever can't be asked is a failure.
    pair.source.set_faults(|_| Some(Fault::refuse(403, "DENIED", "not for you")));
    let ran = pair.project.mirror(&["outdated"]).ends_with(1).run();
    crate::reads(
        &ran.stdout,
        expect![[r#"
            error: could not look up the tags of docker.io/library/app in docker.io/library/app/Dockerfile
              caused by: source: looking up library/app:1.2.3: GET http://127.0.0.1:PORT/v2/library/app/manifests/1.2.3: 403 DENIED: not for you
              help: the credentials lack permission for this; request it
            error: could not look up the tags of docker.io/library/gone in docker.io/library/gone/Dockerfile
              caused by: source: looking up library/gone:1.0: GET http://127.0.0.1:PORT/v2/library/gone/manifests/1.0: 403 DENIED: not for you
              help: the credentials lack permission for this; request it
            error: could not look up the tags of docker.io/library/same in docker.io/library/same/Dockerfile
              caused by: source: looking up library/same:1.0: GET http://127.0.0.1:PORT/v2/library/same/manifests/1.0: 403 DENIED: not for you
              help: the credentials lack permission for this; request it
            a bot can update all tags
            0 tags pushed again, of 3 tags with a digest
        "#]],
    );
}

#[test]
fn the_digest_of_one_platform_beside_a_tag_is_not_pushed_again() {
    let (image, other) = (index("one"), index("two"));
    let pair = Pair::new(&[]);
    pair.source.add("library/app", "1", &image);
    let platform = image.manifests.iter().find(|one| one.digest != *image.digest()).unwrap();
    pair.project.entry(&format!("app:1@{}", platform.digest));
    let ran = pair.project.mirror(&["outdated"]).run();
    crate::reads(
        &ran.stdout,
        expect![[r#"
        a bot can update all tags
        0 tags pushed again, of 1 tag with a digest
    "#]],
    );
    let asked = pair.source.take_requests();
    assert_eq!(asked.iter().filter(|request| request.method == "GET").count(), 1, "{asked:?}");
    // The tag has another index by now, which does not name it.
    pair.source.add("library/app", "1", &other);
    let ran = pair.project.mirror(&["outdated"]).run();
    crate::reads(
        &ran.stdout,
        expect![[r#"
        docker.io/library/app:1 was pushed again
          the tree has sha256:e4085385c7d627887eb89ebaad53fd34f0d38de5adbf1a1b6d0766cc47e8a9dc, upstream sha256:d474faf0db947c5d3cfe7a879b61f76838181b1f7be752a2dfd9012b074fec1d; `mirror pin --only docker.io/library/app` writes the new digest
        a bot can update all tags
        1 tag pushed again, of 1 tag with a digest
    "#]],
    );
}

#[test]
fn a_configuration_beside_the_tree_and_none_at_all_are_told() {
    let image = index("x");
    let pair = Pair::new(&[("library/app", "1", &image)]);
    let config = std::fs::read_to_string(pair.project.path().join("images/mirror.toml")).unwrap();
    let endpoint = format!("[registry.\"docker.io\"]\nendpoint = \"{}\"\n", pair.source.endpoint());
    pair.project.write("images/mirror.toml", &endpoint);
    pair.project.write("mirror.toml", &config);
    let checked = pair.project.mirror(&["check"]).run();
    crate::reads(
        &checked.stdout,
        expect![[r#"
        warning[config]: this file is not read: the configuration is in the folder of the tree
        --> mirror.toml
         = help: move it to images/mirror.toml

        1 image is good, 0 errors, 1 warning
    "#]],
    );
    for command in ["plan", "apply"] {
        let ran = pair.project.mirror(&[command]).run();
        let told = "no destination is configured in images/mirror.toml: images go to the image layout ./mirror-store\n";
        assert!(ran.stderr.contains(told), "{}", ran.stderr);
    }
}

#[test]
fn what_weakens_the_tree_is_said_also_where_nothing_is_copied_and_files_move() {
    let made = |name: &str, year: &str, platforms: &[&str]| {
        let built = ImageBuilder::new(name).created(&format!("{year}-02-03T04:05:06Z"));
        built.platforms(platforms).build()
    };
    let old = made("a", "2024", &["linux/amd64"]);
    let new = made("b", "2025", &["linux/amd64", "linux/arm64"]);
    let pair = Pair::new(&[]);
    pair.source.add("library/app", "1.0", &old);
    pair.source.add("library/app", "1.1", &new);
    let file = "images/docker.io/library/app/Dockerfile";
    for (tag, image) in [("1.0", &old), ("1.1", &new)] {
        pair.project.write(file, &pinned(tag, image));
        pair.project.mirror(&["apply"]).run();
    }
    commit(&pair.project, "as it is");
    let plan = || pair.project.mirror(&["plan", "--changed-since", "HEAD"]).run().stdout;
    // Back to a version that the destination still has.
    pair.project.write(file, &pinned("1.0", &old));
    let text = plan();
    assert!(text.contains(": linux/arm64 is gone\n"), "{text}");
    assert!(text.contains(": an older image than the one it replaces"), "{text}");
    assert!(text.contains("plan: 0 to create, 0 to update, 1 unchanged"), "{text}");
    // A digest that goes while its file is renamed.
    std::fs::remove_file(pair.project.path().join(file)).unwrap();
    pair.project.write("images/docker.io/library/app/v1/Dockerfile", "FROM app:1.1\n");
    let text = plan();
    assert!(text.starts_with("alert: docker.io/library/app:1.1: digest "), "{text}");
    assert!(text.contains(" removed, the tag floats now\n"), "{text}");
}
