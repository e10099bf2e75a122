//! What can be said on the command line. The doc comments are the help texts.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use mirror_plan::{MOST_SHARDS, Shard};

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
    Check(Check),
    Plan(Plan),
    Apply(Apply),
    Verify(Verify),
    Report(Reports),
    Iam(Iam),
}

/// Validate the tree and its configuration, without network.
///
/// Reports everything that is wrong at once. The codes are explained in images/README.md.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  mirror check                    what is wrong, with the lines concerned
  mirror check --fix              correct what needs no judgement
  mirror check --format github    annotations for a pull request")]
pub(crate) struct Check {
    /// How to print.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: CheckFormat,

    /// Correct what needs no judgement: move files to the folder that their FROM line says, normalise FROM lines.
    #[arg(long)]
    pub(crate) fix: bool,
}

/// Show what `apply` would do.
///
/// Asks the sources what their tags stand for and the destinations what they have, with requests that don't count
/// as pulls; only manifests of images that will be copied are read, to tell sizes and platforms. Nothing is changed.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  mirror plan                       what would be copied where
  mirror plan --exit-code           the same, ending with 3 when there is something to do
  mirror plan --format json | jq    for scripts; the schema is crates/mirror-plan/schemas/plan.schema.json
  mirror plan --out plan.json       to be carried out later: mirror apply plan.json
  mirror plan --format markdown     for a pull request. In GitHub Actions, the summary of the step gets it anyway")]
pub(crate) struct Plan {
    /// How to print.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: PageFormat,

    /// End with code 3 when changes are pending.
    #[arg(long)]
    pub(crate) exit_code: bool,

    /// Save the plan with everything that `apply FILE` needs.
    #[arg(long, value_name = "FILE", conflicts_with = "no_sizes")]
    pub(crate) out: Option<PathBuf>,

    /// Print a matrix for GitHub Actions instead: the parts with something to do, of this many, for `apply --shard`.
    #[arg(long, value_name = "PARTS", value_parser = clap::value_parser!(u32).range(1..=i64::from(MOST_SHARDS)))]
    pub(crate) matrix: Option<u32>,

    /// Don't read manifests: no pull is used up, but sizes and platforms stay unknown.
    #[arg(long)]
    pub(crate) no_sizes: bool,
}

/// Copy what the destinations lack.
///
/// Plans and carries out. Bytes are copied as they are: the destination has the digests of the source. The tag
/// comes last, so whoever pulls it gets the old image or the whole new one; a run that is stopped is continued by
/// the next. One image that fails doesn't stop the others.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  mirror apply                              copy; a second run copies nothing
  mirror plan --out plan.json && mirror apply plan.json
                                            do what was looked at, nothing else
  mirror apply --format json > report.json  for scripts; the schema is
                                            crates/mirror-plan/schemas/report.schema.json
  MIRROR_AUTH_QUAY_IO=user:password mirror apply
                                            log in to quay.io; `docker login` and `podman login` do as well")]
pub(crate) struct Apply {
    /// A plan that `plan --out` saved: do what it says, no more and without reading manifests again. It must be for
    /// this tree and configuration; what has moved at a destination since is left alone.
    #[arg(value_name = "PLAN", conflicts_with_all = ["refresh_referrers"])]
    pub(crate) plan: Option<PathBuf>,

    /// How to print the report.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: PageFormat,

    /// How to show progress, on standard error. The schema of the JSON lines is
    /// crates/mirror-plan/schemas/progress.schema.json.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) progress: Progress,

    /// What to do when a registry's limit on pulls is used up.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) on_limit: OnLimit,

    /// Look for late signatures, attestations and other referrers of images that are mirrored already. Reads the
    /// manifests of all images.
    #[arg(long)]
    pub(crate) refresh_referrers: bool,

    /// Do one part of several, for machines that work side by side: all of a repository is in the same part. Limits
    /// on pulls are divided.
    #[arg(long, value_name = "NUMBER/OF")]
    pub(crate) shard: Option<Shard>,

    /// Write the report into this file as JSON, whatever is printed.
    #[arg(long, value_name = "FILE")]
    pub(crate) report: Option<PathBuf>,

    /// Where to keep layers on their way. What is left there when a run is stopped, the next one goes on with. By
    /// default mirror-spool in the user's cache folder.
    #[arg(long, value_name = "FOLDER")]
    pub(crate) spool: Option<PathBuf>,
}

/// Look for holes in what the destinations hold.
///
/// A tag does not prove that everything below it is there. Walks every image of the tree at every destination:
/// manifests, children, blobs. Sources are not asked, nothing is changed. `apply` repairs image layouts by itself; at a
/// registry, delete the tag of an image with holes and run `apply`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  mirror verify           is everything there?
  mirror verify --deep    is every byte of it right? Reads all of it")]
pub(crate) struct Verify {
    /// How to print.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: Format,

    /// Read every blob and hash it.
    #[arg(long)]
    pub(crate) deep: bool,
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
pub(crate) enum CheckFormat {
    /// For people, with the lines concerned.
    #[default]
    Text,
    /// For scripts.
    Json,
    /// Workflow commands that GitHub shows beside the lines.
    Github,
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

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum OnLimit {
    /// Leave the rest for another run, name it, and end with code 6.
    #[default]
    Defer,
    /// Wait until pulls are left again.
    Wait,
}

/// Put reports together that `apply --report` wrote.
///
/// Ends with the code that one run over everything would have ended with.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  mirror report report-*.json                      what all parts did
  mirror report --format markdown report-*.json    for a pull request or an issue")]
pub(crate) struct Reports {
    /// How to print.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: PageFormat,

    /// The reports.
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
}

/// Print the IAM policies that mirroring to Amazon ECR needs.
///
/// The least that the tree and its configuration need, as JSON: repositories by the first part of their name, actions
/// only for settings that are configured. With `--trust`, who may take the role: workflows of one repository on
/// GitHub, for pull requests (plan) or for one branch or environment (apply).
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  mirror iam plan                        permissions of the role that `mirror plan` runs in
  mirror iam apply                       permissions of the role that `mirror apply` runs in
  mirror iam apply --trust acme/images   who may take it: workflows on branch main
  mirror iam apply --trust acme/images --environment production")]
pub(crate) struct Iam {
    /// Which role.
    #[arg(value_enum)]
    pub(crate) role: IamRole,

    /// Print who may take the role instead: workflows of this repository.
    #[arg(long, value_name = "OWNER/REPOSITORY")]
    pub(crate) trust: Option<String>,

    /// The branch that `apply` runs for.
    #[arg(long, requires = "trust", default_value = "main", conflicts_with = "environment")]
    pub(crate) branch: String,

    /// The environment that `apply` runs in, instead of a branch.
    #[arg(long, requires = "trust")]
    pub(crate) environment: Option<String>,

    /// The number of the owner, which newer repositories have in their tokens.
    #[arg(long, requires = "repository_id")]
    pub(crate) owner_id: Option<u64>,

    /// The number of the repository.
    #[arg(long, requires = "owner_id")]
    pub(crate) repository_id: Option<u64>,

    /// The AWS account of the role, where images go to several.
    #[arg(long, requires = "trust")]
    pub(crate) account: Option<String>,
}

/// Roles that policies are printed for.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum IamRole {
    /// `mirror plan`, which reads only.
    Plan,
    /// `mirror apply`.
    Apply,
}
