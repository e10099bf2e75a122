//! Names, digests, descriptors and manifests of container images, as values.
//!
//! Nothing here reads a file, a clock or a socket. A value that exists is valid: every type checks in its
//! constructor, so the crates above can trust what they are handed.

pub mod caps;
mod descriptor;
mod digest;
mod endpoint;
mod grammar;
mod manifest;
pub mod media_type;
mod platform;
mod platforms;
mod reference;
mod reference_error;
mod size;

pub use caps::MAX_MANIFEST_BYTES;
pub use descriptor::Descriptor;
pub use digest::{Algorithm, Digest, DigestError, DigestMismatch, Hasher, Verifier};
pub use endpoint::{Endpoint, EndpointError};
pub use manifest::{Links, ManifestError, RawManifest};
pub use platform::{Platform, PlatformError};
pub use platforms::Platforms;
pub use reference::{Name, Pinned, Reference, Registry, Repository, Tag, Version};
pub use reference_error::{ReferenceError, ReferenceErrorKind};
pub use size::ByteSize;
