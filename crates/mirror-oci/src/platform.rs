//! Platforms: `os/architecture[/variant]`, as in <https://github.com/opencontainers/image-spec/blob/main/image-index.md>.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// What an image runs on, `linux/arm64/v8`.
///
/// ```
/// use mirror_oci::Platform;
///
/// let wanted: Platform = "linux/arm64".parse()?;
/// assert!(wanted.accepts(&"linux/arm64/v8".parse()?));
/// assert!(!wanted.accepts(&"linux/arm/v7".parse()?));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Platform {
    /// Operating system, as Go spells it.
    pub os: String,
    /// Architecture, as Go spells it.
    pub architecture: String,
    /// Variant of the architecture.
    pub variant: Option<String>,
}

impl Platform {
    /// Whether an image for `offered` is what was asked for: the same system and architecture, and the same
    /// variant where one was asked for. `linux/arm64` and `linux/arm64/v8` are the same platform
    /// (containerd's `platforms.Normalize`).
    pub fn accepts(&self, offered: &Platform) -> bool {
        let default = (self.architecture == "arm64").then_some("v8");
        let offered_variant = offered.variant.as_deref().or(default);
        self.os == offered.os
            && self.architecture == offered.architecture
            && self.variant.as_deref().is_none_or(|wanted| Some(wanted) == offered_variant)
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        self.variant.iter().try_for_each(|variant| write!(f, "/{variant}"))
    }
}

/// Why a text is not a platform.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not a platform; write os/architecture or os/architecture/variant, such as linux/amd64"
)]
pub struct PlatformError(String);

impl FromStr for Platform {
    type Err = PlatformError;

    fn from_str(text: &str) -> Result<Platform, PlatformError> {
        let lower = text.to_ascii_lowercase();
        let valid = |part: &&str| {
            !part.is_empty()
                && part.chars().all(|c| matches!(c, 'a'..='z' | '0'..='9' | '_' | '.' | '-'))
        };
        let parts: Vec<&str> = lower.split('/').collect();
        match parts.as_slice() {
            [os, architecture, rest @ ..] if rest.len() < 2 && parts.iter().all(valid) => {
                let (architecture, variant) = normal(architecture, rest.first().copied());
                Ok(Platform {
                    os: if *os == "macos" { "darwin" } else { os }.to_owned(),
                    architecture: architecture.to_owned(),
                    variant: variant.map(str::to_owned),
                })
            }
            _ => Err(PlatformError(text.to_owned())),
        }
    }
}

/// Architectures by the names that Go has for them, as BuildKit takes others too:
/// <https://github.com/containerd/platforms/blob/main/database.go>.
fn normal<'a>(architecture: &'a str, variant: Option<&'a str>) -> (&'a str, Option<&'a str>) {
    match (architecture, variant) {
        ("i386", _) => ("386", None),
        ("x86_64" | "x86-64", variant) => ("amd64", variant),
        ("aarch64", None | Some("v8" | "8")) => ("arm64", None),
        ("aarch64", variant) => ("arm64", variant),
        ("armhf", _) => ("arm", Some("v7")),
        ("armel", _) => ("arm", Some("v6")),
        ("arm64", Some("8")) => ("arm64", Some("v8")),
        ("arm", Some("5")) => ("arm", Some("v5")),
        ("arm", Some("6")) => ("arm", Some("v6")),
        ("arm", Some("7")) => ("arm", Some("v7")),
        ("arm", Some("8")) => ("arm", Some("v8")),
        other => other,
    }
}

impl TryFrom<String> for Platform {
    type Error = PlatformError;

    fn try_from(text: String) -> Result<Platform, PlatformError> {
        text.parse()
    }
}

impl From<Platform> for String {
    fn from(platform: Platform) -> String {
        platform.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_both_ways() {
        for text in ["linux/amd64", "linux/arm64/v8", "windows/amd64"] {
            assert_eq!(text.parse::<Platform>().unwrap().to_string(), text);
        }
        for text in ["", "linux", "linux/", "/amd64", "linux/arm/v7/x", "linux amd64", "linux/$A"] {
            assert!(text.parse::<Platform>().is_err(), "{text}");
        }
    }

    #[test]
    fn other_names_of_architectures() {
        for (text, platform) in [
            ("linux/x86_64", "linux/amd64"),
            ("Linux/AMD64", "linux/amd64"),
            ("linux/aarch64", "linux/arm64"),
            ("linux/aarch64/v8", "linux/arm64"),
            ("linux/armhf", "linux/arm/v7"),
            ("linux/armel", "linux/arm/v6"),
            ("linux/arm/7", "linux/arm/v7"),
            ("linux/i386", "linux/386"),
            ("macos/aarch64", "darwin/arm64"),
        ] {
            assert_eq!(text.parse::<Platform>().unwrap().to_string(), platform);
        }
    }

    #[test]
    fn variants() {
        let accepts = |wanted: &str, offered: &str| {
            wanted.parse::<Platform>().unwrap().accepts(&offered.parse::<Platform>().unwrap())
        };
        assert!(accepts("linux/amd64", "linux/amd64"));
        assert!(accepts("linux/arm64", "linux/arm64/v8"));
        assert!(accepts("linux/arm64/v8", "linux/arm64"));
        assert!(accepts("linux/arm", "linux/arm/v6"));
        assert!(!accepts("linux/arm/v7", "linux/arm/v6"));
        assert!(!accepts("linux/arm/v7", "linux/arm"));
        assert!(!accepts("linux/amd64", "windows/amd64"));
    }
}
