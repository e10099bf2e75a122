//! The least that roles in AWS need: policy documents for a tree and its configuration.
//!
//! <https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonelasticcontainerregistry.html>

use std::collections::{BTreeMap, BTreeSet};

use mirror_oci::{Platforms, Registry, Repository};
use serde_json::{Value, json};

use crate::config::Config;
use crate::config::copy::Referrers;
use crate::config::location::Location;
use crate::provider::ecr::registry::{EcrRegistry, is_ecr_public};
use crate::provider::ecr::settings::SETTINGS;
use crate::provider::setting::Setting;
use crate::want::model::Wants;

/// What a role is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IamRole {
    /// `mirror plan`: reads only.
    Plan,
    /// The role that `mirror apply` runs in.
    Apply,
}

/// Who may take a role, by the tokens that GitHub gives to workflows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Workflow {
    /// The account of the role.
    pub account: String,
    /// The AWS partition, such as `aws`.
    pub partition: String,
    /// The owner of the repository on GitHub.
    pub owner: String,
    /// The name of the repository on GitHub.
    pub repository: String,
    /// The numbers of both, as newer repositories have them in their tokens.
    pub ids: Option<(u64, u64)>,
    /// What the workflow may run for.
    pub contexts: Vec<Context>,
}

/// What a workflow runs for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Context {
    /// A workflow of any pull request.
    PullRequest,
    /// This branch: what is merged there, its nights, and runs by hand.
    Branch(String),
    /// The queue of merges into this branch:
    /// <https://docs.github.com/en/repositories/configuring-branches-and-merges-in-your-repository/configuring-pull-request-merges/managing-a-merge-queue>.
    MergeQueue(String),
    /// This environment, whose protection rules decide.
    Environment(String),
}

/// The permissions of a role, without those that its settings don't need.
///
/// ```
/// use mirror_plan::config::Config;
/// use mirror_plan::provider::ecr::{IamRole, permissions};
/// use mirror_plan::want::expand;
/// # use mirror_tree::{Entry, Rules, parse};
/// # let (file, text) = ("docker.io/library/redis/Dockerfile", "FROM redis:7.2\n");
/// # let from = parse(file, text.as_bytes(), &Rules::default()).from.ok_or("a good line")?;
/// # let entry = Entry {
/// #     file: file.to_owned(), name: from.name, version: from.version,
/// #     platform: None, span: from.span, source: text.into(),
/// # };
///
/// let config = Config::parse(
///     "[[destination]]\nname = \"prod\"\nregistry = \"123456789012.dkr.ecr.eu-west-1.amazonaws.com\"",
/// )
/// .map_err(|problems| format!("{problems:?}"))?;
/// let wants = expand(&[entry], &config);
/// let document = permissions(IamRole::Apply, &wants, &config).to_string();
/// assert!(document.contains("ecr:PutImage"));
/// assert!(document.contains("arn:aws:ecr:eu-west-1:123456789012:repository/"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn permissions(role: IamRole, wants: &Wants, config: &Config) -> Value {
    let mut statements = Statements::default();
    for want in &wants.wants {
        let name = &want.source.name;
        let single = matches!(want.source.platforms, Platforms::One(_));
        statements.source(role, &name.registry, &name.repository, single, config);
        for alternative in
            config.registries.get(&name.registry).iter().flat_map(|s| &s.alternatives)
        {
            if let Some(repository) = alternative.repository(&name.repository) {
                statements.source(role, &alternative.registry, &repository, single, config);
            }
        }
        if let Location::Registry(registry) = &want.target.location {
            statements.destination(role, registry, &want.target.repository, config);
        }
    }
    statements.document()
}

/// The accounts and partitions that images go to.
///
/// ```
/// use mirror_plan::config::Config;
/// use mirror_plan::provider::ecr::accounts;
///
/// let config = Config::parse(
///     "[[destination]]\nname = \"prod\"\nregistry = \"123456789012.dkr.ecr.eu-west-1.amazonaws.com\"",
/// )
/// .map_err(|problems| format!("{problems:?}"))?;
/// assert_eq!(accounts(&config), [("123456789012".to_owned(), "aws")].into());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn accounts(config: &Config) -> BTreeSet<(String, &'static str)> {
    let registries =
        config.destinations.iter().filter_map(|destination| match &destination.location {
            Location::Registry(registry) => EcrRegistry::of(registry),
            Location::Layout(_) => None,
        });
    registries.map(|registry| (registry.account.clone(), registry.partition())).collect()
}

/// Who may take a role. Repositories made, renamed or transferred since 2026-07-15 have numbers in the subject of
/// their tokens, older ones have not; both forms are let in.
/// <https://docs.github.com/en/actions/reference/security/oidc>
///
/// ```
/// use mirror_plan::provider::ecr::{Context, Workflow, trust};
///
/// let document = trust(&Workflow {
///     account: "123456789012".to_owned(),
///     partition: "aws".to_owned(),
///     owner: "acme".to_owned(),
///     repository: "images".to_owned(),
///     ids: Some((1, 2)),
///     contexts: vec![Context::Branch("main".to_owned())],
/// });
/// assert!(document.to_string().contains("repo:acme@1/images@2:ref:refs/heads/main"));
/// ```
pub fn trust(workflow: &Workflow) -> Value {
    let Workflow { account, partition, owner, repository, ids, contexts } = workflow;
    let subjects: Vec<String> = contexts
        .iter()
        .flat_map(|context| {
            let context = match context {
                Context::PullRequest => "pull_request".to_owned(),
                Context::Branch(branch) => format!("ref:refs/heads/{branch}"),
                Context::MergeQueue(branch) => {
                    format!("ref:refs/heads/gh-readonly-queue/{branch}/*")
                }
                Context::Environment(name) => format!("environment:{name}"),
            };
            let numbered = match ids {
                Some((owner_id, id)) => {
                    format!("repo:{owner}@{owner_id}/{repository}@{id}:{context}")
                }
                None => format!("repo:{owner}@*/{repository}@*:{context}"),
            };
            [format!("repo:{owner}/{repository}:{context}"), numbered]
        })
        .collect();
    let issuer = "token.actions.githubusercontent.com";
    json!({
        "Version": "2012-10-17",
        "Statement": [{
            "Effect": "Allow",
            "Principal": {
                "Federated": format!("arn:{partition}:iam::{account}:oidc-provider/{issuer}"),
            },
            "Action": "sts:AssumeRoleWithWebIdentity",
            "Condition": {
                "StringEquals": { format!("{issuer}:aud"): "sts.amazonaws.com" },
                "StringLike": {
                    format!("{issuer}:sub"): subjects,
                },
            },
        }],
    })
}

/// Actions by what they are for and the resources they are on.
#[derive(Default)]
struct Statements(BTreeMap<(&'static str, BTreeSet<&'static str>), BTreeSet<String>>);

impl Statements {
    fn add(&mut self, sid: &'static str, actions: &[&'static str], resource: String) {
        let key = (sid, actions.iter().copied().collect());
        self.0.entry(key).or_default().insert(resource);
    }

    fn source(
        &mut self,
        role: IamRole,
        registry: &Registry,
        repository: &Repository,
        single: bool,
        config: &Config,
    ) {
        if is_ecr_public(registry) {
            let login = ["ecr-public:GetAuthorizationToken", "sts:GetServiceBearerToken"];
            return self.add("PublicLogin", &login, "*".to_owned());
        }
        let Some(ecr) = EcrRegistry::of(registry) else { return };
        self.assume(registry, config);
        self.add("Login", &["ecr:GetAuthorizationToken"], "*".to_owned());
        let mut actions = vec!["ecr:BatchGetImage"];
        if role == IamRole::Apply || single {
            actions.push("ecr:GetDownloadUrlForLayer");
        }
        if role == IamRole::Apply && config.referrers != Referrers::Off {
            actions.push("ecr:ListImageReferrers");
        }
        self.add("Pull", &actions, ecr.arn(&prefix(repository)));
    }

    fn destination(
        &mut self,
        role: IamRole,
        registry: &Registry,
        repository: &Repository,
        config: &Config,
    ) {
        let Some(ecr) = EcrRegistry::of(registry) else { return };
        self.assume(registry, config);
        let rules = config.destinations.iter().filter(
            |destination| matches!(&destination.location, Location::Registry(known) if known == registry),
        );
        let rules: Vec<_> =
            rules.filter_map(|destination| destination.repositories.as_ref()).collect();
        let settings = || rules.iter().flat_map(|rules| rules.all_settings());
        let set: BTreeSet<Setting> = settings().map(|(setting, _)| setting).collect();
        let rows = SETTINGS.iter().filter(|row| set.contains(&row.setting));
        let resource = ecr.arn(&prefix(repository));
        self.add("List", &["ecr:DescribeRepositories"], ecr.arn("*"));
        let mut look = vec!["ecr:BatchGetImage"];
        look.extend(rows.clone().flat_map(|row| row.look));
        self.add("Look", &look, resource.clone());
        if role == IamRole::Plan {
            return;
        }
        self.add("Login", &["ecr:GetAuthorizationToken"], "*".to_owned());
        self.add("Account", &["ecr:GetAccountSetting"], "*".to_owned());
        let push = [
            "ecr:BatchCheckLayerAvailability",
            "ecr:InitiateLayerUpload",
            "ecr:UploadLayerPart",
            "ecr:CompleteLayerUpload",
            "ecr:PutImage",
        ];
        self.add("Push", &push, resource.clone());
        let mut keep = Vec::new();
        if rules.iter().any(|rules| rules.creates()) {
            keep.push("ecr:CreateRepository");
        }
        keep.extend(rows.filter_map(|row| row.make));
        if !keep.is_empty() {
            self.add("Keep", &keep, resource);
        }
        let keys = settings().filter(|(setting, _)| *setting == Setting::Encryption);
        let keys = keys.filter_map(|(_, value)| value.as_str()).map(str::to_owned);
        for key in keys.filter(|key| key.starts_with("arn:")).collect::<Vec<_>>() {
            // https://docs.aws.amazon.com/AmazonECR/latest/userguide/encryption-at-rest.html
            self.add("Encrypt", &["kms:CreateGrant", "kms:DescribeKey", "kms:RetireGrant"], key);
        }
    }

    /// With a role of its own for a registry, this one needs no more there than to take that.
    fn assume(&mut self, registry: &Registry, config: &Config) {
        let role = config.registries.get(registry).and_then(|settings| settings.role.clone());
        if let Some(role) = role {
            self.add("Assume", &["sts:AssumeRole"], role);
        }
    }

    fn document(self) -> Value {
        let mut numbers: BTreeMap<&str, usize> = BTreeMap::new();
        let statements = self.0.into_iter().map(|((sid, actions), resources)| {
            let number = numbers.entry(sid).or_default();
            *number += 1;
            let sid = if *number == 1 { sid.to_owned() } else { format!("{sid}{number}") };
            json!({ "Sid": sid, "Effect": "Allow", "Action": actions, "Resource": resources })
        });
        json!({ "Version": "2012-10-17", "Statement": statements.collect::<Vec<_>>() })
    }
}

/// All repositories below the first part of a name, so that a new image needs no new role.
fn prefix(repository: &Repository) -> String {
    match repository.as_str().split_once('/') {
        Some((first, _)) => format!("{first}/*"),
        None => repository.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_of_a_subject() {
        let mut workflow = Workflow {
            account: "123456789012".to_owned(),
            partition: "aws".to_owned(),
            owner: "acme".to_owned(),
            repository: "images".to_owned(),
            ids: Some((7, 42)),
            contexts: vec![Context::PullRequest],
        };
        let subjects = |workflow: &Workflow| {
            trust(workflow)["Statement"][0]["Condition"]["StringLike"]
                ["token.actions.githubusercontent.com:sub"]
                .clone()
        };
        assert_eq!(
            subjects(&workflow),
            json!(["repo:acme/images:pull_request", "repo:acme@7/images@42:pull_request"])
        );
        workflow.ids = None;
        workflow.contexts = vec![Context::Branch("main".to_owned())];
        assert_eq!(
            subjects(&workflow),
            json!([
                "repo:acme/images:ref:refs/heads/main",
                "repo:acme@*/images@*:ref:refs/heads/main"
            ])
        );
        workflow.contexts = vec![Context::Environment("prod".to_owned())];
        assert!(subjects(&workflow)[0].as_str().unwrap().ends_with(":environment:prod"));
    }
}
