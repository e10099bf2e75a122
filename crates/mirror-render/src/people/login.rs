//! Who we are at a registry, for people.

use mirror_failure::printable;
use mirror_plan::report::{CLOUD_LOGIN, LoginExplanation, LoginKind, LoginOutcome, LoginStep};

/// What `mirror login --explain` says: the places that were asked, and what follows from it.
///
/// ```
/// use mirror_plan::report::{LoginExplanation, LoginKind, LoginOutcome, LoginStep};
/// use mirror_render::people::render_login;
///
/// let step = |place: &str, outcome| LoginStep { place: place.to_owned(), outcome, detail: None };
/// let explanation = LoginExplanation {
///     registry: "r.example".to_owned(),
///     endpoint: "https://r.example".to_owned(),
///     secure: true,
///     steps: vec![step("MIRROR_AUTH_R_EXAMPLE", LoginOutcome::Absent)],
///     ..LoginExplanation::default()
/// };
/// let text = "r.example, asked at https://r.example\n  not set   MIRROR_AUTH_R_EXAMPLE\nrequests are anonymous: no place knows this registry\n";
/// assert_eq!(render_login(&explanation), text);
/// ```
pub fn render_login(explanation: &LoginExplanation) -> String {
    let LoginExplanation { registry, repository, endpoint, secure, kind, user, steps, .. } =
        explanation;
    let repository = repository.as_ref().map(|name| format!("/{name}")).unwrap_or_default();
    let mut out = format!("{registry}{repository}, asked at {endpoint}\n");
    for step in steps {
        let detail = step.detail.as_deref().map(|it| format!(": {it}")).unwrap_or_default();
        let line = format!("  {:9} {}{detail}", word(step), step.place);
        out += &printable(line.trim_end());
        out.push('\n');
    }
    let from = explanation.winner().map(|step| step.place.as_str()).unwrap_or_default();
    let user = user.as_deref().unwrap_or_default();
    let failed = |step: &LoginStep| step.outcome == LoginOutcome::Failed;
    let end = match kind {
        // A variable for this very host ends the search.
        // And so does a cloud that should know.
        LoginKind::Anonymous
            if steps.last().is_some_and(|last| {
                failed(last) && (steps.len() == 1 || last.place == CLOUD_LOGIN)
            }) =>
        {
            "requests fail until that is corrected".to_owned()
        }
        LoginKind::Anonymous if *secure && steps.iter().any(failed) => {
            "requests are anonymous: no place knows this registry, as far as they could be asked".to_owned()
        }
        LoginKind::Anonymous if *secure => {
            "requests are anonymous: no place knows this registry".to_owned()
        }
        LoginKind::Anonymous => {
            "requests are anonymous: without TLS, only what is stored for `http://` and the host is sent".to_owned()
        }
        LoginKind::Password => format!("uses the user {user}, from {from}"),
        LoginKind::RefreshToken => format!("uses a refresh token, from {from}"),
        LoginKind::Token => format!("uses a token, from {from}"),
        LoginKind::Cloud => format!("uses the user {user}, with a password of some hours, from {from}"),
    };
    out += &printable(&end);
    out.push('\n');
    out
}

fn word(step: &LoginStep) -> &'static str {
    match step.outcome {
        LoginOutcome::Absent if step.place.contains(['/', '\\']) => "missing",
        LoginOutcome::Absent => "not set",
        LoginOutcome::Withheld => "withheld",
        LoginOutcome::Nothing => "nothing",
        LoginOutcome::Failed => "failed",
        LoginOutcome::Found => "found",
        LoginOutcome::NotAsked => "not asked",
    }
}
