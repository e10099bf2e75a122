//! The files that Dependabot and Renovate read.

use std::fs;
use std::path::{Path, PathBuf};

use clap::ValueEnum;
use mirror_plan::bots::BotRules;

use crate::load::{Loaded, load};
use crate::{files, print};

/// A bot that proposes new versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Bot {
    /// `.github/dependabot.yml`
    Dependabot,
    /// `renovate.json`
    Renovate,
}

/// Where Renovate looks, in its order: <https://docs.renovatebot.com/configuration-options/>.
const RENOVATE: [&str; 8] = [
    "renovate.json",
    "renovate.json5",
    ".github/renovate.json",
    ".github/renovate.json5",
    ".gitlab/renovate.json",
    ".gitlab/renovate.json5",
    ".renovaterc",
    ".renovaterc.json",
];

/// Thousands of images make a few hundred KiB.
const LARGEST: u64 = 16 << 20;

/// A bot's file as it is, and as it should be.
pub(crate) struct BotFile {
    pub(crate) path: PathBuf,
    /// The path as a person would write it.
    pub(crate) shown: String,
    pub(crate) existing: Option<String>,
    /// What it should say, or why that can't be put there.
    pub(crate) wanted: Result<String, String>,
}

impl BotFile {
    /// Whether we have written in it.
    pub(crate) fn is_ours(&self) -> bool {
        self.existing.as_ref().is_some_and(|text| text.contains("mirror bots: "))
    }

    /// Whether it is there, but can't be read.
    pub(crate) fn is_unreadable(&self) -> bool {
        self.existing.is_none() && self.wanted.is_err()
    }

    pub(crate) fn is_current(&self) -> bool {
        self.wanted.as_ref().is_ok_and(|wanted| self.existing.as_ref() == Some(wanted))
    }
}

/// Looks at the file of a bot for a tree.
pub(crate) fn file(bot: Bot, loaded: &Loaded) -> BotFile {
    let images = fs::canonicalize(&loaded.images).unwrap_or_else(|_| loaded.images.clone());
    let root = root(&images);
    let tree = images.strip_prefix(&root).unwrap_or(&images);
    let rules = BotRules::new(&tree.display().to_string(), &loaded.entries, &loaded.config);
    let present = |names: &[&'static str]| {
        names.iter().copied().find(|name| root.join(name).symlink_metadata().is_ok())
    };
    let shown = match bot {
        Bot::Dependabot => present(&[".github/dependabot.yml", ".github/dependabot.yaml"])
            .unwrap_or(".github/dependabot.yml"),
        Bot::Renovate => present(&RENOVATE).unwrap_or("renovate.json"),
    };
    let path = root.join(shown);
    let read = files::read_below(&root, Path::new(shown), LARGEST);
    let (existing, unreadable) = match read {
        Ok(text) => (Some(text), None),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => (None, None),
        Err(error) => (None, Some(format!("it can't be read: {error}"))),
    };
    let wanted = match (bot, unreadable) {
        (_, Some(why)) => Err(why),
        (Bot::Renovate, None) if shown.ends_with("json5") => {
            Err("it is JSON5, whose comments would be lost; make it a renovate.json".to_owned())
        }
        (Bot::Dependabot, None) => rules.dependabot(existing.as_deref()),
        (Bot::Renovate, None) => rules.renovate(existing.as_deref()),
    };
    BotFile { path, shown: shown.to_owned(), existing, wanted }
}

/// Says so when files that are there no longer fit the tree.
pub(crate) fn remind(images: &Path) {
    let loaded = load(Some(images));
    let files = [Bot::Dependabot, Bot::Renovate].map(|bot| file(bot, &loaded));
    let old = files.iter().filter(|file| file.is_ours() && !file.is_current());
    let old: Vec<&str> = old.map(|file| file.shown.as_str()).collect();
    if !old.is_empty() {
        print::message(&format!(
            "these do not match the tree: {}; run `mirror bots`",
            old.join(" and ")
        ));
    }
}

/// The folder of the repository that a tree is in, which may be the tree itself; the one above the tree, if it is in
/// none.
pub(crate) fn root(images: &Path) -> PathBuf {
    let found = images.ancestors().find(|folder| folder.join(".git").exists());
    found.or(images.parent()).unwrap_or(images).to_owned()
}
