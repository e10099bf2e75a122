//! `mirror verify`

use std::path::Path;

use clap::Args;
use mirror_copy::VerifyMode;
use mirror_engine::{Connections, Errand, verify};

use crate::args::Format;
use crate::error::CommandError;
use crate::exit::Exit;
use crate::load::load;
use crate::{environment, print, progress};

/// Find what is missing or damaged at the destinations.
///
/// A tag does not prove that everything below it exists. Walks every image of the tree at every destination:
/// manifests, children, blobs, and the signatures that were there when `apply` looked for them. Changes nothing. Sources are asked in one case only: to find the manifest of a platform
/// for an entry without a tag. `apply` repairs image layouts by itself; `apply --repair` restores what is missing at a
/// registry.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  mirror verify           check that everything exists
  mirror verify --deep    check every byte; reads everything")]
pub(crate) struct VerifyArguments {
    /// Output format.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: Format,

    /// Read and hash every blob.
    #[arg(long)]
    pub(crate) deep: bool,
}

pub(crate) fn run(images: Option<&Path>, command: &VerifyArguments) -> Result<Exit, CommandError> {
    let loaded = load(images);
    print::note(loaded.usable()?);
    super::in_runtime(async {
        let surroundings = environment::surroundings(&environment::default_spool())?;
        let events = progress::listen_to_pauses();
        let errand = Errand::look(&surroundings, &events);
        let connections =
            Connections::new(&loaded.wants, &loaded.config, &loaded.root, errand).await;
        let mode = if command.deep { VerifyMode::Content } else { VerifyMode::Existence };
        let verification = verify::verify(&loaded.wants.wants, &connections, mode).await;
        match command.format {
            Format::Text => print::data(&mirror_render::people::render_verification(&verification)),
            Format::Json => print::json(&verification),
        }
        Ok(if verification.is_whole() { Exit::Done } else { Exit::Failed })
    })
}
