//! What tags stand for at their sources.

use std::collections::BTreeMap;

use futures_util::{StreamExt, stream};
use mirror_copy::Purpose;
use mirror_failure::Failure;
use mirror_oci::{Digest, Name, Tag, Version};

use crate::connections::Connections;

/// Look-ups on their way at once; each host has its own, lower limit.
const AT_ONCE: usize = 64;

/// The digest that each tag has now. These are HEAD requests, which no registry counts as pulls.
pub async fn digests(
    tags: impl IntoIterator<Item = (Name, Tag)>,
    connections: &Connections,
) -> BTreeMap<(Name, Tag), Result<Digest, Failure>> {
    let look = |(name, tag): (Name, Tag)| async move {
        let found = match connections.origin(&name) {
            Ok(source) => source
                .resolve(&Version::Floating(tag.clone()), None, Purpose::Compare)
                .await
                .map_err(Failure::from),
            Err(failure) => Err(failure),
        };
        ((name, tag), found)
    };
    stream::iter(tags).map(look).buffer_unordered(AT_ONCE).collect().await
}
