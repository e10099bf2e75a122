//! What holds of every tag, whatever is in it.
#![expect(clippy::string_slice, reason = "tests may panic")]

use mirror_oci::Tag;
use mirror_tree::version::{
    DependabotTag, Keep, Reading, RenovateTag, Update, is_step_back, samples, successors,
};
use mirror_tree::{Bots, fixed_part, untracked};
use proptest::prelude::*;

/// Parts of which real tags consist, in any order.
fn tags() -> impl Strategy<Value = String> {
    let word = prop_oneof![
        "[0-9]{1,4}",
        "[0-9]{38,41}",
        "20[12][0-9](0[1-9]|1[0-2])(0[1-9]|[12][0-9])",
        "[0-9a-f]{7,40}",
        Just("v".to_owned()),
        Just("alpine".to_owned()),
        Just("debian".to_owned()),
        Just("bookworm".to_owned()),
        Just("rc".to_owned()),
        Just("BETA".to_owned()),
        Just("RELEASE".to_owned()),
        Just("amd64".to_owned()),
        Just("ltsc".to_owned()),
        Just("jdk".to_owned()),
        "[A-Za-z_]{1,8}",
    ];
    let sign = prop_oneof![Just("."), Just("-"), Just("_"), Just(""), Just("--"), Just(".-_")];
    prop::collection::vec((word, sign), 1..8).prop_map(|parts| {
        let text: String =
            parts.into_iter().flat_map(|(word, sign)| [word, sign.to_owned()]).collect();
        text.chars().take(128).collect()
    })
}

proptest! {
    /// Every reader is total, and what stands for the next of a kind is what that kind lets through.
    #[test]
    fn every_tag_is_read(tag in tags()) {
        prop_assume!(tag.parse::<Tag>().is_ok());
        let _ = (Reading::of(&tag).floats(), Reading::of(&tag).is_commit());
        let _ = DependabotTag::of(&tag).map(|read| (read.updates(), read.numbers()));
        let _ = RenovateTag::of("library/x", &tag).map(|read| (read.updates(), read.numbers()));
        let _ = untracked("library/x", &tag, Bots::default());
        for update in [Update::Patch, Update::Minor, Update::Major] {
            let _ = samples(&tag, update);
        }
        for bot in Bots::default().in_use() {
            let fixed = fixed_part(bot, "library/x", &tag).unwrap_or_default();
            prop_assert!(tag.contains(&fixed), "{fixed} in {tag}");
        }
        // A folder with all of the tag holds it, and the tag is in it.
        if let Some(keep) = Keep::of_variant(&tag) {
            prop_assert!(keep.allows(&tag), "{keep} and {tag}");
        }
    }

    /// What comes next has nothing before it that comes next: nobody is led in a circle, and no step leads back.
    #[test]
    fn successors_end(tags in prop::collection::vec(tags(), 2..12)) {
        let all = || tags.iter().map(String::as_str);
        for tag in all() {
            let Ok(found) = successors(tag, all()) else { continue };
            let Some(newest) = found.newest else { continue };
            prop_assert_ne!(newest, tag);
            prop_assert!(!is_step_back(tag, newest), "{} → {}", tag, newest);
            prop_assert!(is_step_back(newest, tag), "{} → {}", newest, tag);
        }
    }

    /// The order of a list says nothing.
    #[test]
    fn lists_in_any_order(mut tags in prop::collection::vec(tags(), 2..12)) {
        let tag = tags[0].clone();
        let before = successors(&tag, tags.iter().map(String::as_str))
            .map(|found| (found.newest.map(str::to_owned), found.major.map(str::to_owned)));
        tags.reverse();
        let after = successors(&tag, tags.iter().map(String::as_str))
            .map(|found| (found.newest.map(str::to_owned), found.major.map(str::to_owned)));
        prop_assert_eq!(before, after);
    }
}

/// A repository may have tens of thousands of tags, each as long as can be.
#[test]
fn many_long_tags() {
    let tags: Vec<String> = (0..2_000).map(|n| format!("1.{n}-{}", "a-1.".repeat(30))).collect();
    let tags: Vec<&str> = tags.iter().map(|tag| &tag[..tag.len().min(128)]).collect();
    let found = successors(tags[0], tags.iter().copied()).unwrap();
    assert!(found.newest.unwrap().starts_with("1.1999-"));
}
