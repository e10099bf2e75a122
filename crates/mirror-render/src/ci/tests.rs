use mirror_oci::{Algorithm, Digest};
use mirror_plan::config::Config;
use mirror_plan::plan::{Answers, Draft, Image, Observed};
use mirror_plan::want::expand;
use mirror_tree::Entry;

use super::*;

fn digest(text: &str) -> Digest {
    Digest::of(Algorithm::Sha256, text.as_bytes())
}

/// A plan that copies so many images, the second of them over an older one.
fn plan(images: usize) -> Plan {
    let entries: Vec<Entry> = (0..images)
        .map(|number| {
            let parsed: mirror_oci::Reference =
                format!("team/app{number}:1.{number}").parse().unwrap();
            Entry {
                file: format!("{number:05}/Dockerfile"),
                version: parsed.version().unwrap(),
                name: parsed.name,
                platform: None,
                span: 0..0,
                source: "".into(),
            }
        })
        .collect();
    let config = Config::parse("[[destination]]\nname='prod'\nregistry='r.io'").unwrap();
    let wants = expand(&entries, &config);
    let (mut observed, mut answers) = (Observed::default(), Answers::default());
    for (number, want) in wants.wants.iter().enumerate() {
        let digest = digest(&want.file);
        observed.sources.insert(want.source.clone(), Ok(digest.clone()));
        let found = match number {
            1 => Some(self::digest("older")),
            2 => Some(digest.clone()),
            _ => None,
        };
        observed.targets.insert(want.target.clone(), Ok(mirror_plan::plan::Presence::of(found)));
        let blobs = [(digest, 3 << 20)].into_iter().collect();
        let platforms = vec!["linux/amd64".parse().unwrap(), "linux/arm64".parse().unwrap()];
        answers
            .images
            .insert(want.source.clone(), Ok(Image { platforms, blobs, ..Image::default() }));
    }
    Draft::new(&wants, observed).settle(&answers)
}

#[test]
fn a_pull_request_is_told_what_changes_first() {
    let page = plan_markdown(&plan(3), COMMENT_BUDGET);
    assert_eq!(
        page,
        "### mirror: 1 to create, 1 to update\n\nAt most 6.0 MiB to move; 0 pulls from `docker.io`.\n\n\n#### `prod`\n\n\
        | image | tag | digest | platforms | size | pulls | upstream |\n|---|---|---|---|--:|--:|---|\n\
        | `docker.io/team/app0` | `1.0` | new → `fe9fd4317562` | linux/amd64, linux/arm64 | 3.0&nbsp;MiB | 0 | [page](https://hub.docker.com/r/team/app0) |\n\
        | `docker.io/team/app1` | `1.1` | `da925a30e31f` → `3abb8ed00e0e` | linux/amd64, linux/arm64 | 3.0&nbsp;MiB | 0 | [page](https://hub.docker.com/r/team/app1) |\n\
        \n<details><summary>Full digests and files</summary>\n\n\
        - `00000/Dockerfile`: `docker.io/team/app0:1.0@sha256:fe9fd4317562d78a3e3d0f0072d645cc3d9e16406742f2edd59a2a868a8895f1`\n\
        - `00001/Dockerfile`: `docker.io/team/app1:1.1@sha256:3abb8ed00e0e91e302360516825e4399ff49f4722473703a2d0bafed0159aeca`\n\n</details>\n\
        \n<details><summary>1 image unchanged</summary>\n\n- `docker.io/team/app2:1.2` at `prod` (`4798c9e08f3d`)\n\n</details>\n"
    );
}

#[test]
fn what_was_before_is_told() {
    let mut plan = plan(1);
    let old = digest("old");
    if let Some(mirror_plan::plan::Action::Copy(copy)) = plan.actions.first_mut() {
        copy.previous = Some(format!("docker.io/team/app0:0.9@{old}"));
        copy.upstream = Some("https://github.com/team/app".to_owned());
        copy.want.target.repository = "mirror/app0".parse().unwrap();
    }
    plan.unwanted.push(mirror_plan::want::Unwanted {
        file: "gone/Dockerfile".to_owned(),
        source: "docker.io/team/gone:1".to_owned(),
        destination: "prod".to_owned(),
        repository: "docker.io/team/gone".parse().unwrap(),
        tag: Some("1".parse().unwrap()),
    });
    let page = plan_markdown(&plan, COMMENT_BUDGET);
    let row = format!(
        "| `mirror/app0` | `0.9` → `1.0` | `{}` → `fe9fd4317562` | linux/amd64, linux/arm64 | 3.0&nbsp;MiB | 0 | \
         `docker.io/team/app0:1.0` [source](https://github.com/team/app) |\n\n\
         - no longer wanted: `docker.io/team/gone:1`; it stays there\n",
        old.short().trim_start_matches("sha256:")
    );
    assert!(page.contains(&row), "{page}");
    if let Some(mirror_plan::plan::Action::Copy(copy)) = plan.actions.first_mut() {
        copy.upstream = Some("https://evil.example/x".to_owned());
    }
    assert!(!plan_markdown(&plan, COMMENT_BUDGET).contains("evil"));
}

#[test]
fn the_budget_is_kept_and_what_is_left_out_is_counted() {
    let plan = plan(3000);
    for budget in [1000, 5000, COMMENT_BUDGET] {
        let page = plan_markdown(&plan, budget);
        assert!(page.chars().count() <= budget, "{} of {budget}", page.chars().count());
        assert!(page.trim_end().ends_with("in the JSON form.*"), "{page}");
        let rows = page.lines().filter(|line| line.starts_with("| `")).count();
        let said: usize =
            page.rsplit_once("\n*").unwrap().1.split(' ').next().unwrap().parse().unwrap();
        assert!(rows + said >= 2999, "{rows} and {said}");
    }
}

#[test]
fn nothing_from_outside_is_markdown() {
    let hostile = "x`|<img src=y onerror=z> @everyone #1 GH-2 [a](https://evil.example) **b** :tada:\n# c\u{202e}";
    assert_eq!(
        code(hostile),
        "`x'¦<img src=y onerror=z> @everyone #1 GH-2 [a](https://evil.example) **b** :tada: # c\u{fffd}`"
    );
    assert_eq!((code("").as_str(), code(" `").as_str()), ("–", "`'`"));
    let mut plan = plan(1);
    // As a file says it that somebody has written.
    let failure = serde_json::json!({
        "side": "source", "kind": "other", "message": hostile.repeat(2000), "help": hostile,
    });
    let failure: Failure = serde_json::from_value(failure).unwrap();
    let want = plan.copies().next().unwrap().want.clone();
    plan.failures.push(mirror_plan::plan::LookupFailure { want, failure, serves: None });
    plan.pulls = (0..5000)
        .map(|number| mirror_plan::plan::Pulls {
            registry: format!("r{number}.example.com").parse().unwrap(),
            manifests: 1,
            left: None,
        })
        .collect();
    let page = plan_markdown(&plan, COMMENT_BUDGET);
    // Every second piece is outside of code spans.
    let plain: Vec<&str> = page.split('`').step_by(2).collect();
    let plain = plain.join(" ");
    for meaning in ["<img", "@everyone", "](https://evil", "**b", "#1", ":tada"] {
        assert!(!plain.contains(meaning), "{meaning}: {page}");
    }
    // One long text does not push out the rest.
    assert!(page.contains("| `docker.io/team/app0` |") && page.chars().count() < 5000, "{page}");
}
