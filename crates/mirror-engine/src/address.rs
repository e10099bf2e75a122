//! What sources and targets are for the copier.

use mirror_copy::{InLayout, Store};
use mirror_failure::Failure;
use mirror_plan::config::Location;
use mirror_plan::want::Target;

use crate::connections::Connections;

/// Where an image goes.
///
/// # Errors
/// Why there is no getting there.
pub fn target(
    target: &Target,
    connections: &Connections,
) -> Result<mirror_copy::CopyTarget, Failure> {
    let store = store(target, connections)?;
    Ok(mirror_copy::CopyTarget { store, tag: target.tag.clone() })
}

/// What a target is in.
///
/// # Errors
/// Why there is no getting there.
pub(crate) fn store(target: &Target, connections: &Connections) -> Result<Store, Failure> {
    let repository = target.repository.clone();
    Ok(match &target.location {
        Location::Registry(registry) => Store::Remote(connections.remote(registry, &repository)?),
        Location::Layout(folder) => {
            Store::Layout(InLayout { layout: connections.layout(folder)?, repository })
        }
    })
}
