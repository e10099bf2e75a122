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
/// For each tag that `mirror check` reports as `untracked-tag`, lists the tags of its repository and names the newest
/// within what the folder or `keep` holds: the same kind of image, with greater numbers, a final version before any other;
/// the next major version apart. For each tag that is pinned to a digest, looks up its digest now, because bots may ignore
/// a tag that was pushed again. These requests don't count as pulls.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  mirror outdated                  newer tags, such as RELEASE.2025-… for RELEASE.2022-03-26…
  mirror outdated --format json    for scripts, or for `mirror issue`; the schema is
                                   crates/mirror-plan/schemas/outdated.schema.json
  mirror outdated --exit-code      the same; ends with 3 if there are any")]
pub(crate) struct OutdatedArguments {
    /// Output format.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: Format,

    /// End with code 3 if there is a newer tag, or one was pushed again.
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
        let found = outdated::look(&entries, &connections, &loaded.config).await;
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
