//! Which platforms of an image are wanted.

use crate::platform::Platform;

/// Which platforms of an image are wanted.
///
/// ```
/// use mirror_oci::Platforms;
///
/// let (amd64, s390x) = ("linux/amd64".parse()?, "linux/s390x".parse()?);
/// let wanted = Platforms::Some(vec![amd64]);
/// assert!(!wanted.include(Some(&s390x)) && Platforms::All.include(Some(&s390x)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Platforms {
    /// The image as it is.
    All,
    /// One platform's manifest, without the index around it.
    One(Platform),
    /// The index unchanged, but only these platforms' images.
    Some(Vec<Platform>),
}

impl Platforms {
    /// Whether a child of an index is wanted, which is for `platform` if the index says so. What is wanted of one platform
    /// is no index, or all of one.
    pub fn include(&self, platform: Option<&Platform>) -> bool {
        match self {
            Platforms::All | Platforms::One(_) => true,
            Platforms::Some(wanted) => {
                platform.is_some_and(|found| wanted.iter().any(|wanted| wanted.accepts(found)))
            }
        }
    }
}
