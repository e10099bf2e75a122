//! What can be said on the command line. The doc comments are the help texts; those of a command are in its file.

use std::path::PathBuf;

use clap::{CommandFactory, Parser, Subcommand};

use crate::commands::{
    self, add::AddArguments, apply::ApplyArguments, bots::BotsArguments, check::CheckArguments,
    comment::CommentArguments, completions::CompletionsArguments, iam::IamArguments,
    init::InitArguments, issue::IssueArguments, login::LoginArguments, man::ManArguments,
    outdated::OutdatedArguments, pin::PinArguments, plan::PlanArguments, remove::RemoveArguments,
    report::ReportArguments, update::UpdateArguments, verify::VerifyArguments,
};
use crate::error::CommandError;
use crate::exit::{self, Exit};

/// Keeps copies of container images in your own registry.
///
/// A folder of one-line Dockerfiles, `images/<registry>/<repository>/Dockerfile`, lists the images. `mirror plan`
/// compares it with the destinations; `mirror apply` makes them match.
#[derive(Debug, Parser)]
#[command(version, after_help = exit::TABLE, max_term_width = 100)]
pub(crate) struct Cli {
    /// The tree. Defaults to the folder `images` here, or in the nearest parent that has one.
    #[arg(long, global = true, value_name = "FOLDER")]
    pub(crate) images: Option<PathBuf>,

    /// Log each request to standard error.
    #[arg(short, long, global = true)]
    pub(crate) verbose: bool,

    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Init(InitArguments),
    Add(AddArguments),
    Remove(RemoveArguments),
    Pin(PinArguments),
    Check(CheckArguments),
    Plan(PlanArguments),
    Apply(ApplyArguments),
    Report(ReportArguments),
    Verify(VerifyArguments),
    Outdated(OutdatedArguments),
    Update(UpdateArguments),
    Bots(BotsArguments),
    Comment(CommentArguments),
    Issue(IssueArguments),
    Iam(IamArguments),
    Login(LoginArguments),
    Completions(CompletionsArguments),
    Man(ManArguments),
}

/// Runs a command to its end.
pub(crate) fn run(cli: &Cli) -> Result<Exit, CommandError> {
    let images = cli.images.as_deref();
    match &cli.command {
        Command::Init(command) => commands::init::run(images, command),
        Command::Add(command) => commands::add::run(images, command),
        Command::Remove(command) => commands::remove::run(images, command),
        Command::Pin(command) => commands::pin::run(images, command),
        Command::Check(command) => commands::check::run(images, command),
        Command::Plan(command) => commands::plan::run(images, command),
        Command::Apply(command) => commands::apply::run(images, command),
        Command::Report(command) => commands::report::run(command),
        Command::Verify(command) => commands::verify::run(images, command),
        Command::Outdated(command) => commands::outdated::run(images, command),
        Command::Update(command) => commands::update::run(images, command),
        Command::Bots(command) => commands::bots::run(images, command),
        Command::Comment(command) => commands::comment::run(command),
        Command::Issue(command) => commands::issue::run(command),
        Command::Iam(command) => commands::iam::run(images, command),
        Command::Login(command) => commands::login::run(images, command),
        Command::Completions(command) => commands::completions::run(command, Cli::command()),
        Command::Man(command) => commands::man::run(command, Cli::command()),
    }
}
