//! Renovate's schemes of versions, and which image has which.

use std::cmp::Ordering;

use regex_lite::Captures;

use super::number::Number;
use super::pattern::{Pattern, pattern};
use super::words::{codename, codename_of};

/// How the tags of an image are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scheme {
    Docker,
    Node,
    Ubuntu,
    Debian,
    RedHat,
    Bitnami,
    ClamAv,
    Grafana,
    Java,
    /// What stands in front.
    Liberica(&'static str),
}

/// A version as one of Renovate's schemes sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RenovateVersion {
    pub(super) release: Vec<Number>,
    pub(super) early: String,
    /// What must be the same.
    pub(super) fixed: String,
    pub(super) stable: bool,
}

static DOCKER: Pattern = pattern!(r"^v?([0-9]+(?:\.[0-9]+)*)([A-Za-z0-9_]*)(?:-(.*))?$");
static COMMIT: Pattern = pattern!(r"^[a-f0-9]{7,40}$");
static NODE: Pattern = pattern!(r"^v?([0-9]+(?:\.[0-9]+){0,2})(-.*)?$");
static UBUNTU: Pattern = pattern!(r"^(0[4-5]|[6-9]|[1-9][0-9])\.([0-9][0-9])(?:\.([0-9]{1,2}))?$");
static DAY: Pattern = pattern!(r"^[0-9]{8}(?:\.[0-9]{1,2})?$");
static RED_HAT: Pattern = pattern!(
    r"^v?(?P<a>[0-9]+)(?:\.(?P<b>[0-9]+))?(?:\.(?P<c>[0-9]+))?(?:\.GA)?(?:-(?P<d>[0-9]+)(?:\.(?P<e>[0-9]+))?)?$"
);
static BITNAMI_TAG: Pattern =
    pattern!(r"^[0-9]+(?:\.[0-9]+(?:\.[0-9]+)?)?-.+-[0-9]+(?:-r[0-9]+)?$");
static BITNAMI: Pattern = pattern!(
    r"^(?P<a>[0-9]+)(?:\.(?P<b>[0-9]+)(?:\.(?P<c>[0-9]+))?)?(?::?-(?P<fixed>.+)-(?P<d>[0-9]+)(?:-r(?P<e>[0-9]+))?)?$"
);
static CLAM_AV: Pattern = pattern!(
    r"^(?P<a>[0-9]+)\.(?P<b>[0-9]+)(?:\.(?P<c>[0-9]+))?(?:-(?P<d>[0-9]+))?(?:_(?P<fixed>.+))?$"
);
static GRAFANA: Pattern = pattern!(
    r"^(?P<a>[0-9]+)\.(?P<b>[0-9]+)\.(?P<c>[0-9]+)(?:-security-(?P<d>[0-9]+))?(?:-(?P<fixed>.*))?$"
);
static JAVA: Pattern = pattern!(
    r"^(?P<a>[0-9]+)?(?:\.(?P<b>[0-9]+))?(?:\.(?P<c>[0-9]+))?(?:[._+](?P<d>(?:[0-9]\.?)+)(?:LTS)?)?(?:-(?P<fixed>.*))?$"
);
static ROLLING: Pattern = pattern!(r"^[0-9]+(?:-|$)");

/// Images of Java, whose presets go for the releases with long support.
pub(super) fn is_java(name: &str) -> bool {
    let bare = name.strip_prefix("library/").unwrap_or(name);
    let known = [
        "eclipse-temurin",
        "amazoncorretto",
        "adoptopenjdk",
        "openjdk",
        "java",
        "java-jdk",
        "java-jre",
        "sapmachine",
    ];
    let starts = [
        "azul/zulu-openjdk",
        "bellsoft/liberica-openjdk-",
        "bellsoft/liberica-openjre-",
        "cimg/openjdk",
    ];
    known.contains(&bare) || starts.iter().any(|start| name.starts_with(start))
}

fn is_node(name: &str) -> bool {
    let others = [
        "calico/node",
        "docker.io/calico/node",
        "ghcr.io/devcontainers/features/node",
        "kindest/node",
        "docker.io/kindest/node",
    ];
    (name == "node" || name.ends_with("/node")) && !others.contains(&name)
}

fn is_red_hat(name: &str) -> bool {
    let Some(rest) = name.strip_prefix("registry.access.redhat.com/") else {
        return name.starts_with("redhat/");
    };
    let exact = ["rhel", "rhel-atomic", "rhel-init", "rhel-minimal"];
    let below = ["rhceph/", "rhgs3/", "rhel7", "rhel8/", "rhel9/", "rhscl/", "ubi"];
    exact.contains(&rest) || below.iter().any(|start| rest.starts_with(start))
}

impl Scheme {
    /// That of an image, by its name as written and a tag of it.
    pub(super) fn of(name: &str, tag: &str) -> Scheme {
        let starts = |starts: &[&str]| starts.iter().any(|start| name.starts_with(start));
        let is = |names: &[&str]| names.contains(&name);
        let bare = name.strip_prefix("library/").unwrap_or(name);
        let ends = |end: &str| bare == end || bare.ends_with(&format!("/{end}"));
        if is(&[
            "bellsoft/liberica-runtime-container",
            "bellsoft/hardened-liberica-runtime-container",
        ]) {
            let fronts = ["jdk-all-", "jdk-", "jre-"];
            let front = fronts.iter().find(|front| tag.starts_with(**front));
            // The preset asks for three characters behind `jdk-`.
            let front = front.filter(|front| **front != "jdk-" || tag.len() > 6);
            return front.map_or(Scheme::Docker, |front| Scheme::Liberica(front));
        }
        if is(&[
            "grafana/grafana",
            "docker.io/grafana/grafana",
            "grafana/grafana-enterprise",
            "docker.io/grafana/grafana-enterprise",
        ]) {
            return Scheme::Grafana;
        }
        if is(&["clamav/clamav", "clamav/clamav-debian"]) {
            return Scheme::ClamAv;
        }
        let bitnami = starts(&["bitnami/", "docker.io/bitnami/", "gcr.io/bitnami-containers/"]);
        if bitnami && BITNAMI_TAG.is_match(tag) {
            return Scheme::Bitnami;
        }
        if is_java(name) {
            return if ROLLING.is_match(tag) { Scheme::Docker } else { Scheme::Java };
        }
        if is_red_hat(name) {
            return Scheme::RedHat;
        }
        if is_node(name) {
            return Scheme::Node;
        }
        if ends("ubuntu") {
            return Scheme::Ubuntu;
        }
        if ends("debian") && Scheme::Debian.read(tag, true).is_some() {
            return Scheme::Debian;
        }
        Scheme::Docker
    }

    /// What it makes of a tag. The one that is in the tree may say less than a whole version.
    pub(super) fn read(self, tag: &str, is_current: bool) -> Option<RenovateVersion> {
        let plain = |release: Vec<Number>, stable: bool| RenovateVersion {
            release,
            early: String::new(),
            fixed: String::new(),
            stable,
        };
        match self {
            Scheme::Docker => docker(tag),
            Scheme::Node => {
                let found = NODE.get()?.captures(tag)?;
                let release = Number::list(found.get(1)?.as_str());
                if !is_current && release.len() < 3 {
                    return None;
                }
                let even = release.first().is_some_and(|first| first.value() % 2 == 0);
                let fixed = found.get(2).map_or("", |fixed| fixed.as_str()).to_owned();
                Some(RenovateVersion { fixed, ..plain(release, even) })
            }
            Scheme::Ubuntu => ubuntu(tag),
            Scheme::Debian => debian(tag),
            Scheme::RedHat => by_groups(RED_HAT.get()?.captures(tag)?, 5),
            Scheme::Bitnami => by_groups(BITNAMI.get()?.captures(tag)?, 3),
            Scheme::ClamAv => by_groups(CLAM_AV.get()?.captures(tag)?, 3),
            Scheme::Grafana => by_groups(GRAFANA.get()?.captures(tag)?, 3),
            Scheme::Java => by_groups(JAVA.get()?.captures(tag)?, 3),
            Scheme::Liberica(front) => {
                by_groups(JAVA.get()?.captures(tag.strip_prefix(front)?)?, 3)
            }
        }
    }

    /// What it writes for a newer version, in the manner of the tag that is there.
    pub(super) fn written(
        self,
        current: &str,
        from: &RenovateVersion,
        tag: &str,
        to: &RenovateVersion,
    ) -> Option<String> {
        let numbers = |count: usize| {
            let numbers: Vec<String> =
                to.release.iter().take(count).map(ToString::to_string).collect();
            numbers.join(".")
        };
        match self {
            Scheme::Node if from.release.len() < 3 => {
                Some(format!("{}{}", numbers(from.release.len()), from.fixed))
            }
            Scheme::Ubuntu => {
                let (year, month) = (to.release.first()?.value(), to.release.get(1)?.value());
                let place = u16::try_from(year * 100 + month).ok()?;
                if codename(current).is_some() {
                    return codename_of(place).map(str::to_owned);
                }
                Some(if to.early.is_empty() {
                    format!("{year}.{month:02}")
                } else {
                    tag.to_owned()
                })
            }
            Scheme::Debian => {
                let place = to.release.first()?.value();
                // Of one with a day it makes the number, and refuses that as a step back.
                let is_back = !from.early.is_empty() && to.release == from.release;
                if codename(current).is_some() {
                    return codename_of(u16::try_from(place).ok()?).map(str::to_owned);
                }
                (!is_back).then(|| place.to_string())
            }
            _ => Some(tag.to_owned()),
        }
    }

    /// What `allowedVersions` is asked about.
    pub(super) fn shown(self, tag: &str) -> &str {
        match self {
            Scheme::Node => tag.split('-').next().unwrap_or(tag),
            _ => tag,
        }
    }

    pub(super) fn is_compatible(self, one: &RenovateVersion, current: &RenovateVersion) -> bool {
        match self {
            Scheme::Docker => {
                one.fixed == current.fixed && one.release.len() == current.release.len()
            }
            _ => one.fixed == current.fixed,
        }
    }

    pub(super) fn is_newer(self, one: &RenovateVersion, current: &RenovateVersion) -> bool {
        if self == Scheme::Node && current.release.len() < 3 {
            // A range, which everything within satisfies.
            let numbers = one.release.get(..current.release.len());
            return numbers > Some(current.release.as_slice());
        }
        self.order(one, current) == Ordering::Greater
    }

    /// Whether two are one version.
    pub(super) fn same(self, one: &RenovateVersion, other: &RenovateVersion) -> bool {
        self.order(one, other) == Ordering::Equal && one.fixed == other.fixed
    }

    pub(super) fn order(self, one: &RenovateVersion, other: &RenovateVersion) -> Ordering {
        let zero = Number::of("0");
        for at in 0..one.release.len().max(other.release.len()) {
            let order = match (one.release.get(at), other.release.get(at)) {
                // Shorter is newer here alone: 2.1 moves, and is beyond 2.1.1.
                (None, Some(_)) if self == Scheme::Docker => Ordering::Greater,
                (Some(_), None) if self == Scheme::Docker => Ordering::Less,
                (one, other) => {
                    let (one, other) = (one.unwrap_or(&zero), other.unwrap_or(&zero));
                    one.rounded().total_cmp(&other.rounded())
                }
            };
            if order != Ordering::Equal {
                return order;
            }
        }
        match (one.early.is_empty(), other.early.is_empty()) {
            // A day, not a pre-release.
            _ if matches!(self, Scheme::Ubuntu | Scheme::Debian) => one.early.cmp(&other.early),
            (true, false) => Ordering::Greater,
            (false, true) => Ordering::Less,
            _ => one.early.cmp(&other.early),
        }
    }
}

/// `24.04`, `noble`, `noble-20240605`. Those with a day are never stable.
fn ubuntu(tag: &str) -> Option<RenovateVersion> {
    let (release, day) = by_day(tag);
    let release = match codename(release).filter(|place| *place > 1000) {
        Some(place) => {
            [place / 100, place % 100].map(|part| Number::of(&part.to_string())).to_vec()
        }
        None if day.is_empty() => {
            let found = UBUNTU.get()?.captures(tag)?;
            (1..4).filter_map(|at| Some(Number::of(found.get(at)?.as_str()))).collect()
        }
        None => return None,
    };
    let even = release.first().is_some_and(|year| year.value() % 2 == 0);
    let april = release.get(1).is_some_and(|month| month.value() == 4);
    let stable = even && april && day.is_empty();
    Some(RenovateVersion { release, early: day.to_owned(), fixed: String::new(), stable })
}

/// `12`, `bookworm`, `bookworm-20240612`.
fn debian(tag: &str) -> Option<RenovateVersion> {
    let (release, day) = by_day(tag);
    let number = release.parse::<u16>().ok().filter(|number| (1..=15).contains(number));
    let number = number.filter(|_| day.is_empty());
    let place = number.or_else(|| codename(release).filter(|place| *place < 1000))?;
    Some(RenovateVersion {
        release: vec![Number::of(&place.to_string())],
        early: day.to_owned(),
        fixed: String::new(),
        stable: place <= NEWEST_DEBIAN,
    })
}

/// Released in August 2025.
const NEWEST_DEBIAN: u16 = 13;

/// A release, and a day behind it.
fn by_day(tag: &str) -> (&str, &str) {
    match tag.split_once('-') {
        Some((release, day)) if DAY.is_match(day) => (release, day),
        _ => (tag, ""),
    }
}

fn docker(tag: &str) -> Option<RenovateVersion> {
    let digits = tag.bytes().all(|b| b.is_ascii_digit());
    if COMMIT.is_match(tag) && !digits {
        return None;
    }
    let found = DOCKER.get()?.captures(tag)?;
    let part = |at: usize| found.get(at).map_or("", |part| part.as_str());
    let fixed = part(3);
    Some(RenovateVersion {
        release: Number::list(part(1)),
        early: part(2).to_owned(),
        fixed: if fixed.is_empty() { String::new() } else { format!("-{fixed}") },
        stable: part(2).is_empty(),
    })
}

/// Numbers by the names of groups; the first `least` are there in any case.
fn by_groups(found: Captures<'_>, least: usize) -> Option<RenovateVersion> {
    let mut release = Vec::new();
    for (at, group) in ["a", "b", "c", "d", "e"].into_iter().enumerate() {
        match found.name(group) {
            // Of "9.0" its first number, as JavaScript's parseInt takes it.
            Some(number) => {
                release.push(Number::of(number.as_str().split('.').next().unwrap_or_default()));
            }
            None if at < least => release.push(Number::of("0")),
            None => break,
        }
    }
    let fixed = found.name("fixed").map_or("", |fixed| fixed.as_str());
    let fixed = if fixed.is_empty() { String::new() } else { format!("-{fixed}") };
    Some(RenovateVersion { release, early: String::new(), fixed, stable: true })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_valid() {
        for pattern in [
            &DOCKER,
            &COMMIT,
            &NODE,
            &UBUNTU,
            &RED_HAT,
            &BITNAMI_TAG,
            &BITNAMI,
            &CLAM_AV,
            &GRAFANA,
            &JAVA,
            &ROLLING,
        ] {
            assert!(pattern.get().is_some());
        }
    }
}
