//! Looking for what is missing or damaged at the destinations.

use futures_util::{StreamExt, stream};
use mirror_copy::{Defect, Purpose, VerifyMode};
use mirror_failure::Failure;
use mirror_oci::Platforms;
use mirror_plan::report::{ImageDefect, Verification, VerifyFailure};
use mirror_plan::want::Want;

use crate::address;
use crate::connections::Connections;

/// Images that are looked at at once; the connections limit the requests.
const AT_ONCE: usize = 32;

/// Walks every image at its destination: manifests, children, blobs. Nothing is changed.
///
/// # Cancellation
/// Can be dropped at any time.
pub async fn verify(wants: &[Want], connections: &Connections, mode: VerifyMode) -> Verification {
    let looks = stream::iter(wants).map(|want| look(want, connections, mode)).buffered(AT_ONCE);
    let found: Vec<_> = looks.collect().await;
    sum_up(wants, found)
}

async fn look(
    want: &Want,
    connections: &Connections,
    mode: VerifyMode,
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
    let attached = connections.memory().attached(target);
    Ok(mirror_copy::verify(&at, expected.as_ref(), &source.platforms, attached, mode).await?)
}

fn sum_up(wants: &[Want], found: Vec<Result<Vec<Defect>, Failure>>) -> Verification {
    let mut verification =
        Verification { format_version: 1, images: wants.len(), ..Verification::default() };
    for (want, outcome) in wants.iter().zip(found) {
        match outcome {
            Ok(defects) if defects.is_empty() => verification.whole += 1,
            Ok(defects) => verification.defects.extend(defects.into_iter().map(|defect| {
                let Defect { digest, problem, is_missing: missing } = defect;
                ImageDefect { want: want.clone(), digest, problem, missing }
            })),
            Err(failure) => {
                verification.failures.push(VerifyFailure { want: want.clone(), failure })
            }
        }
    }
    verification
}
