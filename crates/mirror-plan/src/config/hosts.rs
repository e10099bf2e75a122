//! What `mirror.toml` says about hosts, checked.

use std::collections::BTreeMap;

use mirror_oci::{Endpoint, Registry, Repository};
use toml::Spanned;

use crate::config::file::RegistryFile;
use crate::config::problems::Problems;
use crate::provider::ecr::registry::AwsRegistry;

/// Settings of one host.
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
}

/// A registry that has another's content, below a path of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alternative {
    /// The registry.
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
                };
                (registry, settings)
            }));
        }
        found
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

    /// Where requests or credentials for `registry` go. What AWS makes a login for is not sent anywhere else, so that
    /// whoever may change this file can't have it.
    fn endpoint(&mut self, text: &Spanned<String>, registry: &Registry) -> Option<Endpoint> {
        let Ok(endpoint) = text.get_ref().parse::<Endpoint>() else {
            let message = format!("`{}` is not an endpoint", text.get_ref());
            self.add(text.span(), message, "write scheme, host and port: `http://127.0.0.1:5001`");
            return None;
        };
        let outside = AwsRegistry::of(registry).is_some_and(|aws| !aws.login_belongs_to(&endpoint));
        if outside {
            let message = format!("{endpoint} is not {registry}: an AWS login must not go there");
            let help = "use https and a name that AWS has for this registry: its own, FIPS, dual-stack, or that of a VPC \
                        endpoint in its region";
            self.add(text.span(), message, help);
            return None;
        }
        Some(endpoint)
    }
}
