//! The configuration, checked.

pub(crate) mod check;
pub(crate) mod copy;
pub(crate) mod file;
pub(crate) mod glob;
pub(crate) mod hosts;
mod keep;
pub(crate) mod location;
pub(crate) mod problems;

pub use copy::Referrers;
pub use hosts::{Alternative, RegistrySettings};
pub use location::Location;
pub use problems::ConfigProblem;

use std::collections::{BTreeMap, BTreeSet};

use mirror_oci::{Name, Platform, Registry};
use mirror_tree::{Entry, Rules};

use crate::bots::section::BotSettings;
use crate::config::file::ConfigFile;
use crate::config::problems::Problems;
use crate::provider::Provider;
use crate::want::section::{Destination, Exception};

/// Where images go when the configuration doesn't say.
pub const DEFAULT_LAYOUT: &str = "./mirror-store";

/// What `images/mirror.toml` says, checked.
///
/// ```
/// use mirror_oci::Reference;
/// use mirror_plan::config::Config;
///
/// let config = Config::parse(
///     r#"
///     [[destination]]
///     name = "prod"
///     registry = "registry.example.com"
///
///     [[image]]
///     match = "docker.io/library/*"
///     platforms = ["linux/amd64"]
///     "#,
/// )
/// .map_err(|problems| format!("{problems:?}"))?;
/// let name = "redis:7".parse::<Reference>()?.name;
/// assert!(config.sends(&name, "prod"));
/// assert_eq!(config.platforms(&name).map(<[_]>::len), Some(1));
/// assert!(config.unused_globs([&name].into_iter()).is_empty());
/// # use mirror_tree::{Entry, Rules, parse};
/// # let (file, text) = ("docker.io/library/redis/7/Dockerfile", "FROM redis:7.2\n");
/// # let from = parse(file, text.as_bytes(), &Rules::default()).from.ok_or("a good line")?;
/// # let entry = Entry {
/// #     file: file.to_owned(), name: from.name, version: from.version,
/// #     platform: None, span: from.span, source: text.into(),
/// # };
/// assert!(config.keep(&entry).allows("7.4") && !config.keep(&entry).allows("8.0"));
/// assert!(config.allowed(&entry)("7.4") && !config.stands_still(&entry));
/// assert!(!config.is_immutable(&entry));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct Config {
    /// Where images go, at least one.
    pub destinations: Vec<Destination>,
    /// Settings of registries, as sources or destinations.
    pub registries: BTreeMap<Registry, RegistrySettings>,
    /// What the tree must be like.
    pub rules: Rules,
    /// What to do about signatures and the like.
    pub referrers: Referrers,
    /// How the bots go about it.
    pub bots: BotSettings,
    exceptions: Vec<Exception>,
    /// Whether no destination is named, so that images go to the default.
    pub is_without_destination: bool,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            destinations: vec![Destination::to_layout("mirror-store", DEFAULT_LAYOUT)],
            registries: BTreeMap::new(),
            rules: Rules::default(),
            referrers: Referrers::default(),
            bots: BotSettings::default(),
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
    ///
    /// ```
    /// use mirror_plan::config::Config;
    ///
    /// let problems = Config::parse("[[destination]]\nname = \"prod\"").unwrap_err();
    /// assert_eq!(problems.len(), 1, "neither registry nor layout: {problems:?}");
    /// ```
    pub fn parse(text: &str) -> Result<Config, Vec<ConfigProblem>> {
        Config::parse_with(text, &|_| Err("no other file can be read here".to_owned()))
    }

    /// The same, with documents that are named in it: `read` gives the text of a file beside it, or why it can't.
    ///
    /// # Errors
    /// As [`Config::parse`].
    ///
    /// ```
    /// use mirror_plan::config::Config;
    ///
    /// let text = r#"
    /// [[destination]]
    /// name = "prod"
    /// registry = "123456789012.dkr.ecr.eu-central-1.amazonaws.com"
    /// ecr.lifecycle_policy = "lifecycle.json"
    /// "#;
    /// let missing = Config::parse_with(text, &|file| Err(format!("there is no {file}"))).unwrap_err();
    /// assert!(missing.iter().any(|problem| problem.message.contains("there is no lifecycle.json")));
    /// ```
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
                ..Rules::default()
            },
            referrers: file.copy.referrers,
            ..Config::default()
        };
        if !file.destination.is_empty() {
            config.destinations = problems.destinations(&file.destination);
            config.is_without_destination = false;
        }
        config.registries = problems.registries(&file.registry);
        config.bots = problems.bots(&file.bots);
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

    /// Whether the bots need credentials for a registry. Some providers always want them.
    pub(crate) fn is_private(&self, registry: &Registry) -> bool {
        let said = self.registries.get(registry).is_some_and(|settings| settings.private);
        said || Provider::of(registry).is_private()
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

    /// Whether a new digest of the entry's tag can't be pushed to one of its destinations.
    pub fn is_immutable(&self, entry: &Entry) -> bool {
        let destinations =
            self.destinations.iter().filter(|one| self.sends(&entry.name, &one.name));
        destinations.into_iter().any(|destination| destination.is_immutable(entry))
    }

    /// Globs of exceptions that none of these names matches.
    pub fn unused_globs<'a>(&self, names: impl Iterator<Item = &'a Name>) -> Vec<String> {
        let names: Vec<String> = names.map(ToString::to_string).collect();
        let unused =
            |exception: &&Exception| !names.iter().any(|name| exception.glob.matches(name));
        self.exceptions
            .iter()
            .filter(unused)
            .map(|exception| exception.glob.as_str().to_owned())
            .collect()
    }

    fn matching(&self, name: &Name) -> impl Iterator<Item = &Exception> {
        let spelled = name.to_string();
        self.exceptions.iter().filter(move |exception| exception.glob.matches(&spelled))
    }
}

#[cfg(test)]
mod tests;
