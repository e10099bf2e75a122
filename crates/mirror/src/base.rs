//! The configuration at the commit that a pull request is based on.

use std::cell::RefCell;
use std::collections::BTreeMap;

use mirror_failure::printable;
use mirror_plan::config::Config;
use mirror_plan::want::{Base, ConfigChange, config_changes};

use crate::git::{AtCommit, GitError};
use crate::load::{self, CONFIG, Loaded};

/// What a pull request is held against.
pub(crate) struct AtBase {
    /// What connections are made by.
    pub(crate) base: Base,
    /// How the configuration differs from that.
    pub(crate) changes: Vec<ConfigChange>,
    /// What there is to know of it.
    pub(crate) note: Option<String>,
}

/// Reads the tree as it was at `revision`. A configuration that was missing there is the default, one that was broken knows
/// nothing: a pull request may add the first one, or mend it.
pub(crate) fn read(loaded: &Loaded, revision: &str) -> Result<AtBase, GitError> {
    let at = AtCommit::of(&loaded.images, revision)?;
    let mut texts = BTreeMap::new();
    let Some(text) = at.text(CONFIG)? else {
        // Then the default was in force.
        let config = Config::default();
        let base = Base::new(&config, &at.entries(&config.rules)?);
        let changes = config_changes(&texts, &loaded.texts);
        return Ok(AtBase { base, changes, note: None });
    };
    let read = RefCell::new(BTreeMap::new());
    let beside = |name: &str| {
        let name = load::document(name)?;
        let text = at.text(&name).map_err(|error| error.why)?;
        let text = text.ok_or("there is no such file")?;
        read.borrow_mut().insert(name, text.clone());
        Ok(text)
    };
    let config = Config::parse_with(&text, &beside);
    texts.extend(read.into_inner());
    texts.insert(CONFIG.to_owned(), text);
    let changes = config_changes(&texts, &loaded.texts);
    let (base, note) = match config {
        Ok(config) => (Base::new(&config, &at.entries(&config.rules)?), None),
        Err(problems) => {
            let why = problems.first().map(|problem| printable(&problem.message));
            let note = format!(
                "the configuration at {} is not valid, so nothing is known of it: {}",
                printable(revision),
                why.unwrap_or_default()
            );
            (Base::default(), Some(note))
        }
    };
    Ok(AtBase { base, changes, note })
}
