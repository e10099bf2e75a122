use mirror_oci::{Algorithm, Digest};
use mirror_tree::Entry;

use super::*;
use crate::observed::{Image, Observed, Side};
use crate::{Config, expand};

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
    let mut observed = Observed::default();
    for (number, want) in wants.wants.iter().enumerate() {
        let digest = digest(&want.file);
        observed.sources.insert(want.source.clone(), Ok(digest.clone()));
        let found = match number {
            1 => Some(self::digest("older")),
            2 => Some(digest.clone()),
            _ => None,
        };
        observed.targets.insert(want.target.clone(), Ok(found));
        let blobs = [(digest, 3 << 20)].into_iter().collect();
        let platforms = vec!["linux/amd64".parse().unwrap(), "linux/arm64".parse().unwrap()];
        observed
            .images
            .insert(want.source.clone(), Ok(Image { platforms, manifests: Vec::new(), blobs }));
    }
    Plan::new(&wants, &observed)
}

#[test]
fn a_pull_request_is_told_what_changes_first() {
    let page = plan_markdown(&plan(3), COMMENT_BUDGET);
    assert_eq!(
        page,
        "### mirror: 1 to create, 1 to update\n\n\n#### prod\n\n\
        | image | change | platforms | size | from |\n|---|---|---|---|---|\n\
        | `docker.io/team/app0:1.0` | new → `sha256:fe9fd4317562` | linux/amd64, linux/arm64 | 3.0 MiB | `docker.io/team/app0:1.0` |\n\
        | `docker.io/team/app1:1.1` | `sha256:da925a30e31f` → `sha256:3abb8ed00e0e` | linux/amd64, linux/arm64 | 3.0 MiB | `docker.io/team/app1:1.1` |\n\
        \n<details><summary>1 image unchanged</summary>\n\n- `docker.io/team/app2:1.2` at prod (`sha256:4798c9e08f3d`)\n\n</details>\n"
    );
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
    let hostile = "x`|<img src=y onerror=z> @everyone #1 [a](https://evil.example) **b** www.evil.example\n# c";
    let escaped = text(hostile);
    for meaning in ["<img", "@everyone", "](", "https://", "**", "www.", "\n", " #"] {
        assert!(!escaped.contains(meaning), "{meaning}: {escaped}");
    }
    assert_eq!(code("a`b|c\nd"), "`a'b¦c d`");
    let mut plan = plan(1);
    let failure = Failure {
        side: Side::Source,
        message: hostile.to_owned(),
        deferred: false,
        help: Some(hostile.to_owned()),
    };
    let subject = plan.copies().next().unwrap().subject.clone();
    plan.failures.push(crate::LookupFailure { subject, failure });
    let page = plan_markdown(&plan, COMMENT_BUDGET);
    assert!(!page.contains("<img") && !page.contains("@everyone"), "{page}");
}
