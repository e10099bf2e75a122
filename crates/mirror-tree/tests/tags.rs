//! The table of tags: what a person, Dependabot and Renovate make of some three hundred real ones.
#![expect(clippy::unwrap_used, reason = "tests may panic")]

use mirror_tree::version::{
    DependabotTag, Incomparable, Reading, RenovateTag, Successors, successors,
};

struct Repository<'a> {
    name: &'a str,
    has: Vec<&'a str>,
    latest: Option<&'a str>,
    rows: Vec<Vec<&'a str>>,
}

fn repositories(text: &str) -> Vec<Repository<'_>> {
    let blocks = text.split("\n\n").filter(|block| block.starts_with("repository "));
    let read = |block| {
        let mut found = Repository { name: "", has: Vec::new(), latest: None, rows: Vec::new() };
        for line in str::lines(block) {
            let mut words = line.split_whitespace();
            match line.split(' ').next().unwrap() {
                "repository" => found.name = words.nth(1).unwrap(),
                "has" => found.has = words.skip(1).collect(),
                "latest" => found.latest = words.nth(1),
                _ => found.rows.push(words.collect()),
            }
        }
        found
    };
    blocks.map(read).collect()
}

fn row(repository: &Repository<'_>, tag: &str) -> Vec<String> {
    let all = || repository.has.iter().copied();
    let or = |found: Option<&str>| found.unwrap_or("-").to_owned();
    let mut row = vec![tag.to_owned()];
    row.extend(match successors(tag, all()) {
        Ok(Successors { newest, major, outlier }) => [newest, major, outlier].map(or),
        Err(Incomparable::Floats) => ["floats", "-", "-"].map(str::to_owned),
        Err(Incomparable::Commit) => ["commit", "-", "-"].map(str::to_owned),
    });
    let dependabot = DependabotTag::of(tag);
    row.push(or(dependabot.and_then(|tag| tag.next(all(), repository.latest, |_| true))));
    let renovate = RenovateTag::of(repository.name, tag);
    let (minor, major) = renovate.map_or((None, None), |tag| tag.next(all(), |_| true));
    row.extend([minor, major].map(|found| or(found.as_deref())));
    row
}

#[test]
fn what_comes_next() {
    let text = include_str!("tags.txt");
    let mut looked_at = 0;
    for repository in repositories(text) {
        for expected in &repository.rows {
            let tag = expected.first().unwrap();
            assert!(repository.has.contains(tag), "{} has no {tag}", repository.name);
            assert_eq!(&row(&repository, tag), expected, "{}", repository.name);
            looked_at += 1;
        }
    }
    assert!(looked_at > 300, "{looked_at} rows");
}

/// What is taken is newer, and nothing comes after it in its turn but what came before.
#[test]
fn a_successor_is_no_predecessor() {
    for repository in repositories(include_str!("tags.txt")) {
        for tag in &repository.has {
            let Ok(found) = successors(tag, repository.has.iter().copied()) else {
                assert!(!Reading::of(tag).has_version(), "{tag}");
                continue;
            };
            for next in [found.newest, found.major, found.outlier].into_iter().flatten() {
                let back = successors(next, [*tag]).unwrap();
                assert_eq!(back, Successors::default(), "{tag} → {next} → {tag}");
            }
        }
    }
}
