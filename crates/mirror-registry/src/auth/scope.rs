//! Which rights a request needs, in the words of token services:
//! <https://distribution.github.io/distribution/spec/auth/scope/>.

use mirror_oci::Repository;

/// Which rights a request needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TokenScope {
    repository: Option<Repository>,
    /// `repository:<name>:<actions>`, space-separated when there are several.
    text: String,
}

impl TokenScope {
    pub(crate) fn pull(repository: &Repository) -> TokenScope {
        TokenScope::of(repository, format!("repository:{repository}:pull"))
    }

    /// To be heard at all.
    pub(crate) fn nothing() -> TokenScope {
        TokenScope { repository: None, text: String::new() }
    }

    pub(crate) fn push(repository: &Repository) -> TokenScope {
        TokenScope::of(repository, format!("repository:{repository}:pull,push"))
    }

    /// A mount reads from another repository as well: oci-client#235.
    pub(crate) fn mount(to: &Repository, from: &Repository) -> TokenScope {
        if to == from {
            return TokenScope::push(to);
        }
        TokenScope::of(to, format!("repository:{to}:pull,push repository:{from}:pull"))
    }

    /// What reading `/v2/<repository>/manifests/…` or the like takes.
    pub(crate) fn of_path(path: &str) -> Option<TokenScope> {
        let rest = path.strip_prefix("/v2/")?;
        let ends = ["/manifests/", "/blobs/", "/referrers/", "/tags/list"];
        let end = ends.iter().find_map(|end| rest.rfind(end))?;
        let repository: Repository = rest.get(..end)?.parse().ok()?;
        Some(TokenScope::pull(&repository))
    }

    fn of(repository: &Repository, text: String) -> TokenScope {
        TokenScope { repository: Some(repository.clone()), text }
    }

    /// The repository that it is about.
    pub(crate) fn repository(&self) -> Option<&Repository> {
        self.repository.as_ref()
    }

    /// All of it, with what a registry wants beside that.
    pub(crate) fn with(&self, more: Option<&str>) -> String {
        let parts = [Some(self.text.as_str()), more].into_iter().flatten();
        parts.filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ")
    }

    /// What of `told` is for a repository that this is not about: the registry calls ours otherwise.
    pub(crate) fn lacks(&self, told: &str) -> Option<String> {
        let target = |scope: &str| scope.rsplit_once(':').map(|(target, _)| target.to_owned());
        let ours: Vec<_> = self.text.split(' ').filter_map(target).collect();
        let others = told.split(' ').filter(|scope| {
            scope.starts_with("repository:") && target(scope).is_some_and(|it| !ours.contains(&it))
        });
        Some(others.collect::<Vec<_>>().join(" ")).filter(|others| !others.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_registry_calls_otherwise() {
        let ours = TokenScope::pull(&"team/x".parse().unwrap());
        for (told, lacking) in [
            ("repository:team/x:pull", None),
            ("repository:team/x:pull,push", None),
            ("registry:catalog:*", None),
            ("repository:x:pull", Some("repository:x:pull")),
            ("repository:team/x:pull repository:y:pull", Some("repository:y:pull")),
            ("", None),
        ] {
            assert_eq!(ours.lacks(told).as_deref(), lacking, "{told}");
        }
        assert_eq!(
            ours.with(Some("repository:x:pull")),
            "repository:team/x:pull repository:x:pull"
        );
    }
}
