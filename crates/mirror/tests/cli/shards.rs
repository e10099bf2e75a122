//! Parts of a plan on machines that work side by side, and their reports put together.

use expect_test::expect;
use mirror_plan::plan::Shard;
use mirror_plan::report::Report;
use mirror_testkit::{Image, ImageBuilder};

use crate::{Pair, Project, steady};

#[test]
fn all_parts_together_do_everything_once() {
    let images: Vec<Image> = (0..12).map(|n| ImageBuilder::new(format!("s{n}")).build()).collect();
    let names: Vec<String> = (0..12).map(|n| format!("library/app{n}")).collect();
    let wanted: Vec<_> =
        names.iter().zip(&images).map(|(name, image)| (name.as_str(), "1", image)).collect();
    let pair = Pair::new(&wanted);
    let matrix = pair.project.mirror(&["plan", "--matrix", "3"]).run().stdout;
    assert_eq!(matrix, "{\"shard\":[\"1/3\",\"2/3\",\"3/3\"]}\n");
    pair.project.mirror(&["plan", "--out", "mirror.plan"]).run();
    let mut copied = 0;
    for number in 1..=3 {
        let (shard, file) = (format!("{number}/3"), format!("report-{number}.json"));
        let arguments = ["apply", "mirror.plan", "--shard", &shard, "--report", &file];
        pair.project.mirror(&arguments).run();
        let text = std::fs::read_to_string(pair.project.path().join(&file)).unwrap();
        let report: Report = serde_json::from_str(&text).unwrap();
        let mine = |outcome: &mirror_plan::report::Outcome| {
            let target = &outcome.want.target;
            Shard::of(&target.destination, &target.repository, 3).number == number
        };
        assert!(report.outcomes.iter().all(mine));
        copied += report.totals.copied;
    }
    assert_eq!(copied, 12);
    let all = ["report", "report-1.json", "report-2.json", "report-3.json"];
    let merged = pair.project.mirror(&all).run().stdout;
    assert!(steady(&merged).starts_with("applied: 12 copied, 0 unchanged; "), "{merged}");
    let arguments = [&all[..], &["--format", "markdown"]].concat();
    let page = pair.project.mirror(&arguments).run().stdout;
    assert!(page.starts_with("### mirror: 12 copied, 0 unchanged\n"), "{page}");
    assert_eq!(pair.project.mirror(&["plan", "--matrix", "3"]).run().stdout, "{\"shard\":[]}\n");
    for number in 1..=3 {
        let ran = pair.project.mirror(&["apply", "--shard", &format!("{number}/3")]).run();
        assert!(ran.stdout.contains("0 copied"), "{}", ran.stdout);
    }
}

#[test]
fn what_failed_in_one_part_is_in_the_whole() {
    let image = ImageBuilder::new("part").build();
    let pair = Pair::new(&[("library/app", "1", &image)]);
    pair.project.entry("gone:1");
    let ran = pair.project.mirror(&["apply", "--report", "a.json"]).ends_with(1).run();
    let merged = pair.project.mirror(&["report", "a.json"]).ends_with(1).run();
    assert_eq!(merged.stdout, ran.stdout);
}

#[test]
fn what_can_only_be_told_is_told_by_one_part() {
    let pair = Pair::new(&[]);
    pair.project.entry("gone:1");
    let arguments = ["plan", "--matrix", "5", "--out", "mirror.plan"];
    let matrix = pair.project.mirror(&arguments).ends_with(1).run().stdout;
    let matrix: serde_json::Value = serde_json::from_str(&matrix).unwrap();
    let shards = matrix["shard"].as_array().unwrap();
    assert_eq!(shards.len(), 1);
    let shard = shards[0].as_str().unwrap().to_owned();
    // Only that part fails, and says so once.
    for number in 1..=5 {
        let part = format!("{number}/5");
        let code = i32::from(part == shard);
        let file = format!("report-{number}.json");
        let arguments = ["apply", "mirror.plan", "--shard", &part, "--report", &file];
        pair.project.mirror(&arguments).ends_with(code).run();
    }
    let all = [
        "report",
        "report-1.json",
        "report-2.json",
        "report-3.json",
        "report-4.json",
        "report-5.json",
    ];
    let merged = pair.project.mirror(&all).ends_with(1).run();
    crate::reads(
        &merged.stdout,
        expect![[r#"
            error: could not look up docker.io/library/gone:1 for prod
              caused by: source: looking up library/gone:1: docker.io has no such image (404)
              help: check the name and the tag, and that they still exist there; a private image may need a login
            applied: 0 copied, 0 unchanged, 1 failed; what had moved by then; N.N s
        "#]],
    );
    let twice =
        pair.project.mirror(&["report", "report-1.json", "report-1.json"]).ends_with(2).run();
    crate::reads(
        &twice.stderr,
        expect![[r#"
        error: could not put the reports together
          caused by: two are of part 1/5
          help: put together the reports of one run, each of them once
    "#]],
    );
    // Whoever watches is told, too.
    let summary = pair.project.path().join("summary.md");
    let ran = pair
        .project
        .mirror(&["plan", "--matrix", "5"])
        .env("GITHUB_ACTIONS", "true")
        .env("GITHUB_STEP_SUMMARY", &summary.display().to_string())
        .ends_with(1)
        .run();
    crate::reads(
        &ran.stderr,
        expect![[r#"
            error: could not look up docker.io/library/gone:1 for prod
              caused by: source: looking up library/gone:1: docker.io has no such image (404)
              help: check the name and the tag, and that they still exist there; a private image may need a login
            plan: 0 to create, 0 to update, 0 unchanged, 1 not looked up
            ::error file=images/docker.io/library/gone/Dockerfile,title=failed::docker.io/library/gone:1 at prod: source: looking up library/gone:1: docker.io has no such image (404)%0Ahelp: check the name and the tag, and that they still exist there; a private image may need a login
        "#]],
    );
    assert!(std::fs::read_to_string(&summary).unwrap().contains("1 not looked up"));
    // Two versions under one name.
    pair.project.write(
        "images/docker.io/library/gone/a/Dockerfile",
        &format!("FROM gone:1@sha256:{:064}\n", 0),
    );
    let matrix = pair.project.mirror(&["plan", "--matrix", "5"]).ends_with(4).run().stdout;
    assert_eq!(matrix, "{\"shard\":[\"1/5\"]}\n");
}

#[test]
fn what_is_no_part_and_no_report() {
    let project = Project::new();
    for shard in ["0/3", "4/3", "1/257", "x"] {
        let ran = project.mirror(&["apply", "--shard", shard]).ends_with(2).run();
        assert!(ran.stderr.contains("NUMBER/OF"), "{}", ran.stderr);
    }
    project.mirror(&["plan", "--matrix", "257"]).ends_with(2).run();
    project.write("a.json", "{}");
    for file in ["a.json", "missing.json"] {
        let ran = project.mirror(&["report", file]).ends_with(2).run();
        assert!(ran.stderr.contains("could not read the report"), "{}", ran.stderr);
    }
}
