//! How Renovate reads a tag, and which ones it takes next, with its preset `config:recommended`.
//!
//! After `lib/modules/versioning/{docker,node,ubuntu,debian,redhat,regex}` and
//! `lib/config/presets/internal/workarounds.preset.ts` of <https://github.com/renovatebot/renovate> 44.121.2 (2026-11).

use super::number::Number;
use super::pattern::{Pattern, pattern};
use super::renovate_scheme::{RenovateVersion, Scheme, is_java};
use super::update::Update;

/// A tag in which Renovate sees a version.
///
/// ```
/// use mirror_tree::version::RenovateTag;
///
/// let tag = RenovateTag::of("postgres", "16.3-alpine3.20").ok_or("it has a version")?;
/// assert_eq!((tag.fixed(), tag.numbers()), ("-alpine3.20", 2));
/// let all = ["16.4-alpine3.20", "16.4-alpine3.21", "17.0-alpine3.20"];
/// let (minor, major) = tag.next(all, |_| true);
/// assert_eq!(minor.as_deref(), Some("16.4-alpine3.20"));
/// assert_eq!(major.as_deref(), Some("17.0-alpine3.20"));
/// assert!(RenovateTag::of("ghost", "version-4.0.9").is_none());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RenovateTag<'a> {
    tag: &'a str,
    scheme: Scheme,
    version: RenovateVersion,
    limit: Limit,
}

/// What presets allow for some images.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Limit {
    None,
    /// The releases of Java with long support.
    Java,
    /// Liberica's, with what stands in front.
    Liberica,
    /// No days among Alpine's releases.
    Alpine,
}

/// What is further away is taken for something else than a version: its option `maxMajorIncrement`.
const MOST_MAJORS: u64 = 500;

static JAVA: Pattern = pattern!(r"^(?:8|11|17|21|25)(?:\.|-|$)");
static LIBERICA: Pattern = pattern!(r"^(?:jdk|jdk-all|jre)-(?:8|11|17|21|25)(?:\.|-|$)");

impl<'a> RenovateTag<'a> {
    /// Reads a tag of an image, whose name decides how; the name as it is written in the FROM line. Nothing, when
    /// Renovate sees no version.
    pub fn of(name: &str, tag: &'a str) -> Option<RenovateTag<'a>> {
        let scheme = Scheme::of(name, tag);
        let version = scheme.read(tag, true)?;
        let limit = match scheme {
            _ if is_java(name) => Limit::Java,
            Scheme::Liberica(_) => Limit::Liberica,
            _ if matches!(name, "alpine" | "library/alpine") && !is_day(tag) => Limit::Alpine,
            _ => Limit::None,
        };
        Some(RenovateTag { tag, scheme, version, limit })
    }

    /// What it holds fixed behind the version.
    pub fn fixed(&self) -> &str {
        &self.version.fixed
    }

    /// What it can propose when the registry has it.
    pub fn updates(&self) -> Vec<Update> {
        let mut updates = match self.scheme {
            Scheme::Ubuntu | Scheme::Debian => vec![Update::Major],
            Scheme::Docker | Scheme::Node => Update::of(self.version.release.len()),
            _ => Update::of(3),
        };
        // A release without long support is left alone until the next one that has it.
        if !self.is_allowed(self.tag, &self.version) {
            updates.retain(|update| *update == Update::Major);
        }
        updates
    }

    /// How many numbers it reads; what is not final counts as one.
    pub fn numbers(&self) -> usize {
        self.version.release.len() + usize::from(!self.version.early.is_empty())
    }

    /// What it proposes, with the same first number and with a greater one, where a registry has these tags and `allowed`
    /// lets them through.
    pub fn next<'b>(
        &self,
        all: impl IntoIterator<Item = &'b str>,
        allowed: impl Fn(&str) -> bool,
    ) -> (Option<String>, Option<String>) {
        let all: Vec<(&str, RenovateVersion)> = all
            .into_iter()
            .filter_map(|other| Some((other, self.scheme.read(other, false)?)))
            .collect();
        let known = all.iter().any(|(_, version)| self.scheme.same(version, &self.version));
        let steady = known && self.version.stable;
        let mut found: Vec<(&str, RenovateVersion)> = all
            .into_iter()
            .filter(|(tag, version)| {
                self.scheme.is_newer(version, &self.version)
                    && self.is_allowed(tag, version)
                    && allowed(self.scheme.shown(tag))
                    && self.scheme.is_compatible(version, &self.version)
                    && (version.stable || !steady && self.is_same_release(version))
            })
            .collect();
        found.sort_by(|a, b| self.scheme.order(&a.1, &b.1));
        let last = |is_major: bool| {
            let mut of = found.iter().filter(|(_, version)| {
                (version.release.first() != self.version.release.first()) == is_major
            });
            let (tag, version) = of.next_back()?;
            let written = self.scheme.written(self.tag, &self.version, tag, version)?;
            (written != self.tag).then_some(written)
        };
        (last(false), last(true))
    }

    fn is_allowed(&self, tag: &str, version: &RenovateVersion) -> bool {
        let first = |version: &RenovateVersion| version.release.first().map_or(0, Number::value);
        if first(version) > first(&self.version).saturating_add(MOST_MAJORS) {
            return false;
        }
        match self.limit {
            Limit::None => true,
            Limit::Java => JAVA.is_match(tag),
            Limit::Liberica => LIBERICA.is_match(tag),
            Limit::Alpine => {
                version.release.first().is_some_and(|first| first.value() < 20_000_000)
            }
        }
    }

    /// A pre-release follows one of the same version alone.
    fn is_same_release(&self, other: &RenovateVersion) -> bool {
        let mine = &self.version.release;
        if self.scheme == Scheme::Node {
            return mine.first() == other.release.first();
        }
        (0..3).all(|at| mine.get(at) == other.release.get(at))
    }
}

fn is_day(tag: &str) -> bool {
    tag.len() == 8 && tag.bytes().all(|b| b.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_valid() {
        assert!(JAVA.get().is_some() && LIBERICA.get().is_some());
    }
}
