//! The configuration, checked.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::str::FromStr;

use globset::{GlobBuilder, GlobMatcher};
use mirror_oci::{Name, Platform, Registry, Repository};
use mirror_tree::Rules;
use toml::Spanned;

use crate::config_ecr::EcrRules;
use crate::config_file::{ConfigFile, DestinationFile, ImageFile, Referrers, RegistryFile};
use crate::ecr::EcrRegistry;

const DEFAULT_REPOSITORY: &str = "{registry}/{repository}";
const DEFAULT_LAYOUT: &str = "./mirror-store";
const PLACEHOLDERS: [&str; 3] = ["{registry}", "{repository}", "{name}"];

/// What `images/mirror.toml` says, checked.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where images go, at least one.
    pub destinations: Vec<Destination>,
    /// Settings of hosts.
    pub registries: BTreeMap<Registry, RegistrySettings>,
    /// What the tree must be like.
    pub rules: Rules,
    /// What to do about signatures and the like.
    pub referrers: Referrers,
    exceptions: Vec<Exception>,
}

/// A place that images are copied to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Destination {
    /// What plans and messages call it.
    pub name: String,
    /// Where it is.
    pub place: Place,
    /// The repository of a copy, with placeholders.
    pub(crate) repository: String,
    /// How repositories are kept, if it is a private registry of Amazon ECR.
    pub ecr: Option<EcrRules>,
}

/// Where a destination is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Place {
    /// A registry.
    Registry(Registry),
    /// The folder of an OCI image layout, as written: relative to the folder that holds the tree, or absolute.
    Layout(String),
}

/// Settings of one host.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RegistrySettings {
    /// Scheme, host and port to go to instead, `http://127.0.0.1:5001`.
    pub endpoint: Option<String>,
    /// Scheme, host and port of a token service that our credentials may go to.
    pub token_realm: Option<String>,
    /// Registries with the same content by digest, asked first.
    pub alternatives: Vec<Alternative>,
    /// Most requests at once.
    pub concurrency: Option<u16>,
    /// The role to assume at Amazon ECR.
    pub role: Option<String>,
    /// Whether the bots need credentials for it.
    pub private: bool,
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

#[derive(Debug, Clone)]
struct Exception {
    glob: GlobMatcher,
    destinations: Option<BTreeSet<String>>,
    platforms: Option<Vec<Platform>>,
}

/// Something wrong with the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigProblem {
    /// The offending bytes of the file, where they are known.
    pub span: Option<Range<usize>>,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub help: Option<String>,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            destinations: vec![Destination {
                name: "mirror-store".to_owned(),
                place: Place::Layout(DEFAULT_LAYOUT.to_owned()),
                repository: DEFAULT_REPOSITORY.to_owned(),
                ecr: None,
            }],
            registries: BTreeMap::new(),
            rules: Rules::default(),
            referrers: Referrers::default(),
            exceptions: Vec::new(),
        }
    }
}

impl Config {
    /// Reads the text of a `mirror.toml`.
    ///
    /// # Errors
    /// Everything that is wrong with it: one problem when it isn't TOML of the right shape, otherwise all.
    pub fn parse(text: &str) -> Result<Config, Vec<ConfigProblem>> {
        Config::parse_with(text, &|_| Err("no other file can be read here".to_owned()))
    }

    /// The same, with documents that are named in it: `read` gives the text of a file beside it, or why it can't.
    ///
    /// # Errors
    /// As [`Config::parse`].
    pub fn parse_with(
        text: &str,
        read: &dyn Fn(&str) -> Result<String, String>,
    ) -> Result<Config, Vec<ConfigProblem>> {
        let file: ConfigFile = toml::from_str(text).map_err(|error| {
            let message = error.message().to_owned();
            let help = message
                .starts_with("unknown field")
                .then(|| "see images/README.md for all keys".to_owned());
            vec![ConfigProblem { span: error.span(), message, help }]
        })?;
        let mut problems = Problems { found: Vec::new(), read };
        let mut config = Config {
            rules: Rules {
                require_digest: file.check.require_digest,
                allow_digest_only: file.check.allow_digest_only,
            },
            referrers: file.copy.referrers,
            ..Config::default()
        };
        if !file.destination.is_empty() {
            config.destinations = problems.destinations(&file.destination);
        }
        config.registries = problems.registries(&file.registry);
        let names: BTreeSet<&str> = config.destinations.iter().map(|d| d.name.as_str()).collect();
        config.exceptions =
            file.image.iter().filter_map(|image| problems.exception(image, &names)).collect();
        if problems.found.is_empty() { Ok(config) } else { Err(problems.found) }
    }

    /// Whether copies of `name` go to the destination called `destination`.
    pub fn sends(&self, name: &Name, destination: &str) -> bool {
        let chosen =
            self.matching(name).filter_map(|exception| exception.destinations.as_ref()).last();
        chosen.is_none_or(|chosen| chosen.contains(destination))
    }

    /// Whether the bots need credentials for a registry. Private registries of Amazon ECR always want some.
    pub(crate) fn is_private(&self, registry: &Registry) -> bool {
        let said = self.registries.get(registry).is_some_and(|settings| settings.private);
        said || EcrRegistry::of(registry).is_some()
    }

    /// Whether a registry is reached without TLS: on this machine, or where its own endpoint says so.
    pub(crate) fn speaks_plain_http(&self, registry: &Registry) -> bool {
        let endpoint =
            self.registries.get(registry).and_then(|settings| settings.endpoint.as_deref());
        match endpoint {
            Some(endpoint) => endpoint.strip_prefix("http://") == Some(registry.as_str()),
            None => registry.is_loopback(),
        }
    }

    /// The platforms of `name` that are wanted; all, if nothing is said.
    pub fn platforms(&self, name: &Name) -> Option<&[Platform]> {
        self.matching(name).filter_map(|exception| exception.platforms.as_deref()).last()
    }

    /// Globs of exceptions that none of these names matches.
    pub fn unused_globs<'a>(&self, names: impl Iterator<Item = &'a Name>) -> Vec<String> {
        let names: Vec<String> = names.map(ToString::to_string).collect();
        let unused =
            |exception: &&Exception| !names.iter().any(|name| exception.glob.is_match(name));
        self.exceptions
            .iter()
            .filter(unused)
            .map(|exception| exception.glob.glob().glob().to_owned())
            .collect()
    }

    fn matching(&self, name: &Name) -> impl Iterator<Item = &Exception> {
        let spelled = name.to_string();
        self.exceptions.iter().filter(move |exception| exception.glob.is_match(&spelled))
    }
}

/// Collects what is wrong.
pub(crate) struct Problems<'a> {
    found: Vec<ConfigProblem>,
    pub(crate) read: &'a dyn Fn(&str) -> Result<String, String>,
}

impl Problems<'_> {
    pub(crate) fn add(
        &mut self,
        span: Range<usize>,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        self.found.push(ConfigProblem {
            span: Some(span),
            message: message.into(),
            help: Some(help.into()),
        });
    }

    fn parsed<T: FromStr<Err: std::fmt::Display>>(
        &mut self,
        text: &Spanned<String>,
        help: &str,
    ) -> Option<T> {
        match text.get_ref().parse() {
            Ok(value) => Some(value),
            Err(error) => {
                self.add(text.span(), format!("`{}`: {error}", text.get_ref()), help);
                None
            }
        }
    }

    fn destinations(&mut self, files: &[Spanned<DestinationFile>]) -> Vec<Destination> {
        let mut found: Vec<Destination> = Vec::new();
        for file in files {
            let name = file.get_ref().name.get_ref();
            if name.is_empty() || name.chars().any(|c| c.is_control() || c.is_whitespace()) {
                self.add(
                    file.get_ref().name.span(),
                    "a destination's name is one word",
                    "such as \"prod\"",
                );
            }
            if found.iter().any(|other| other.name == *name) {
                let message = format!("two destinations are called `{name}`");
                self.add(file.get_ref().name.span(), message, "give each a name of its own");
            }
            let place = self.place(file);
            let repository = self.template(file.get_ref());
            if let (Some(place), Some(repository)) = (place, repository) {
                let twin = found
                    .iter()
                    .find(|other| other.place == place && other.repository == repository);
                if let Some(twin) = twin {
                    let message = format!("`{name}` and `{}` are the same place", twin.name);
                    let help = "delete one of them, or give it another `repository`";
                    self.add(file.get_ref().name.span(), message, help);
                }
                let ecr = self.ecr_rules(file.get_ref(), &place);
                found.push(Destination { name: name.clone(), place, repository, ecr });
            }
        }
        found
    }

    fn place(&mut self, file: &Spanned<DestinationFile>) -> Option<Place> {
        let destination = file.get_ref();
        match (&destination.registry, &destination.layout) {
            (Some(registry), None) => self
                .parsed(registry, "write host[:port], such as registry.example.com")
                .map(Place::Registry),
            (None, Some(layout)) if !layout.get_ref().is_empty() => {
                Some(Place::Layout(layout.get_ref().clone()))
            }
            _ => {
                let message = format!(
                    "destination `{}` needs a registry or a layout",
                    destination.name.get_ref()
                );
                let help = "write `registry = \"host\"` or `layout = \"./folder\"`, one of the two";
                self.add(destination.name.span(), message, help);
                None
            }
        }
    }

    fn template(&mut self, file: &DestinationFile) -> Option<String> {
        let Some(template) = &file.repository else { return Some(DEFAULT_REPOSITORY.to_owned()) };
        let text = template.get_ref();
        let rest = PLACEHOLDERS
            .iter()
            .fold(text.clone(), |rest, placeholder| rest.replace(placeholder, "x"));
        if rest == *text {
            let help = format!(
                "use {}, so that images don't overwrite each other",
                PLACEHOLDERS.join(", ")
            );
            self.add(template.span(), "the repository has no placeholder", help);
            return None;
        }
        if let Err(error) = rest.parse::<mirror_oci::Repository>() {
            let help = format!("placeholders are {}", PLACEHOLDERS.join(", "));
            self.add(template.span(), format!("`{text}` doesn't make a repository: {error}"), help);
            return None;
        }
        Some(text.clone())
    }

    fn registries(
        &mut self,
        files: &BTreeMap<Spanned<String>, RegistryFile>,
    ) -> BTreeMap<Registry, RegistrySettings> {
        let mut found = BTreeMap::new();
        for (key, file) in files {
            let registry = self
                .parsed::<Registry>(key, "write the name that references use, such as docker.io");
            let endpoint = file.endpoint.as_ref().and_then(|endpoint| self.endpoint(endpoint));
            let token_realm = file.token_realm.as_ref().and_then(|realm| self.endpoint(realm));
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
                let role = file.role.as_ref().and_then(|role| self.role(role, &registry));
                let private = file.private;
                let settings = RegistrySettings {
                    endpoint,
                    token_realm,
                    alternatives,
                    concurrency,
                    role,
                    private,
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

    fn endpoint(&mut self, text: &Spanned<String>) -> Option<String> {
        let url = text.get_ref().trim_end_matches('/');
        let host = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://"));
        if host.is_some_and(|host| host.parse::<Registry>().is_ok()) {
            return Some(url.to_owned());
        }
        let message = format!("`{}` is not an endpoint", text.get_ref());
        self.add(text.span(), message, "write scheme, host and port: `http://127.0.0.1:5001`");
        None
    }

    fn exception(&mut self, file: &ImageFile, names: &BTreeSet<&str>) -> Option<Exception> {
        let glob = GlobBuilder::new(file.pattern.get_ref()).literal_separator(true).build();
        let glob = glob.map_err(|error| {
            let message = format!("`{}` is not a glob: {}", file.pattern.get_ref(), error.kind());
            self.add(file.pattern.span(), message, "such as docker.io/library/*");
        });
        for destination in file.destinations.iter().flatten() {
            if !names.contains(destination.get_ref().as_str()) {
                let known: Vec<_> = names.iter().copied().collect();
                let message = format!("there is no destination `{}`", destination.get_ref());
                self.add(
                    destination.span(),
                    message,
                    format!("destinations are: {}", known.join(", ")),
                );
            }
        }
        if file.destinations.as_ref().is_some_and(Vec::is_empty) {
            self.add(
                file.pattern.span(),
                "an empty list of destinations copies nothing",
                "delete the entries instead",
            );
        }
        if file.platforms.as_ref().is_some_and(Vec::is_empty) {
            self.add(
                file.pattern.span(),
                "an empty list of platforms copies nothing",
                "leave the key out to copy all",
            );
        }
        let platforms = file.platforms.as_ref().map(|list| {
            list.iter()
                .filter_map(|platform| self.parsed(platform, "such as linux/amd64"))
                .collect()
        });
        let destinations = file
            .destinations
            .as_ref()
            .map(|list| list.iter().map(|name| name.get_ref().clone()).collect());
        Some(Exception { glob: glob.ok()?.compile_matcher(), destinations, platforms })
    }
}

#[cfg(test)]
#[path = "config_tests.rs"]
mod tests;
