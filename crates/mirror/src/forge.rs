//! Getting ready to talk to a forge.

use mirror_forge::{
    Forge, ForgeError, ForgeLogin, Kept, LARGEST_RESPONSE, PATIENT, PUBLIC_API, RepositoryName,
};

use crate::environment::{self, GitHubVariables};
use crate::error::CommandError;
use crate::exit::Exit;

/// A repository on GitHub that commands write to.
#[derive(Debug, clap::Args)]
pub(crate) struct At {
    /// The repository on GitHub. Defaults to GITHUB_REPOSITORY, which workflows have.
    #[arg(long, value_name = "OWNER/NAME")]
    pub(crate) repository: Option<RepositoryName>,

    /// The API of a GitHub Enterprise server, https://HOST/api/v3. Defaults to GITHUB_API_URL, or github.com.
    #[arg(long, value_name = "URL")]
    pub(crate) api_url: Option<String>,
}

/// Opens the repository with what the environment says.
pub(crate) async fn open(at: &At) -> Result<Forge, CommandError> {
    let GitHubVariables { token, app, repository, api } = environment::github();
    let unusable =
        |why: &str, help: &str| CommandError::usage("could not log in to GitHub", why, Some(help));
    let repository = match (at.repository.clone(), repository) {
        (Some(repository), _) => repository,
        (None, Some(text)) => text.parse().map_err(|why: String| {
            unusable(&format!("GITHUB_REPOSITORY: {why}"), "name it with `--repository OWNER/NAME`")
        })?,
        (None, None) => {
            return Err(unusable(
                "no repository is named",
                "name it with `--repository OWNER/NAME`",
            ));
        }
    };
    let login = match (app, token) {
        (Some((id, key)), _) => ForgeLogin::App { id, key },
        (None, Some(token)) => ForgeLogin::Token(token),
        (None, None) => {
            return Err(unusable(
                "there is no token",
                "set GITHUB_TOKEN, in a workflow to ${{ github.token }}; or MIRROR_GITHUB_APP_ID and \
                 MIRROR_GITHUB_APP_KEY",
            ));
        }
    };
    let api = at.api_url.clone().or(api).unwrap_or_else(|| PUBLIC_API.to_owned());
    let wire = environment::wire()?.whole(LARGEST_RESPONSE);
    Forge::github(&api, repository, &login, PATIENT, wire).await.map_err(|error| {
        let unusable = matches!(error, ForgeError::Unusable(_));
        let exit = if unusable { Exit::Usage } else { Exit::Failed };
        failed("could not log in to GitHub", &error).ending(exit)
    })
}

/// What a forge could not do.
pub(crate) fn failed(what: &str, error: &ForgeError) -> CommandError {
    let why = mirror_failure::printable(&error.to_string());
    CommandError::failed(what, why, error.help())
}

/// What was done, for a message.
pub(crate) fn word(kept: Kept) -> &'static str {
    match kept {
        Kept::Unchanged => "unchanged",
        Kept::Created => "written",
        Kept::Updated => "changed",
        Kept::Closed => "closed",
        Kept::Absent => "not needed",
        Kept::Rejected => "closed by somebody: left as it is",
        Kept::Foreign => "changed by somebody else: left as it is",
    }
}
