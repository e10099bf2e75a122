//! Pull requests and issues, at a GitHub in process.

use expect_test::expect;
use mirror_plan::plan::Plan;
use mirror_testkit::{FakeGitHub, GITHUB_REPOSITORY, GITHUB_TOKEN, ImageBuilder, Mirror};

use crate::opened::Opened;
use crate::{Pair, Project};

const HEAD: &str = "0123456789abcdef0123456789abcdef01234567";

/// A call with what a workflow has in its environment.
fn with(github: &FakeGitHub, mirror: Mirror) -> Mirror {
    mirror
        .env("GITHUB_TOKEN", GITHUB_TOKEN)
        .env("GITHUB_REPOSITORY", GITHUB_REPOSITORY)
        .env("GITHUB_API_URL", &github.api())
}

#[test]
fn a_plan_becomes_a_comment_and_a_status() {
    let image = ImageBuilder::new("app").layers(&[100]).build();
    let pair = Pair::new(&[("library/app", "1.0", &image)]);
    pair.project.mirror(&["plan", "--out", "mirror.plan"]).run();
    let github = FakeGitHub::start();
    github.open_pull_request(8, HEAD);
    let comment = |head: &str| {
        let arguments =
            ["comment", "mirror.plan", "--head", head, "--url", "https://ci.example.com/1"];
        with(&github, pair.project.mirror(&arguments))
    };
    let ran = comment(HEAD).run();
    assert_eq!(ran.stderr, "comment on #8 written\nstatus written\n");
    let page = pair.project.mirror(&["plan", "--format", "markdown"]).run().stdout;
    let comments = github.comments();
    assert!(comments[0].1.ends_with(&format!(" -->\n{page}")), "{comments:?}");
    let status = github.statuses().remove(0);
    assert_eq!(status["state"], "success");
    assert_eq!(status["context"], "mirror/plan");
    assert_eq!(status["description"], "1 to create");
    assert_eq!(status["target_url"], "https://ci.example.com/1");
    github.take_calls();
    let ran = comment(HEAD).run();
    assert_eq!(ran.stderr, "comment on #8 unchanged\nstatus unchanged\n");
    assert!(github.take_calls().iter().all(|call| call.starts_with("GET ")));
    // The head has moved on.
    let ran = comment(&HEAD.replace('0', "1")).run();
    crate::reads(
        &ran.stderr,
        expect![[r#"
        no open pull request has this head (any more): nothing to comment
    "#]],
    );
    // A commit without a plan doesn't keep that of the one before.
    let arguments = ["comment", "--head", HEAD];
    with(&github, pair.project.mirror(&arguments)).run();
    assert!(github.comments()[0].1.contains("### mirror: no plan for this commit"));
    assert_eq!(github.statuses()[0]["description"], "no plan");
    // What can't be found out, is an error, and a conflict a failure.
    pair.project.entry("library/gone:1");
    pair.project.mirror(&["plan", "--out", "mirror.plan"]).ends_with(1).run();
    comment(HEAD).run();
    assert_eq!(github.statuses()[0]["state"], "error");
    assert_eq!(github.comments().len(), 1);
}

#[test]
fn a_plan_from_anybody() {
    let image = ImageBuilder::new("app").build();
    let pair = Pair::new(&[("library/app", "1.0", &image)]);
    pair.project.mirror(&["plan", "--out", "mirror.plan"]).run();
    let good = Opened::read(&pair.project.path().join("mirror.plan"));
    let hostile = pair.project.path().join("hostile.plan");
    let github = FakeGitHub::start();
    github.open_pull_request(8, HEAD);
    let text = good.text();
    let refused = [
        text.replace("\"create\":1", "\"create\":0"),
        text.replace("docker.io/library/app:1.0", "docker.io/library/other:1.0"),
        text.replace("\"format_version\":2", "\"format_version\":9"),
        text.replace("docker.io/library/app\"", "../x y\""),
        text.split_at(text.len() / 2).0.to_owned(),
        "[".repeat(100_000),
        "{}".to_owned(),
        String::new(),
    ];
    for plan in refused {
        assert_ne!(plan, text);
        crate::opened::pack(&hostile, plan.as_bytes());
        let arguments = ["comment", "hostile.plan", "--head", HEAD];
        let ran = with(&github, pair.project.mirror(&arguments)).ends_with(2).run();
        assert!(ran.stderr.contains("the plan hostile.plan can't be shown"), "{}", ran.stderr);
    }
    assert_eq!(github.take_calls(), Vec::<String>::new(), "nothing was asked before");
    // Whoever makes a whole new one says what he likes, but says it as text.
    let mut opened = good;
    let mut plan: Plan = serde_json::from_str(opened.plan()).unwrap();
    if let Some(mirror_plan::plan::Action::Copy(copy)) = plan.actions.first_mut() {
        copy.want.file = "[x](https://evil.example) @everyone <img src=x>|`a`".to_owned();
        copy.want.target.destination = "# <script>alert(1)</script> @team".to_owned();
    }
    opened.change_plan(|line| *line = serde_json::to_value(plan).unwrap());
    opened.sealed().write(&hostile);
    with(&github, pair.project.mirror(&["comment", "hostile.plan", "--head", HEAD])).run();
    let text = &github.comments()[0].1;
    // Outside of code spans, where nothing has a meaning.
    let plain: Vec<&str> = text.split('`').step_by(2).collect();
    let plain = plain.join(" ");
    assert!(text.contains("#### `# <script>alert(1)</script> @team`"), "{text}");
    for meaning in ["<img", "<script", "](https://evil", "@team", "@everyone"] {
        assert!(!plain.contains(meaning), "{meaning}: {text}");
    }
    // And the tree does not ask for it.
    pair.project.mirror(&["apply", "hostile.plan"]).ends_with(5).run();
}

#[test]
fn what_is_missing_is_said() {
    let project = Project::new();
    let image = ImageBuilder::new("app").build();
    let pair = Pair::new(&[("library/app", "1.0", &image)]);
    pair.project.mirror(&["plan", "--out", "mirror.plan"]).run();
    let plan = std::fs::read(pair.project.path().join("mirror.plan")).unwrap();
    std::fs::write(project.path().join("mirror.plan"), plan).unwrap();
    let run = |variables: &[(&str, &str)], code: i32| {
        let mut mirror = project.mirror(&["comment", "mirror.plan", "--head", HEAD]);
        for (name, value) in variables {
            mirror = mirror.env(name, value);
        }
        mirror.ends_with(code).run().stderr
    };
    let github = FakeGitHub::start();
    let api = github.api();
    assert!(run(&[], 2).contains("no repository is named"));
    let repository = ("GITHUB_REPOSITORY", GITHUB_REPOSITORY);
    assert!(run(&[repository], 2).contains("there is no token"));
    assert!(run(&[("GITHUB_REPOSITORY", "../x"), ("GITHUB_TOKEN", "t")], 2).contains("OWNER/NAME"));
    let wrong = run(&[repository, ("GITHUB_TOKEN", "t"), ("GITHUB_API_URL", &api)], 1);
    assert!(wrong.contains("could not find the pull request"), "{wrong}");
    assert!(wrong.contains("help: the token is wrong or has expired"), "{wrong}");
    let app = [("MIRROR_GITHUB_APP_ID", "1"), ("MIRROR_GITHUB_APP_KEY", "no key")];
    let wrong = run(&[repository, app[0], app[1], ("GITHUB_API_URL", &api)], 2);
    assert!(wrong.contains("the private key of the App can't be used"), "{wrong}");
    let ran = project.mirror(&["comment", "mirror.plan", "--head", "main"]).ends_with(2).run();
    crate::reads(
        &ran.stderr,
        expect![[r#"
        error: invalid value 'main' for '--head <COMMIT>': a commit is named by all of its 40 digits

        For more information, try '--help'.
    "#]],
    );
}

#[test]
fn one_issue_as_long_as_something_is_wrong() {
    let image = ImageBuilder::new("app").build();
    let pair = Pair::new(&[("library/app", "1", &image), ("team/app", "RELEASE.1.0", &image)]);
    pair.project.entry("library/gone:1");
    pair.source.add("team/app", "RELEASE.1.1", &image);
    let github = FakeGitHub::start();
    let issue = |arguments: &[&str]| {
        let arguments = [&["issue"], arguments].concat();
        with(&github, pair.project.mirror(&arguments)).run().stderr
    };
    pair.project.mirror(&["apply", "--report", "report.json"]).ends_with(1).run();
    let outdated = pair.project.mirror(&["outdated", "--format", "json"]).run().stdout;
    pair.project.write("outdated.json", &outdated);
    let both = ["report.json", "--outdated", "outdated.json"];
    assert_eq!(issue(&both), "issue written\n");
    let found = github.issues().remove(0);
    let text = found["body"].as_str().unwrap();
    assert!(
        text.contains(
            "### Not mirrored as wanted\n\n- ❌ `docker.io/library/gone:1` at `prod`: source"
        ),
        "{text}"
    );
    assert!(text.contains("| `docker.io/team/app` | `RELEASE.1.0` | `RELEASE.1.1` |"), "{text}");
    // Another run that takes another time fails in the same way.
    pair.project.mirror(&["apply", "--report", "report.json"]).ends_with(1).run();
    assert_eq!(issue(&both), "issue unchanged\n");
    std::fs::remove_dir_all(pair.project.path().join("images/docker.io/library/gone")).unwrap();
    pair.project.mirror(&["apply", "--report", "report.json"]).run();
    assert_eq!(issue(&both), "issue changed\n");
    assert_eq!(issue(&["report.json", "--problem", "the job plan failed"]), "issue changed\n");
    assert_eq!(issue(&["report.json"]), "issue closed\n");
    assert_eq!(issue(&["report.json"]), "issue not needed\n");
    pair.project.mirror(&["issue", "outdated.json"]).ends_with(2).run();
    pair.project.mirror(&["issue", "--outdated", "report.json"]).ends_with(2).run();
}

/// One pull request for each group, from the commit that is checked out.
#[test]
fn updates_become_pull_requests() {
    let (old, new) = (ImageBuilder::new("old").build(), ImageBuilder::new("new").build());
    let pair = Pair::new(&[
        ("library/postgres", "16.3-alpine3.20", &old),
        ("minio/minio", "RELEASE.2022-03-26T06-49-28Z", &old),
        ("library/same", "1.0", &old),
    ]);
    let project = &pair.project;
    pair.source.add("library/postgres", "16.9-alpine3.22", &new);
    pair.source.add("minio/minio", "RELEASE.2023-01-02T09-40-09Z", &new);
    project.mirror(&["bots", "dependabot"]).run();
    project.mirror(&["pin"]).run();
    pair.source.add("library/same", "1.0", &new);
    let config = std::fs::read_to_string(project.path().join("images/mirror.toml")).unwrap();
    let github = FakeGitHub::start();
    let push = || {
        let git = |arguments: &[&str]| crate::scope::git(project.path(), arguments);
        git(&["init", "--quiet"]);
        git(&["add", "--all"]);
        git(&["commit", "--quiet", "--allow-empty", "--message", "next"]);
        let head = git(&["rev-parse", "HEAD"]);
        let files: Vec<(String, String)> = ["library/postgres", "minio/minio", "library/same"]
            .map(|name| format!("images/docker.io/{name}/Dockerfile"))
            .map(|file| (file.clone(), std::fs::read_to_string(project.path().join(file)).unwrap()))
            .into();
        let files: Vec<(&str, &str)> =
            files.iter().map(|(file, text)| (file.as_str(), text.as_str())).collect();
        github.push_as(head.trim(), "main", &files);
    };
    push();
    let propose = || with(&github, project.mirror(&["update", "--propose"]));
    let ran = propose().run();
    let written = ran.stdout.clone();
    crate::reads(
        &ran.stderr,
        expect![[r#"
        2 warnings about the tree: `mirror check` shows them
        pull request mirror/update-all written
    "#]],
    );
    let pull = github.pull_requests().remove(0);
    crate::reads(pull["title"].as_str().unwrap(), expect!["Update 3 images"]);
    let body = pull["body"].as_str().unwrap().split_once(" -->\n").unwrap().1;
    let body = body.split_once("\n\n<!-- ").unwrap().0;
    crate::reads(
        body,
        expect![[r#"
        Newer tags that no bot proposes, and tags that were pushed again, as `mirror update` finds them. This pull request is kept up to date until somebody else pushes to its branch. Close it to pass over these updates.

        | image | tag | new tag | new digest | file |
        |---|---|---|---|---|
        | `docker.io/library/postgres` | `16.3-alpine3.20` | `16.9-alpine3.22` | `1f9ef99c1c7e` | `images/docker.io/library/postgres/Dockerfile` |
        | `docker.io/library/same` | `1.0` | the same | `1f9ef99c1c7e` | `images/docker.io/library/same/Dockerfile` |
        | `docker.io/minio/minio` | `RELEASE.2022-03-26T06-49-28Z` | `RELEASE.2023-01-02T09-40-09Z` | `1f9ef99c1c7e` | `images/docker.io/minio/minio/Dockerfile` |
    "#]],
    );
    // The branch is what `mirror update` and `mirror pin` make of the tree.
    let branch = github.branch("mirror/update-all").unwrap();
    for line in written.lines() {
        let (file, text) = line.split_once(": ").unwrap();
        assert_eq!(branch[file], format!("{text}\n"));
    }
    assert_eq!(written.lines().count(), 3);
    assert_eq!(propose().run().stderr, ran.stderr.replace("written", "unchanged"));
    // Other groups take the place of the first; one is all that may be open.
    let groups = "\n[bots]\ngroups = \"image\"\nlimit = 1\nlabels = [\"images\"]\n";
    project.write("images/mirror.toml", &format!("{config}{groups}"));
    let ran = propose().ends_with(2).run();
    crate::reads(
        &ran.stderr,
        expect![[r#"
        2 warnings about the tree: `mirror check` shows them
        error: could not propose updates
          caused by: `images/mirror.toml` differs from the commit
          help: commit and push the changes first, or discard them
    "#]],
    );
    push();
    let ran = propose().run();
    crate::reads(
        &ran.stderr,
        expect![[r#"
            2 warnings about the tree: `mirror check` shows them
            pull request mirror/update-docker-io-library-postgres written
            pull request mirror/update-all closed
            2 more to propose: `limit` in [bots] lets 1 be open at once
        "#]],
    );
    assert_eq!(github.pull_requests()[0]["state"], "closed");
    let second = github.pull_requests().remove(1);
    assert_eq!(second["labels"], serde_json::json!(["images"]));
    crate::reads(
        second["title"].as_str().unwrap(),
        expect!["Update docker.io/library/postgres to 16.9-alpine3.22"],
    );
    // What can't be looked up is not taken back.
    pair.source.set_faults(|request| {
        request.path.contains("tags/list").then_some(mirror_testkit::Fault::Answer(
            403,
            "text/plain",
            String::new(),
        ))
    });
    let ran = propose().ends_with(1).run();
    crate::reads(
        &ran.stderr,
        expect![[r#"
            2 warnings about the tree: `mirror check` shows them
            error: could not look up the tags of docker.io/library/postgres
              caused by: GET http://127.0.0.1:PORT/v2/library/postgres/tags/list?n=1000: 403
              help: the credentials lack permission for this; request it
            error: could not look up the tags of docker.io/minio/minio
              caused by: GET http://127.0.0.1:PORT/v2/minio/minio/tags/list?n=1000: 403
              help: the credentials lack permission for this; request it
            pull request mirror/update-docker-io-library-postgres left as it is: tags could not be looked up
            1 more to propose: `limit` in [bots] lets 1 be open at once
        "#]],
    );
    pair.source.set_faults(|_| None);
    // Merged: nothing is left of it.
    project.mirror(&["update"]).run();
    project.mirror(&["pin"]).run();
    push();
    let ran = propose().run();
    crate::reads(
        &ran.stderr,
        expect![[r#"
            2 warnings about the tree: `mirror check` shows them
            pull request mirror/update-docker-io-library-postgres closed
        "#]],
    );
    let ran = with(&github, project.mirror(&["update", "--propose", "--only", "postgres"]));
    ran.ends_with(2).run();
}
