//! The command line: read the tree, look at the registries, carry out, print.

mod address;
mod args;
mod base;
mod before;
mod bots;
mod cli;
mod commands;
mod edit;
mod environment;
mod exit;
mod files;
mod git;
mod github;
mod graphs;
mod holders;
mod hosts;
mod incomplete;
mod load;
mod memory;
mod observe;
mod observe_ecr;
mod output;
mod passes;
mod print;
mod progress;
mod repositories;
mod run;
mod saved;
mod tags;
mod tasks;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let cli = cli::Cli::parse();
    environment::start_logging(cli.verbose);
    print::told(cli::run(&cli)).into()
}
