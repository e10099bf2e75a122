//! Images whose tag has the right digest, and that may lack something all the same: platforms that were left out once, or
//! what a registry has lost.

use std::collections::BTreeMap;

use futures_util::{StreamExt, stream};
use mirror_copy::VerifyMode;
use mirror_failure::Failure;
use mirror_oci::{Digest, Platforms};
use mirror_plan::config::Location;
use mirror_plan::plan::Draft;
use mirror_plan::want::{Source, Target};

use crate::address;
use crate::connections::Connections;

/// Images that are looked at at once; the connections limit the requests.
const AT_ONCE: usize = 32;

/// How closely to look at images whose tag has the right digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Closely {
    /// At the platforms of those of which some were ever left out: there the digest says nothing.
    WhereNeeded,
    /// At all manifests and blobs of all of them.
    Everywhere,
}

/// What is missing of each image that counts as unchanged; nothing for those that are whole.
pub(crate) async fn look(
    draft: &Draft<'_>,
    connections: &Connections,
    closely: Closely,
) -> BTreeMap<Target, Result<Vec<Digest>, Failure>> {
    // A layout is always looked at as a whole.
    let looked = draft.fulfilled().filter(|(want, digest)| {
        let (source, target) = (&want.source, &want.target);
        let sparse = || {
            matches!(source.platforms, Platforms::Some(_))
                || connections.memory().is_sparse(target, digest)
        };
        let at_registry = matches!(target.location, Location::Registry(_));
        at_registry && (closely == Closely::Everywhere || sparse())
    });
    let looks = looked.map(|(want, digest)| async move {
        let missing = missing(&want.source, &want.target, digest, connections, closely).await;
        (want.target.clone(), missing)
    });
    let found: Vec<_> =
        stream::iter(looks.collect::<Vec<_>>()).buffer_unordered(AT_ONCE).collect().await;
    found.into_iter().filter(|(_, found)| !matches!(found, Ok(none) if none.is_empty())).collect()
}

async fn missing(
    source: &Source,
    target: &Target,
    digest: &Digest,
    connections: &Connections,
    closely: Closely,
) -> Result<Vec<Digest>, Failure> {
    let attached = connections.memory().attached(target);
    let target = address::target(target, connections)?;
    match closely {
        Closely::WhereNeeded => mirror_copy::missing_children(&target, digest, &source.platforms)
            .await
            .map_err(Failure::from),
        Closely::Everywhere => {
            let defects = mirror_copy::verify(
                &target,
                Some(digest),
                &source.platforms,
                attached,
                VerifyMode::Existence,
            );
            let defects = defects.await.map_err(Failure::from)?;
            Ok(defects.into_iter().filter_map(|defect| defect.digest).collect())
        }
    }
}
