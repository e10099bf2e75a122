//! `[[destination]]` and `[[image]]`: where images go, and what is different for some of them.

use std::collections::BTreeSet;

use mirror_oci::Platform;
use schemars::JsonSchema;
use serde::Deserialize;
use toml::Spanned;

use crate::config::glob::Glob;
use crate::config::location::Location;
use crate::config::problems::Problems;
use crate::provider::ecr::section::EcrFile;
use crate::provider::rules::RepositoryRules;

/// The repository of a copy, unless the configuration says otherwise.
pub(crate) const DEFAULT_REPOSITORY: &str = "{registry}/{repository}";
const PLACEHOLDERS: [&str; 3] = ["{registry}", "{repository}", "{name}"];

/// Where images are copied to: a registry or an OCI image layout, one of the two.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a table with `name`, and `registry` or `layout`")]
pub(crate) struct DestinationFile {
    /// What plans and messages call it.
    #[schemars(with = "String")]
    pub(crate) name: Spanned<String>,
    /// The registry, `host[:port]`.
    #[schemars(with = "Option<String>")]
    pub(crate) registry: Option<Spanned<String>>,
    /// The folder of an OCI image layout, relative to the folder that holds the tree.
    #[schemars(with = "Option<String>")]
    pub(crate) layout: Option<Spanned<String>>,
    /// The repository of a copy; `{registry}`, `{repository}` and `{name}` (its last component) are replaced.
    /// Default: `{registry}/{repository}`.
    #[schemars(with = "Option<String>")]
    pub(crate) repository: Option<Spanned<String>>,
    /// For Amazon ECR: how repositories are made and kept.
    #[schemars(with = "Option<EcrFile>")]
    pub(crate) ecr: Option<Spanned<EcrFile>>,
}

/// An exception for the images that a glob matches.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a table with `match`")]
pub(crate) struct ImageFile {
    /// Glob over fully spelled names without tag, `docker.io/library/*`; `*` stops at `/`, `**` doesn't.
    #[serde(rename = "match")]
    #[schemars(with = "String")]
    pub(crate) pattern: Spanned<String>,
    /// Copy to these destinations only.
    #[schemars(with = "Option<Vec<String>>")]
    pub(crate) destinations: Option<Vec<Spanned<String>>>,
    /// Copy these platforms only, `os/architecture[/variant]`.
    #[schemars(with = "Option<Vec<String>>")]
    pub(crate) platforms: Option<Vec<Spanned<String>>>,
}

/// Where images are copied to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Destination {
    /// What plans and messages call it.
    pub name: String,
    /// Where it is.
    pub location: Location,
    /// The repository of a copy, with placeholders.
    pub(crate) repository: String,
    /// How repositories are made and kept, where it does not make them itself.
    pub repositories: Option<RepositoryRules>,
}

/// What is different for some images.
#[derive(Debug, Clone)]
pub(crate) struct Exception {
    pub(crate) glob: Glob,
    pub(crate) destinations: Option<BTreeSet<String>>,
    pub(crate) platforms: Option<Vec<Platform>>,
}

impl Problems<'_> {
    pub(crate) fn destinations(&mut self, files: &[Spanned<DestinationFile>]) -> Vec<Destination> {
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
            let location = self.location(file);
            let repository = self.template(file.get_ref());
            if let (Some(location), Some(repository)) = (location, repository) {
                let twin = found
                    .iter()
                    .find(|other| other.location == location && other.repository == repository);
                if let Some(twin) = twin {
                    let message = format!("`{name}` and `{}` have the same target", twin.name);
                    let help = "delete one of them, or give it another `repository`";
                    self.add(file.get_ref().name.span(), message, help);
                }
                let registry = match &location {
                    Location::Registry(registry) => Some(registry),
                    Location::Layout(_) => None,
                };
                let section = file.get_ref().ecr.as_ref();
                let repositories = self.ecr_rules(&file.get_ref().name, section, registry);
                found.push(Destination { name: name.clone(), location, repository, repositories });
            }
        }
        found
    }

    fn location(&mut self, file: &Spanned<DestinationFile>) -> Option<Location> {
        let destination = file.get_ref();
        match (&destination.registry, &destination.layout) {
            (Some(registry), None) => self
                .parsed(registry, "write host[:port], such as registry.example.com")
                .map(Location::Registry),
            (None, Some(layout)) if !layout.get_ref().is_empty() => {
                Some(Location::Layout(layout.get_ref().clone()))
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

    pub(crate) fn exception(
        &mut self,
        file: &ImageFile,
        names: &BTreeSet<&str>,
    ) -> Option<Exception> {
        let glob = self.glob(&file.pattern);
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
        Some(Exception { glob: glob?, destinations, platforms })
    }
}
