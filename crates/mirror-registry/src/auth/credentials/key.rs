//! The names that registries have where credentials are kept.

use mirror_oci::Repository;

/// How Docker Hub is called in the files of Docker and podman, the first being what helpers are asked for.
const DOCKER_HUB: [&str; 4] =
    ["https://index.docker.io/v1/", "index.docker.io", "docker.io", "registry-1.docker.io"];

/// What credentials are wanted for.
#[derive(Debug)]
pub(super) struct Wanted {
    /// The names of the host; several for Docker Hub.
    hosts: Vec<String>,
    /// The path below the host, empty when it is about the host as a whole.
    path: String,
    secure: bool,
    helper_name: String,
}

/// A key, taken apart.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Key {
    host: String,
    /// Where it is for a part of the host alone.
    pub(super) path: String,
    /// Whether it says that credentials may go there in the clear.
    clear: bool,
    /// Among the keys of one host, which comes first.
    rank: u8,
}

impl Key {
    /// `host` and `https://host/v1/` are for a host, as Docker writes them; `host/path`, as podman does, for what is below
    /// that path: <https://github.com/containers/image/blob/main/docs/containers-auth.json.5.md>.
    pub(super) fn parse(key: &str) -> Key {
        let key = key.trim();
        let (scheme, bare) = match key.split_once("://") {
            Some((scheme, bare)) => (scheme.to_ascii_lowercase(), bare),
            None => (String::new(), key),
        };
        let (host, path) = bare.split_once('/').unwrap_or((bare, ""));
        let (clear, path) = (scheme == "http", path.trim_matches('/'));
        let usual = if clear { ":80" } else { ":443" };
        let host = host.to_ascii_lowercase();
        let host = host.strip_suffix(usual).unwrap_or(&host).to_owned();
        // Docker Desktop keeps more than one thing below the address of the Hub, and means the first.
        let whole = !scheme.is_empty() || matches!(path, "v1" | "v2");
        let rank = if scheme.is_empty() && path.is_empty() {
            0
        } else if matches!(path, "" | "v1" | "v2") {
            1
        } else {
            2
        };
        Key { host, path: if whole { String::new() } else { path.to_owned() }, clear, rank }
    }
}

impl Wanted {
    pub(super) fn new(authority: &str, repository: Option<&Repository>, secure: bool) -> Wanted {
        let authority = authority.to_ascii_lowercase();
        let hub = DOCKER_HUB.contains(&authority.as_str());
        let helper_name = match (secure, hub, DOCKER_HUB) {
            (true, true, [name, ..]) => name.to_owned(),
            (true, false, _) => authority.clone(),
            (false, ..) => format!("http://{authority}"),
        };
        let hosts = if hub { DOCKER_HUB.map(str::to_owned).to_vec() } else { vec![authority] };
        let path = repository.map(ToString::to_string).unwrap_or_default();
        Wanted { hosts, path, secure, helper_name }
    }

    /// What a helper is asked for.
    pub(super) fn helper_name(&self) -> &str {
        &self.helper_name
    }

    /// The place among others of the same length, if a key is for this.
    pub(super) fn accepts(&self, key: &Key) -> Option<u8> {
        let below = key.path.is_empty()
            || self.path.strip_prefix(&key.path).is_some_and(|rest| {
                // At the border between two components: `team` is no part of `team-a`.
                rest.is_empty() || rest.starts_with('/')
            });
        let allowed = self.secure || key.clear;
        (allowed && below && self.hosts.contains(&key.host)).then_some(key.rank)
    }
}

/// `my-registry.example.com:5000` → `MIRROR_AUTH_MY__REGISTRY_EXAMPLE_COM_5000`; Docker Hub goes by `docker.io`. A
/// hyphen is doubled, so that no other host has the same name.
pub(super) fn variable_name(authority: &str) -> String {
    let authority = if DOCKER_HUB.contains(&authority) { "docker.io" } else { authority };
    format!(
        "MIRROR_AUTH_{}",
        authority.to_ascii_uppercase().replace('-', "__").replace(['.', ':', '[', ']'], "_")
    )
}
