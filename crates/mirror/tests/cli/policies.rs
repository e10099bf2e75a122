//! Registries whose policies decide what may be read: on vulnerabilities, on ages, on licences.

use expect_test::expect;
use mirror_testkit::{Fault, Image, ImageBuilder};

use crate::Pair;

const REPOSITORY: &str = "docker.io/library/app";

/// Reads of the old image are refused, by its tag and by its digest.
fn refuses(pair: &Pair, old: &Image, status: u16, code: &'static str, why: &'static str) {
    let (digest, repository) = (old.digest().to_string(), format!("/v2/{REPOSITORY}/"));
    let now = old.digest().clone();
    let registry = pair.destination.state_of(REPOSITORY, "1");
    pair.destination.set_faults(move |exchange| {
        let reads = matches!(exchange.method.as_str(), "GET" | "HEAD");
        let by_tag = exchange.path.ends_with("/manifests/1") && registry() == Some(now.clone());
        let concerns = by_tag || exchange.path.ends_with(&digest);
        (reads && concerns && exchange.path.starts_with(&repository))
            .then(|| Fault::refuse(status, code, why))
    });
}

#[test]
fn an_old_image_that_may_not_be_read_is_replaced() {
    for (status, code, why) in [
        (412, "PROJECTPOLICYVIOLATION", "current image with 6 vulnerabilities cannot be pulled"),
        (403, "DENIED", "the image is quarantined"),
        (451, "UNAVAILABLE", "its licence is not allowed"),
    ] {
        let (old, new) = (ImageBuilder::new("old").build(), ImageBuilder::new("new").build());
        let pair = Pair::new(&[("library/app", "1", &new)]);
        pair.destination.add(REPOSITORY, "1", &old);
        refuses(&pair, &old, status, code, why);
        let planned = pair.project.mirror(&["plan", "--out", "plan.json"]).run();
        let told = format!(
            "  ~ {REPOSITORY}:1  unreadable → {}  2.5 KiB\n    what is there can't be read: {status} {code}: {why}\n",
            new.digest().short()
        );
        assert!(planned.stdout.contains(&told), "{}", planned.stdout);
        let page = pair.project.mirror(&["plan", "--format", "markdown"]).run();
        let told = format!("unreadable (`{status} {code}: {why}`) → ");
        assert!(page.stdout.contains(&told), "{}", page.stdout);
        pair.project.mirror(&["apply", "plan.json"]).run();
        assert!(pair.destination.holds(REPOSITORY, &new), "{status}");
        pair.project.mirror(&["plan", "--exit-code"]).run();
        pair.project.mirror(&["apply"]).run();
    }
}

#[test]
fn what_a_source_refuses_is_denied_in_its_own_words() {
    let image = ImageBuilder::new("app").build();
    for pinned in [false, true] {
        let pair = Pair::new(&[("library/app", "1", &image)]);
        if pinned {
            let from = format!("FROM app:1@{}\n", image.digest());
            pair.project.write("images/docker.io/library/app/Dockerfile", &from);
        }
        pair.source.set_faults(|exchange| {
            let manifest = exchange.path.contains("/manifests/");
            let why =
                "blocked: app was published less than 7 days ago, which your pull policy forbids";
            manifest.then(|| Fault::refuse(403, "DENIED", why))
        });
        let ran = pair.project.mirror(&["plan"]).ends_with(1).run();
        let words = "403 DENIED: blocked: app was published less than 7 days ago, which your pull policy forbids\n  help: a policy of the source refuses this image: choose one that it allows, or ask whoever is in charge of the policy\n";
        assert!(ran.stdout.contains(words), "{}", ran.stdout);
        let ran = pair.project.mirror(&["plan", "--format", "json"]).ends_with(1).run();
        let json: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
        assert_eq!(json["failures"][0]["kind"], "denied");
        assert_eq!(json["failures"][0]["code"], "DENIED");
        pair.project.mirror(&["apply"]).ends_with(1).run();
    }
}

#[test]
fn a_refusal_to_strangers_is_still_one_to_strangers() {
    let pair = Pair::new(&[("library/app", "1", &ImageBuilder::new("app").build())]);
    pair.source.set_faults(|exchange| {
        let manifest = exchange.path.contains("/manifests/");
        manifest.then(|| Fault::refuse(403, "DENIED", "requested access to the resource is denied"))
    });
    let ran = pair.project.mirror(&["plan"]).ends_with(1).run();
    crate::reads(
        &ran.stdout,
        expect![[r#"
        error: could not look up docker.io/library/app:1 for prod
          caused by: source: looking up library/app:1: GET http://127.0.0.1:PORT/v2/library/app/manifests/1: 403 DENIED: requested access to the resource is denied
          help: the credentials lack permission for this; request it
        plan: 0 to create, 0 to update, 0 unchanged, 1 not looked up
    "#]],
    );
}
