//! What a reviewer should see first.

use mirror_oci::{Digest, Platform, Reference};
use mirror_tree::version::is_step_back;

use crate::plan::model::{Alert, Plan};
use crate::plan::questions::Answers;
use crate::want::model::{Want, Wants};

impl Alert {
    /// Whether the image is an earlier one than what it replaces.
    pub fn is_step_back(&self) -> bool {
        matches!(
            self,
            Alert::VersionLowered { .. } | Alert::DigestReturned { .. } | Alert::Older { .. }
        )
    }

    /// On one line. The mark goes around what comes from outside.
    ///
    /// ```
    /// use mirror_oci::{Algorithm, Digest};
    /// use mirror_plan::plan::Alert;
    ///
    /// let alert = Alert::DigestRemoved {
    ///     file: "docker.io/library/redis/Dockerfile".to_owned(),
    ///     source: "redis:7".to_owned(),
    ///     digest: Digest::of(Algorithm::Sha256, b""),
    /// };
    /// let told = alert.told(|text| format!("`{text}`"));
    /// assert_eq!(told, "`redis:7`: digest `sha256:e3b0c44298fc` removed, the tag floats now");
    /// assert!(!alert.is_step_back());
    /// ```
    pub fn told(&self, mark: impl Fn(&str) -> String) -> String {
        match self {
            Alert::DigestRemoved { source, digest, .. } => {
                let digest = mark(digest.short());
                format!("{}: digest {digest} removed, the tag floats now", mark(source))
            }
            Alert::VersionLowered { source, before, .. } => {
                format!("{}: a lower version than {} before", mark(source), mark(before))
            }
            Alert::DigestReturned { source, digest, .. } => {
                let digest = mark(digest.short());
                format!("{}: digest {digest} is one that the file named earlier", mark(source))
            }
            Alert::PlatformsLost { source, platforms, .. } => {
                let names: Vec<String> = platforms.iter().map(ToString::to_string).collect();
                let verb = if names.len() == 1 { "is" } else { "are" };
                format!("{}: {} {verb} gone", mark(source), mark(&names.join(", ")))
            }
            Alert::Older { source, created, before, .. } => format!(
                "{}: an older image than the one it replaces, made {} and not {}",
                mark(source),
                mark(created),
                mark(before)
            ),
        }
    }
}

impl Plan {
    /// Finds what a reviewer should see first.
    pub(crate) fn add_alerts(&mut self, wants: &Wants, answers: &Answers) {
        let mut alerts: Vec<Alert> = Vec::new();
        // A step back is what nobody expects of an update.
        alerts.extend(wants.wants.iter().filter_map(|want| lowered(want, wants)));
        alerts.extend(wants.wants.iter().filter_map(|want| returned(want, wants)));
        alerts.extend(wants.wants.iter().filter_map(|want| digest_removed(want, wants)));
        alerts.extend(wants.wants.iter().flat_map(|want| weaker(want, answers)));
        // Several destinations get the same image.
        let mut seen: Vec<Alert> = Vec::new();
        for alert in alerts {
            if !seen.contains(&alert) {
                seen.push(alert);
            }
        }
        self.alerts = seen;
    }
}

/// The reference of an image as people read it.
fn shown(want: &Want) -> String {
    format!("{}{}", want.source.name, want.source.version)
}

fn lowered(want: &Want, wants: &Wants) -> Option<Alert> {
    let before = wants.previous.get(&want.file)?.parse::<Reference>().ok()?.tag?;
    let now = want.source.version.tag()?;
    is_step_back(before.as_str(), now.as_str()).then(|| Alert::VersionLowered {
        file: want.file.clone(),
        source: shown(want),
        before: before.to_string(),
    })
}

fn returned(want: &Want, wants: &Wants) -> Option<Alert> {
    let digest = want.source.version.digest()?;
    let earlier = wants.earlier.get(&want.file)?;
    // One that the file has at the base already is no return.
    let before = wants.previous.get(&want.file)?;
    let stays = before.split_once('@').is_some_and(|(_, before)| before == digest.as_str());
    (!stays && earlier.contains(digest)).then(|| Alert::DigestReturned {
        file: want.file.clone(),
        source: shown(want),
        digest: digest.clone(),
    })
}

fn digest_removed(want: &Want, wants: &Wants) -> Option<Alert> {
    let before = wants.previous.get(&want.file)?;
    let digest = before.split_once('@')?.1.parse::<Digest>().ok()?;
    want.source.version.digest().is_none().then(|| Alert::DigestRemoved {
        file: want.file.clone(),
        source: format!("{}{}", want.source.name, want.source.version),
        digest,
    })
}

fn weaker(want: &Want, answers: &Answers) -> Vec<Alert> {
    let Some((before, now)) = answers.before.get(&want.target) else { return Vec::new() };
    let file = || want.file.clone();
    let source = || format!("{}{}", want.source.name, want.source.version);
    let mut alerts = Vec::new();
    let same = |one: &Platform, other: &Platform| one.accepts(other) || other.accepts(one);
    let lost = before.platforms.iter();
    let lost = lost.filter(|platform| !now.platforms.iter().any(|now| same(platform, now)));
    let lost: Vec<Platform> = lost.cloned().collect();
    if !lost.is_empty() && !now.platforms.is_empty() {
        alerts.push(Alert::PlatformsLost { file: file(), source: source(), platforms: lost });
    }
    if let Some((created, before)) = now.created.clone().zip(before.created.clone())
        && is_earlier(&created, &before)
    {
        alerts.push(Alert::Older { file: file(), source: source(), created, before });
    }
    alerts
}

/// Compares points in time as images tell them. Builds that are to be reproducible say 1970 or 1980, which says nothing.
fn is_earlier(one: &str, other: &str) -> bool {
    let time = |text: &str| {
        let said = text.len() >= 20 && text.ends_with('Z') && text.is_ascii();
        said.then(|| text.trim_end_matches('Z').split('.').next().unwrap_or_default().to_owned())
            .filter(|text| text.as_str() > "1990")
    };
    matches!((time(one), time(other)), (Some(one), Some(other)) if one < other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_known_to_be_earlier_is() {
        for (one, other, earlier) in [
            ("2024-01-02T03:04:05Z", "2024-01-02T03:04:06Z", true),
            ("2024-01-02T03:04:05.123456789Z", "2025-01-02T03:04:05Z", true),
            ("2024-01-02T03:04:05.5Z", "2024-01-02T03:04:05Z", false),
            ("2025-01-02T03:04:05Z", "2024-01-02T03:04:06Z", false),
            ("1970-01-01T00:00:00Z", "2024-01-02T03:04:06Z", false),
            ("2024-01-02T03:04:05+02:00", "2025-01-02T03:04:06Z", false),
            ("", "2025-01-02T03:04:06Z", false),
        ] {
            assert_eq!(is_earlier(one, other), earlier, "{one} {other}");
        }
    }
}
