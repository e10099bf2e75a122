//! Pull requests with updates of the tree: one for each group of the configuration.

use std::collections::{BTreeMap, BTreeSet};

use mirror_failure::printable;
use mirror_forge::{Base, ForgeError, Kept, Proposal};
use mirror_plan::bots::GroupBy;
use mirror_render::ci::{TagUpdate, update_markdown};
use mirror_tree::Entry;

use crate::change::Change;
use crate::error::CommandError;
use crate::exit::Exit;
use crate::load::Loaded;
use crate::{bot_files, forge, git, print};

/// What the branches of our pull requests begin with.
const PREFIX: &str = "mirror/update-";

/// Pull requests that are open at once, unless the configuration says otherwise: as many as Renovate has by default.
const MOST_OPEN: u16 = 10;

/// Keeps one pull request for each group of changes, and closes those that nothing is left of. `unknown` are entries whose
/// tags could not be looked up: theirs stay open.
pub(crate) async fn keep(
    at: &forge::At,
    loaded: &Loaded,
    base: &Base,
    changes: &[Change<'_>],
    unknown: &BTreeSet<&str>,
) -> Result<Exit, CommandError> {
    let forge = forge::open(at).await?;
    let there = forge.branches(PREFIX).await;
    let there: BTreeSet<String> = there
        .map_err(|error| forge::failed("could not look for branches", &error))?
        .into_iter()
        .collect();
    let mut wanted = proposals(loaded, changes);
    // Those that are there go first, so that the limit closes none of them.
    wanted.sort_by_key(|proposal| !there.contains(&proposal.branch));
    let group = |entry: &Entry| branch(entry, loaded.config.bots.groups);
    let unsure: BTreeSet<String> = loaded
        .entries
        .iter()
        .filter(|entry| unknown.contains(entry.file.as_str()))
        .map(group)
        .collect();
    let branches: BTreeSet<&String> = wanted.iter().map(|proposal| &proposal.branch).collect();
    let stays = |branch: &&String| !branches.contains(branch) && unsure.contains(*branch);
    let mut kept = Keeping { problems: Vec::new(), open: there.iter().filter(stays).count() };
    let limit = usize::from(loaded.config.bots.limit.unwrap_or(MOST_OPEN));
    let mut waiting = 0;
    for proposal in &wanted {
        if kept.open >= limit {
            waiting += 1;
            continue;
        }
        kept.tell(&proposal.branch, forge.keep_proposal(base, proposal).await);
    }
    for branch in there.iter().filter(|branch| !branches.contains(branch)) {
        if unsure.contains(branch) {
            print::message(&format!(
                "pull request {branch} left as it is: tags could not be looked up"
            ));
        } else {
            kept.tell(branch, forge.withdraw_proposal(branch).await);
        }
    }
    if waiting > 0 {
        print::message(&format!(
            "{waiting} more to propose: `limit` in [bots] lets {limit} be open at once"
        ));
    }
    match kept.problems.is_empty() {
        true => Ok(Exit::Done),
        false => Err(CommandError::of(kept.problems, Exit::Failed)),
    }
}

/// What came of the pull requests so far.
struct Keeping {
    problems: Vec<crate::error::Problem>,
    open: usize,
}

impl Keeping {
    fn tell(&mut self, branch: &str, outcome: Result<Kept, ForgeError>) {
        match outcome {
            Ok(kept) => {
                if matches!(kept, Kept::Created | Kept::Updated | Kept::Unchanged) {
                    self.open += 1;
                }
                print::message(&format!(
                    "pull request {} {}",
                    printable(branch),
                    forge::word(kept)
                ));
            }
            Err(error) => {
                let what = format!("could not keep the pull request {}", printable(branch));
                self.problems.extend(forge::failed(&what, &error).problems);
            }
        }
    }
}

/// The commit that is checked out, which must be what the tree says.
pub(crate) fn base(loaded: &Loaded) -> Result<Base, CommandError> {
    let found = git::clean_head(&loaded.images);
    let head = found.map_err(|error| {
        CommandError::usage("could not propose updates", error.why, Some(&error.help))
    })?;
    let commit = head.parse();
    commit
        .map(Base::new)
        .map_err(|why: String| CommandError::usage("could not propose updates", why, None))
}

/// One proposal for each group.
fn proposals(loaded: &Loaded, changes: &[Change<'_>]) -> Vec<Proposal> {
    let (_, tree) = bot_files::place(&loaded.images);
    let groups = loaded.config.bots.groups;
    let mut grouped: BTreeMap<String, Vec<&Change<'_>>> = BTreeMap::new();
    for change in changes {
        grouped.entry(branch(change.entry, groups)).or_default().push(change);
    }
    let proposal = |(branch, changes): (String, Vec<&Change<'_>>)| {
        let path = |change: &Change<'_>| match tree.as_str() {
            "" => change.entry.file.clone(),
            tree => format!("{tree}/{}", change.entry.file),
        };
        let update = |change: &&Change<'_>| TagUpdate {
            file: path(change),
            name: change.entry.name.to_string(),
            from: change.entry.version.tag().map(ToString::to_string).unwrap_or_default(),
            to: change.to.to_string(),
            digest: change.digest.clone(),
        };
        let updates: Vec<TagUpdate> = changes.iter().map(update).collect();
        let registry = changes.first().map(|change| change.entry.name.registry.to_string());
        let group = registry.filter(|_| groups == GroupBy::Registry);
        let (title, text) = update_markdown(&updates, group.as_deref());
        let files = changes.iter().map(|change| {
            let mut content = change.entry.source.to_string();
            content.replace_range(change.entry.span.clone(), &change.text);
            (path(change), content)
        });
        let files = files.collect();
        Proposal { branch, title, text, labels: loaded.config.bots.labels.clone(), files }
    };
    grouped.into_iter().map(proposal).collect()
}

/// The branch for an entry. Entries whose names differ in signs alone share one.
fn branch(entry: &Entry, groups: GroupBy) -> String {
    let group = match groups {
        GroupBy::All => "all".to_owned(),
        GroupBy::Registry => entry.name.registry.to_string(),
        GroupBy::Image => {
            entry.file.rsplit_once('/').map_or("tree", |(folder, _)| folder).to_owned()
        }
    };
    // What Git allows in names, and more: https://git-scm.com/docs/git-check-ref-format
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '_' { c } else { '-' };
    // A name that is longer than GitHub's limit of 244 bytes shares its branch with those that begin like it.
    format!("{PREFIX}{}", group.chars().map(plain).take(200).collect::<String>())
}
