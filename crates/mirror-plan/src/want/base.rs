//! What a pull request does not choose: where we connect with credentials. That is said by the commit it is based on.

use std::collections::{BTreeMap, BTreeSet};

use mirror_failure::printable;
use mirror_oci::{Algorithm, Digest, Registry};
use mirror_tree::Entry;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::Config;
use crate::config::hosts::RegistrySettings;
use crate::config::location::Location;
use crate::want::model::{Postponed, Want, Wants};

/// How the tree was configured at the base of a pull request, and what it knew.
///
/// ```
/// use mirror_plan::config::Config;
/// use mirror_plan::want::{Base, expand};
/// # use mirror_tree::{Entry, Rules, parse};
/// # let (file, text) = ("docker.io/library/redis/Dockerfile", "FROM redis:7.2\n");
/// # let from = parse(file, text.as_bytes(), &Rules::default()).from.ok_or("a good line")?;
/// # let entry = Entry {
/// #     file: file.to_owned(), name: from.name, version: from.version,
/// #     platform: None, span: from.span, source: text.into(),
/// # };
/// # let entries = [entry];
/// let base = Base::new(&Config::default(), &entries);
/// assert!(base.knows(&"docker.io".parse()?) && !base.knows(&"quay.io".parse()?));
///
/// // A pull request adds a destination; nothing is sent there before it is merged.
/// let config = Config::parse("[[destination]]\nname = \"new\"\nregistry = \"evil.example.com\"")
///     .map_err(|problems| format!("{problems:?}"))?;
/// let wants = expand(&entries, &config).known_to(&base, &config);
/// assert_eq!((wants.wants.len(), wants.postponed.len()), (0, 1));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct Base {
    /// Settings that connections are made by.
    pub registries: BTreeMap<Registry, RegistrySettings>,
    destinations: BTreeSet<Location>,
    known: BTreeSet<Registry>,
}

/// A difference between the configuration and the one at the base of a pull request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ConfigChange {
    /// The key, `registry."docker.io".endpoint`, or a document that the configuration names.
    pub key: String,
    /// What it was; nothing when it was not there.
    pub from: Option<String>,
    /// What it is; nothing when it is gone.
    pub to: Option<String>,
}

impl Base {
    /// What a configuration and the entries beside it know: registries that images came from or went to, or that have
    /// settings.
    pub fn new(config: &Config, entries: &[Entry]) -> Base {
        let destinations: BTreeSet<Location> =
            config.destinations.iter().map(|destination| destination.location.clone()).collect();
        let alternatives = config.registries.values().flat_map(|settings| &settings.alternatives);
        let mut known: BTreeSet<Registry> =
            alternatives.map(|alternative| alternative.registry.clone()).collect();
        known.extend(config.registries.keys().cloned());
        known.extend(entries.iter().map(|entry| entry.name.registry.clone()));
        known.extend(destinations.iter().filter_map(|location| match location {
            Location::Registry(registry) => Some(registry.clone()),
            Location::Layout(_) => None,
        }));
        Base { registries: config.registries.clone(), destinations, known }
    }

    /// Whether a registry was there before; only then it is asked with credentials.
    pub fn knows(&self, registry: &Registry) -> bool {
        self.known.contains(registry)
    }

    /// Why a want is not looked at at all.
    fn objection(&self, want: &Want, config: &Config) -> Option<String> {
        let location = &want.target.location;
        if !self.destinations.contains(location) {
            let location = match location {
                Location::Registry(registry) => registry.to_string(),
                Location::Layout(folder) => folder.clone(),
            };
            let destination = &want.target.destination;
            return Some(printable(&format!("the destination `{destination}` at {location}")));
        }
        let registry = &want.source.name.registry;
        let settings = config.registries.get(registry).filter(|_| !self.knows(registry))?;
        let connects = settings.endpoint.is_some()
            || settings.token_realm.is_some()
            || settings.role.is_some()
            || !settings.alternatives.is_empty();
        connects.then(|| format!("the registry {registry} and how it is reached"))
    }
}

impl Wants {
    /// Leaves what can be looked at by the settings of `base`; the rest is postponed by name.
    #[must_use]
    pub fn known_to(mut self, base: &Base, config: &Config) -> Wants {
        let (mut wants, mut postponed) = (Vec::new(), Vec::new());
        for want in std::mem::take(&mut self.wants) {
            match base.objection(&want, config) {
                None => wants.push(want),
                Some(reason) => postponed.push(Postponed { want, reason }),
            }
        }
        self.elsewhere.retain(|want| base.destinations.contains(&want.target.location));
        let repositories = self.repositories.into_iter().filter(|want| {
            base.destinations.contains(&Location::Registry(want.at.registry.clone()))
        });
        Wants { wants, postponed, repositories: repositories.collect(), ..self }
    }
}

/// What differs between two configurations: texts by file name, `mirror.toml` with what it names.
///
/// ```
/// use mirror_plan::want::config_changes;
///
/// let file = |text: &str| [("mirror.toml".to_owned(), text.to_owned())].into();
/// let before = file("[registry.\"docker.io\"]\nconcurrency = 8");
/// let now = file("[registry.\"docker.io\"]\nconcurrency = 9");
/// let changes = config_changes(&before, &now);
/// assert_eq!(changes.len(), 1);
/// assert_eq!((changes[0].from.as_deref(), changes[0].to.as_deref()), (Some("8"), Some("9")));
/// ```
pub fn config_changes(
    before: &BTreeMap<String, String>,
    now: &BTreeMap<String, String>,
) -> Vec<ConfigChange> {
    let (before, now) = (values(before), values(now));
    let keys: BTreeSet<&String> = before.keys().chain(now.keys()).collect();
    let differing = keys.into_iter().filter(|key| before.get(*key) != now.get(*key));
    differing
        .map(|key| ConfigChange {
            key: key.clone(),
            from: before.get(key).cloned(),
            to: now.get(key).cloned(),
        })
        .collect()
}

fn values(documents: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for (name, text) in documents {
        let table = name.ends_with(".toml").then(|| toml::from_str::<toml::Table>(text).ok());
        match table.flatten() {
            Some(table) => add_table("", &table, &mut found),
            None => {
                let digest = Digest::of(Algorithm::Sha256, text.as_bytes());
                found.insert(printable(name), digest.short().to_owned());
            }
        }
    }
    found
}

fn add_table(path: &str, table: &toml::Table, found: &mut BTreeMap<String, String>) {
    for (key, value) in table {
        let path = joined(path, key);
        match value {
            toml::Value::Table(table) => add_table(&path, table, found),
            toml::Value::Array(items) if items.iter().any(toml::Value::is_table) => {
                for (number, item) in items.iter().enumerate() {
                    let Some(table) = item.as_table() else { continue };
                    let names = ["name", "match"].iter().find_map(|key| table.get(*key)?.as_str());
                    let name = names.map_or_else(|| (number + 1).to_string(), str::to_owned);
                    let mut path = joined(&path, &name);
                    // Two of one name are told apart.
                    let below = format!("{path}.");
                    if found.keys().any(|key| key.starts_with(&below)) {
                        path = joined(&path, &(number + 1).to_string());
                    }
                    add_table(&path, table, found);
                }
            }
            value => {
                found.insert(path, printable(&shown(value)));
            }
        }
    }
}

/// A key below a path, in quotes where TOML wants them.
fn joined(path: &str, key: &str) -> String {
    let bare = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    let key = printable(key);
    let key = if key.chars().all(bare) { key } else { format!("\"{key}\"") };
    if path.is_empty() { key } else { format!("{path}.{key}") }
}

fn shown(value: &toml::Value) -> String {
    match value {
        toml::Value::String(text) => text.clone(),
        toml::Value::Integer(number) => number.to_string(),
        toml::Value::Float(number) => number.to_string(),
        toml::Value::Boolean(value) => value.to_string(),
        toml::Value::Datetime(value) => value.to_string(),
        toml::Value::Array(items) => {
            format!("[{}]", items.iter().map(shown).collect::<Vec<_>>().join(", "))
        }
        toml::Value::Table(_) => "a table".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changes(before: &str, now: &str) -> Vec<String> {
        let documents = |text: &str| BTreeMap::from([("mirror.toml".to_owned(), text.to_owned())]);
        let found = config_changes(&documents(before), &documents(now));
        let none = || "none".to_owned();
        let line = |change: ConfigChange| {
            let (from, to) = (change.from.unwrap_or_else(none), change.to.unwrap_or_else(none));
            format!("{}: {from} → {to}", change.key)
        };
        found.into_iter().map(line).collect()
    }

    #[test]
    fn differences_by_key() {
        let before = "[[destination]]\nname = \"prod\"\nregistry = \"a.io\"\n[registry.\"docker.io\"]\nconcurrency = 4\n";
        assert!(changes(before, &format!("# a comment\n{before}")).is_empty());
        let now = "[[destination]]\nname = \"prod\"\nregistry = \"b.io\"\n[[destination]]\nname = \"more\"\nlayout = \"x\"\n[registry.\"docker.io\"]\nendpoint = \"http://e\\nvil\"\nalternatives = [\"c.io\"]\n";
        assert_eq!(
            changes(before, now),
            [
                "destination.more.layout: none → x",
                "destination.more.name: none → more",
                "destination.prod.registry: a.io → b.io",
                "registry.\"docker.io\".alternatives: none → [c.io]",
                "registry.\"docker.io\".concurrency: 4 → none",
                "registry.\"docker.io\".endpoint: none → http://e\u{fffd}vil",
            ]
        );
        assert_eq!(changes("", "a = ").len(), 1, "what is no TOML differs as a whole");
    }
}
