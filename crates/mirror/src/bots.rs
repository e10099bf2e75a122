//! What the files of the bots should say.

use std::path::{Path, PathBuf};

use mirror_failure::printable;
use mirror_plan::bots::{BotRules, is_renovate_off};
use mirror_tree::Bot;

use crate::bot_files;
use crate::load::{CONFIG, Loaded, load};
use crate::print;

/// What stands in a file that we have written in.
const MARK: &str = "mirror bots: ";

/// A bot's file as it is, and as it should be.
pub(crate) struct BotFile {
    pub(crate) bot: Bot,
    pub(crate) path: PathBuf,
    /// The path as a person would write it.
    pub(crate) shown: String,
    pub(crate) existing: Option<String>,
    /// What it should say, or why that can't be put there.
    pub(crate) wanted: Result<String, String>,
    /// Whether others have switched the bot off in it, or for Dockerfiles.
    pub(crate) is_off: bool,
    /// How many pull requests the bot may have open at once.
    pub(crate) pull_requests: usize,
    /// How many images can't move, because their folders name all numbers of their tags.
    pub(crate) standing_still: usize,
}

impl BotFile {
    /// Whether we have written in it.
    pub(crate) fn is_ours(&self) -> bool {
        self.existing.as_ref().is_some_and(|text| text.contains(MARK))
    }

    /// Whether it is there, but can't be read.
    pub(crate) fn is_unreadable(&self) -> bool {
        self.existing.is_none() && self.wanted.is_err()
    }

    /// Whether there is such a file.
    pub(crate) fn is_there(&self) -> bool {
        self.existing.is_some() || self.is_unreadable()
    }

    pub(crate) fn is_current(&self) -> bool {
        self.wanted.as_ref().is_ok_and(|wanted| self.existing.as_ref() == Some(wanted))
    }
}

/// Looks at the file of a bot for a tree.
pub(crate) fn file(bot: Bot, loaded: &Loaded) -> BotFile {
    let (root, tree) = bot_files::place(&loaded.images);
    let rules = BotRules::new(&tree, &loaded.entries, &loaded.config);
    let found = bot_files::find(bot, &root);
    let text = found.text.as_ref().ok().and_then(Option::as_deref);
    let is_off = bot == Bot::Renovate && text.is_some_and(|text| is_renovate_off(text, found.key));
    let (existing, wanted) = match found.text {
        Err(why) => (None, Err(why)),
        Ok(text) => {
            let ours = text.as_deref().filter(|text| text.contains(MARK));
            let other = ours.and_then(|text| other_tree(text, &root, Path::new(&tree)));
            let wanted = match (other, bot) {
                (Some(other), _) => Err(format!(
                    "it is for the tree {other}: a repository has one tree; add the images there, or take its entries out of the file"
                )),
                (None, Bot::Dependabot) => rules.dependabot(text.as_deref()),
                (None, Bot::Renovate) => rules.renovate(text.as_deref(), found.key),
            };
            (text, wanted)
        }
    };
    BotFile {
        bot,
        path: found.path,
        shown: found.shown.to_owned(),
        existing,
        wanted,
        is_off,
        pull_requests: rules.pull_requests(bot),
        standing_still: rules.standing_still(),
    }
}

/// Another tree than this that is there, and that a file names folders of.
fn other_tree(text: &str, root: &Path, tree: &Path) -> Option<String> {
    let between = |c: char| c.is_whitespace() || matches!(c, '"' | '\'' | ',' | '[' | ']');
    let paths = text.split(between).filter(|word| word.contains('/') && !word.contains(".."));
    let mut folders = paths.flat_map(|path| Path::new(path.trim_start_matches('/')).ancestors());
    let other = folders.find(|folder| {
        *folder != tree
            && !folder.as_os_str().is_empty()
            && root.join(folder).join(CONFIG).is_file()
    });
    other.map(|folder| printable(&folder.display().to_string()))
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
