//! Token services: whose they are, and what may be sent there.

use mirror_failure::{ErrorKind, RequestError};
use url::Url;

/// Registries whose token service is on another host. Credentials go there, to the registry's own host, and where
/// the configuration says so, nowhere else: CVE-2026-48978 and its kin. In pairs, since a list of token services alone
/// would let any registry name any of them (devcontainers/cli#1278).
///
/// GHCR, Quay, Amazon, Google, Azure, Red Hat, NVIDIA and Docker's dhi.io (docker/hub-feedback#2530) have theirs on the
/// host of the registry.
const KNOWN_REALMS: [(&str, &str); 6] = [
    // distribution/distribution#1203
    ("registry-1.docker.io", "auth.docker.io"),
    // getwud/wud app/registries/providers/gitlab/Gitlab.test.ts
    ("registry.gitlab.com", "gitlab.com"),
    // docker-library/elasticsearch update.sh
    ("docker.elastic.co", "docker-auth.elastic.co"),
    // https://staging-connect-docs.forma3d.be/04-development/incidents/2026-03-06-cosign-401-staging-attestation
    ("registry.digitalocean.com", "api.digitalocean.com"),
    // QingdaoU/OnlineJudgeDeploy#90
    ("registry.cn-hangzhou.aliyuncs.com", "dockerauth.cn-hangzhou.aliyuncs.com"),
    // AliyunContainerService/kube-eventer#81
    ("registry.aliyuncs.com", "dockerauth.cn-hangzhou.aliyuncs.com"),
];

/// Whether a token service is that of a registry: on its own host, or a well-known one.
pub(crate) fn is_own_realm(registry: &Url, realm: &Url) -> bool {
    let known = KNOWN_REALMS.iter().any(|(name, host)| {
        registry.host_str() == Some(name)
            && registry.port().is_none()
            && realm.host_str() == Some(host)
            && realm.scheme() == "https"
    });
    known || realm.origin() == registry.origin()
}

/// The URL of the token service that a registry at `base` names.
pub(crate) fn realm_url(base: &Url, realm: &str) -> Result<Url, RequestError> {
    let protocol = |why: &str| {
        RequestError::new(
            format!("login at {}", authority(base)),
            ErrorKind::Protocol(format!("the token service that the registry names {why}")),
        )
    };
    let url = base.join(realm).map_err(|_| protocol("is not a URL"))?;
    let secure = url.scheme() == "https" || url.scheme() == base.scheme();
    if !matches!(url.scheme(), "http" | "https") {
        return Err(protocol("is not reached by HTTP"));
    }
    if !secure {
        let host = authority(&url);
        return Err(protocol(&format!("at {host} is not reached by TLS, though the registry is")));
    }
    Ok(url)
}

/// Host and port, where that is not the usual one.
pub(crate) fn authority(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

/// Whether what is sent there stays on this machine.
pub(crate) fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost"
        || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}
