//! The tree of a story, read as the command line reads one.

use mirror_plan::config::Config;
use mirror_plan::want::{Wants, expand};
use mirror_testkit::world::Story;
use mirror_tree::{Entry, Rules, parse};

/// A tree with its configuration, and what that comes to.
pub(crate) struct Tree {
    pub(crate) config: Config,
    pub(crate) wants: Wants,
}

impl Tree {
    pub(crate) fn of(story: &Story) -> Tree {
        let config = Config::parse(&story.config());
        let config = config.unwrap_or_else(|error| panic!("{error:?}\n{}", story.config()));
        let entries: Vec<Entry> =
            story.files().iter().map(|(file, text)| entry(file, text)).collect();
        let wants = expand(&entries, &config);
        Tree { config, wants }
    }
}

fn entry(file: &str, text: &str) -> Entry {
    let parsed = parse(file, text.as_bytes(), &Rules::default());
    let from = parsed.from.unwrap_or_else(|| panic!("{file}: {text}: {:?}", parsed.diagnostics));
    Entry {
        file: file.to_owned(),
        name: from.name,
        version: from.version,
        platform: from.platform,
        span: from.span,
        source: text.into(),
    }
}
