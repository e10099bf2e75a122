//! Plans that are looked at now and carried out later.

use mirror_plan::plan::SavedPlan;
use mirror_plan::report::Report;
use mirror_testkit::{Image, ImageBuilder};

use crate::{Pair, looks_for_companions};

/// Two images, of which the second replaces another, and a plan in `plan.json`.
fn planned() -> (Pair, Image, Image) {
    let one = ImageBuilder::new("one").platforms(&["linux/amd64", "linux/arm64"]).build();
    let two = ImageBuilder::new("two").build();
    let pair = Pair::new(&[("library/one", "1", &one), ("library/two", "1", &two)]);
    pair.destination.add("docker.io/library/two", "1", &ImageBuilder::new("older").build());
    pair.project.mirror(&["plan", "--out", "plan.json"]).run();
    (pair, one, two)
}

fn saved(pair: &Pair) -> SavedPlan {
    let bytes = std::fs::read(pair.project.path().join("plan.json")).unwrap();
    SavedPlan::read(&bytes).unwrap()
}

fn save(pair: &Pair, plan: &SavedPlan) {
    pair.project.write("plan.json", &serde_json::to_string(plan).unwrap());
}

#[test]
fn it_is_carried_out_without_reading_manifests_again() {
    let (pair, one, two) = planned();
    pair.source.take_requests();
    let ran = pair.project.mirror(&["apply", "plan.json", "--format", "json"]).run();
    let report: Report = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!((report.totals.copied, report.totals.stale), (2, 0));
    assert!(pair.destination.holds("docker.io/library/one", &one));
    assert!(pair.destination.holds("docker.io/library/two", &two));
    let requests = pair.source.take_requests();
    let manifests = requests
        .iter()
        .filter(|request| request.path.contains("/manifests/") && !looks_for_companions(request));
    // For tags alone, whether the source has what the plan says they are; no pull.
    assert!(manifests.clone().all(|request| request.method == "HEAD"));
    assert_eq!(manifests.count(), 2);
    let again = pair.project.mirror(&["apply", "plan.json"]).run();
    assert!(again.stdout.contains("0 copied, 2 unchanged"), "{}", again.stdout);
}

#[test]
fn it_does_what_it_says_though_the_source_has_moved() {
    let (pair, one, _) = planned();
    pair.source.add("library/one", "1", &ImageBuilder::new("newer").build());
    pair.project.mirror(&["apply", "plan.json"]).run();
    assert!(pair.destination.holds("docker.io/library/one", &one));
    let tag = pair.destination.manifest("docker.io/library/one", "1").unwrap();
    assert_eq!(&tag.digest, one.digest());
}

#[test]
fn what_has_moved_at_the_destination_is_left_alone() {
    let (pair, one, _) = planned();
    let theirs = ImageBuilder::new("theirs").build();
    pair.destination.add("docker.io/library/two", "1", &theirs);
    let ran = pair.project.mirror(&["apply", "plan.json"]).ends_with(5).run();
    assert!(ran.stdout.contains("stale: docker.io/library/two:1 at prod"), "{}", ran.stdout);
    assert!(ran.stdout.contains("1 copied") && ran.stdout.contains("1 stale"), "{}", ran.stdout);
    assert!(pair.destination.holds("docker.io/library/one", &one));
    let tag = pair.destination.manifest("docker.io/library/two", "1").unwrap();
    assert_eq!(&tag.digest, theirs.digest());
}

#[test]
fn a_plan_for_another_tree_or_configuration_is_refused() {
    let (pair, ..) = planned();
    pair.project.entry("three:1");
    let ran = pair.project.mirror(&["apply", "plan.json"]).ends_with(5).run();
    assert!(ran.stderr.contains("the tree has changed"), "{}", ran.stderr);
    let (pair, ..) = planned();
    let path = pair.project.path().join("images/mirror.toml");
    let config = std::fs::read_to_string(path).unwrap();
    pair.project.write("images/mirror.toml", &format!("{config}\n[copy]\nreferrers = \"off\"\n"));
    let ran = pair.project.mirror(&["apply", "plan.json"]).ends_with(5).run();
    assert!(ran.stderr.contains("the configuration has changed"), "{}", ran.stderr);
    assert_eq!(pair.destination.tags().len(), 1, "nothing was done");
}

#[test]
fn a_plan_that_was_meddled_with_is_refused() {
    let meddled = |change: &dyn Fn(&mut serde_json::Value), code: i32, said: &str| {
        let (pair, ..) = planned();
        let mut value = serde_json::to_value(saved(&pair)).unwrap();
        change(&mut value);
        pair.project.write("plan.json", &value.to_string());
        let ran = pair.project.mirror(&["apply", "plan.json"]).ends_with(code).run();
        assert!(ran.stderr.contains(said), "{said}: {}", ran.stderr);
        assert_eq!(pair.destination.tags().len(), 1, "nothing was done");
    };
    let set = |pointer: &'static str, to: serde_json::Value| {
        move |value: &mut serde_json::Value| *value.pointer_mut(pointer).unwrap() = to.clone()
    };
    meddled(&set("/plan/actions/0/repository", "somewhere/else".into()), 5, "does not ask for");
    meddled(&set("/plan/actions/0/destination", "other".into()), 5, "does not ask for");
    meddled(&set("/plan/actions/0/action", "delete".into()), 2, "no saved plan");
    meddled(&set("/format_version", 2.into()), 2, "a newer mirror");
    meddled(&set("/format_version", 0.into()), 2, "an older mirror");
    let spoil = |value: &mut serde_json::Value| {
        let manifests = value.pointer_mut("/manifests").unwrap().as_object_mut().unwrap();
        for manifest in manifests.values_mut() {
            *manifest.pointer_mut("/content").unwrap() = "e30=".into();
        }
    };
    meddled(&spoil, 2, "it was changed after it was made");
    meddled(&set("/plan/totals/create", 7.into()), 2, "it was changed after it was made");
    let nothing = |value: &mut serde_json::Value| {
        let actions = value.pointer_mut("/plan/actions").unwrap().take();
        *value.pointer_mut("/plan/actions").unwrap() = serde_json::json!([]);
        assert_eq!(actions.as_array().unwrap().len(), 2);
    };
    meddled(&nothing, 2, "it was changed after it was made");
}

#[test]
fn an_image_that_its_source_does_not_have_is_not_copied() {
    let (pair, one, _) = planned();
    let saved = saved(&pair);
    // Somebody arranges what there is in another way, and makes a whole new plan of it.
    let index = &saved.manifests[one.digest().as_str()];
    let forged = base64_of(&index.content, |text| text.replace("arm64", "arm65"));
    let digest = forged.0.clone();
    let mut value = serde_json::to_value(&saved).unwrap();
    let text = value.to_string().replace(one.digest().as_str(), digest.as_str());
    value = serde_json::from_str(&text).unwrap();
    *value.pointer_mut(&format!("/manifests/{digest}/content")).unwrap() = forged.1.into();
    let mut made: SavedPlan = serde_json::from_value(value).unwrap();
    let manifests = std::mem::take(&mut made.manifests);
    let mut made = SavedPlan::new(made.plan, made.tree, made.config, [].into_iter());
    made.manifests = manifests;
    made.seal();
    save(&pair, &made);
    let ran = pair.project.mirror(&["apply", "plan.json"]).ends_with(1).run();
    assert!(ran.stdout.contains("has never been, or is no longer"), "{}", ran.stdout);
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
    let whole = serde_json::to_string(&saved(&pair)).unwrap();
    let half: String = whole.chars().take(whole.len() / 2).collect();
    let nested = "[".repeat(100_000);
    let repeated = whole.replacen("\"tree\":", "\"tree\":\"x\",\"tree\":", 1);
    for text in ["", "{}", "null", &half, &nested, &repeated] {
        pair.project.write("plan.json", text);
        let ran = pair.project.mirror(&["apply", "plan.json"]).ends_with(2).run();
        assert!(ran.stderr.contains("can't be applied"), "{}", ran.stderr);
    }
    let ran = pair.project.mirror(&["apply", "missing.json"]).ends_with(2).run();
    assert!(ran.stderr.contains("No such file"), "{}", ran.stderr);
    let giant = std::fs::File::create(pair.project.path().join("giant.json")).unwrap();
    giant.set_len(200 << 20).unwrap();
    let ran = pair.project.mirror(&["apply", "giant.json"]).ends_with(2).run();
    assert!(ran.stderr.contains("larger than 128 MiB"), "{}", ran.stderr);
    let ran = pair.project.mirror(&["plan", "--out", "no/folder/plan.json"]).ends_with(2).run();
    assert!(ran.stderr.contains("could not save the plan"), "{}", ran.stderr);
    // Two plans of the same are the same file.
    pair.project.mirror(&["plan", "--out", "plan.json"]).run();
    let first = serde_json::to_string(&saved(&pair)).unwrap();
    pair.project.mirror(&["plan", "--out", "plan.json"]).run();
    assert_eq!(serde_json::to_string(&saved(&pair)).unwrap(), first);
    save(&pair, &saved(&pair));
    pair.project.mirror(&["apply", "plan.json"]).run();
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
    let ran = pair.project.mirror(&["plan", "--out", "plan.json"]).run();
    assert!(ran.stdout.contains("plan: 1 to create, 0 to update, 1 unchanged"), "{}", ran.stdout);
    let ran = pair.project.mirror(&["apply", "plan.json"]).run();
    assert!(ran.stdout.contains("1 copied, 1 unchanged"), "{}", ran.stdout);
    pair.project.mirror(&["plan", "--exit-code"]).run();
}

/// A tree that pins `image` under the tag 1, with an older image of the same repository at the source, and a plan.
fn pinned(line: &str, image: &Image, older: &Image) -> Pair {
    let pair = Pair::new(&[]);
    pair.source.add("library/app", "old", older);
    pair.source.add("library/app", "1", image);
    pair.project.write("images/docker.io/library/app/Dockerfile", line);
    pair.project.mirror(&["plan", "--out", "plan.json"]).run();
    pair
}

#[test]
fn looking_for_signatures_does_not_bring_another_image() {
    let (image, older) = (ImageBuilder::new("now").build(), ImageBuilder::new("older").build());
    let pair = pinned(&format!("FROM app:1@{}\n", image.digest()), &image, &older);
    // Somebody says that another image is there already, under the same want, and still owes its signatures.
    let mut plan = saved(&pair);
    let copy = plan.plan.copies().next().unwrap();
    let item = mirror_plan::plan::Unchanged {
        want: copy.want.clone(),
        digest: older.digest().clone(),
        signatures_owed: true,
    };
    plan.plan.unchanged.push(item);
    plan.plan.totals.unchanged += 1;
    plan.seal();
    save(&pair, &plan);
    let ran = pair.project.mirror(&["apply", "plan.json"]).ends_with(5).run();
    assert!(ran.stderr.contains("which the tree does not ask for"), "{}", ran.stderr);
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
    let mut plan = good.clone();
    if let Some(mirror_plan::plan::Action::Copy(copy)) = plan.plan.actions.first_mut() {
        copy.digest = older.digest().clone();
    }
    let (manifest, content) = (&older.manifests[0], base64_of_bytes(&older.manifests[0].bytes));
    let media_type = manifest.media_type.clone();
    let saved_manifest = mirror_plan::plan::SavedManifest { media_type, content };
    plan.manifests.insert(older.digest().to_string(), saved_manifest);
    plan.seal();
    save(&pair, &plan);
    let ran = pair.project.mirror(&["apply", "plan.json"]).ends_with(1).run();
    assert!(ran.stdout.contains("has never been, or is no longer,"), "{}", ran.stdout);
    assert!(pair.destination.tags().is_empty());
    save(&pair, &good);
    pair.project.mirror(&["apply", "plan.json"]).run();
    assert_eq!(pair.destination.tags().len(), 1);
}

fn base64_of_bytes(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}
