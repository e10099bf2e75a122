//! Names that people write for registries: other names of Docker Hub, web pages, slips of the keyboard.

/// Other names of Docker Hub. References go by `docker.io`.
const DOCKER_HUB: [&str; 4] =
    ["index.docker.io", "registry-1.docker.io", "registry.hub.docker.com", "registry.docker.io"];

/// Hosts that many references name.
const KNOWN: [&str; 34] = [
    "docker.io",
    "ghcr.io",
    "gcr.io",
    "us.gcr.io",
    "eu.gcr.io",
    "asia.gcr.io",
    "k8s.gcr.io",
    "mirror.gcr.io",
    "registry.k8s.io",
    "quay.io",
    "mcr.microsoft.com",
    "public.ecr.aws",
    "registry.gitlab.com",
    "docker.elastic.co",
    "nvcr.io",
    "lscr.io",
    "cgr.dev",
    "dhi.io",
    "icr.io",
    "docker.n8n.io",
    "registry.access.redhat.com",
    "registry.redhat.io",
    "registry.connect.redhat.com",
    "registry.suse.com",
    "registry.opensuse.org",
    "registry.fedoraproject.org",
    "container-registry.oracle.com",
    "xpkg.upbound.io",
    "xpkg.crossplane.io",
    "registry.developers.crunchydata.com",
    "codeberg.org",
    "docker.gitea.com",
    "registry.rancher.com",
    "rg.fr-par.scw.cloud",
];

/// Where images were that have moved as they were: <https://kubernetes.io/blog/2023/03/10/image-registry-redirect/>.
const MOVED: [(&str, &str); 6] = [
    ("k8s.gcr.io", "registry.k8s.io"),
    ("gcr.io/google_containers", "registry.k8s.io"),
    ("gcr.io/google-containers", "registry.k8s.io"),
    ("us.gcr.io/k8s-artifacts-prod", "registry.k8s.io"),
    ("eu.gcr.io/k8s-artifacts-prod", "registry.k8s.io"),
    ("asia.gcr.io/k8s-artifacts-prod", "registry.k8s.io"),
];

/// The host of a reference as it is written, if it names one.
pub(crate) fn written_host(reference: &str) -> Option<&str> {
    let (host, _) = reference.split_once('/')?;
    (host.contains(['.', ':']) || host == "localhost").then_some(host)
}

/// Whether a host is Docker Hub by another name.
///
/// ```
/// use mirror_tree::is_docker_hub_alias;
///
/// assert!(is_docker_hub_alias("registry-1.docker.io") && !is_docker_hub_alias("docker.io"));
/// ```
pub fn is_docker_hub_alias(host: &str) -> bool {
    DOCKER_HUB.contains(&host)
}

/// Where images have moved: the part of the name that is no more, and what is there now instead.
pub(crate) fn moved_to(name: &str) -> Option<(&'static str, &'static str)> {
    let below = |from: &str| name.strip_prefix(from).is_some_and(|rest| rest.starts_with('/'));
    MOVED.iter().copied().find(|(from, _)| below(from))
}

/// The well-known host that another one is a slip of the keyboard away from: a letter too many, too few, another one, or
/// two in the wrong order. Such names have been registered to ask for tokens.
///
/// ```
/// use mirror_tree::look_alike;
///
/// assert_eq!(look_alike("ghrc.io"), Some("ghcr.io"));
/// assert_eq!(look_alike("dokcer.io"), Some("docker.io"));
/// assert_eq!((look_alike("gcr.io"), look_alike("registry.example.com")), (None, None));
/// ```
pub fn look_alike(host: &str) -> Option<&'static str> {
    let host = host.split(':').next().unwrap_or(host);
    if KNOWN.contains(&host) || DOCKER_HUB.contains(&host) {
        return None;
    }
    KNOWN.iter().copied().find(|known| is_slip(host, known))
}

/// Whether one edit makes one text of the other.
fn is_slip(one: &str, other: &str) -> bool {
    let (one, other): (Vec<char>, Vec<char>) = (one.chars().collect(), other.chars().collect());
    let start = one.iter().zip(&other).take_while(|(a, b)| a == b).count();
    let (one, other) =
        (one.get(start..).unwrap_or_default(), other.get(start..).unwrap_or_default());
    match (one, other) {
        ([_, rest @ ..], _) if rest == other => true,
        (_, [_, rest @ ..]) if rest == one => true,
        ([_, one @ ..], [_, other @ ..]) if one == other => true,
        ([a, b, one @ ..], [c, d, other @ ..]) => a == d && b == c && one == other,
        _ => false,
    }
}

/// The reference that the address of a web page about an image stands for, with the tag that was put behind it. The scheme
/// may be left out.
///
/// ```
/// use mirror_tree::of_web_page;
///
/// let reference = |page: &str| of_web_page(page).unwrap_or_default();
/// assert_eq!(reference("https://hub.docker.com/r/bitnami/redis/tags"), "bitnami/redis");
/// assert_eq!(reference("hub.docker.com/_/postgres:16"), "postgres:16");
/// assert_eq!(reference("https://quay.io/repository/prometheus/busybox?tab=tags&tag=v1"), "quay.io/prometheus/busybox:v1");
/// assert_eq!(reference("https://gallery.ecr.aws/docker/library/nginx"), "public.ecr.aws/docker/library/nginx");
/// assert_eq!(reference("https://github.com/acme/app/pkgs/container/app"), "ghcr.io/acme/app");
/// assert_eq!(of_web_page("quay.io/prometheus/busybox:v1"), None);
/// ```
pub fn of_web_page(address: &str) -> Option<String> {
    let bare = address.strip_prefix("https://").or_else(|| address.strip_prefix("http://"));
    let bare = bare.unwrap_or(address);
    let (path, query) = bare.split_once(['?', '#']).unwrap_or((bare, ""));
    let (path, tag) = match path.rsplit_once(':') {
        Some((path, tag)) if !tag.contains('/') => (path, Some(tag)),
        _ => (path, query.split('&').find_map(|field| field.strip_prefix("tag="))),
    };
    let parts: Vec<&str> = path.trim_end_matches('/').split('/').collect();
    let name = match parts.as_slice() {
        ["hub.docker.com", "_" | "hardened-images", name, ..] => (*name).to_owned(),
        ["hub.docker.com", "r" | "u", owner, name, ..] => format!("{owner}/{name}"),
        ["hub.docker.com", "layers", owner, name, ..] => format!("{owner}/{name}"),
        ["hub.docker.com", "repository", "docker", owner, name, ..] => format!("{owner}/{name}"),
        ["quay.io", "repository", rest @ ..] if rest.len() > 1 => {
            let rest = rest.iter().take_while(|part| !matches!(**part, "tag" | "manifest"));
            format!("quay.io/{}", rest.copied().collect::<Vec<_>>().join("/"))
        }
        ["gallery.ecr.aws", rest @ ..] if rest.len() > 1 => {
            format!("public.ecr.aws/{}", rest.join("/"))
        }
        ["github.com", owner, _, "pkgs", "container", name, ..]
        | ["github.com", owner, "pkgs", "container", name, ..]
        | ["github.com", "orgs" | "users", owner, "packages", "container", "package", name, ..]
        | ["github.com", "orgs" | "users", owner, "packages", "container", name, ..] => {
            format!("ghcr.io/{}/{}", owner.to_ascii_lowercase(), name.replace("%2F", "/"))
        }
        ["mcr.microsoft.com", "product" | "artifact" | "en-us", rest @ ..] => {
            let rest = rest.iter().filter(|part| !matches!(**part, "product" | "artifact" | "mar"));
            let rest = rest.take_while(|part| !matches!(**part, "about" | "tags"));
            format!("mcr.microsoft.com/{}", rest.copied().collect::<Vec<_>>().join("/"))
        }
        _ => return None,
    };
    Some(tag.map_or_else(|| name.clone(), |tag| format!("{name}:{tag}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_hosts_are_no_slips_of_each_other() {
        for known in KNOWN.iter().chain(&DOCKER_HUB) {
            assert_eq!(look_alike(known), None, "{known}");
        }
        for (host, known) in [
            ("ghrc.io", "ghcr.io"),
            ("ghcr.i", "ghcr.io"),
            ("quay.com.io", ""),
            ("quayy.io", "quay.io"),
            ("qauy.io:443", "quay.io"),
            ("dokcer.io", "docker.io"),
            ("docker.oi", "docker.io"),
            ("regsitry.k8s.io", "registry.k8s.io"),
            ("localhost:5000", ""),
            ("127.0.0.1:5000", ""),
        ] {
            assert_eq!(look_alike(host).unwrap_or_default(), known, "{host}");
        }
    }
}
