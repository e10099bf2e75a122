//! How far entries may move, as their folders and the configuration say together.

use std::collections::BTreeSet;

use mirror_tree::version::{Keep, Reading};
use mirror_tree::{Code, Entry, Tree, TreeDiagnostic, folder_allows, folder_keep};

use crate::config::Config;

impl Config {
    /// How far an entry may move: what its folder says, or where that says nothing, `keep` of the last exception that has
    /// it.
    pub fn keep(&self, entry: &Entry) -> Keep {
        let said = self.matching(&entry.name).filter_map(|exception| exception.keep.clone()).last();
        let tag = entry.version.tag().map(|tag| tag.as_str());
        folder_keep(&entry.file, &entry.name, tag).or(said.unwrap_or_default())
    }

    /// Whether a tag is one that the entry may move to.
    pub fn allowed<'a>(&self, entry: &'a Entry) -> impl Fn(&str) -> bool + use<'a> {
        let keep = self.keep(entry);
        let tag = entry.version.tag().map_or("", |tag| tag.as_str());
        move |next| keep.allows(next) && folder_allows(&entry.file, &entry.name, tag, next)
    }

    /// Whether an entry is to stay on its tag: its folder or the configuration says so.
    pub fn stands_still(&self, entry: &Entry) -> bool {
        let tag = entry.version.tag();
        tag.is_none_or(|tag| self.keep(entry).holds_all(tag.as_str()))
    }

    /// What the configuration makes of a tree: a tag that is to stay goes stale on purpose, and one that is not within its
    /// `keep` is an error instead of an entry.
    ///
    /// ```
    /// use mirror_plan::config::Config;
    /// use mirror_tree::{Code, Entry, Rules, Tree, parse};
    ///
    /// let (file, text) = ("docker.io/library/redis/Dockerfile", "FROM redis:7.2\n");
    /// let from = parse(file, text.as_bytes(), &Rules::default()).from.ok_or("a good line")?;
    /// let entry = Entry {
    ///     file: file.to_owned(), name: from.name, version: from.version,
    ///     platform: None, span: from.span, source: text.into(),
    /// };
    /// let config = Config::parse("[[image]]\nmatch = \"**\"\nkeep = \"6\"").map_err(|_| "it is valid")?;
    /// let tree = config.judge(Tree { entries: vec![entry], diagnostics: Vec::new() });
    /// assert!(tree.entries.is_empty());
    /// assert_eq!(tree.diagnostics[0].code, Code::VariantMismatch);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn judge(&self, tree: Tree) -> Tree {
        let Tree { mut entries, mut diagnostics } = tree;
        let still = entries.iter().filter(|entry| self.stands_still(entry));
        let still: BTreeSet<&str> = still.map(|entry| entry.file.as_str()).collect();
        diagnostics
            .retain(|one| one.code != Code::UntrackedTag || !still.contains(one.file.as_str()));
        entries.retain(|entry| match self.mismatch(entry) {
            None => true,
            Some(problem) => {
                diagnostics.push(problem);
                false
            }
        });
        Tree { entries, diagnostics }
    }

    /// A tag that is not within what it is kept on: nothing would ever be proposed for it.
    fn mismatch(&self, entry: &Entry) -> Option<TreeDiagnostic> {
        let tag = entry.version.tag()?.as_str();
        let keep = self.keep(entry);
        if matches!(keep, Keep::Exact) || keep.allows(tag) || Reading::of(tag).floats() {
            return None;
        }
        Some(TreeDiagnostic {
            code: Code::VariantMismatch,
            file: entry.file.clone(),
            source: Some(entry.source.clone()),
            span: Some(entry.span.clone()),
            message: format!("mirror.toml keeps this image on `{keep}`, but its tag is `{tag}`"),
            help: Some(
                "name a tag that is within that, or change `keep`; a number in a variant folder takes precedence over it"
                    .to_owned(),
            ),
            fix: None,
        })
    }
}
