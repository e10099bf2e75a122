//! `mirror completions`

use clap::{Args, Command};
use clap_complete::Shell;

use crate::error::CommandError;
use crate::exit::Exit;
use crate::print;

/// Print a completion script for a shell.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  mirror completions bash > ~/.local/share/bash-completion/completions/mirror
  mirror completions zsh > \"${fpath[1]}/_mirror\"
  mirror completions fish > ~/.config/fish/completions/mirror.fish")]
pub(crate) struct CompletionsArguments {
    /// The shell.
    #[arg(value_enum)]
    pub(crate) shell: Shell,
}

/// `whole` is the whole command line.
pub(crate) fn run(
    command: &CompletionsArguments,
    mut whole: Command,
) -> Result<Exit, CommandError> {
    let mut script = Vec::new();
    clap_complete::generate(command.shell, &mut whole, "mirror", &mut script);
    print::data(&String::from_utf8_lossy(&script));
    Ok(Exit::Done)
}
