//! Where a person reads about the source of an image.

/// Forges that links from annotations may lead to. Whoever publishes an image writes them, and a reviewer clicks.
const FORGES: [&str; 3] = ["github.com", "gitlab.com", "codeberg.org"];

/// The source repository that an image names in its annotation `org.opencontainers.image.source`, if that is on a
/// known forge and has no characters but those of a plain path:
/// <https://github.com/opencontainers/image-spec/blob/main/annotations.md>. Docker's official images have a commit
/// and a folder behind `#`.
///
/// ```
/// use mirror_plan::plan::source_link;
///
/// let official = "https://github.com/docker-library/redis.git#7a1b:debian";
/// assert_eq!(source_link(official).as_deref(), Some("https://github.com/docker-library/redis"));
/// assert_eq!(source_link("https://example.com/login"), None);
/// ```
pub fn source_link(annotation: &str) -> Option<String> {
    let url = annotation.split('#').next().unwrap_or_default();
    let url = url.strip_suffix(".git").unwrap_or(url);
    let (host, path) = url.strip_prefix("https://")?.split_once('/')?;
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '.' | '_' | '-');
    let fits = FORGES.contains(&host) && path.len() <= 200 && path.chars().all(plain);
    (fits && !path.is_empty() && !path.contains("..")).then(|| url.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_from_outside() {
        let long = format!("https://github.com/{}", "a".repeat(201));
        for (annotation, expected) in [
            (
                "https://github.com/prometheus/prometheus",
                Some("https://github.com/prometheus/prometheus"),
            ),
            (
                "https://github.com/docker-library/postgres.git#ec78e2:14/bookworm",
                Some("https://github.com/docker-library/postgres"),
            ),
            ("http://github.com/a/b", None),
            ("https://github.com.evil.example/a", None),
            ("https://evil.example/a", None),
            ("https://github.com/a)](x", None),
            ("https://github.com/../a", None),
            ("https://user@github.com/a", None),
            ("https://github.com/", None),
            (long.as_str(), None),
            ("", None),
        ] {
            assert_eq!(source_link(annotation).as_deref(), expected, "{annotation}");
        }
    }
}
