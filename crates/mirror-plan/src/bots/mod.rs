//! What Dependabot and Renovate have to be told so that they keep a tree up to date.

mod dependabot;
mod renovate;
mod yaml;

use std::collections::{BTreeMap, BTreeSet};

use mirror_oci::Registry;
use mirror_tree::Entry;

use crate::config::Config;

/// What the bots are told, decided from a tree and its configuration.
///
/// ```
/// use mirror_plan::bots::BotRules;
/// use mirror_plan::config::Config;
/// # use mirror_tree::{Entry, Rules, parse};
/// # let (file, text) = ("docker.io/library/redis/Dockerfile", "FROM redis:7.2\n");
/// # let from = parse(file, text.as_bytes(), &Rules::default()).from.ok_or("a good line")?;
/// # let entry = Entry {
/// #     file: file.to_owned(), name: from.name, version: from.version,
/// #     platform: None, span: from.span, source: text.into(),
/// # };
///
/// let rules = BotRules::new("images", &[entry], &Config::default());
/// let dependabot = rules.dependabot(None)?;
/// assert!(dependabot.contains("/images/**/*"));
/// let renovate = rules.renovate(Some("{\"extends\": [\"config:recommended\"]}"))?;
/// assert!(renovate.contains("config:recommended"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BotRules {
    /// The folder of the tree in the repository, such as `images`.
    images: String,
    groups: Vec<Group>,
    /// Registries that want credentials.
    private: Vec<Registry>,
    /// Hosts that speak plain HTTP.
    plain: Vec<String>,
}

/// Folders that are treated alike, each with another image: Dependabot merges what has one name.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Group {
    keep: Keep,
    /// Folders of entries, relative to the tree.
    folders: Vec<String>,
}

/// How far an entry may be moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Keep {
    /// To any newer version.
    Nothing,
    /// `postgres/13`: to 13.7, not to 14.
    Major,
    /// `node/20.11`: to 20.11.1, not to 20.12.
    Minor,
}

impl BotRules {
    /// Decides for the entries of the tree at `images`, a path in the repository, empty if it is the whole of it.
    pub fn new(images: &str, entries: &[Entry], config: &Config) -> BotRules {
        let mut kept: BTreeMap<(Keep, usize), Vec<String>> = BTreeMap::new();
        let mut seen: BTreeMap<(Keep, String), usize> = BTreeMap::new();
        let mut folders: BTreeSet<&str> = BTreeSet::new();
        for entry in entries {
            let folder = folder(entry);
            // Several files in one folder have one rule; `mirror check` warns about them.
            if !folders.insert(folder) {
                continue;
            }
            let keep = keep(entry);
            // What Dependabot calls it has no registry in front.
            let name = entry.name.repository.as_str();
            let name = name.strip_prefix("library/").unwrap_or(name).to_owned();
            let earlier = seen.entry((keep, name)).or_default();
            kept.entry((keep, *earlier)).or_default().push(folder.to_owned());
            *earlier += 1;
        }
        let groups = kept
            .into_iter()
            .map(|((keep, _), mut folders)| {
                folders.sort_unstable();
                Group { keep, folders }
            })
            .collect();
        let mut registries: Vec<&Registry> =
            entries.iter().map(|entry| &entry.name.registry).collect();
        registries.sort_unstable();
        registries.dedup();
        let (images, used) = (images.trim_matches('/').to_owned(), registries.into_iter());
        let private = used.clone().filter(|registry| config.is_private(registry)).cloned();
        let mut plain: Vec<String> = used
            .filter(|registry| config.speaks_plain_http(registry))
            .map(|registry| registry.host().to_owned())
            .collect();
        plain.dedup();
        BotRules { images, groups, private: private.collect(), plain }
    }

    /// What `.github/dependabot.yml` should say; `existing` is what it says now, of which everything is kept that is
    /// about other things.
    ///
    /// # Errors
    /// Why the entries can't be put there, and what to do.
    pub fn dependabot(&self, existing: Option<&str>) -> Result<String, String> {
        dependabot::written(self, existing)
    }

    /// What `renovate.json` should say; `existing` is what it says now, of which everything is kept that is about
    /// other things.
    ///
    /// # Errors
    /// Why the rules can't be put there.
    pub fn renovate(&self, existing: Option<&str>) -> Result<String, String> {
        renovate::written(self, existing)
    }
}

impl BotRules {
    /// A path of the tree as one of the repository; the tree may be all of it.
    fn path(&self, inside: &str) -> String {
        if self.images.is_empty() { inside.to_owned() } else { format!("{}/{inside}", self.images) }
    }
}

/// How many of the first numbers of its tag an entry keeps: none, or those that its variant folder is called by.
///
/// ```
/// use mirror_plan::bots::kept_numbers;
/// # use mirror_tree::{Entry, Rules, parse};
/// # let (file, text) = ("docker.io/library/postgres/13/Dockerfile", "FROM postgres:13.6\n");
/// # let from = parse(file, text.as_bytes(), &Rules::default()).from.ok_or("a good line")?;
/// # let entry = Entry {
/// #     file: file.to_owned(), name: from.name, version: from.version,
/// #     platform: None, span: from.span, source: text.into(),
/// # };
///
/// assert_eq!(kept_numbers(&entry), 1, "the folder `13` keeps it on 13.x");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn kept_numbers(entry: &Entry) -> usize {
    match keep(entry) {
        Keep::Nothing => 0,
        Keep::Major => 1,
        Keep::Minor => 2,
    }
}

fn folder(entry: &Entry) -> &str {
    entry.file.rsplit_once('/').map_or("", |(folder, _)| folder)
}

/// A variant folder that is called by the first numbers of its tag keeps the entry on them.
fn keep(entry: &Entry) -> Keep {
    let variant = folder(entry).strip_prefix(&entry.name.to_string()).unwrap_or_default();
    let variant = variant.trim_start_matches('/').split('/').next().unwrap_or_default();
    let numbers = numbers(variant);
    let tag = entry.version.tag().map(|tag| self::numbers(tag.as_str())).unwrap_or_default();
    if numbers.is_empty() || !tag.starts_with(&numbers) {
        return Keep::Nothing;
    }
    if numbers.len() == 1 { Keep::Major } else { Keep::Minor }
}

/// `v13.6-alpine` → 13, 6
fn numbers(text: &str) -> Vec<&str> {
    let text = text.strip_prefix('v').unwrap_or(text);
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let numbers = text.get(..end).unwrap_or_default().split('.');
    numbers.filter(|number| !number.is_empty()).collect()
}

/// The name of secrets for a registry: `MY__REGISTRY_EXAMPLE_COM`, as in `MIRROR_AUTH_<HOST>`.
fn secret(registry: &Registry) -> String {
    let capitals = registry.as_str().to_ascii_uppercase();
    capitals.replace('-', "__").replace(|c: char| !c.is_ascii_alphanumeric() && c != '_', "_")
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
