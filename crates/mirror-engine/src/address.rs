//! What sources and targets are for the copier.

use mirror_copy::Selection;
use mirror_failure::Failure;
use mirror_oci::Digest;
use mirror_plan::config::Location;
use mirror_plan::want::{Platforms, Source, Target};

use crate::connections::Connections;

/// Which children of an index are wanted.
pub fn selection(source: &Source) -> Selection {
    match &source.platforms {
        Platforms::Some(platforms) => Selection::Platforms(platforms.clone()),
        Platforms::All | Platforms::One(_) => Selection::All,
    }
}

/// What an image is called in a layout: `repository:tag`, or `repository@digest` without a tag.
pub fn layout_name(target: &Target, digest: Option<&Digest>) -> String {
    match (&target.tag, digest) {
        (Some(tag), _) => format!("{}:{tag}", target.repository),
        (None, Some(digest)) => format!("{}@{digest}", target.repository),
        (None, None) => target.repository.to_string(),
    }
}

/// Where an image goes.
pub fn target(
    target: &Target,
    digest: Option<&Digest>,
    connections: &Connections,
) -> Result<mirror_copy::Target, Failure> {
    Ok(match &target.location {
        Location::Registry(registry) => mirror_copy::Target::Registry {
            host: connections.registry(registry)?,
            repository: target.repository.clone(),
            tag: target.tag.clone(),
        },
        Location::Layout(folder) => mirror_copy::Target::Layout {
            layout: connections.layout(folder)?,
            repository: target.repository.clone(),
            name: layout_name(target, digest),
        },
    })
}
