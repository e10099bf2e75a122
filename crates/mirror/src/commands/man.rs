//! `mirror man`

use std::path::PathBuf;

use clap::{Args, Command};

use crate::error::CommandError;
use crate::exit::Exit;

/// Write the manual pages, one for each command.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  mirror man ~/.local/share/man/man1    then: man mirror-plan")]
pub(crate) struct ManArguments {
    /// The folder to write to. It is created if missing.
    #[arg(value_name = "FOLDER")]
    pub(crate) folder: PathBuf,
}

/// `whole` is the whole command line.
pub(crate) fn run(command: &ManArguments, whole: Command) -> Result<Exit, CommandError> {
    let folder = &command.folder;
    let written =
        std::fs::create_dir_all(folder).and_then(|()| clap_mangen::generate_to(whole, folder));
    written.map(|()| Exit::Done).map_err(|error| {
        let what = format!("could not write the manual pages to {}", folder.display());
        CommandError::usage(what, error.to_string(), Some("name a folder that you may write to"))
    })
}
