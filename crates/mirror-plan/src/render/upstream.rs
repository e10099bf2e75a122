//! Where a person reads about an image.

use mirror_oci::{Registry, Repository};

/// Forges that links from annotations may lead to. Whoever publishes an image writes them, and a reviewer clicks.
const FORGES: [&str; 3] = ["github.com", "gitlab.com", "codeberg.org"];

/// The source repository that an image names in its annotation `org.opencontainers.image.source`, if that is on a
/// known forge and has no characters but those of a plain path:
/// <https://github.com/opencontainers/image-spec/blob/main/annotations.md>. Docker's official images have a commit
/// and a folder behind `#`.
pub fn source_link(annotation: &str) -> Option<String> {
    let url = annotation.split('#').next().unwrap_or_default();
    let url = url.strip_suffix(".git").unwrap_or(url);
    let (host, path) = url.strip_prefix("https://")?.split_once('/')?;
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '.' | '_' | '-');
    let fits = FORGES.contains(&host) && path.len() <= 200 && path.chars().all(plain);
    (fits && !path.is_empty() && !path.contains("..")).then(|| url.to_owned())
}

/// The page of a repository at those registries that have pages.
pub(crate) fn registry_page(registry: &Registry, repository: &Repository) -> Option<String> {
    let path = repository.as_str();
    match registry.as_str() {
        "docker.io" => Some(match path.strip_prefix("library/") {
            Some(official) => format!("https://hub.docker.com/_/{official}"),
            None => format!("https://hub.docker.com/r/{path}"),
        }),
        "quay.io" => Some(format!("https://quay.io/repository/{path}")),
        "ghcr.io" => Some(format!("https://ghcr.io/{path}")),
        "public.ecr.aws" => Some(format!("https://gallery.ecr.aws/{path}")),
        "mcr.microsoft.com" => Some(format!("https://mcr.microsoft.com/artifact/mar/{path}")),
        _ => None,
    }
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

    #[test]
    fn pages() {
        let page = |registry: &str, path: &str| {
            registry_page(&registry.parse().unwrap(), &path.parse().unwrap())
        };
        assert_eq!(page("docker.io", "library/node").unwrap(), "https://hub.docker.com/_/node");
        assert_eq!(page("docker.io", "a/b").unwrap(), "https://hub.docker.com/r/a/b");
        assert_eq!(page("quay.io", "a/b").unwrap(), "https://quay.io/repository/a/b");
        assert_eq!(page("registry.example.com", "a/b"), None);
    }
}
