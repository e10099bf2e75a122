//! `index.json` of an image layout: what is in it, and entries on their way into it.
//!
//! It may have ten thousand entries, so it is read again only when it has changed, and entries that come at the same time
//! are written together.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mirror_oci::{Digest, RawManifest};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::files::{Files, Stamp};

const INDEX: &str = "index.json";
const NAME: &str = "org.opencontainers.image.ref.name";

/// The index of one layout.
#[derive(Debug, Default)]
pub(crate) struct Index {
    read: Mutex<Option<(Stamp, Arc<Names>)>>,
    waiting: Mutex<Waiting>,
    /// Whoever holds this writes what waits.
    writing: Mutex<()>,
}

/// What an index says.
#[derive(Debug, Default)]
pub(crate) struct Names {
    by_name: BTreeMap<String, Digest>,
    media_types: BTreeMap<Digest, String>,
}

#[derive(Debug, Default)]
struct Waiting {
    next: u64,
    entries: BTreeMap<u64, Entry>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    schema_version: u32,
    manifests: Vec<Entry>,
    #[serde(flatten)]
    other: Map<String, Value>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    media_type: String,
    digest: Digest,
    size: u64,
    #[serde(default)]
    annotations: Map<String, Value>,
    #[serde(flatten)]
    other: Map<String, Value>,
}

impl Entry {
    fn name(&self) -> Option<&str> {
        self.annotations.get(NAME).and_then(Value::as_str)
    }
}

impl Names {
    /// The digest under a name.
    pub(crate) fn digest(&self, name: &str) -> Option<&Digest> {
        self.by_name.get(name)
    }

    /// What a manifest is; nothing for those that only other manifests name.
    pub(crate) fn media_type(&self, digest: &Digest) -> Option<&str> {
        self.media_types.get(digest).map(String::as_str)
    }
}

impl Index {
    /// What the index says now.
    pub(crate) fn names(&self, files: &Files) -> io::Result<Arc<Names>> {
        // Taken first: what is written meanwhile is read the next time.
        let Some(stamp) = files.stamp(INDEX)? else { return Ok(Arc::default()) };
        let mut read = lock(&self.read);
        if let Some((known, names)) = read.as_ref()
            && *known == stamp
        {
            return Ok(names.clone());
        }
        let mut names = Names::default();
        for entry in document(files)?.manifests {
            names.media_types.entry(entry.digest.clone()).or_insert(entry.media_type.clone());
            if let Some(name) = entry.name() {
                names.by_name.entry(name.to_owned()).or_insert(entry.digest.clone());
            }
        }
        let names = Arc::new(names);
        *read = Some((stamp, names.clone()));
        Ok(names)
    }

    /// Puts a manifest there under a name. When this returns, it is there.
    pub(crate) fn add(&self, files: &Files, manifest: &RawManifest, name: &str) -> io::Result<()> {
        let entry = Entry {
            media_type: manifest.media_type().to_owned(),
            digest: manifest.digest().clone(),
            size: manifest.bytes().len() as u64,
            annotations: Map::from_iter([(NAME.to_owned(), Value::from(name))]),
            other: Map::new(),
        };
        let number = {
            let mut waiting = lock(&self.waiting);
            waiting.next += 1;
            let number = waiting.next;
            waiting.entries.insert(number, entry);
            number
        };
        let _alone = lock(&self.writing);
        let entries = {
            let mut waiting = lock(&self.waiting);
            if !waiting.entries.contains_key(&number) {
                // Whoever wrote before has taken it along.
                return Ok(());
            }
            std::mem::take(&mut waiting.entries)
        };
        let written = files.update(INDEX, || united(files, &entries));
        if written.is_err() {
            // The others find out for themselves.
            let mut waiting = lock(&self.waiting);
            waiting.entries.extend(entries.into_iter().filter(|(other, _)| *other != number));
        }
        written
    }

    /// Where it is.
    pub(crate) fn path(files: &Files) -> std::path::PathBuf {
        files.path(INDEX)
    }
}

/// What is there by now, with new entries in the place of those that have the same name.
fn united(files: &Files, entries: &BTreeMap<u64, Entry>) -> io::Result<Vec<u8>> {
    let mut document = document(files)?;
    let names: BTreeSet<Option<&str>> = entries.values().map(Entry::name).collect();
    document.manifests.retain(|entry| entry.name().is_none() || !names.contains(&entry.name()));
    // Of two that came under one name, the later one counts.
    let by_name: BTreeMap<Option<&str>, &Entry> =
        entries.values().map(|entry| (entry.name(), entry)).collect();
    document.manifests.extend(by_name.into_values().cloned());
    document.manifests.sort_by(|a, b| a.name().cmp(&b.name()));
    Ok(serde_json::to_vec_pretty(&document)?)
}

fn document(files: &Files) -> io::Result<Document> {
    let Some(bytes) = files.read(INDEX)? else {
        return Ok(Document { schema_version: 2, manifests: Vec::new(), other: Map::new() });
    };
    // What is in the file is not repeated: it may be a link to anything.
    serde_json::from_slice(&bytes).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        io::Error::other(format!("it is no index: line {line}, column {column}"))
    })
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(number: usize) -> RawManifest {
        let text =
            format!(r#"{{"schemaVersion":2,"manifests":[],"annotations":{{"n":"{number}"}}}}"#);
        RawManifest::digested(text.into(), "application/vnd.oci.image.index.v1+json").unwrap()
    }

    #[test]
    fn nobody_loses_an_entry() {
        let folder = tempfile::tempdir().unwrap();
        // Two of one process, and a third that knows nothing of them.
        let indexes = [Arc::new(Index::default()), Arc::new(Index::default())];
        std::thread::scope(|scope| {
            for number in 0..120 {
                let index = indexes[number % 2].clone();
                let files = Files::of(folder.path());
                scope.spawn(move || index.add(&files, &manifest(number), &format!("app:{number}")));
            }
        });
        let files = Files::of(folder.path());
        for index in &indexes {
            let names = index.names(&files).unwrap();
            for number in 0..120 {
                let found = names.digest(&format!("app:{number}")).cloned();
                assert_eq!(found.as_ref(), Some(manifest(number).digest()));
            }
        }
        indexes[0].add(&files, &manifest(500), "app:7").unwrap();
        let names = indexes[1].names(&files).unwrap();
        assert_eq!(names.digest("app:7"), Some(manifest(500).digest()), "what changed is read");
        assert_eq!(names.by_name.len(), 120);
    }

    #[test]
    fn what_others_wrote_stays() {
        let folder = tempfile::tempdir().unwrap();
        let digest = manifest(1).digest().clone();
        let theirs = format!(
            r#"{{"schemaVersion":2,"manifests":[{{"mediaType":"x","digest":"{digest}","size":1,"platform":{{}}}}],"annotations":{{"a":"b"}}}}"#
        );
        std::fs::write(folder.path().join(INDEX), theirs).unwrap();
        let (index, files) = (Index::default(), Files::of(folder.path()));
        index.add(&files, &manifest(2), "app:2").unwrap();
        let text = std::fs::read_to_string(folder.path().join(INDEX)).unwrap();
        let document: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(document["annotations"]["a"], "b");
        assert_eq!(document["manifests"][0]["platform"], Value::Object(Map::new()));
        assert_eq!(index.names(&files).unwrap().media_type(&digest), Some("x"));
        std::fs::write(folder.path().join(INDEX), "nonsense").unwrap();
        let error = index.add(&files, &manifest(3), "app:3").unwrap_err();
        assert!(error.to_string().contains("it is no index: line 1"), "{error}");
        assert!(lock(&index.waiting).entries.is_empty(), "what failed does not wait");
    }
}
