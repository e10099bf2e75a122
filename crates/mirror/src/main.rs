//! The command line: read the tree, look at the registries, carry out, print.

mod args;
mod base;
mod bot_files;
mod bots;
mod change;
mod cli;
mod commands;
mod edit;
mod elsewhere;
mod environment;
mod error;
mod exit;
mod files;
mod forge;
mod git;
mod load;
mod output;
mod place;
mod print;
mod progress;
mod proposals;
mod saved;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let cli = cli::Cli::parse();
    environment::start_logging(cli.verbose);
    let exit = cli::run(&cli).unwrap_or_else(|error| {
        print::command_error(&error);
        error.exit
    });
    print::told(exit).into()
}
