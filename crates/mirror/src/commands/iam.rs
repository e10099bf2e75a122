//! `mirror iam`

use std::path::Path;

use clap::{Args, ValueEnum};
use mirror_plan::provider::ecr::{Context, IamRole, Workflow, accounts, permissions, trust};

use crate::error::CommandError;
use crate::exit::Exit;
use crate::load::{Loaded, load};
use crate::print;

/// Print the IAM policies that mirroring to Amazon ECR needs.
///
/// Prints as JSON the least permissions that the tree and its configuration need: repositories by the first part of
/// their name, and actions only for configured settings. With `--trust`, prints who can assume the role: workflows of
/// one GitHub repository, for pull requests and one branch (plan), or for one branch or environment (apply).
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  mirror iam plan                        permissions of the role that `mirror plan` runs in
  mirror iam apply                       permissions of the role that `mirror apply` runs in
  mirror iam apply --trust acme/images   trust policy: workflows on the branch main
  mirror iam apply --trust acme/images --environment production")]
pub(crate) struct IamArguments {
    /// The role.
    #[arg(value_enum)]
    pub(crate) role: RoleArgument,

    /// Print the trust policy instead, for workflows of this repository.
    #[arg(long, value_name = "OWNER/REPOSITORY")]
    pub(crate) trust: Option<String>,

    /// The branch that `apply` runs on.
    #[arg(long, requires = "trust", default_value = "main", conflicts_with = "environment")]
    pub(crate) branch: String,

    /// The environment that `apply` runs in, instead of a branch.
    #[arg(long, requires = "trust")]
    pub(crate) environment: Option<String>,

    /// The id of the owner, which tokens of newer repositories contain.
    #[arg(long, requires = "repository_id")]
    pub(crate) owner_id: Option<u64>,

    /// The id of the repository.
    #[arg(long, requires = "owner_id")]
    pub(crate) repository_id: Option<u64>,

    /// The AWS account of the role, if images go to several.
    #[arg(long, requires = "trust")]
    pub(crate) account: Option<String>,
}

/// Roles that policies are printed for.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum RoleArgument {
    /// The read-only role of `mirror plan`.
    Plan,
    /// The role of `mirror apply`.
    Apply,
}

pub(crate) fn run(images: Option<&Path>, command: &IamArguments) -> Result<Exit, CommandError> {
    let loaded = load(images);
    print::note(loaded.usable()?);
    let role = match command.role {
        RoleArgument::Plan => IamRole::Plan,
        RoleArgument::Apply => IamRole::Apply,
    };
    let wrong = |(what, help): (String, &str)| {
        CommandError::usage("could not write the policy", what, Some(help))
    };
    let document = match &command.trust {
        None => permissions(role, &loaded.wants, &loaded.config),
        Some(repository) => trust(&workflow(repository, role, command, &loaded).map_err(wrong)?),
    };
    let statements = document.get("Statement").and_then(|list| list.as_array());
    if statements.is_some_and(Vec::is_empty) {
        let (why, help) = match loaded.wants.collisions.is_empty() {
            true => (
                "nothing comes from or goes to Amazon ECR",
                "name a registry of ECR as destination",
            ),
            false => ("what goes there is in conflict", "`mirror check` shows why"),
        };
        return Err(CommandError::usage("there is no policy to write", why, Some(help)));
    }
    print::json(&document);
    Ok(Exit::Done)
}

fn workflow(
    repository: &str,
    role: IamRole,
    command: &IamArguments,
    loaded: &Loaded,
) -> Result<Workflow, (String, &'static str)> {
    let form = "write OWNER/REPOSITORY, as on GitHub";
    let plain = |part: &str| {
        let known = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        !part.is_empty() && part.chars().all(known)
    };
    let parts = repository.split_once('/').filter(|(owner, name)| plain(owner) && plain(name));
    let (owner, name) =
        parts.ok_or_else(|| (format!("`{repository}` is not a GitHub repository"), form))?;
    let (account, partition) = account(command, loaded)?;
    let branch = command.branch.clone();
    let contexts = match (role, &command.environment) {
        // What was merged is planned before it is applied, and so is what is about to be.
        (IamRole::Plan, _) => {
            vec![Context::PullRequest, Context::MergeQueue(branch.clone()), Context::Branch(branch)]
        }
        (IamRole::Apply, Some(environment)) => vec![Context::Environment(environment.clone())],
        (IamRole::Apply, None) => vec![Context::Branch(branch)],
    };
    let ids = command.owner_id.zip(command.repository_id);
    if ids.is_none() {
        print::message(
            "without --owner-id and --repository-id, whoever gets the names of owner and repository after you is let in; \
             `gh api repos/OWNER/REPOSITORY --jq '.owner.id, .id'` prints them",
        );
    }
    Ok(Workflow {
        account,
        partition,
        owner: owner.to_owned(),
        repository: name.to_owned(),
        ids,
        contexts,
    })
}

/// The account that the role is in: the one that is named, or the only one that images go to.
fn account(
    command: &IamArguments,
    loaded: &Loaded,
) -> Result<(String, String), (String, &'static str)> {
    let help = "name the account of the role with --account, twelve digits";
    let known = accounts(&loaded.config);
    let Some(wanted) = &command.account else {
        let mut known = known.into_iter();
        return match (known.next(), known.next()) {
            (Some((account, partition)), None) => Ok((account, partition.to_owned())),
            _ => Err(("the account of the role is not clear".to_owned(), help)),
        };
    };
    if wanted.len() != 12 || !wanted.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err((format!("`{wanted}` is not an account of a destination"), help));
    }
    let partition = known.iter().find(|(account, _)| account == wanted);
    let partition = partition.or(known.first()).map_or("aws", |(_, partition)| partition);
    Ok((wanted.clone(), partition.to_owned()))
}
