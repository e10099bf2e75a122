//! Entries whose lines are to name another tag, or another digest.

use std::io;

use mirror_failure::printable;
use mirror_oci::{Digest, Tag};
use mirror_tree::Entry;

use crate::load::Loaded;
use crate::{edit, print};

/// An entry with what its line should say.
pub(crate) struct Change<'a> {
    pub(crate) entry: &'a Entry,
    /// The tag that comes next, or the same with another digest.
    pub(crate) to: Tag,
    pub(crate) digest: Digest,
    /// The reference as it is to be written.
    pub(crate) text: String,
}

impl<'a> Change<'a> {
    /// The name stays as it is written.
    pub(crate) fn new(entry: &'a Entry, to: Tag, digest: Digest) -> Change<'a> {
        let text = format!("{}:{to}@{digest}", entry.written_name());
        Change { entry, to, digest, text }
    }

    /// Writes it, unless this is a check, and says what it is.
    pub(crate) fn carry_out(&self, loaded: &Loaded, check: bool) -> io::Result<()> {
        let Change { entry, text, .. } = self;
        if !check {
            let path = loaded.images.join(&entry.file);
            edit::replace(&path, Some(&*entry.source), entry.span.clone(), text)?;
        }
        self.show(loaded);
        Ok(())
    }

    /// Says what is to be written.
    pub(crate) fn show(&self, loaded: &Loaded) {
        let shown = printable(&format!("{}/{}", loaded.shown, self.entry.file));
        print::data(&format!("{shown}: FROM {}\n", self.text));
    }
}
