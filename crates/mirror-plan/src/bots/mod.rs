//! What Dependabot and Renovate have to be told so that they keep a tree up to date, and what they then do.

mod dependabot;
mod explain;
mod renovate;
mod rule;
pub(crate) mod section;
mod yaml;

pub use explain::{Explained, Idle, explain};
pub use section::{BotSettings, GroupBy, Interval, Majors};

use std::collections::BTreeSet;

use mirror_oci::Registry;
use mirror_tree::Entry;

use crate::bots::rule::EntryRule;
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
/// let renovate = rules.renovate(Some("{\"extends\": [\"config:recommended\"]}"), None)?;
/// assert!(renovate.contains("config:recommended"));
/// assert_eq!(rules.pull_requests(mirror_tree::Bot::Dependabot), 1);
/// assert_eq!(rules.standing_still(), 0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct BotRules {
    /// The folder of the tree in the repository, such as `images`.
    images: String,
    settings: BotSettings,
    /// One for each folder with an entry, sorted.
    entries: Vec<EntryRule>,
    /// Registries that want credentials.
    private: Vec<Registry>,
    /// Hosts that speak plain HTTP.
    plain: Vec<String>,
}

impl BotRules {
    /// Decides for the entries of the tree at `images`, a path in the repository, empty if it is the whole of it.
    pub fn new(images: &str, entries: &[Entry], config: &Config) -> BotRules {
        let mut folders: BTreeSet<&str> = BTreeSet::new();
        // Several files in one folder have one rule; `mirror check` warns about them.
        let rules = entries
            .iter()
            .filter(|entry| folders.insert(rule::folder(entry)))
            .map(|entry| EntryRule::of(entry, config))
            .collect();
        let mut registries: Vec<&Registry> =
            entries.iter().map(|entry| &entry.name.registry).collect();
        registries.sort_unstable();
        registries.dedup();
        let used = registries.into_iter();
        let private = used.clone().filter(|registry| config.is_private(registry)).cloned();
        let mut plain: Vec<String> = used
            .filter(|registry| config.speaks_plain_http(registry))
            .map(|registry| registry.host().to_owned())
            .collect();
        plain.dedup();
        BotRules {
            images: images.trim_matches('/').to_owned(),
            settings: config.bots.clone(),
            entries: rules,
            private: private.collect(),
            plain,
        }
    }

    /// What `.github/dependabot.yml` should say; `existing` is what it says now, of which everything is kept that is
    /// about other things.
    ///
    /// # Errors
    /// Why the entries can't be put there, and what to do.
    pub fn dependabot(&self, existing: Option<&str>) -> Result<String, String> {
        dependabot::written(self, existing)
    }

    /// What a file of Renovate should say; `existing` is what it says now, of which everything is kept that is about
    /// other things. `key` is the one of its configuration in a file of others, such as `renovate` in `package.json`.
    ///
    /// # Errors
    /// Why the rules can't be put there.
    pub fn renovate(&self, existing: Option<&str>, key: Option<&str>) -> Result<String, String> {
        renovate::written(self, existing, key)
    }

    /// How many pull requests a bot may have open at once, if nothing limits them.
    pub fn pull_requests(&self, bot: mirror_tree::Bot) -> usize {
        match bot {
            mirror_tree::Bot::Dependabot => dependabot::pull_requests(self),
            mirror_tree::Bot::Renovate => renovate::pull_requests(self),
        }
    }

    /// How many entries can't move, because their folders name all numbers of their tags.
    pub fn standing_still(&self) -> usize {
        self.entries.iter().filter(|entry| entry.holds_all).count()
    }
}

impl BotRules {
    /// A path of the tree as one of the repository; the tree may be all of it.
    fn path(&self, inside: &str) -> String {
        if self.images.is_empty() { inside.to_owned() } else { format!("{}/{inside}", self.images) }
    }
}

/// Whether a `dependabot.yml` has an entry for docker that looks after a tree at `images`, ours or another.
///
/// ```
/// use mirror_plan::bots::is_dependabot_on;
///
/// let text = "updates: [{package-ecosystem: docker, directories: [\"/images/**/*\"]}]";
/// assert!(is_dependabot_on(text, "images") && !is_dependabot_on(text, "other"));
/// ```
pub fn is_dependabot_on(text: &str, images: &str) -> bool {
    yaml::looks_after(text, images)
}

/// Whether a configuration of Renovate, a JSON5 document, switches it off, or has none of it.
///
/// ```
/// use mirror_plan::bots::is_renovate_off;
///
/// assert!(is_renovate_off("{ enabled: false } // for now", None));
/// assert!(!is_renovate_off("{\"extends\": [\"config:recommended\"]}", None));
/// assert!(is_renovate_off("{\"name\": \"app\"}", Some("renovate")));
/// ```
pub fn is_renovate_off(text: &str, key: Option<&str>) -> bool {
    renovate::is_off(text, key)
}

/// The name of secrets for a registry: `MY__REGISTRY_EXAMPLE_COM`, as in `MIRROR_AUTH_<HOST>`.
fn secret(registry: &Registry) -> String {
    let capitals = registry.as_str().to_ascii_uppercase();
    capitals.replace('-', "__").replace(|c: char| !c.is_ascii_alphanumeric() && c != '_', "_")
}

#[cfg(test)]
#[path = "renovate_tests.rs"]
mod renovate_tests;
#[cfg(test)]
#[path = "tests.rs"]
mod tests;
