//! Plans that are looked at now and carried out later.

use std::io::Write;

use expect_test::expect;
use mirror_plan::plan::Plan;
use mirror_plan::report::Report;
use mirror_testkit::{Image, ImageBuilder};
use serde_json::Value;

use crate::opened::Opened;
use crate::{Pair, looks_for_referrers};

/// Two images, of which the second replaces another, and a plan in `mirror.plan`.
fn planned() -> (Pair, Image, Image) {
    let one = ImageBuilder::new("one").platforms(&["linux/amd64", "linux/arm64"]).build();
    let two = ImageBuilder::new("two").build();
    let pair = Pair::new(&[("library/one", "1", &one), ("library/two", "1", &two)]);
    pair.destination.add("docker.io/library/two", "1", &ImageBuilder::new("older").build());
    pair.project.mirror(&["plan", "--out", "mirror.plan"]).run();
    (pair, one, two)
}

fn file(pair: &Pair) -> std::path::PathBuf {
    pair.project.path().join("mirror.plan")
}

fn saved(pair: &Pair) -> Opened {
    Opened::read(&file(pair))
}

#[test]
fn it_is_carried_out_without_reading_manifests_again() {
    let (pair, one, two) = planned();
    pair.source.take_requests();
    let ran = pair.project.mirror(&["apply", "mirror.plan", "--format", "json"]).run();
    let report: Report = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!((report.totals.copied, report.totals.stale), (2, 0));
    assert!(pair.destination.holds("docker.io/library/one", &one));
    assert!(pair.destination.holds("docker.io/library/two", &two));
    let requests = pair.source.take_requests();
    let manifests = requests
        .iter()
        .filter(|request| request.path.contains("/manifests/") && !looks_for_referrers(request));
    // For tags alone, whether the source has what the plan says they are; no pull.
    assert!(manifests.clone().all(|request| request.method == "HEAD"));
    assert_eq!(manifests.count(), 2);
    let again = pair.project.mirror(&["apply", "mirror.plan"]).run();
    crate::reads(
        &again.stdout,
        expect![[r#"
        applied: 0 copied, 2 unchanged; 0 B fetched, 0 B pushed; N.N s
    "#]],
    );
}

#[test]
fn it_does_what_it_says_though_the_source_has_moved() {
    let (pair, one, _) = planned();
    pair.source.add("library/one", "1", &ImageBuilder::new("newer").build());
    pair.project.mirror(&["apply", "mirror.plan"]).run();
    assert!(pair.destination.holds("docker.io/library/one", &one));
    let tag = pair.destination.manifest("docker.io/library/one", "1").unwrap();
    assert_eq!(&tag.digest, one.digest());
}

#[test]
fn what_has_moved_at_the_destination_is_left_alone() {
    let (pair, one, _) = planned();
    let theirs = ImageBuilder::new("theirs").build();
    pair.destination.add("docker.io/library/two", "1", &theirs);
    let ran = pair.project.mirror(&["apply", "mirror.plan"]).ends_with(5).run();
    crate::reads(
        &ran.stdout,
        expect![[r#"
        stale: docker.io/library/two:1 at prod now has sha256:79010677dc40; left alone
        applied: 1 copied, 0 unchanged, 1 stale; 5.1 KiB fetched, 5.1 KiB pushed; N.N s
    "#]],
    );
    assert!(pair.destination.holds("docker.io/library/one", &one));
    let tag = pair.destination.manifest("docker.io/library/two", "1").unwrap();
    assert_eq!(&tag.digest, theirs.digest());
}

#[test]
fn a_plan_for_another_tree_or_configuration_is_refused() {
    let (pair, ..) = planned();
    pair.project.entry("three:1");
    let ran = pair.project.mirror(&["apply", "mirror.plan"]).ends_with(5).run();
    crate::reads(
        &ran.stderr,
        expect![[r#"
        error: the plan mirror.plan can't be applied
          caused by: the tree has changed since it was made
          help: look again: `mirror plan --out FILE`
    "#]],
    );
    let (pair, ..) = planned();
    let path = pair.project.path().join("images/mirror.toml");
    let config = std::fs::read_to_string(path).unwrap();
    pair.project.write("images/mirror.toml", &format!("{config}\n[copy]\nreferrers = \"off\"\n"));
    let ran = pair.project.mirror(&["apply", "mirror.plan"]).ends_with(5).run();
    crate::reads(
        &ran.stderr,
        expect![[r#"
        error: the plan mirror.plan can't be applied
          caused by: the configuration has changed since it was made
          help: look again: `mirror plan --out FILE`
    "#]],
    );
    assert_eq!(pair.destination.tags().len(), 1, "nothing was done");
}

#[test]
fn a_plan_that_was_meddled_with_is_refused() {
    let meddled = |change: &dyn Fn(&mut Opened), code: i32, said: &str| {
        let (pair, ..) = planned();
        let mut opened = saved(&pair);
        change(&mut opened);
        opened.write(&file(&pair));
        let ran = pair.project.mirror(&["apply", "mirror.plan"]).ends_with(code).run();
        assert!(ran.stderr.contains(said), "{said}: {}", ran.stderr);
        assert_eq!(pair.destination.tags().len(), 1, "nothing was done");
    };
    let set = |pointer: &'static str, to: Value| {
        move |opened: &mut Opened| {
            opened.change_plan(|plan| *plan.pointer_mut(pointer).unwrap() = to.clone());
        }
    };
    let changed = "it was changed after it was made";
    meddled(&set("/actions/0/repository", "somewhere/else".into()), 5, "does not ask for");
    meddled(&set("/actions/0/destination", "other".into()), 5, "does not ask for");
    meddled(&set("/actions/0/action", "delete".into()), 2, "not a saved plan");
    meddled(
        &|opened| opened.change_header(|header| header["format_version"] = 3.into()),
        2,
        "a newer mirror",
    );
    meddled(
        &|opened| opened.change_header(|header| header["format_version"] = 1.into()),
        2,
        "an older mirror",
    );
    let spoil = |opened: &mut Opened| {
        for line in opened.manifests() {
            let (before, _) = line.rsplit_once(":").unwrap();
            *line = format!("{before}:\"e30=\"}}");
        }
    };
    meddled(&spoil, 2, "content has digest");
    meddled(&|opened| opened.remove_manifest(), 2, changed);
    meddled(&set("/totals/create", 7.into()), 2, changed);
    let nothing = |opened: &mut Opened| {
        opened.change_plan(|plan| {
            let actions = std::mem::replace(&mut plan["actions"], serde_json::json!([]));
            assert_eq!(actions.as_array().unwrap().len(), 2);
        });
    };
    meddled(&nothing, 2, changed);
}

#[test]
fn an_image_that_its_source_does_not_have_is_not_copied() {
    let (pair, one, _) = planned();
    let mut opened = saved(&pair);
    // Somebody arranges what there is in another way, and makes a whole new plan of it.
    let mut forged = None;
    opened.change_manifest(one.digest(), |line| {
        let content = line["content"].as_str().unwrap();
        let (digest, content) = base64_of(content, |text| text.replace("arm64", "arm65"));
        (line["content"], line["digest"]) = (content.into(), digest.as_str().into());
        forged = Some(digest);
    });
    let digest = forged.unwrap();
    opened.change_plan(|plan| {
        let text = plan.to_string().replace(one.digest().as_str(), digest.as_str());
        *plan = serde_json::from_str(&text).unwrap();
    });
    opened.sealed().write(&file(&pair));
    let ran = pair.project.mirror(&["apply", "mirror.plan"]).ends_with(1).run();
    crate::reads(
        &ran.stdout,
        expect![[r#"
            error: could not copy docker.io/library/one:1 to prod
              caused by: source: one:1 does not have sha256:7d3d939e9b96c5a852e8772dbf40933f62521ce0c511025fe0e9bfdf668749d8, or no longer does
              help: look again: `mirror plan --out FILE`
            applied: 1 copied, 0 unchanged, 1 failed; what had moved by then; N.N s
        "#]],
    );
    assert!(pair.destination.manifest("docker.io/library/one", "1").is_none());
}

/// A manifest in base64, changed, and its new digest.
fn base64_of(content: &str, change: impl Fn(String) -> String) -> (mirror_oci::Digest, String) {
    use base64::Engine as _;
    let engine = base64::engine::general_purpose::STANDARD;
    let text = change(String::from_utf8(engine.decode(content).unwrap()).unwrap());
    let digest = mirror_oci::Digest::of(mirror_oci::Algorithm::Sha256, text.as_bytes());
    (digest, engine.encode(text))
}

#[test]
fn files_that_are_no_plans_are_refused() {
    let (pair, ..) = planned();
    let (good, file) = (saved(&pair), file(&pair));
    let whole = good.text();
    let half: String = whole.chars().take(whole.len() / 2).collect();
    let without_end = whole.lines().take(3).map(|line| format!("{line}\n")).collect::<String>();
    let longer = format!("{whole}{{}}\n");
    let nested = "[".repeat(60_000);
    let version = "\"format_version\":2";
    let repeated = whole.replacen(version, &format!("{version},{version}"), 1);
    for (text, why) in [
        ("", "it is cut off"),
        ("{}", "it is not a saved plan: missing field `format_version`"),
        ("null", "it is not a saved plan: invalid type: null"),
        (&half, "it is not a saved plan: EOF while parsing"),
        (&without_end, "it is cut off"),
        (&longer, "it is not a saved plan: it goes on after its end"),
        (&nested, "it is not a saved plan: invalid type: sequence"),
        (&"x".repeat(70_000), "it is not a saved plan: a line has over 64.0 KiB"),
        (&repeated, "it is not a saved plan: duplicate field `format_version`"),
    ] {
        crate::opened::pack(&file, text.as_bytes());
        let ran = pair.project.mirror(&["apply", "mirror.plan"]).ends_with(2).run();
        let said = format!("the plan mirror.plan can't be applied\n  caused by: {why}");
        assert!(ran.stderr.contains(&said), "{said}\n{}", ran.stderr);
    }
    let packed = {
        good.write(&file);
        std::fs::read(&file).unwrap()
    };
    for (bytes, why) in [
        (&b""[..], "it is empty"),
        (
            whole.as_bytes(),
            "it is the output of `plan --format json`, or was made by an older mirror",
        ),
        (b"hello", "it is not packed with gzip"),
        (packed.split_at(packed.len() / 2).0, "it is cut off"),
        (&[&packed[..], &packed[..]].concat(), "it goes on after its end"),
        (
            &[&packed[..], b"and more than a header"].concat(),
            "it is not a saved plan: invalid gzip header",
        ),
    ] {
        std::fs::write(&file, bytes).unwrap();
        let ran = pair.project.mirror(&["apply", "mirror.plan"]).ends_with(2).run();
        assert!(ran.stderr.contains(why), "{why}\n{}", ran.stderr);
    }
    let ran = pair.project.mirror(&["apply", "missing.plan"]).ends_with(2).run();
    crate::reads(
        &ran.stderr,
        expect![[r#"
        error: the plan missing.plan can't be applied
          caused by: No such file or directory (os error 2)
          help: create a new one: `mirror plan --out FILE`
    "#]],
    );
    let ran = pair.project.mirror(&["plan", "--out", "no/folder/mirror.plan"]).ends_with(2).run();
    crate::reads(
        &ran.stderr,
        expect![[r#"
        error: could not save the plan in no/folder/mirror.plan
          caused by: No such file or directory (os error 2)
          help: name a file in a folder that is there and can be written
    "#]],
    );
    // Two plans of the same are the same file.
    pair.project.mirror(&["plan", "--out", "mirror.plan"]).run();
    let first = std::fs::read(&file).unwrap();
    pair.project.mirror(&["plan", "--out", "mirror.plan"]).run();
    assert_eq!(std::fs::read(&file).unwrap(), first);
    assert_eq!(saved(&pair).sealed(), saved(&pair));
    saved(&pair).write(&file);
    pair.project.mirror(&["apply", "mirror.plan"]).run();
}

/// A line of two GiB of nothing has two MiB when it is packed: it is not read to its end.
#[test]
fn a_bomb_is_refused() {
    let (pair, ..) = planned();
    let (opened, path) = (saved(&pair), file(&pair));
    let out = std::fs::File::create(&path).unwrap();
    let mut packed = flate2::write::GzEncoder::new(out, flate2::Compression::fast());
    writeln!(packed, "{}\n{}", opened.header(), opened.plan()).unwrap();
    let zeros = vec![b'0'; 1 << 20];
    (0..64).for_each(|_| packed.write_all(&zeros).unwrap());
    packed.finish().unwrap();
    let ran = pair.project.mirror(&["apply", "mirror.plan"]).ends_with(2).run();
    crate::reads(
        &ran.stderr,
        expect![[r#"
        error: the plan mirror.plan can't be applied
          caused by: it is not a saved plan: a line has over 5.3 MiB
          help: create a new one: `mirror plan --out FILE`
    "#]],
    );
}

#[test]
fn images_without_tags_are_told_apart() {
    let (one, two) = (ImageBuilder::new("one").build(), ImageBuilder::new("two").build());
    let pair = Pair::new(&[]);
    pair.source.add("library/app", "1", &one);
    pair.source.add("library/app", "2", &two);
    let path = pair.project.path().join("images/mirror.toml");
    let config = std::fs::read_to_string(path).unwrap();
    pair.project.write("images/mirror.toml", &(config + "[check]\nallow_digest_only = true\n"));
    let entry = |variant: &str, image: &Image| {
        let file = format!("images/docker.io/library/app/{variant}/Dockerfile");
        pair.project.write(&file, &format!("FROM app@{}\n", image.digest()));
    };
    entry("one", &one);
    pair.project.mirror(&["apply"]).run();
    entry("two", &two);
    let ran = pair.project.mirror(&["plan", "--out", "mirror.plan"]).run();
    crate::reads(
        &ran.stdout,
        expect![[r#"
        prod
          + docker.io/library/app  new → sha256:41ccf6d0c413  2.5 KiB
          = docker.io/library/app  sha256:dd00ad4cf4d4

        plan: 1 to create, 0 to update, 1 unchanged
          to move: 2.5 KiB of distinct blobs at most; 1 manifest from docker.io
    "#]],
    );
    let ran = pair.project.mirror(&["apply", "mirror.plan"]).run();
    crate::reads(
        &ran.stdout,
        expect![[r#"
        applied: 1 copied, 1 unchanged; 2.5 KiB fetched, 2.5 KiB pushed; N.N s
    "#]],
    );
    pair.project.mirror(&["plan", "--exit-code"]).run();
}

/// A tree that pins `image` under the tag 1, with an older image of the same repository at the source, and a plan.
fn pinned(line: &str, image: &Image, older: &Image) -> Pair {
    let pair = Pair::new(&[]);
    pair.source.add("library/app", "old", older);
    pair.source.add("library/app", "1", image);
    pair.project.write("images/docker.io/library/app/Dockerfile", line);
    pair.project.mirror(&["plan", "--out", "mirror.plan"]).run();
    pair
}

#[test]
fn looking_for_signatures_does_not_bring_another_image() {
    let (image, older) = (ImageBuilder::new("now").build(), ImageBuilder::new("older").build());
    let pair = pinned(&format!("FROM app:1@{}\n", image.digest()), &image, &older);
    // Somebody says that another image is there already, under the same want, and still owes its signatures.
    let mut opened = saved(&pair);
    let mut plan: Plan = serde_json::from_str(opened.plan()).unwrap();
    let copy = plan.copies().next().unwrap();
    let item = mirror_plan::plan::Unchanged {
        want: copy.want.clone(),
        digest: older.digest().clone(),
        signatures_owed: true,
    };
    plan.unchanged.push(item);
    plan.totals.unchanged += 1;
    opened.change_plan(|line| *line = serde_json::to_value(plan).unwrap());
    opened.sealed().write(&file(&pair));
    let ran = pair.project.mirror(&["apply", "mirror.plan"]).ends_with(5).run();
    crate::reads(
        &ran.stderr,
        expect![[r#"
        error: the plan mirror.plan can't be applied
          caused by: it looks for signatures of docker.io/library/app:1 at prod, which the tree does not ask for
          help: look again: `mirror plan --out FILE`
    "#]],
    );
    assert!(pair.destination.tags().is_empty());
}

#[test]
fn a_platform_is_the_one_that_its_index_names() {
    let platforms = ["linux/amd64", "linux/arm64"];
    let image = ImageBuilder::new("now").platforms(&platforms).build();
    let older = ImageBuilder::new("older").build();
    let line = format!("FROM --platform=linux/arm64 app:1@{}\n", image.digest());
    let pair = pinned(&line, &image, &older);
    let good = saved(&pair);
    let mut forged = good.clone();
    forged.change_plan(|plan| plan["actions"][0]["digest"] = older.digest().as_str().into());
    let manifest = &older.manifests[0];
    forged.add(&serde_json::json!({
        "digest": older.digest(),
        "media_type": manifest.media_type,
        "content": base64_of_bytes(&manifest.bytes),
    }));
    forged.sealed().write(&file(&pair));
    let ran = pair.project.mirror(&["apply", "mirror.plan"]).ends_with(1).run();
    crate::reads(
        &ran.stdout,
        expect![[r#"
            error: could not copy docker.io/library/app:1 to prod
              caused by: source: app:1@sha256:00404452e64c025618feff39a9e48081503542396a58b2cd6429823e0ca1e811 does not have sha256:a815d07f5143d16a0d0d37bc7b7164dcb2864e32898027e3d476bb3503acdf7c, or no longer does
              help: look again: `mirror plan --out FILE`
            applied: 0 copied, 0 unchanged, 1 failed; what had moved by then; N.N s
        "#]],
    );
    assert!(pair.destination.tags().is_empty());
    good.write(&file(&pair));
    pair.project.mirror(&["apply", "mirror.plan"]).run();
    assert_eq!(pair.destination.tags().len(), 1);
}

fn base64_of_bytes(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}
