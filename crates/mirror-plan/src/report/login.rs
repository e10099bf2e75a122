//! Who we are at a registry, and how that was found out.

use schemars::JsonSchema;
use serde::Serialize;

/// What `mirror login --explain` says. No secret is in it.
///
/// ```
/// use mirror_plan::report::{LoginExplanation, LoginOutcome, LoginStep};
///
/// let step = LoginStep {
///     place: "/home/me/.docker/config.json".to_owned(),
///     outcome: LoginOutcome::Found,
///     detail: Some("the entry `registry.example.com`".to_owned()),
/// };
/// let explanation = LoginExplanation {
///     registry: "registry.example.com".to_owned(),
///     user: Some("me".to_owned()),
///     steps: vec![step],
///     ..LoginExplanation::default()
/// };
/// assert_eq!(explanation.winner().map(|step| step.place.as_str()), Some("/home/me/.docker/config.json"));
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct LoginExplanation {
    /// Version of this format; 1.
    pub format_version: u32,
    /// The registry as references name it.
    pub registry: String,
    /// The repository that it is about; none, where it is about the registry as a whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repository: Option<String>,
    /// Where it is really asked.
    pub endpoint: String,
    /// Whether a password may go there: by TLS, or on this machine.
    pub secure: bool,
    /// What goes there: a user and password, a token, or nothing.
    pub kind: LoginKind,
    /// The user, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// The places that were asked, in their order.
    pub steps: Vec<LoginStep>,
}

/// What says who we are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LoginKind {
    /// Nobody says so: requests are anonymous.
    #[default]
    Anonymous,
    /// A user and a password.
    Password,
    /// A refresh token, which Docker calls an identity token.
    RefreshToken,
    /// A token that is sent as it is.
    Token,
    /// A login that a cloud makes for some hours.
    Cloud,
}

/// The place that makes logins for Amazon ECR. It is the last one, and where it should know and fails, so do requests.
pub const CLOUD_LOGIN: &str = "Amazon ECR, by the AWS credentials";

/// A place that was asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct LoginStep {
    /// A variable, a file, a helper, or a cloud.
    pub place: String,
    /// What it had.
    pub outcome: LoginOutcome,
    /// The key under which it was found, or why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// What a place had.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LoginOutcome {
    /// It is not set, or does not exist.
    Absent,
    /// It has a password, which is not sent without TLS.
    Withheld,
    /// It has nothing for this registry.
    Nothing,
    /// It could not be used.
    Failed,
    /// It says who we are.
    Found,
    /// Another place has said so before.
    NotAsked,
}

impl LoginExplanation {
    /// The place that says who we are.
    pub fn winner(&self) -> Option<&LoginStep> {
        self.steps.iter().find(|step| step.outcome == LoginOutcome::Found)
    }
}
