//! Which children of an index are wanted.

use mirror_failure::{Cause, Side};
use mirror_oci::{Links, Platform, RawManifest};

use crate::error::CopyError;

/// Which children of an index are wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selection {
    /// Every one.
    All,
    /// Those for these platforms. The index itself stays as it is.
    Platforms(Vec<Platform>),
}

impl Selection {
    /// Every platform that is asked for must be there, or nobody would notice that one is not.
    pub(crate) fn check(&self, links: &Links) -> Result<(), CopyError> {
        let Selection::Platforms(wanted) = self else { return Ok(()) };
        let offered: Vec<&Platform> =
            links.manifests.iter().filter_map(|child| child.platform.as_ref()).collect();
        let missing =
            wanted.iter().find(|wanted| !offered.iter().any(|offered| wanted.accepts(offered)));
        missing.map_or(Ok(()), |missing| {
            Err(no_platform(missing, &offered, format!("looking for {missing}")))
        })
    }
}

/// An image that isn't made for a platform.
pub(crate) fn no_platform(wanted: &Platform, offered: &[&Platform], step: String) -> CopyError {
    let names: Vec<String> = offered.iter().map(ToString::to_string).collect();
    let message = match names.as_slice() {
        [] => format!("the image has no manifest for {wanted}; it is not an index of platforms"),
        names => format!("the image has no manifest for {wanted}, only for {}", names.join(", ")),
    };
    CopyError::new(Side::Source, step, Cause::Other(message))
}

pub(crate) fn links(manifest: &RawManifest) -> Result<Links, CopyError> {
    let step = || format!("reading manifest {}", manifest.digest().short());
    manifest.links().map_err(|error| CopyError::new(Side::Source, step(), Cause::Manifest(error)))
}

/// Whether a child of an index is wanted.
pub(crate) fn selected(selection: &Selection, platform: Option<&Platform>) -> bool {
    match (selection, platform) {
        (Selection::All, _) => true,
        (Selection::Platforms(_), None) => false,
        (Selection::Platforms(wanted), Some(found)) => {
            wanted.iter().any(|wanted| wanted.accepts(found))
        }
    }
}
