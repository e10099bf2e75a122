//! Where a person reads about an image.

use mirror_oci::{Registry, Repository};

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
