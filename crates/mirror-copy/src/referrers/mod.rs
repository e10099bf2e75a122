//! What belongs to an image and is found through its digests: looked for, copied, listed.

pub(crate) mod attach;
pub(crate) mod find;
pub(crate) mod listing;
