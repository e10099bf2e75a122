//! What can be said on the command line. The doc comments are the help texts; those of a command are in its file.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use mirror_oci::Name;
use mirror_plan::want::ImageGlob;

use crate::commands::{
    add::Add, apply::Apply, bots::Bots, check::Check, comment::Comment, completions::Completions,
    iam::Iam, init::Init, issue::Issue, man::Man, outdated::Outdated, pin::Pin, plan::Plan,
    report::Reports, verify::Verify,
};
use crate::exit;

/// Keeps copies of container images in your own registry.
///
/// A folder of one-line Dockerfiles, `images/<registry>/<repository>/Dockerfile`, says which images are wanted.
/// `mirror plan` compares that with what the destinations have, `mirror apply` makes them match.
#[derive(Debug, Parser)]
#[command(version, after_help = exit::TABLE, max_term_width = 100, disable_help_subcommand = true)]
pub(crate) struct Cli {
    /// The tree. By default the folder `images` here, or in the nearest folder above that has one.
    #[arg(long, global = true, value_name = "FOLDER")]
    pub(crate) images: Option<PathBuf>,

    /// Say on standard error what is sent where.
    #[arg(short, long, global = true)]
    pub(crate) verbose: bool,

    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Init(Init),
    Add(Add),
    Pin(Pin),
    Check(Check),
    Plan(Plan),
    Apply(Apply),
    Report(Reports),
    Verify(Verify),
    Outdated(Outdated),
    Bots(Bots),
    Comment(Comment),
    Issue(Issue),
    Iam(Iam),
    Completions(Completions),
    Man(Man),
}

/// A choice among the images of the tree.
#[derive(Debug, Args)]
pub(crate) struct Only {
    /// Only images that match: `docker.io/library/*` or, in short, `postgres`. May be given several times.
    #[arg(long, value_name = "GLOB")]
    pub(crate) only: Vec<ImageGlob>,
}

impl Only {
    /// Whether this image is chosen.
    pub(crate) fn includes(&self, name: &Name) -> bool {
        self.only.is_empty() || self.only.iter().any(|glob| glob.matches(name))
    }
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people.
    #[default]
    Text,
    /// For scripts.
    Json,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum PageFormat {
    /// For people.
    #[default]
    Text,
    /// For scripts.
    Json,
    /// For pull requests; as long as a comment can be.
    Markdown,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Progress {
    /// Bars on a terminal, lines elsewhere.
    #[default]
    Auto,
    /// Bars.
    Bars,
    /// One line for each finished image.
    Lines,
    /// One JSON object a line.
    Json,
}
