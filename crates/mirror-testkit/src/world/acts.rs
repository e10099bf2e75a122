//! What others do meanwhile: the company pushes images, tags and signatures of its own, and upstream moves and deletes tags.

/// What somebody does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Act {
    /// Upstream moves the tag of this image to another one.
    Move(usize),
    /// Upstream deletes the tag of this image, and what it names.
    Delete(usize),
    /// Upstream signs this image late.
    SignUpstream(usize),
    /// The company pushes an image of its own beside the copy of this entry, at this host.
    Tag {
        /// Which of the hosts.
        host: usize,
        /// Which of the entries.
        entry: usize,
    },
    /// The company signs what is there of this entry, at this host.
    Sign {
        /// Which of the hosts.
        host: usize,
        /// Which of the entries.
        entry: usize,
    },
    /// This host loses a blob of an entry.
    Lose {
        /// Which of the hosts.
        host: usize,
        /// Which of the entries.
        entry: usize,
    },
}
