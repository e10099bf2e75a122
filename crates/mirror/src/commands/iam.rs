//! `mirror iam`

use std::path::Path;

use mirror_plan::{Context, Role, Workflow, accounts, permissions, trust};

use crate::cli::{Iam, IamRole};
use crate::exit::Exit;
use crate::load::{Loaded, load};
use crate::print;

pub(crate) fn run(images: Option<&Path>, command: &Iam) -> Exit {
    let loaded = load(images);
    if let Err(exit) = loaded.usable() {
        return exit;
    }
    let role = match command.role {
        IamRole::Plan => Role::Plan,
        IamRole::Apply => Role::Apply,
    };
    let document = match &command.trust {
        None => Ok(permissions(role, &loaded.wants, &loaded.config)),
        Some(repository) => workflow(repository, role, command, &loaded).map(|found| trust(&found)),
    };
    match document {
        Ok(document) => {
            print::json(&document);
            Exit::Done
        }
        Err((what, help)) => {
            print::error("could not write the policy", &what, Some(help));
            Exit::Usage
        }
    }
}

fn workflow(
    repository: &str,
    role: Role,
    command: &Iam,
    loaded: &Loaded,
) -> Result<Workflow, (String, &'static str)> {
    let form = "write OWNER/REPOSITORY, as on GitHub";
    let plain = |part: &str| {
        let known = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        !part.is_empty() && part.chars().all(known)
    };
    let parts = repository.split_once('/').filter(|(owner, name)| plain(owner) && plain(name));
    let (owner, name) =
        parts.ok_or_else(|| (format!("`{repository}` is no repository of GitHub"), form))?;
    let accounts = accounts(&loaded.config);
    let mut known = accounts
        .into_iter()
        .filter(|(account, _)| command.account.as_ref().is_none_or(|wanted| wanted == account));
    let (Some((account, partition)), None) = (known.next(), known.next()) else {
        let help = "name one of the configured accounts with --account";
        return Err(("the account of the role is not clear".to_owned(), help));
    };
    let context = match (role, &command.environment) {
        (Role::Plan, _) => Context::PullRequest,
        (Role::Apply, Some(environment)) => Context::Environment(environment.clone()),
        (Role::Apply, None) => Context::Branch(command.branch.clone()),
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
        partition: partition.to_owned(),
        owner: owner.to_owned(),
        repository: name.to_owned(),
        ids,
        context,
    })
}
