//! Who we are at a registry, as a run would find it out.

use mirror_failure::{CredentialError, Failure, Side};
use mirror_oci::{Endpoint, Registry, Repository};
use mirror_plan::config::RegistrySettings;
use mirror_plan::report::{CLOUD_LOGIN, LoginExplanation, LoginKind, LoginOutcome, LoginStep};
use mirror_registry::{Credential, LookupOutcome, LookupStep};

use crate::control::behind;
use crate::surroundings::Surroundings;

/// Finds out who we are, and tells which places were asked. A cloud is asked for a login where nobody else knows one.
pub async fn explain(
    registry: &Registry,
    repository: Option<&Repository>,
    settings: &RegistrySettings,
    surroundings: &Surroundings,
) -> LoginExplanation {
    let endpoint = settings.endpoint.clone().unwrap_or_else(|| Endpoint::of(registry));
    let (lookup, secure) = surroundings.credentials.explain(&endpoint, repository).await;
    let (kind, user) = match &lookup.credential {
        Credential::Anonymous => (LoginKind::Anonymous, None),
        // Some write a token in the place of the user.
        Credential::Basic { user, login } => {
            let password = login.expose().get(user.len() + 1..).unwrap_or_default();
            let token = matches!(password, b"" | b"x-oauth-basic");
            (LoginKind::Password, Some(if token { "***".to_owned() } else { user.clone() }))
        }
        Credential::Refresh(_) => (LoginKind::RefreshToken, None),
        Credential::Bearer(_) => (LoginKind::Token, None),
    };
    let mut explanation = LoginExplanation {
        format_version: 1,
        registry: registry.to_string(),
        repository: repository.map(ToString::to_string),
        endpoint: endpoint.to_string(),
        secure,
        kind,
        user,
        steps: lookup.steps.into_iter().map(step).collect(),
    };
    let behind = behind(registry, settings.role.as_deref(), surroundings).await;
    let Some(login) = behind.login.filter(|login| login.belongs_to(&endpoint)) else {
        return explanation;
    };
    let place = CLOUD_LOGIN.to_owned();
    if kind != LoginKind::Anonymous {
        explanation.steps.push(LoginStep { place, outcome: LoginOutcome::NotAsked, detail: None });
        return explanation;
    }
    let (outcome, detail) = match login.ask().await {
        Ok(Some(login)) => {
            (explanation.kind, explanation.user) = (LoginKind::Cloud, Some(login.user));
            (LoginOutcome::Found, None)
        }
        Ok(None) => (LoginOutcome::Nothing, None),
        Err(error) => {
            let failure = Failure::new(Side::Destination, "", &error.into());
            (LoginOutcome::Failed, Some(failure.message))
        }
    };
    explanation.steps.push(LoginStep { place, outcome, detail });
    explanation
}

fn step(step: LookupStep) -> LoginStep {
    let (outcome, detail) = match step.outcome {
        LookupOutcome::Absent => (LoginOutcome::Absent, None),
        LookupOutcome::Withheld => {
            let why = "no password is sent without TLS that is not stored for `http://`";
            (LoginOutcome::Withheld, Some(why.to_owned()))
        }
        LookupOutcome::Nothing => (LoginOutcome::Nothing, None),
        LookupOutcome::Failed(error) => (LoginOutcome::Failed, Some(reason(error))),
        LookupOutcome::Found(key) if key == step.place => (LoginOutcome::Found, None),
        LookupOutcome::Found(key) => (LoginOutcome::Found, Some(format!("the entry `{key}`"))),
        LookupOutcome::NotAsked => (LoginOutcome::NotAsked, None),
    };
    LoginStep { place: step.place, outcome, detail }
}

/// Why a place failed, which is named already.
fn reason(error: CredentialError) -> String {
    match error {
        CredentialError::File { reason, .. } | CredentialError::Helper { reason, .. } => reason,
        CredentialError::NoHelper { .. } => "it is not installed".to_owned(),
        CredentialError::Withheld(_) => "it is not sent without TLS".to_owned(),
        CredentialError::Variable(_) => "it must have the form user:password".to_owned(),
    }
}
