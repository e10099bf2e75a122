//! `mirror bots`

use std::collections::BTreeSet;
use std::path::Path;

use clap::Args;
use mirror_plan::report::Explanation;
use mirror_render::people::render_explanation;
use mirror_tree::Bot;

use crate::args::{BotArgument, Format, Only};
use crate::bots::{BotFile, file};
use crate::error::CommandError;
use crate::exit::Exit;
use crate::load::{Loaded, load};
use crate::{edit, print};

/// Write the configuration of Dependabot or Renovate for the tree.
///
/// Covers every folder, groups updates as `[bots]` in mirror.toml says, keeps a variant folder such as `postgres/13` on
/// 13, and names the secrets of private registries. Everything else in the files is kept. Run it again when the tree
/// changes; `--check` tells when.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  mirror bots renovate       write renovate.json, or add to it
  mirror bots                the same for the bot that is configured already
  mirror bots --check        check that its file matches the tree
  mirror bots --explain      list what it will propose for each image, or why nothing")]
pub(crate) struct BotsArguments {
    /// The bots to configure. By default those whose file is there. With both, every update is proposed twice.
    #[arg(value_enum, value_name = "BOT")]
    pub(crate) bots: Vec<BotArgument>,

    /// Only print what differs, and end with code 3 if anything does.
    #[arg(long, conflicts_with = "explain")]
    pub(crate) check: bool,

    /// List what the bots propose for each image: patch, minor, major, digest, or nothing and why.
    #[arg(long)]
    pub(crate) explain: bool,

    /// Output format of --explain.
    #[arg(long, value_enum, default_value_t, requires = "explain")]
    pub(crate) format: Format,

    #[command(flatten)]
    pub(crate) only: Only,
}

pub(crate) fn run(images: Option<&Path>, command: &BotsArguments) -> Result<Exit, CommandError> {
    let loaded = load(images);
    let warnings = loaded.usable()?;
    // Which tags go stale depends on the bot that is about to be configured.
    if command.check || command.explain {
        print::note(warnings);
    }
    if command.explain {
        return Ok(explain(&loaded, command));
    }
    let files = chosen(command, &loaded)?;
    let mut exit = Exit::Done;
    for file in &files {
        let ended = settle(file, command.check);
        if file.is_off {
            print::message(&format!(
                "{} switches Renovate off, or its manager `dockerfile`: nothing will be proposed",
                file.shown
            ));
        }
        // A file that can't be written is worse than one that differs.
        if exit != Exit::Usage && ended != Exit::Done {
            exit = ended;
        }
    }
    Ok(exit)
}

/// The files that are meant.
fn chosen(command: &BotsArguments, loaded: &Loaded) -> Result<Vec<BotFile>, CommandError> {
    let named: Vec<Bot> = command.bots.iter().map(|bot| Bot::from(*bot)).collect();
    let is_named = |bot: &Bot| named.is_empty() || named.contains(bot);
    let bots = [Bot::Dependabot, Bot::Renovate].into_iter().filter(is_named);
    let mut files: Vec<BotFile> = bots.map(|bot| file(bot, loaded)).collect();
    if !command.bots.is_empty() {
        return Ok(files);
    }
    if files.iter().any(|file| file.is_ours() || file.is_unreadable()) {
        files.retain(|file| file.is_ours() || file.is_unreadable());
    } else if !command.check {
        files.retain(BotFile::is_there);
        // A dependabot.yml may be about other things alone.
        if files.len() > 1 {
            files.retain(|file| file.bot == Bot::Renovate);
        }
    } else {
        // What can't be read may have been ours.
        files.retain(|file| file.is_there() && file.wanted.is_err());
    }
    if files.is_empty() {
        let why = "neither .github/dependabot.yml nor renovate.json has what `mirror bots` writes";
        let help = "choose one of them: `mirror bots dependabot` or `mirror bots renovate`";
        let what = "no bot keeps the images up to date";
        let exit = if command.check { Exit::Pending } else { Exit::Usage };
        return Err(CommandError::usage(what, why, Some(help)).ending(exit));
    }
    Ok(files)
}

/// Writes one file, or says what differs.
fn settle(file: &BotFile, check: bool) -> Exit {
    let verb = if check { "check" } else { "write" };
    let fail = |why: &str, help: Option<&str>| {
        print::error(&format!("could not {verb} {}", file.shown), why, help);
        Exit::Usage
    };
    match &file.wanted {
        Err(why) => fail(why, None),
        Ok(_) if file.is_current() => {
            print::message(&format!("{}: up to date", file.shown));
            Exit::Done
        }
        Ok(wanted) if check => {
            print::message(&format!(
                "{}: does not match the tree; `mirror bots` would change",
                file.shown
            ));
            print::data(&difference(file.existing.as_deref().unwrap_or_default(), wanted));
            Exit::Pending
        }
        Ok(wanted) => match edit::write(&file.path, wanted) {
            Ok(()) => {
                let at_once = mirror_failure::count(file.pull_requests as u64, "pull request");
                print::message(&format!("{}: written; {at_once} at once at most", file.shown));
                print::note(still(file.standing_still));
                Exit::Done
            }
            Err(error) => fail(
                &mirror_failure::io_reason(&error),
                Some("check the permissions of its folder"),
            ),
        },
    }
}

/// A word about images that no bot can move.
pub(crate) fn still(images: usize) -> Option<String> {
    let verb = if images == 1 { "stays as it is" } else { "stay as they are" };
    (images > 0).then(|| {
        format!(
            "{} {verb}: the folder or `keep` holds all numbers of the tag; `mirror bots --explain` tells more",
            mirror_failure::count(images as u64, "image")
        )
    })
}

/// Lists what the bots propose, those that are named or configured.
fn explain(loaded: &Loaded, command: &BotsArguments) -> Exit {
    let named = command.bots.iter().map(|bot| Bot::from(*bot));
    let bots: Vec<Bot> = match command.bots.is_empty() {
        true => loaded.config.rules.bots.in_use().collect(),
        false => named.collect(),
    };
    let entries = loaded.entries.iter().filter(|entry| command.only.includes(&entry.name));
    let explanation = Explanation::of(entries, &bots, &loaded.config);
    match command.format {
        Format::Text => print::data(&render_explanation(&explanation)),
        Format::Json => print::json(&explanation),
    }
    Exit::Done
}

/// Lines that go and lines that come; their order matters little in these files.
fn difference(old: &str, new: &str) -> String {
    let lines = |text: &'static str, mine: &str, other: &str| {
        let other: BTreeSet<&str> = other.lines().collect();
        let differ = mine.lines().filter(|line| !other.contains(line));
        differ.map(|line| format!("{text} {line}\n")).collect::<String>()
    };
    lines("-", old, new) + &lines("+", new, old)
}
