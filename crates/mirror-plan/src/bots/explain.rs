//! What the bots will propose for each entry, and where nothing, why.

use mirror_tree::version::{DependabotTag, Keep, Reading, RenovateTag, Update, samples};
use mirror_tree::{Bot, Entry, fixed_part, is_unique};

use crate::config::Config;

/// What one bot does about one entry.
///
/// ```
/// use mirror_plan::bots::{Idle, explain};
/// use mirror_plan::config::Config;
/// use mirror_tree::Bot;
/// # use mirror_tree::{Entry, Rules, parse};
/// # let (file, text) = ("docker.io/library/redis/7/Dockerfile", "FROM redis:7.2\n");
/// # let from = parse(file, text.as_bytes(), &Rules::default()).from.ok_or("a good line")?;
/// # let entry = Entry {
/// #     file: file.to_owned(), name: from.name, version: from.version,
/// #     platform: None, span: from.span, source: text.into(),
/// # };
///
/// let explained = explain(&entry, Bot::Renovate, &Config::default());
/// let updates: Vec<&str> = explained.updates.iter().map(|update| update.as_str()).collect();
/// assert_eq!(updates, ["minor"], "the folder `7` keeps it on 7.x");
/// assert_eq!(explained.idle, None);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Explained {
    /// The kinds of update that it proposes as soon as the registry has one.
    pub updates: Vec<Update>,
    /// Why it proposes no version.
    pub idle: Option<Idle>,
    /// A part of the tag that stays as it is and goes out of use: no update is proposed once upstream has stopped it.
    pub fixed: Option<String>,
    /// What is kept and this bot can't be told.
    pub unsaid: Option<String>,
    /// Why no digest is proposed although there is one.
    pub digest: Option<Idle>,
    /// Digests are proposed that can't be merged: a destination takes no other image for the tag, and this bot can't be
    /// told.
    pub conflicts: bool,
}

/// Why a bot proposes nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Idle {
    /// There is no version in the tag, and no digest beside it.
    Floats,
    /// The tag names a commit.
    Commit,
    /// The bot finds no version in the tag.
    Unread,
    /// All numbers of the tag are kept.
    Kept(String),
    /// It never changes this part of the tag, which no other tag has.
    Fixed(String),
    /// The entry has no tag.
    Untagged,
    /// The destination takes no other image for a tag.
    Immutable,
}

impl Idle {
    /// In words.
    pub fn message(&self) -> String {
        match self {
            Idle::Floats => "it floats: each run resolves it".to_owned(),
            Idle::Commit => "it names a commit".to_owned(),
            Idle::Unread => "no version found in it".to_owned(),
            Idle::Kept(keep) => format!("stays on {keep}"),
            Idle::Fixed(part) => format!("keeps `{part}`, which no other tag has"),
            Idle::Untagged => "it has no tag".to_owned(),
            Idle::Immutable => "the tag is immutable at a destination".to_owned(),
        }
    }
}

/// What a bot with the rules of this tree does about an entry.
pub fn explain(entry: &Entry, bot: Bot, config: &Config) -> Explained {
    let mut explained = Explained::default();
    let Some(tag) = entry.version.tag().map(|tag| tag.as_str()) else {
        explained.idle = Some(Idle::Untagged);
        return explained;
    };
    let name = entry.written_name();
    let keep = config.keep(entry);
    let read = match bot {
        Bot::Dependabot => DependabotTag::of(tag).map(|tag| (tag.updates(), tag.numbers())),
        Bot::Renovate => RenovateTag::of(name, tag).map(|tag| (tag.updates(), tag.numbers())),
    };
    let said = read.is_some();
    // What this bot can't be told it does not keep.
    let told = match (bot, &keep) {
        (Bot::Dependabot, Keep::Pattern(_)) => Keep::Nothing,
        _ => keep.clone(),
    };
    let (updates, numbers) = read.unwrap_or_default();
    let updates = updates.into_iter().filter(|update| is_left(*update, &told, tag, numbers));
    explained.updates.extend(updates);
    if said && explained.updates.is_empty() {
        explained.idle = Some(Idle::Kept(shown(&keep, tag)));
    } else if !said {
        let reading = Reading::of(tag);
        explained.idle = Some(match (reading.is_commit(), reading.floats()) {
            (true, _) => Idle::Commit,
            (_, true) => Idle::Floats,
            _ => Idle::Unread,
        });
    }
    explained.fixed = fixed_part(bot, name, tag).filter(|part| !part.is_empty() && said);
    if let Some(part) = explained.fixed.take_if(|part| is_unique(part)) {
        explained.updates.clear();
        explained.idle = Some(Idle::Fixed(part));
    }
    if bot == Bot::Dependabot && matches!(keep, Keep::Pattern(_)) {
        explained.unsaid = Some(keep.to_string());
    }
    if entry.version.digest().is_some() {
        let is_immutable = config.is_immutable(entry);
        match bot {
            Bot::Renovate if is_immutable => explained.digest = Some(Idle::Immutable),
            Bot::Renovate => explained.updates.push(Update::Digest),
            Bot::Dependabot => {
                explained.updates.push(Update::Digest);
                explained.conflicts = is_immutable;
            }
        }
    }
    explained
}

/// Whether an update of this kind leaves alone what is kept, of so many numbers.
fn is_left(update: Update, keep: &Keep, tag: &str, numbers: usize) -> bool {
    match keep {
        Keep::Nothing => true,
        Keep::Exact => false,
        // Which ones it lets through only the registry's tags can tell; the next ones say most.
        Keep::Pattern(_) => samples(tag, update).iter().any(|sample| keep.allows(sample)),
        Keep::Numbers(_) => {
            numbers > keep.numbers()
                && (update.keeps() >= keep.numbers() || update == Update::Patch)
        }
    }
}

fn shown(keep: &Keep, tag: &str) -> String {
    match keep {
        Keep::Exact => tag.to_owned(),
        keep => keep.to_string(),
    }
}
