//! `mirror bots`

use std::collections::BTreeSet;
use std::path::Path;

use clap::Args;

use crate::bots::{Bot, BotFile, file};
use crate::error::CommandError;
use crate::exit::Exit;
use crate::load::load;
use crate::{edit, print};

/// Write the configuration of Dependabot and Renovate for the tree.
///
/// Covers every folder, groups all images in one pull request, keeps a variant folder such as `postgres/13` on 13, and
/// names the secrets of private registries. Everything else in the files is kept. Run it again when the tree changes;
/// `--check` tells when.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  mirror bots                write .github/dependabot.yml and renovate.json
  mirror bots renovate       only renovate.json; with both, every update is proposed twice
  mirror bots --check        check that the files match the tree")]
pub(crate) struct BotsArguments {
    /// The bots to configure. By default those whose file already has entries of ours, or both.
    #[arg(value_enum, value_name = "BOT")]
    pub(crate) bots: Vec<Bot>,

    /// Only print what differs, and end with code 3 if anything does.
    #[arg(long)]
    pub(crate) check: bool,
}

pub(crate) fn run(images: Option<&Path>, command: &BotsArguments) -> Result<Exit, CommandError> {
    let loaded = load(images);
    print::note(loaded.usable()?);
    let named = |bot: &Bot| command.bots.is_empty() || command.bots.contains(bot);
    let bots = [Bot::Dependabot, Bot::Renovate].into_iter().filter(named);
    let mut files: Vec<BotFile> = bots.map(|bot| file(bot, &loaded)).collect();
    if command.check && command.bots.is_empty() {
        // A file about other things alone is no bot that keeps images up to date.
        files.retain(|file| file.is_ours() || file.is_unreadable());
        if files.is_empty() {
            let why =
                "neither .github/dependabot.yml nor renovate.json has what `mirror bots` writes";
            let help = "write one of them: `mirror bots dependabot` or `mirror bots renovate`";
            let what = "no bot keeps the images up to date";
            return Err(CommandError::usage(what, why, Some(help)).ending(Exit::Pending));
        }
    }
    // Whoever has one of them doesn't want to be told everything twice.
    if !command.check && command.bots.is_empty() && files.iter().any(BotFile::is_ours) {
        files.retain(BotFile::is_ours);
    }
    let verb = if command.check { "check" } else { "write" };
    let mut exit = Exit::Done;
    for file in &files {
        let fail = |why: &str, help: Option<&str>| {
            print::error(&format!("could not {verb} {}", file.shown), why, help);
            Exit::Usage
        };
        match &file.wanted {
            Err(why) => exit = fail(why, None),
            Ok(_) if file.is_current() => print::message(&format!("{}: up to date", file.shown)),
            Ok(wanted) if command.check => {
                print::message(&format!(
                    "{}: does not match the tree; `mirror bots` would change",
                    file.shown
                ));
                print::data(&difference(file.existing.as_deref().unwrap_or_default(), wanted));
                if exit == Exit::Done {
                    exit = Exit::Pending;
                }
            }
            Ok(wanted) => match edit::write(&file.path, wanted) {
                Ok(()) => print::message(&format!("{}: written", file.shown)),
                Err(error) => {
                    exit = fail(
                        &mirror_failure::io_reason(&error),
                        Some("check the permissions of its folder"),
                    );
                }
            },
        }
    }
    Ok(exit)
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
