//! `mirror verify`

use std::path::Path;

use clap::Args;
use futures_util::{StreamExt, stream};
use mirror_copy::{Defect, Purpose, VerifyMode};
use mirror_engine::{Connections, Errand, address};
use mirror_failure::Failure;
use mirror_oci::Platforms;
use mirror_plan::report::{ImageDefect, Verification, VerifyFailure};
use mirror_plan::want::Want;

use crate::args::Format;
use crate::error::CommandError;
use crate::exit::Exit;
use crate::load::load;
use crate::{environment, print, progress};

/// Images that are looked at at once; the connections limit the requests.
const AT_ONCE: usize = 32;

/// Find what is missing or damaged at the destinations.
///
/// A tag does not prove that everything below it is there. Walks every image of the tree at every destination:
/// manifests, children, blobs. Nothing is changed. Sources are asked in one case alone: which manifest of an index is that of
/// a platform, for an entry without tag. `apply` repairs image layouts by itself; `apply --repair` puts back what is missing
/// at a registry.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  mirror verify           is everything there?
  mirror verify --deep    is every byte of it right? Reads all of it")]
pub(crate) struct VerifyArguments {
    /// How to print.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: Format,

    /// Read every blob and hash it.
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
        let check = if command.deep { VerifyMode::Content } else { VerifyMode::Existence };
        let wants = &loaded.wants.wants;
        let looks =
            stream::iter(wants).map(|want| look(want, &connections, check)).buffered(AT_ONCE);
        let found: Vec<_> = looks.collect().await;
        let verification = sum_up(wants, found);
        match command.format {
            Format::Text => print::data(&mirror_render::people::render_verification(&verification)),
            Format::Json => print::json(&verification),
        }
        let whole = verification.defects.is_empty() && verification.failures.is_empty();
        Ok(if whole { Exit::Done } else { Exit::Failed })
    })
}

async fn look(
    want: &Want,
    connections: &Connections,
    check: VerifyMode,
) -> Result<Vec<Defect>, Failure> {
    let Want { source, target, .. } = want;
    let expected = match (&source.platforms, &target.tag) {
        (Platforms::All | Platforms::Some(_), _) => source.version.digest().cloned(),
        // The digest of one platform's manifest is not in the tree.
        (Platforms::One(_), Some(_)) => None,
        // Without a tag nothing else leads to it: its index says what it is, as kept in the spool or at the source.
        (Platforms::One(platform), None) => {
            let origin = connections.origin(&source.name)?;
            Some(origin.resolve(&source.version, Some(platform), Purpose::Compare).await?)
        }
    };
    let at = address::target(target, connections)?;
    Ok(mirror_copy::verify(&at, expected.as_ref(), &source.platforms, check).await?)
}

fn sum_up(wants: &[Want], found: Vec<Result<Vec<Defect>, Failure>>) -> Verification {
    let mut sum =
        Verification { format_version: 1, images: wants.len(), ..Verification::default() };
    for (want, outcome) in wants.iter().zip(found) {
        match outcome {
            Ok(defects) if defects.is_empty() => sum.whole += 1,
            Ok(defects) => sum.defects.extend(defects.into_iter().map(|defect| {
                let Defect { digest, problem, is_missing: missing } = defect;
                ImageDefect { want: want.clone(), digest, problem, missing }
            })),
            Err(failure) => sum.failures.push(VerifyFailure { want: want.clone(), failure }),
        }
    }
    sum
}
