//! The configuration, checked.

pub(crate) mod file;
pub(crate) mod hosts;
pub(crate) mod location;
pub(crate) mod problems;

pub use file::Referrers;
pub use hosts::{Alternative, RegistrySettings};
pub use location::Place;
pub use problems::ConfigProblem;

use std::collections::{BTreeMap, BTreeSet};

use globset::{GlobBuilder, GlobMatcher};
use mirror_oci::{Name, Platform, Registry};
use mirror_tree::Rules;
use toml::Spanned;

use crate::config::file::{ConfigFile, DestinationFile, ImageFile};
use crate::config::problems::Problems;
use crate::provider::ecr::registry::EcrRegistry;
use crate::provider::ecr::section::EcrRules;

const DEFAULT_REPOSITORY: &str = "{registry}/{repository}";
/// Where images go when the configuration doesn't say.
pub const DEFAULT_LAYOUT: &str = "./mirror-store";
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
    /// Whether no destination is named, so that images go to the default.
    pub is_without_destination: bool,
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

#[derive(Debug, Clone)]
struct Exception {
    glob: GlobMatcher,
    destinations: Option<BTreeSet<String>>,
    platforms: Option<Vec<Platform>>,
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
            is_without_destination: true,
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
            config.is_without_destination = false;
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
        match self.registries.get(registry).and_then(|settings| settings.endpoint.as_ref()) {
            Some(endpoint) => !endpoint.is_secure() && endpoint.authority() == registry,
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

impl Problems<'_> {
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
mod tests;
