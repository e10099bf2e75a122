//! `[[destination]]` and `[[image]]`: where images go, and what is different for some of them.

use std::collections::BTreeSet;

use mirror_oci::Platform;
use mirror_tree::Entry;
use mirror_tree::version::Keep;
use schemars::JsonSchema;
use serde::Deserialize;
use toml::Spanned;

use crate::config::glob::Glob;
use crate::config::location::Location;
use crate::config::problems::Problems;
use crate::provider::Provider;
use crate::provider::ecr::section::EcrFile;
use crate::provider::rules::RepositoryRules;
use crate::want::template::{FIELDS, Template};

/// The repository of a copy, unless the configuration says otherwise.
const DEFAULT_REPOSITORY: &str = "{registry}/{repository}";

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
    /// The repository of a copy, with the fields `{registry}`, `{repository}` and `{name}` (its last component), each
    /// with a filter if need be: `{repository:dashes}`, `{name:20}`. Default: `{registry}/{repository}`.
    #[schemars(with = "Option<String>")]
    pub(crate) repository: Option<Spanned<String>>,
    /// The tag of a copy, with the same fields and `{tag}` and `{digest}`, such as `{tag}-{digest:12}`. Default: `{tag}`.
    #[schemars(with = "Option<String>")]
    pub(crate) tag: Option<Spanned<String>>,
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
    /// How far the bots and `mirror update` may go: first numbers (`16`, `16.3`), `exact`, a glob over tags
    /// (`RELEASE.2024-*`) or a regular expression between slashes.
    #[schemars(with = "Option<String>")]
    pub(crate) keep: Option<Spanned<String>>,
}

/// Where images are copied to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Destination {
    /// What plans and messages call it.
    pub name: String,
    /// Where it is.
    pub location: Location,
    /// The repository of a copy.
    pub(crate) repository: Template,
    /// Its tag, where that is not the one of the source.
    pub(crate) tag: Option<Template>,
    /// How repositories are made and kept, where it does not make them itself.
    pub repositories: Option<RepositoryRules>,
}

/// What is different for some images.
#[derive(Debug, Clone)]
pub(crate) struct Exception {
    pub(crate) glob: Glob,
    pub(crate) destinations: Option<BTreeSet<String>>,
    pub(crate) platforms: Option<Vec<Platform>>,
    pub(crate) keep: Option<Keep>,
}

impl Destination {
    /// Where images go when the configuration doesn't say.
    pub(crate) fn to_layout(name: &str, layout: &str) -> Destination {
        Destination {
            name: name.to_owned(),
            location: Location::Layout(layout.to_owned()),
            repository: default_repository(),
            tag: None,
            repositories: None,
        }
    }

    /// Whether it takes no other digest for the tag of an entry.
    pub(crate) fn is_immutable(&self, entry: &Entry) -> bool {
        let (Location::Registry(registry), Some(rules)) = (&self.location, &self.repositories)
        else {
            return false;
        };
        let Some(tag) = entry.version.tag() else { return false };
        // What can't be filled in is told where images are expanded.
        let tag = match &self.tag {
            Some(template) if template.has_digest() => return false,
            Some(template) => template.filled(entry).ok().and_then(|text| text.parse().ok()),
            None => Some(tag.clone()),
        };
        let repository = self.repository.filled(entry).ok().and_then(|text| text.parse().ok());
        tag.zip(repository).is_some_and(|(tag, repository)| {
            Provider::of(registry).keeps_tag(&rules.of(&repository).1, &tag)
        })
    }
}

fn default_repository() -> Template {
    // A test holds that it is one.
    DEFAULT_REPOSITORY.parse().unwrap_or_else(|_| Template::verbatim(DEFAULT_REPOSITORY))
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
            let tag = self.tag(file.get_ref());
            let repository = self.repository(file.get_ref(), tag.as_ref());
            if let (Some(location), Some(repository)) = (location, repository) {
                let twin = found.iter().find(|other| {
                    other.location == location && other.repository == repository && other.tag == tag
                });
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
                let name = name.clone();
                found.push(Destination { name, location, repository, tag, repositories });
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

    fn repository(&mut self, file: &DestinationFile, tag: Option<&Template>) -> Option<Template> {
        let Some(text) = &file.repository else { return Some(default_repository()) };
        let template = self.template(text)?;
        if !template.tells_images_apart() && !tag.is_some_and(Template::tells_images_apart) {
            let help =
                "use {registry}, {repository} or {name}, so that images don't overwrite each other";
            self.add(text.span(), "the repository has no placeholder", help);
            return None;
        }
        if template.has_version() {
            let help = "put {tag} and {digest} into `tag`";
            self.add(text.span(), "each version would get a repository of its own", help);
            return None;
        }
        if let Err(error) = template.sample().parse::<mirror_oci::Repository>() {
            let message = format!("`{template}` doesn't make a repository: {error}");
            self.add(text.span(), message, format!("fields are {FIELDS}"));
            return None;
        }
        Some(template)
    }

    fn tag(&mut self, file: &DestinationFile) -> Option<Template> {
        let text = file.tag.as_ref()?;
        let template = self.template(text)?;
        if !template.has_version() {
            let help = "use {tag} or {digest}, such as {tag}-{digest:12}";
            self.add(text.span(), "all versions of an image would get this tag", help);
            return None;
        }
        if let Err(error) = template.sample().parse::<mirror_oci::Tag>() {
            let message = format!("`{template}` doesn't make a tag: {error}");
            self.add(text.span(), message, format!("fields are {FIELDS}"));
            return None;
        }
        Some(template)
    }

    fn template(&mut self, text: &Spanned<String>) -> Option<Template> {
        let problem = |why: String| {
            let message = format!("`{}` is no name with fields: {why}", text.get_ref());
            self.add(text.span(), message, format!("fields are {FIELDS}"));
        };
        text.get_ref().parse().map_err(problem).ok()
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
        let keep = file.keep.as_ref().and_then(|keep| {
            self.parsed(
                keep,
                "write \"16\", \"16.3\", \"exact\", or a pattern such as \"RELEASE.2024-*\"",
            )
        });
        Some(Exception { glob: glob?, destinations, platforms, keep })
    }
}
