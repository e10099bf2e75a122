//! Which tag comes after another one.

use super::number::Number;
use super::reading::{Part, Reading, is_dated};

/// What a person would take for the successor of a tag, among those of its repository.
///
/// ```
/// use mirror_tree::version::successors;
///
/// let all = ["16.3-alpine3.20", "16.9-alpine3.22", "17.0-alpine3.19", "16.9-bookworm", "latest"];
/// let found = successors("16.3-alpine3.20", all).map_err(|why| format!("{why:?}"))?;
/// assert_eq!((found.newest, found.major), (Some("16.9-alpine3.22"), Some("17.0-alpine3.19")));
///
/// let all = ["v20240201-def5678", "v20240301-0123456"];
/// let found = successors("v20240105-abc1234", all).map_err(|why| format!("{why:?}"))?;
/// assert_eq!(found.newest, Some("v20240301-0123456"), "commits are not compared");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Successors<'a> {
    /// The newest with the same first number.
    pub newest: Option<&'a str>,
    /// The newest with a greater one.
    pub major: Option<&'a str>,
    /// One that is newer still and looks as if it counted something else, such as days: only what `latest` is can tell.
    pub outlier: Option<&'a str>,
}

/// Why nobody can say what comes after a tag.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Incomparable {
    /// There is no version in it: it floats.
    Floats,
    /// It names a commit, and none is newer than another.
    Commit,
}

/// The successors of `tag` among others. Pre-releases are those of a pre-release alone.
///
/// # Errors
/// When the tag can't be compared with any other.
pub fn successors<'a>(
    tag: &str,
    all: impl IntoIterator<Item = &'a str>,
) -> Result<Successors<'a>, Incomparable> {
    let current = Reading::of(tag);
    if current.is_commit() {
        return Err(Incomparable::Commit);
    }
    if current.floats() {
        return Err(Incomparable::Floats);
    }
    let mut found: Vec<Candidate<'a>> = all
        .into_iter()
        .filter(|other| *other != tag)
        .filter_map(|other| Candidate::of(&current, other))
        .collect();
    found.sort_by(|a, b| a.order(b));
    let best = |of: &dyn Fn(&Candidate<'_>) -> bool| {
        let of: Vec<&Candidate<'a>> = found.iter().filter(|found| of(found)).collect();
        // A final one beats every pre-release, and the same variant any other.
        let ranks = [(true, true), (false, true), (true, false), (false, false)];
        ranks.iter().find_map(|(same, is_final)| {
            let fits =
                |one: &&&Candidate<'_>| one.same == *same && one.reading.is_final() == *is_final;
            of.iter().rfind(fits).map(|found| found.tag)
        })
    };
    // A year that has builds of its own is the name of a product: `2019-CU18`.
    let is_name =
        matches!(current.numbers(), [year] if year.digits() == 4) && !current.builds().is_empty();
    let (first, dated) = (current.numbers().first(), current.is_dated() && !is_name);
    let is_within = |other: &Candidate<'_>| {
        let same = other.reading.numbers().first() == first;
        same || dated && other.reading.is_dated()
            || !is_name && counts(&current) && counts(&other.reading)
    };
    let is_outlier = |other: &Candidate<'_>| {
        !is_within(other) && first.is_some_and(|first| jumps(first, other.reading.numbers()))
    };
    Ok(Successors {
        newest: best(&is_within),
        major: best(&|other| !is_within(other) && !is_outlier(other)),
        outlier: best(&is_outlier),
    })
}

/// Whether a tag is an earlier version than another one of the same kind.
///
/// ```
/// use mirror_tree::version::is_step_back;
///
/// assert!(is_step_back("14.3", "14.2") && is_step_back("v1.2.0-rc2", "v1.2.0-rc1"));
/// assert!(!is_step_back("14.2", "14.3") && !is_step_back("14.2", "13.7-alpine"));
/// ```
pub fn is_step_back(from: &str, to: &str) -> bool {
    successors(to, [from]).is_ok_and(|found| found != Successors::default())
}

/// Whether the one number of a version counts builds: no release has come as far.
fn counts(reading: &Reading) -> bool {
    matches!(reading.numbers(), [number] if number.digits() > 2)
}

/// Whether a greater first number may count something else.
fn jumps(from: &Number, to: &[Number]) -> bool {
    let Some(to) = to.first() else { return false };
    is_dated(from) != is_dated(to) || to.value() / 2 > from.value().saturating_add(10)
}

struct Candidate<'a> {
    tag: &'a str,
    reading: Reading,
    /// Whether nothing but versions, builds and minor releases of a distribution differ.
    same: bool,
}

impl<'a> Candidate<'a> {
    /// A tag of the same shape that is newer.
    fn of(current: &Reading, tag: &'a str) -> Option<Candidate<'a>> {
        let reading = Reading::of(tag);
        if !reading.has_version() || shape(&reading) != shape(current) {
            return None;
        }
        if current.is_final() && !reading.is_final() || !same_windows(current, &reading) {
            return None;
        }
        let same = same_variant(current, &reading)?;
        let key = |reading: &Reading| {
            let of = rank(reading);
            let distributions = if same { of.distributions } else { Vec::new() };
            (of.numbers, of.stage, of.counters, distributions)
        };
        (key(&reading) > key(current)).then_some(Candidate { tag, reading, same })
    }

    fn order(&self, other: &Candidate<'_>) -> std::cmp::Ordering {
        let key = |one: &Candidate<'_>| {
            let of = rank(&one.reading);
            (of.numbers, of.stage, of.counters, of.distributions)
        };
        key(self).cmp(&key(other)).then_with(|| self.tag.cmp(other.tag))
    }
}

struct Rank {
    numbers: Vec<Number>,
    stage: (u8, Vec<Number>),
    counters: Vec<Vec<Number>>,
    distributions: Vec<Vec<Number>>,
}

fn rank(reading: &Reading) -> Rank {
    let mut rank = Rank {
        numbers: reading.numbers().to_vec(),
        stage: (u8::MAX, Vec::new()),
        counters: Vec::new(),
        distributions: Vec::new(),
    };
    for part in &reading.parts {
        match part {
            Part::Stage { rank: stage, numbers } => rank.stage = (*stage, numbers.clone()),
            Part::Counter { numbers, .. } => rank.counters.push(numbers.clone()),
            Part::Distribution { numbers, .. } | Part::Other { numbers, .. } => {
                rank.distributions.push(numbers.clone());
            }
            Part::Fixed(_) | Part::Version { .. } | Part::Commit => {}
        }
    }
    rank
}

/// What two tags must have in common: everything but numbers that count, commits, and whether it is final.
fn shape(reading: &Reading) -> Vec<(&'static str, &str, usize)> {
    let of = |part| match part {
        &Part::Stage { .. } => None,
        Part::Fixed(text) => Some(("fixed", text.as_str(), 0)),
        Part::Version { form, numbers } => Some(("version", form.name(), numbers.len())),
        Part::Distribution { name, numbers } => {
            Some(("distribution", name.as_str(), numbers.len()))
        }
        // Builds that were counted may be called by their days tomorrow: `9.4-1194`, `9.5-1730489303`.
        Part::Counter { name, .. } if matches!(name.as_str(), "" | "date") => {
            Some(("counter", "", 0))
        }
        Part::Counter { name, numbers } => Some(("counter", name.as_str(), numbers.len())),
        Part::Other { name, numbers } => Some(("other", name.as_str(), numbers.len())),
        Part::Commit => Some(("commit", "", 0)),
    };
    reading.parts.iter().filter_map(of).collect()
}

/// Whether only what may differ does; nothing when something else went back.
fn same_variant(current: &Reading, other: &Reading) -> Option<bool> {
    let counted = |reading: &Reading| -> Vec<(bool, Vec<Number>)> {
        let of = |part: &Part| match part {
            Part::Distribution { numbers, .. } => Some((true, numbers.clone())),
            Part::Other { numbers, .. } => Some((false, numbers.clone())),
            _ => None,
        };
        reading.parts.iter().filter_map(of).collect()
    };
    let mut same = true;
    for ((minor, from), (_, to)) in counted(current).into_iter().zip(counted(other)) {
        if from == to || minor && from.len() > 1 && from.first() == to.first() {
            continue;
        }
        if to < from {
            return None;
        }
        same = false;
    }
    Some(same)
}

/// The third number of a version of Windows is another Windows:
/// <https://learn.microsoft.com/en-us/virtualization/windowscontainers/deploy-containers/version-compatibility>.
fn same_windows(one: &Reading, other: &Reading) -> bool {
    let build = |reading: &Reading| {
        let first: Vec<u64> = reading.numbers().iter().take(3).map(Number::value).collect();
        matches!(first.as_slice(), [10, 0, build] if *build >= 10_000).then_some(first)
    };
    match (build(one), build(other)) {
        (Some(one), Some(other)) => one == other,
        (None, None) => true,
        _ => false,
    }
}
