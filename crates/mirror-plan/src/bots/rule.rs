//! What is said of one entry.

use mirror_oci::Registry;
use mirror_tree::Entry;
use mirror_tree::version::Keep;

use crate::config::Config;

/// What is said of one folder with an entry.
#[derive(Debug, Clone)]
pub(super) struct EntryRule {
    /// The folder, relative to the tree.
    pub(super) folder: String,
    pub(super) registry: Registry,
    /// What Dependabot calls the image: without registry.
    pub(super) dependency: String,
    /// How far it may move.
    pub(super) keep: Keep,
    /// Nothing is left of its version that may change.
    pub(super) holds_all: bool,
    /// A new digest of its tag can't be pushed to all destinations.
    pub(super) is_immutable: bool,
}

impl EntryRule {
    pub(super) fn of(entry: &Entry, config: &Config) -> EntryRule {
        let keep = config.keep(entry);
        let holds_all = entry.version.tag().is_some_and(|tag| keep.holds_all(tag.as_str()));
        EntryRule {
            folder: folder(entry).to_owned(),
            registry: entry.name.registry.clone(),
            dependency: dependency(entry).to_owned(),
            keep,
            holds_all,
            is_immutable: config.is_immutable(entry),
        }
    }
}

pub(super) fn folder(entry: &Entry) -> &str {
    entry.file.rsplit_once('/').map_or("", |(folder, _)| folder)
}

/// What Dependabot takes for the name: all behind the registry, which to it is a first component with a dot
/// (<https://github.com/dependabot/dependabot-core/blob/main/docker/lib/dependabot/shared/shared_file_parser.rb>).
fn dependency(entry: &Entry) -> &str {
    let written = entry.written_name();
    match written.split_once('/') {
        Some((registry, name)) if registry.contains('.') => name,
        _ => written,
    }
}
