//! What a person reads in a tag.

use super::number::Number;
use super::pattern::{Pattern, pattern};
use super::words::{Topic, attached_stage, is_channel, topic};

/// A tag, taken apart as a person reads it: a version among words, stages, counters, distributions and commits.
///
/// ```
/// use mirror_tree::version::Reading;
///
/// let tag = Reading::of("v16.3-rc.1-alpine3.20");
/// assert_eq!(tag.numbers().iter().map(ToString::to_string).collect::<Vec<_>>(), ["16", "3"]);
/// assert!(!tag.is_final() && !tag.floats());
/// assert!(Reading::of("stable-alpine3.20").floats(), "the number is that of the distribution");
/// assert!(tag.has_version() && Reading::of("latest").floats());
/// assert!(Reading::of("sha-1a2b3c4").is_commit() && Reading::of("2024.5").is_dated());
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reading {
    pub(super) parts: Vec<Part>,
    version: Option<usize>,
}

/// One part of a tag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Part {
    /// Is the same in every successor.
    Fixed(String),
    /// The version itself.
    Version { form: Form, numbers: Vec<Number> },
    /// Not final.
    Stage { rank: u8, numbers: Vec<Number> },
    /// A distribution with its release, `alpine3.20`, `bookworm`.
    Distribution { name: String, numbers: Vec<Number> },
    /// Counts builds, `-r3`, `-1753677767`.
    Counter { name: String, numbers: Vec<Number> },
    /// A word with a number, of which nobody here knows what it counts.
    Other { name: String, numbers: Vec<Number> },
    /// A commit, which tells nothing.
    Commit,
}

/// How a version is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Bare,
    /// With a `v` in front.
    Letter,
    /// With a `V`.
    Capital,
    /// A day with dashes.
    Day,
}

impl Form {
    pub(super) fn name(self) -> &'static str {
        match self {
            Form::Bare => "",
            Form::Letter => "v",
            Form::Capital => "V",
            Form::Day => "day",
        }
    }
}

impl Reading {
    /// Takes a tag apart. Every text can be.
    pub fn of(tag: &str) -> Reading {
        let mut reader = Reader::default();
        match DATE.get().and_then(|date| date.captures(tag)) {
            Some(found) => {
                let whole = found.get(1).map_or(0..0, |whole| whole.range());
                let numbers = (2..8).filter_map(|at| found.get(at));
                let numbers = numbers.map(|number| Number::of(number.as_str())).collect();
                reader.pieces(tag.get(..whole.start).unwrap_or_default());
                reader.date(numbers);
                reader.pieces(tag.get(whole.end..).unwrap_or_default());
            }
            None => reader.pieces(tag),
        }
        reader.end()
    }

    /// The numbers of the version, most significant first; none, if there is no version in the tag.
    pub fn numbers(&self) -> &[Number] {
        match self.version.and_then(|at| self.parts.get(at)) {
            Some(Part::Version { numbers, .. }) => numbers,
            _ => &[],
        }
    }

    /// Whether numbers or a commit stand beside the version: those of a distribution, a stage, a build, anything.
    pub(crate) fn has_more(&self) -> bool {
        self.parts.iter().any(|part| match part {
            Part::Commit => true,
            Part::Fixed(_) | Part::Version { .. } => false,
            Part::Stage { .. } => true,
            Part::Distribution { numbers, .. }
            | Part::Counter { numbers, .. }
            | Part::Other { numbers, .. } => !numbers.is_empty(),
        })
    }

    /// The numbers that count builds and stages of the version, in the order of the tag; a stage's rank comes first.
    ///
    /// ```
    /// use mirror_tree::version::Reading;
    ///
    /// let builds = Reading::of("16.3.0-r12").builds();
    /// assert_eq!(builds.iter().map(ToString::to_string).collect::<Vec<_>>(), ["12"]);
    /// ```
    pub fn builds(&self) -> Vec<Number> {
        let of = |part: &Part| match part {
            Part::Counter { numbers, .. } => numbers.clone(),
            Part::Stage { rank, numbers } => {
                [vec![Number::of(&rank.to_string())], numbers.clone()].concat()
            }
            _ => Vec::new(),
        };
        self.parts.iter().flat_map(of).collect()
    }

    /// Whether there is a version in it.
    pub fn has_version(&self) -> bool {
        self.version.is_some()
    }

    /// Whether it names neither a version nor a commit: what it means changes without a new tag.
    pub fn floats(&self) -> bool {
        !self.has_version() && !self.is_commit()
    }

    /// Whether the version is not a pre-release.
    pub fn is_final(&self) -> bool {
        !self.parts.iter().any(|part| matches!(part, Part::Stage { .. }))
    }

    /// Whether a commit is all that it names.
    pub fn is_commit(&self) -> bool {
        self.version.is_none() && self.parts.contains(&Part::Commit)
    }

    /// Whether the first number is a year or a date, so that it says nothing of what breaks.
    pub fn is_dated(&self) -> bool {
        self.numbers().first().is_some_and(is_dated)
    }

    /// Whether a part beside the version is in no other tag of the same kind: a commit, or a time.
    pub(crate) fn is_unique(&self) -> bool {
        self.parts.iter().any(|part| match part {
            Part::Commit => true,
            Part::Counter { numbers, .. } => numbers.iter().any(is_dated),
            _ => false,
        })
    }

    /// Whether any number in it is a year or a date.
    pub(crate) fn names_a_day(&self) -> bool {
        self.parts.iter().any(|part| match part {
            Part::Version { numbers, .. }
            | Part::Counter { numbers, .. }
            | Part::Other { numbers, .. } => numbers.iter().any(is_dated),
            _ => false,
        })
    }

    /// What stands in front of the version, part by part.
    pub(super) fn prefix(&self) -> &[Part] {
        self.version.and_then(|at| self.parts.get(..at)).unwrap_or_default()
    }

    /// Whether a part beside the version goes out of use by itself: a release of a distribution, a stage, a commit, or a
    /// counter that starts again with the next version.
    pub(crate) fn wears_out(&self) -> bool {
        self.parts.iter().any(|part| match part {
            Part::Distribution { name, numbers } => !numbers.is_empty() && !name.ends_with(RELEASE),
            // `r0` and `k3s1` are how most versions begin.
            Part::Counter { name, numbers } => {
                let least = u64::from(!matches!(name.as_str(), "r" | "p"));
                numbers.iter().any(|number| number.value() > least)
            }
            Part::Stage { .. } | Part::Commit => true,
            Part::Fixed(_) | Part::Version { .. } | Part::Other { .. } => false,
        })
    }
}

/// How the names of releases by their codenames end: those last for years.
const RELEASE: &str = " release";

/// A year, or a day with its year in front, or a time in seconds.
pub(super) fn is_dated(number: &Number) -> bool {
    match number.digits() {
        4 => (1990..2100).contains(&number.value()),
        6 => (199_000..210_000).contains(&number.value()),
        8 => (19_900_000..21_000_000).contains(&number.value()),
        10..=17 => true,
        _ => false,
    }
}

/// A day, and maybe a time: `2022-03-26T06-49-28Z`.
static DATE: Pattern = pattern!(
    r"(?:^|[^0-9])(((?:19|20)[0-9]{2})[-_]([01][0-9])[-_]([0-3][0-9])(?:T([0-9]{2})[-:_]?([0-9]{2})[-:_]?([0-9]{2})Z?)?)(?:$|[^0-9])"
);
static NUMBER: Pattern = pattern!(r"^([vV]?)([0-9]+(?:\.[0-9]+)*)(.*)$");
static WORD: Pattern = pattern!(r"^(.*?[A-Za-z])\.?([0-9]+(?:\.[0-9]+)*)?$");
static TAIL: Pattern = pattern!(r"^\.?([A-Za-z]+)\.?([0-9]+(?:\.[0-9]+)*)?(.*)$");
static TIME: Pattern = pattern!(r"^T([0-9]{4,6})Z?$");
static HALF_YEAR: Pattern = pattern!(r"^[0-9]{2}[hH][12]$");
static COMMIT: Pattern = pattern!(r"^g?[0-9a-f]{7,64}$");

/// A commit: hexadecimal digits with a letter among them.
pub(super) fn is_commit(piece: &str) -> bool {
    let bare = piece.strip_prefix('g').unwrap_or(piece);
    let mixed = bare.contains(|c: char| c.is_ascii_digit())
        && bare.contains(|c: char| c.is_ascii_alphabetic());
    let letters = piece.starts_with('g') && !bare.is_empty();
    COMMIT.is_match(piece) && (mixed || letters)
}

/// As many digits as a short commit has, and no more than a whole one.
fn may_be_commit(piece: &str) -> bool {
    (7..=40).contains(&piece.len()) && piece.bytes().all(|byte| byte.is_ascii_digit())
}

/// Who takes the number of the next piece, if that is one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Owner {
    at: usize,
    topic: Topic,
}

#[derive(Default)]
struct Reader {
    parts: Vec<Part>,
    version: Option<usize>,
    owner: Option<Owner>,
    /// The word in front of what was taken for the version, which may be its own number.
    doubt: Option<Owner>,
    /// The last piece was a word such as `sha`.
    announced: bool,
}

impl Reader {
    fn pieces(&mut self, text: &str) {
        let whole = text.replace("x86_64", "x86\u{0}64");
        for piece in whole.split(['-', '_', '+']) {
            let piece = piece.replace('\u{0}', "_");
            let piece = piece.trim_matches('.');
            if !piece.is_empty() {
                self.piece(piece);
            }
        }
    }

    fn piece(&mut self, text: &str) {
        let lower = text.to_ascii_lowercase();
        let hex = self.announced && text.len() >= 6 && text.bytes().all(|b| b.is_ascii_hexdigit());
        self.announced = false;
        if hex || is_commit(text) {
            self.owner = None;
            self.parts.push(Part::Commit);
        } else if topic(&lower) == Some(Topic::Machine) || HALF_YEAR.is_match(text) {
            self.owner = None;
            self.parts.push(Part::Fixed(text.to_owned()));
        } else if NUMBER.is_match(text) {
            self.number(text);
        } else {
            self.owner = None;
            self.word(text);
        }
    }

    fn number(&mut self, text: &str) {
        let Some(found) = NUMBER.get().and_then(|pattern| pattern.captures(text)) else { return };
        let part = |at: usize| found.get(at).map_or("", |part| part.as_str());
        let (numbers, tail) = (Number::list(part(2)), part(3));
        let form = match part(1) {
            "v" => Form::Letter,
            "V" => Form::Capital,
            _ => Form::Bare,
        };
        let owner = self.owner.take();
        match owner {
            Some(owner) if self.takes(owner) => self.give(owner, text, &numbers),
            _ if self.version.is_none() => {
                self.doubt = owner;
                self.version = Some(self.parts.len());
                self.parts.push(Part::Version { form, numbers });
            }
            _ if form != Form::Bare && numbers.len() > 1 && self.doubt.is_some() => {
                self.give_back();
                self.version = Some(self.parts.len());
                self.parts.push(Part::Version { form, numbers });
            }
            // Some commits have digits alone.
            _ if may_be_commit(text) && !numbers.iter().any(is_dated) => {
                self.parts.push(Part::Commit);
            }
            _ => {
                let name = match numbers.first() {
                    Some(first) if is_dated(first) => "date".to_owned(),
                    _ => String::new(),
                };
                self.parts.push(Part::Counter { name, numbers });
            }
        }
        self.tail(tail);
    }

    /// Whether the number behind a word belongs to it. In front of the version only Windows has such words.
    fn takes(&self, owner: Owner) -> bool {
        owner.topic == Topic::Windows || self.version.is_some()
    }

    fn give(&mut self, owner: Owner, text: &str, more: &[Number]) {
        match self.parts.get_mut(owner.at) {
            Some(Part::Fixed(fixed)) => *fixed = format!("{fixed}-{text}"),
            Some(Part::Distribution { numbers, .. } | Part::Stage { numbers, .. }) => {
                numbers.extend_from_slice(more);
            }
            _ => {}
        }
    }

    /// What was taken for the version was that of the word in front of it: `pg-16-v0.7.4`.
    fn give_back(&mut self) {
        let (Some(owner), Some(at)) = (self.doubt.take(), self.version.take()) else { return };
        if at < self.parts.len()
            && let Part::Version { numbers, .. } = self.parts.remove(at)
        {
            let text: Vec<String> = numbers.iter().map(ToString::to_string).collect();
            self.give(owner, &text.join("."), &numbers);
        }
    }

    fn date(&mut self, numbers: Vec<Number>) {
        self.owner = None;
        if self.version.is_none() {
            self.version = Some(self.parts.len());
            self.parts.push(Part::Version { form: Form::Day, numbers });
        } else {
            self.parts.push(Part::Counter { name: "date".to_owned(), numbers });
        }
    }

    /// Letters right behind a number.
    fn tail(&mut self, text: &str) {
        if let Some(time) = TIME.get().and_then(|pattern| pattern.captures(text)) {
            if let Some(Part::Version { numbers, .. } | Part::Counter { numbers, .. }) =
                self.parts.last_mut()
            {
                numbers.extend(time.get(1).map(|time| Number::of(time.as_str())));
            }
            return;
        }
        let bare = text.trim_start_matches('.');
        if bare.is_empty() {
            return;
        }
        if is_commit(bare) {
            self.parts.push(Part::Commit);
            return;
        }
        let Some(found) = TAIL.get().and_then(|pattern| pattern.captures(text)) else {
            self.parts.push(Part::Fixed(bare.to_owned()));
            return;
        };
        let part = |at: usize| found.get(at).map_or("", |part| part.as_str());
        let (name, numbers) = (part(1).to_owned(), Number::list(part(2)));
        let word = name.to_ascii_lowercase();
        let rank = attached_stage(&word).filter(|_| word.len() > 1 || !numbers.is_empty());
        self.parts.push(match (rank, topic(&word)) {
            (Some(rank), _) => Part::Stage { rank, numbers },
            (None, Some(Topic::Counter)) if !numbers.is_empty() => Part::Counter { name, numbers },
            (None, _) if numbers.is_empty() => Part::Fixed(name),
            (None, _) => Part::Other { name, numbers },
        });
        self.tail(part(3));
    }

    fn word(&mut self, text: &str) {
        if let Some((word, commit)) = text.rsplit_once('.')
            && is_commit(commit)
        {
            self.word(word);
            self.parts.push(Part::Commit);
            return;
        }
        let found = WORD.get().and_then(|pattern| pattern.captures(text));
        let part = |at: usize| {
            found.as_ref().and_then(|found| found.get(at)).map_or("", |part| part.as_str())
        };
        let (name, numbers) = (part(1).to_owned(), Number::list(part(2)));
        let word = &*name.to_ascii_lowercase();
        let fixed = Part::Fixed(text.to_owned());
        let (bare, at) = (numbers.is_empty(), self.parts.len());
        let topic = topic(word);
        self.parts.push(match topic {
            Some(Topic::Codename(place)) => {
                let who = if place < 1000 { "debian" } else { "ubuntu" };
                let place = Number::of(&place.to_string());
                Part::Distribution {
                    name: format!("{who}{RELEASE}"),
                    numbers: [vec![place], numbers].concat(),
                }
            }
            Some(Topic::Distribution) => Part::Distribution { name, numbers },
            Some(Topic::Stage(_)) if self.version.is_none() || bare && is_channel(word) => fixed,
            Some(Topic::Stage(rank)) => Part::Stage { rank, numbers },
            Some(Topic::Machine | Topic::Windows | Topic::Runtime | Topic::Commit) => fixed,
            _ if bare => fixed,
            Some(Topic::Counter) => Part::Counter { name, numbers },
            None => Part::Other { name, numbers },
        });
        self.announced = topic == Some(Topic::Commit);
        let owns = matches!(
            topic,
            Some(Topic::Windows | Topic::Distribution | Topic::Runtime | Topic::Stage(_))
        );
        self.owner = topic.filter(|_| owns && bare).map(|topic| Owner { at, topic });
    }

    /// A tag without any other number has its version in the first word with one: `b4567`, `RELEASE.2024`.
    fn end(mut self) -> Reading {
        let counts = |part: &Part| matches!(part, Part::Counter { .. } | Part::Other { .. });
        if self.version.is_none()
            && let Some(at) = self.parts.iter().position(counts)
            && let Some(Part::Counter { name, numbers } | Part::Other { name, numbers }) =
                self.parts.get(at).cloned()
        {
            let version = Part::Version { form: Form::Bare, numbers };
            self.parts.splice(at..=at, [Part::Fixed(name), version]);
            self.version = Some(at + 1);
        }
        Reading { parts: self.parts, version: self.version }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_valid() {
        for pattern in [&DATE, &NUMBER, &WORD, &TAIL, &TIME, &HALF_YEAR, &COMMIT] {
            assert!(pattern.get().is_some());
        }
    }
}
