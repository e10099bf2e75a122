//! The command line: read the tree, look at the registries, carry out, print.

mod base;
mod bots;
mod cli;
mod commands;
mod edit;
mod environment;
mod exit;
mod files;
mod git;
mod github;
mod hosts;
mod load;
mod observe;
mod observe_ecr;
mod output;
mod owed;
mod passes;
mod print;
mod progress;
mod repositories;
mod run;
mod saved;
mod tags;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let cli = cli::Cli::parse();
    environment::start_logging(cli.verbose);
    print::told(commands::run(cli)).into()
}
