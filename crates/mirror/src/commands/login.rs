//! `mirror login`

use std::path::Path;

use clap::Args;
use mirror_engine::login;
use mirror_oci::{Registry, Repository};

use crate::args::Format;
use crate::error::CommandError;
use crate::exit::Exit;
use crate::load::load;
use crate::{environment, print};

/// Explain where the credentials for a registry come from.
///
/// Looks into each place as a run would: `MIRROR_AUTH_<HOST>`, DOCKER_AUTH_CONFIG, Docker's config.json with its helpers,
/// podman's auth.json, and for Amazon ECR the AWS credentials. Says which of them wins, and never a secret. To log in, use
/// `docker login` or `podman login`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  mirror login --explain registry.example.com           who we are there
  mirror login --explain registry.example.com/team-a    the same, for what is below a path
  mirror login --explain docker.io --format json")]
pub(crate) struct LoginArguments {
    /// Say which places were asked, and which one knows the registry.
    #[arg(long, required = true)]
    pub(crate) explain: bool,

    /// Output format.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: Format,

    /// A registry, and a repository of it where that matters.
    #[arg(value_name = "HOST")]
    pub(crate) host: String,
}

pub(crate) fn run(images: Option<&Path>, command: &LoginArguments) -> Result<Exit, CommandError> {
    let (registry, repository) = parse(&command.host)?;
    // Where the tree says how it is reached, and in which role; there need not be one.
    let mut loaded = load(images);
    loaded.configured()?;
    let settings = loaded.config.registries.remove(&registry).unwrap_or_default();
    super::in_runtime(async {
        let surroundings = environment::surroundings(&environment::default_spool())?;
        let explanation =
            login::explain(&registry, repository.as_ref(), &settings, &surroundings).await;
        match command.format {
            Format::Text => print::data(&mirror_render::people::render_login(&explanation)),
            Format::Json => print::json(&explanation),
        }
        Ok(Exit::Done)
    })
}

/// `registry.example.com/team-a`, as somebody may copy it from anywhere.
fn parse(text: &str) -> Result<(Registry, Option<Repository>), CommandError> {
    let bare = text.split_once("://").map_or(text, |(_, rest)| rest).trim_end_matches('/');
    let (host, path) = bare.split_once('/').unwrap_or((bare, ""));
    // A reference to an image is as good as its repository.
    let path = path.split('@').next().unwrap_or_default();
    let path = path.split(':').next().unwrap_or_default();
    let wrong = |why: String| {
        let help =
            "write a host, perhaps with a port and a repository: registry.example.com:5000/team-a";
        CommandError::usage(format!("`{text}` is no registry"), why, Some(help))
    };
    let host = host.to_ascii_lowercase();
    let registry: Registry = match host.as_str() {
        "index.docker.io" | "registry-1.docker.io" => Registry::docker_hub(),
        host => {
            host.parse().map_err(|error: mirror_oci::ReferenceError| wrong(error.to_string()))?
        }
    };
    let repository = (!path.is_empty()).then(|| path.parse()).transpose();
    Ok((
        registry,
        repository.map_err(|error: mirror_oci::ReferenceError| wrong(error.to_string()))?,
    ))
}
