//! What is explained about a tag, held against the table of tags: what the bots' own code made of them.
#![expect(clippy::unwrap_used, reason = "tests may panic")]

use mirror_plan::bots::explain;
use mirror_plan::config::Config;
use mirror_tree::version::{Reading, Update};
use mirror_tree::{Bot, Entry, Rules, parse};

fn entry(name: &str, tag: &str) -> Entry {
    let (file, text) = ("Dockerfile", format!("FROM {name}:{tag}\n"));
    let from = parse(file, text.as_bytes(), &Rules::default()).from.unwrap();
    Entry {
        file: file.to_owned(),
        name: from.name,
        version: from.version,
        platform: None,
        span: from.span,
        source: text.into(),
    }
}

/// Of which kind a step is, by the first number that differs; none of these where the numbers are the same.
fn kind(from: &str, to: &str) -> Option<Update> {
    let (from, to) = (Reading::of(from), Reading::of(to));
    let pairs = from.numbers().iter().zip(to.numbers());
    let first = pairs.take_while(|(one, other)| one == other).count();
    let differ = from.numbers() != to.numbers();
    differ.then_some(match first {
        0 => Update::Major,
        1 => Update::Minor,
        _ => Update::Patch,
    })
}

#[test]
fn the_table_of_tags() {
    let text = include_str!("../../mirror-tree/tests/tags.txt");
    let (mut name, mut proposals, mut silent) = ("", 0, 0);
    for line in text.lines() {
        if let Some(found) = line.strip_prefix("repository ") {
            name = found;
        }
        let Some(row) = line.strip_prefix("  ") else { continue };
        let row: Vec<&str> = row.split_whitespace().collect();
        let tag = row[0];
        let entry = entry(name, tag);
        let by_bot = [(Bot::Dependabot, &row[4..5]), (Bot::Renovate, &row[5..7])];
        for (bot, taken) in by_bot {
            let explained = explain(&entry, bot, &Config::default());
            assert_eq!(
                explained.idle.is_some(),
                explained.updates.is_empty(),
                "{bot} {name}:{tag}"
            );
            for next in taken.iter().filter(|next| **next != "-") {
                proposals += 1;
                let updates = &explained.updates;
                assert!(!updates.is_empty(), "{bot} {name}:{tag} → {next}: {explained:?}");
                if let Some(kind) = kind(tag, next) {
                    assert!(updates.contains(&kind), "{bot} {name}:{tag} → {next}: {updates:?}");
                }
            }
            silent += usize::from(explained.updates.is_empty());
        }
    }
    assert!(proposals > 400 && silent > 100, "{proposals} proposals, {silent} without");
}
