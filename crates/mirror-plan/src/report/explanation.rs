//! What the bots will propose, entry by entry.

use mirror_tree::{Bot, Entry};
use schemars::JsonSchema;
use serde::Serialize;

use crate::bots::{Idle, explain};
use crate::config::Config;

/// What `mirror bots --explain` says.
///
/// ```
/// use mirror_plan::config::Config;
/// use mirror_plan::report::Explanation;
/// use mirror_tree::Bot;
/// # use mirror_tree::{Entry, Rules, parse};
/// # let (file, text) = ("docker.io/library/redis/Dockerfile", "FROM redis:7.2\n");
/// # let from = parse(file, text.as_bytes(), &Rules::default()).from.ok_or("a good line")?;
/// # let entry = Entry {
/// #     file: file.to_owned(), name: from.name, version: from.version,
/// #     platform: None, span: from.span, source: text.into(),
/// # };
///
/// let explanation = Explanation::of([&entry], &[Bot::Renovate], &Config::default());
/// assert_eq!(explanation.entries[0].proposes, ["minor", "major"]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Explanation {
    /// Version of this format; 1.
    pub format_version: u32,
    /// One for each entry and bot, in the order of the tree.
    pub entries: Vec<ExplainedEntry>,
}

/// What one bot does about one entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ExplainedEntry {
    /// The file of the tree.
    pub file: String,
    /// The image, fully spelled, without tag.
    pub name: String,
    /// The tag it has, if any.
    pub tag: Option<String>,
    /// The bot: Dependabot or Renovate.
    pub bot: String,
    /// The kinds of update that it proposes as soon as there is one: patch, minor, major, digest.
    pub proposes: Vec<String>,
    /// Why it proposes no version.
    pub nothing: Option<String>,
    /// The part of the tag that it never changes, and that goes out of use upstream.
    pub fixed: Option<String>,
    /// What else there is to know.
    pub notes: Vec<String>,
}

impl Explanation {
    /// What these bots do about entries.
    pub fn of<'a>(
        entries: impl IntoIterator<Item = &'a Entry>,
        bots: &[Bot],
        config: &Config,
    ) -> Explanation {
        let entries = entries.into_iter();
        let explained = entries.flat_map(|entry| bots.iter().map(|bot| one(entry, *bot, config)));
        Explanation { format_version: 1, entries: explained.collect() }
    }
}

fn one(entry: &Entry, bot: Bot, config: &Config) -> ExplainedEntry {
    let explained = explain(entry, bot, config);
    let mut notes = Vec::new();
    notes.extend(explained.unsaid.map(|keep| {
        format!("{bot} can't be told to keep `{keep}`: it knows ranges of versions alone")
    }));
    notes.extend(explained.digest.map(|why| format!("no digests: {}", why.message())));
    if explained.conflicts {
        notes.push(format!("digests can't be merged: {}", Idle::Immutable.message()));
    }
    ExplainedEntry {
        file: entry.file.clone(),
        name: entry.name.to_string(),
        tag: entry.version.tag().map(ToString::to_string),
        bot: bot.to_string(),
        proposes: explained.updates.iter().map(ToString::to_string).collect(),
        nothing: explained.idle.map(|why| why.message()),
        fixed: explained.fixed,
        notes,
    }
}
