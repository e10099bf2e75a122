//! Tags that go stale because no bot updates them.

use crate::rules::{Bot, Bots};
use crate::version::{DependabotTag, Reading, RenovateTag};

/// Why no bot keeps a tag up to date.
///
/// ```
/// use mirror_tree::{Bots, untracked};
///
/// let why = untracked("postgres", "16.3-alpine3.20", Bots::default()).ok_or("a second version")?;
/// assert!(why.message("16.3-alpine3.20").starts_with("no bot changes `-alpine3.20` in"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Untracked {
    /// None of these bots sees a version in it.
    Unread(Bots),
    /// It names a commit, and nobody can tell which is newer.
    Commit,
    /// A part of it that goes out of use upstream is held fixed.
    Fixed(Bots, String),
}

impl Untracked {
    /// In words, for the tag it was found for.
    pub fn message(&self, tag: &str) -> String {
        match self {
            Untracked::Unread(bots) => match bots.only() {
                Some(bot) => format!("{bot} does not update `{tag}`: it finds no version in it"),
                None => format!("no bot updates `{tag}`: neither of them finds a version in it"),
            },
            Untracked::Commit => {
                format!("no bot updates `{tag}`: it names a commit, and none is newer than another")
            }
            Untracked::Fixed(bots, part) => {
                let who = bots
                    .only()
                    .map_or("no bot changes".to_owned(), |bot| format!("{bot} does not change"));
                if is_unique(part) {
                    return format!("{who} `{part}` in `{tag}`, which no other tag has");
                }
                format!(
                    "{who} `{part}` in `{tag}`: the tag goes stale when upstream switches to another one"
                )
            }
        }
    }
}

/// Why none of the bots in use keeps a tag up to date, if none does. The name is the one in the FROM line, by which
/// Renovate decides how to read the tag. A tag without a version floats, and is not looked at.
///
/// ```
/// use mirror_tree::{Bot, Bots, Untracked, untracked};
///
/// assert_eq!(untracked("postgres", "14.2", Bots::default()), None);
/// assert_eq!(untracked("golang", "alpine3.20", Bots::default()), None, "it floats");
/// let renovate = Bots::from(Bot::Renovate);
/// assert_eq!(untracked("ghost", "version-4.0.9", renovate), Some(Untracked::Unread(renovate)));
/// assert_eq!(untracked("ghost", "version-4.0.9", Bots::default()), None, "Dependabot updates it");
/// ```
pub fn untracked(name: &str, tag: &str, bots: Bots) -> Option<Untracked> {
    let reading = Reading::of(tag);
    if reading.is_commit() {
        return Some(Untracked::Commit);
    }
    if reading.floats() {
        return None;
    }
    let seen: Vec<Option<String>> = bots.in_use().map(|bot| fixed_part(bot, name, tag)).collect();
    let fixed: Vec<String> = seen.into_iter().flatten().collect();
    if fixed.iter().any(String::is_empty) {
        return None;
    }
    // What the bot that gets further holds fixed.
    match fixed.into_iter().min_by_key(String::len) {
        Some(part) => Some(Untracked::Fixed(bots, part)),
        None => Some(Untracked::Unread(bots)),
    }
}

/// The part that a bot holds fixed and that goes out of use, empty if there is none; nothing, if it sees no version.
///
/// ```
/// use mirror_tree::{Bot, fixed_part};
///
/// assert_eq!(fixed_part(Bot::Renovate, "postgres", "16.3-alpine").as_deref(), Some(""));
/// assert_eq!(fixed_part(Bot::Renovate, "postgres", "16.3-alpine3.20").as_deref(), Some("-alpine3.20"));
/// assert_eq!(fixed_part(Bot::Renovate, "minio/minio", "RELEASE.2022-03-26T06-49-28Z"), None);
/// assert_eq!(fixed_part(Bot::Dependabot, "a/b", "v4.9.0-20250709").as_deref(), Some("v4.9.0-"));
/// ```
pub fn fixed_part(bot: Bot, name: &str, tag: &str) -> Option<String> {
    let (prefix, suffix) = match bot {
        Bot::Dependabot => DependabotTag::of(tag)?.fixed(),
        Bot::Renovate => {
            let tag = RenovateTag::of(name, tag)?;
            return Some(worn(tag.fixed()));
        }
    };
    Some(if goes_out_of_use(prefix, tag) { prefix.to_owned() } else { worn(suffix) })
}

/// Whether what stands in front of Dependabot's version names a day, a commit, or the version itself: `v4.9.0-20250709`.
fn goes_out_of_use(prefix: &str, tag: &str) -> bool {
    let (before, whole) = (Reading::of(prefix), Reading::of(tag));
    let is_version = before.has_version() && before.numbers() == whole.numbers();
    before.names_a_day() || before.is_commit() || is_version
}

/// Whether what a bot holds fixed is in no other tag of its registry, so that it proposes nothing.
///
/// ```
/// use mirror_tree::is_unique;
///
/// assert!(is_unique("-1753677767-266d5a01") && !is_unique("-alpine3.20"));
/// ```
pub fn is_unique(part: &str) -> bool {
    Reading::of(&format!("1{part}")).is_unique()
}

/// A suffix, if something in it goes out of use.
fn worn(suffix: &str) -> String {
    // With a version in front, so that no number in it is taken for one.
    if Reading::of(&format!("1{suffix}")).wears_out() { suffix.to_owned() } else { String::new() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn per_bot() {
        let fixed = |bots: Bots, part: &str| Some(Untracked::Fixed(bots, part.to_owned()));
        let (both, dependabot, renovate) =
            (Bots::default(), Bots::from(Bot::Dependabot), Bots::from(Bot::Renovate));
        for (name, tag, bots, expected) in [
            ("postgres", "14.2", both, None),
            ("postgres", "16.3-alpine", renovate, None),
            ("app", "v0.19.2-amd64", both, None),
            ("gitlab/gitlab-ce", "16.1.0-ce.0", both, None),
            ("rancher/k3s", "v1.29.0-k3s1", both, None),
            ("jenkins/jenkins", "2.361.4-lts-jdk17", both, None),
            ("wordpress", "6.5-php8.2-apache", both, None),
            ("app", "1.0-3-gabcdef1", dependabot, None),
            ("bitnami/postgresql", "16.3.0-debian-12-r3", renovate, None),
            ("golang", "alpine3.20", both, None),
            ("servercore", "ltsc2022", both, None),
            ("ubuntu", "jammy", both, None),
            ("app", "latest", both, None),
            // Held fixed with a version of its own.
            ("postgres", "16.3-alpine3.20", both, fixed(both, "-alpine3.20")),
            ("app", "1.0.0-rc.1", renovate, fixed(renovate, "-rc.1")),
            ("bitnami/postgresql", "16.3.0-debian-12-r3", dependabot, fixed(dependabot, "-r3")),
            ("socat", "1.7.4.3-r0", both, None),
            ("app", "1.4.0-r1", both, fixed(both, "-r1")),
            ("app", "4.0.9.2244-ls252", both, fixed(both, "-ls252")),
            ("app", "RELEASE.2022-08-02", dependabot, fixed(dependabot, "RELEASE.2022-08-")),
            // One sees a version, the other does not.
            ("debian", "bookworm-20240530-slim", dependabot, None),
            ("debian", "bookworm-20240530-slim", renovate, Some(Untracked::Unread(renovate))),
            ("app", "24.8.11.51285.altinitystable", renovate, Some(Untracked::Unread(renovate))),
            ("app", "release-1.2.3", both, None),
            ("app", "V.2.2.0", both, Some(Untracked::Unread(both))),
            ("minio/minio", "RELEASE.2022-08-02T23-59-16Z", both, Some(Untracked::Unread(both))),
            ("app", "sha-1a2b3c4", both, Some(Untracked::Commit)),
            ("app", "0a1b2c3d4e5f60718293a4b5c6d7e8f901234567", both, Some(Untracked::Commit)),
        ] {
            assert_eq!(untracked(name, tag, bots), expected, "{tag}");
        }
    }
}
