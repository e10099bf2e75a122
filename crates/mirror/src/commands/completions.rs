//! `mirror completions`

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use crate::cli::Cli;
use crate::exit::Exit;
use crate::print;

/// Print what makes a shell complete commands and options.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  mirror completions bash > ~/.local/share/bash-completion/completions/mirror
  mirror completions zsh > \"${fpath[1]}/_mirror\"
  mirror completions fish > ~/.config/fish/completions/mirror.fish")]
pub(crate) struct Completions {
    /// The shell.
    #[arg(value_enum)]
    pub(crate) shell: Shell,
}

pub(crate) fn run(command: &Completions) -> Exit {
    let mut script = Vec::new();
    clap_complete::generate(command.shell, &mut Cli::command(), "mirror", &mut script);
    print::data(&String::from_utf8_lossy(&script));
    Exit::Done
}
