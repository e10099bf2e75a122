//! What a manifest points to, and which of it is wanted.

use mirror_failure::{Cause, Side};
use mirror_oci::{Links, Platform, Platforms, RawManifest};

use crate::error::CopyError;

/// Every platform that is asked for must be there, or nobody would notice that one is not.
pub(crate) fn check(platforms: &Platforms, links: &Links) -> Result<(), CopyError> {
    let Platforms::Some(wanted) = platforms else { return Ok(()) };
    let offered: Vec<&Platform> =
        links.manifests.iter().filter_map(|child| child.platform.as_ref()).collect();
    let missing =
        wanted.iter().find(|wanted| !offered.iter().any(|offered| wanted.accepts(offered)));
    missing.map_or(Ok(()), |missing| {
        Err(no_platform(missing, &offered, format!("looking for {missing}")))
    })
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
