//! The configuration at the commit that a pull request is based on.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use mirror_failure::printable;
use mirror_oci::{Algorithm, Digest};
use mirror_plan::config::Config;
use mirror_plan::want::{Base, ConfigChange, config_changes};
use tempfile::TempDir;

use crate::git::{self, AtCommit, FileAtCommit, GitError};
use crate::load::{self, CONFIG, Loaded};

/// What a pull request is held against.
pub(crate) struct AtBase {
    /// What connections are made by.
    pub(crate) base: Base,
    /// How the configuration differs from that.
    pub(crate) changes: Vec<ConfigChange>,
    /// What there is to know of it.
    pub(crate) note: Option<String>,
    /// Files with certificates as they were, where they have changed; gone with this.
    _certificates: Option<TempDir>,
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
        return Ok(AtBase { base, changes, note: None, _certificates: None });
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
    let mut changes = config_changes(&texts, &loaded.texts);
    let mut certificates = None;
    let (base, note) = match config {
        Ok(mut config) => {
            certificates = keep_certificates(&mut config, &at, loaded, &mut changes)?;
            (Base::new(&config, &at.entries(&config.rules)?), None)
        }
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
    Ok(AtBase { base, changes, note, _certificates: certificates })
}

/// Lets the registries of a configuration have the certificates that they had, whatever the files are now: whoever may change
/// these would decide whom credentials are sent to.
fn keep_certificates(
    config: &mut Config,
    at: &AtCommit<'_>,
    loaded: &Loaded,
    changes: &mut Vec<ConfigChange>,
) -> Result<Option<TempDir>, GitError> {
    let mut kept: Option<TempDir> = None;
    let mut number = 0;
    let mut keep = |path: &mut PathBuf| {
        let now = loaded.root.join(&*path);
        let Ok(inside) = now.strip_prefix(&loaded.root).map(Path::to_owned) else { return Ok(()) };
        let then = match at.beside(&inside)? {
            FileAtCommit::Outside => return Ok(()),
            FileAtCommit::Missing => None,
            FileAtCommit::There(bytes) => Some(bytes),
        };
        let is = std::fs::read(&now).ok();
        if is == then {
            return Ok(());
        }
        let short = |bytes: &Vec<u8>| Digest::of(Algorithm::Sha256, bytes).short().to_owned();
        let (from, to) = (then.as_ref().map(short), is.as_ref().map(short));
        let change = ConfigChange { key: printable(&inside.display().to_string()), from, to };
        if !changes.contains(&change) {
            changes.push(change);
        }
        let unable = |error: std::io::Error| git::unable(&error.to_string());
        let folder = match kept.take() {
            Some(folder) => folder,
            None => tempfile::tempdir().map_err(unable)?,
        };
        // A file that was not there is none now.
        *path = folder.path().join(number.to_string());
        number += 1;
        if let Some(then) = then {
            std::fs::write(&*path, then).map_err(unable)?;
        }
        kept = Some(folder);
        Ok(())
    };
    for settings in config.registries.values_mut() {
        settings.ca.as_mut().map(&mut keep).transpose()?;
        if let Some((certificate, key)) = &mut settings.client_certificate {
            keep(certificate)?;
            key.as_mut().map(&mut keep).transpose()?;
        }
    }
    Ok(kept)
}
