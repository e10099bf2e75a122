//! `mirror outdated`

use std::path::Path;

use clap::Args;
use mirror_engine::look::outdated;
use mirror_render::people::render_outdated;

use crate::args::{Format, Only};
use crate::error::CommandError;
use crate::exit::Exit;
use crate::load::load;
use crate::print;

/// List newer tags that no bot proposes, and tags that were pushed again.
///
/// Looks at the tags that `mirror check` reports as `untracked-tag`, reads the tags that their repositories have, and names the
/// newest of the same form: the same letters and signs, with greater numbers. Which one to take is for a person to say.
/// Where a digest stands beside a tag, asks what the tag is now, by requests that don't count as pulls: bots may leave
/// an image alone whose tag was pushed again.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  mirror outdated                  docker.io/minio/minio:RELEASE.2022-03-26T06-49-28Z → RELEASE.2025-…
  mirror outdated --format json    for scripts, or for `mirror issue`; the schema is
                                   crates/mirror-plan/schemas/outdated.schema.json
  mirror outdated --exit-code      the same, ending with 3 when there is one")]
pub(crate) struct OutdatedArguments {
    /// How to print.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: Format,

    /// End with code 3 when there is a newer tag, or one was pushed again.
    #[arg(long)]
    pub(crate) exit_code: bool,

    #[command(flatten)]
    pub(crate) only: Only,
}

pub(crate) fn run(
    images: Option<&Path>,
    command: &OutdatedArguments,
) -> Result<Exit, CommandError> {
    let mut loaded = load(images);
    print::note(loaded.usable()?);
    print::note(loaded.narrow(&command.only, None)?);
    let mut entries = loaded.entries.clone();
    entries.retain(|entry| command.only.includes(&entry.name));
    super::in_runtime(async {
        let connections = super::connect(&entries, &loaded).await?;
        let found = outdated::look(&entries, &connections).await;
        match command.format {
            Format::Text => print::data(&render_outdated(&found)),
            Format::Json => print::json(&found),
        }
        Ok(if !found.failures.is_empty() {
            Exit::Failed
        } else if command.exit_code && !(found.images.is_empty() && found.moved.is_empty()) {
            Exit::Pending
        } else {
            Exit::Done
        })
    })
}
