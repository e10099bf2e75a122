//! `[registry."host"]`: settings of hosts.

use std::collections::BTreeMap;
use std::path::PathBuf;

use mirror_oci::{Endpoint, Registry, Repository};
use schemars::JsonSchema;
use serde::Deserialize;
use toml::Spanned;

use crate::config::problems::Problems;
use crate::provider::Provider;

/// Settings of one host.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a table of settings")]
pub(crate) struct RegistryFile {
    /// Where to really go: `http://` or `https://`, host and optional port.
    #[schemars(with = "Option<String>")]
    pub(crate) endpoint: Option<Spanned<String>>,
    /// The token service that our credentials may go to, `https://` and host, where it isn't on the registry's own
    /// host and not one of the well-known ones.
    #[schemars(with = "Option<String>")]
    pub(crate) token_realm: Option<Spanned<String>>,
    /// Registries with the same content by digest, asked first: a host, optionally with a path in front of the
    /// repository, `public.ecr.aws/docker`.
    #[serde(default)]
    #[schemars(with = "Vec<String>")]
    pub(crate) alternatives: Vec<Spanned<String>>,
    /// Most requests at once, 1 to 256.
    #[schemars(with = "Option<u16>", range(min = 1, max = 256))]
    pub(crate) concurrency: Option<Spanned<u16>>,
    /// For Amazon ECR: the role to assume there, `arn:aws:iam::123456789012:role/mirror`.
    #[schemars(with = "Option<String>")]
    pub(crate) role: Option<Spanned<String>>,
    /// Whether the bots need credentials for it: `mirror bots` then names secrets.
    #[serde(default)]
    pub(crate) private: bool,
    /// Whether it may redirect from a public address to a private, loopback or link-local one, as a registry of your
    /// own in front of your own storage does. Never by default.
    #[serde(default)]
    pub(crate) private_redirects: bool,
    /// A file with certificates of authorities to trust for it, beside those that the system trusts: PEM, relative to the
    /// folder that holds the tree.
    pub(crate) ca: Option<PathBuf>,
    /// A file with our own certificate for it and the private key, in PEM, relative to the folder that holds the tree.
    pub(crate) client_certificate: Option<PathBuf>,
    /// The file with the private key, where that is not in the file with the certificate.
    #[schemars(with = "Option<String>")]
    pub(crate) client_key: Option<Spanned<PathBuf>>,
}

/// Settings of one host, checked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RegistrySettings {
    /// Where to go instead.
    pub endpoint: Option<Endpoint>,
    /// A token service that our credentials may go to.
    pub token_realm: Option<Endpoint>,
    /// Registries with the same content by digest, asked first.
    pub alternatives: Vec<Alternative>,
    /// Most requests at once.
    pub concurrency: Option<u16>,
    /// The role to assume at Amazon ECR.
    pub role: Option<String>,
    /// Whether the bots need credentials for it.
    pub private: bool,
    /// Whether it may redirect from a public address to a private one.
    pub private_redirects: bool,
    /// Certificates of authorities to trust for it.
    pub ca: Option<PathBuf>,
    /// Our own certificate for it, and the file with its key if that is another one.
    pub client_certificate: Option<(PathBuf, Option<PathBuf>)>,
}

/// A registry that has another's content, below a path of its own.
///
/// ```
/// use mirror_plan::config::Config;
///
/// let text = "[registry.\"docker.io\"]\nalternatives = [\"public.ecr.aws/docker\"]";
/// let config = Config::parse(text).map_err(|problems| format!("{problems:?}"))?;
/// let hub = config.registries.values().next().ok_or("it is configured")?;
/// let alternative = hub.alternatives.first().ok_or("there is one")?;
/// let repository = alternative.repository(&"library/redis".parse()?).ok_or("a short name")?;
/// assert_eq!(repository.as_str(), "docker/library/redis");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alternative {
    /// The registry that has the same content.
    pub registry: Registry,
    prefix: Option<Repository>,
}

impl Alternative {
    /// Where a repository of the other registry is here.
    pub fn repository(&self, original: &Repository) -> Option<Repository> {
        match &self.prefix {
            None => Some(original.clone()),
            Some(prefix) => format!("{prefix}/{original}").parse().ok(),
        }
    }
}

impl Problems<'_> {
    pub(crate) fn registries(
        &mut self,
        files: &BTreeMap<Spanned<String>, RegistryFile>,
    ) -> BTreeMap<Registry, RegistrySettings> {
        let mut found = BTreeMap::new();
        for (key, file) in files {
            let registry = self
                .parsed::<Registry>(key, "write the name that references use, such as docker.io");
            let alternatives =
                file.alternatives.iter().filter_map(|text| self.alternative(text)).collect();
            let concurrency = file.concurrency.as_ref().and_then(|number| {
                if (1..=256).contains(number.get_ref()) {
                    return Some(*number.get_ref());
                }
                self.add(
                    number.span(),
                    "concurrency is a number from 1 to 256",
                    "64 is the default",
                );
                None
            });
            // What distribution/reference makes of the old name.
            let registry = registry.map(|name| {
                if name.as_str() == "index.docker.io" { Registry::docker_hub() } else { name }
            });
            if registry.as_ref().is_some_and(|registry| found.contains_key(registry)) {
                self.add(
                    key.span(),
                    "index.docker.io is docker.io, which has settings already",
                    "merge the two",
                );
            }
            let client_certificate = self.client_certificate(file);
            found.extend(registry.map(|registry| {
                let mut endpoint = |text: &Option<Spanned<String>>| {
                    text.as_ref().and_then(|text| self.endpoint(text, &registry))
                };
                let settings = RegistrySettings {
                    endpoint: endpoint(&file.endpoint),
                    token_realm: endpoint(&file.token_realm),
                    alternatives,
                    concurrency,
                    role: file.role.as_ref().and_then(|role| self.role(role, &registry)),
                    private: file.private,
                    private_redirects: file.private_redirects,
                    ca: file.ca.clone(),
                    client_certificate,
                };
                (registry, settings)
            }));
        }
        found
    }

    fn client_certificate(&mut self, file: &RegistryFile) -> Option<(PathBuf, Option<PathBuf>)> {
        let key = file.client_key.as_ref();
        match (&file.client_certificate, key) {
            (Some(certificate), key) => {
                Some((certificate.clone(), key.map(|key| key.get_ref().clone())))
            }
            (None, Some(key)) => {
                let help = "name the certificate as `client_certificate`";
                self.add(key.span(), "`client_key` is the key of no certificate", help);
                None
            }
            (None, None) => None,
        }
    }

    fn alternative(&mut self, text: &Spanned<String>) -> Option<Alternative> {
        let (host, path) = match text.get_ref().trim_end_matches('/').split_once('/') {
            Some((host, path)) => (host, Some(path)),
            None => (text.get_ref().as_str(), None),
        };
        let registry = host.parse();
        let prefix = path.map(str::parse).transpose();
        if let (Ok(registry), Ok(prefix)) = (registry, prefix) {
            return Some(Alternative { registry, prefix });
        }
        let message = format!("`{}` is not a registry with an optional path", text.get_ref());
        self.add(text.span(), message, "such as public.ecr.aws/docker");
        None
    }

    /// Where requests or credentials for `registry` go. What a provider makes a login for is not sent anywhere else, so
    /// that whoever may change this file can't have it.
    fn endpoint(&mut self, text: &Spanned<String>, registry: &Registry) -> Option<Endpoint> {
        let Ok(endpoint) = text.get_ref().parse::<Endpoint>() else {
            let message = format!("`{}` is not an endpoint", text.get_ref());
            self.add(text.span(), message, "write scheme, host and port: `http://127.0.0.1:5001`");
            return None;
        };
        if let Some((message, help)) = Provider::of(registry).objection(registry, &endpoint) {
            self.add(text.span(), message, help);
            return None;
        }
        Some(endpoint)
    }
}
