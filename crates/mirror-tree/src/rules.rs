//! What is demanded of a tree.

/// What the configuration demands of a tree, from `[check]` in `mirror.toml`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Rules {
    /// Every reference needs a digest.
    pub require_digest: bool,
    /// A digest without a tag is fine.
    pub allow_digest_only: bool,
}
