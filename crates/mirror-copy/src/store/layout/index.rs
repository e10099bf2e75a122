//! `index.json` of an image layout: what is in it, and entries on their way into it.
//!
//! It may have ten thousand entries, so it is read again only when it has changed, and entries that come at the same time
//! are written together.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use mirror_oci::{Digest, RawManifest};
use mirror_registry::Threads;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tokio::time::Instant;

use super::files::{Files, Stamp};

const INDEX: &str = "index.json";
const NAME: &str = "org.opencontainers.image.ref.name";

/// The longest pause between two writes.
const LONGEST_REST: Duration = Duration::from_secs(2);
/// Writing the whole index takes no more than one part in so many of the time.
const PARTS: u32 = 10;

/// The index of one layout.
#[derive(Debug, Default)]
pub(crate) struct Index {
    read: Mutex<Option<(Stamp, Arc<Names>)>>,
    /// What this process wrote last.
    written: Mutex<Option<(Stamp, IndexDocument)>>,
    waiting: Mutex<WaitingEntries>,
    /// Whoever holds this writes what waits, not before the time in it. It is held until that is written, whoever is still
    /// interested.
    writing: Arc<tokio::sync::Mutex<Option<Instant>>>,
}

/// What an index says.
#[derive(Debug, Default)]
pub(crate) struct Names {
    by_name: BTreeMap<String, Digest>,
    media_types: BTreeMap<Digest, String>,
}

#[derive(Debug, Default)]
struct WaitingEntries {
    next: u64,
    entries: BTreeMap<u64, IndexEntry>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct IndexDocument {
    schema_version: u32,
    manifests: Vec<IndexEntry>,
    #[serde(flatten)]
    other: Map<String, Value>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct IndexEntry {
    media_type: String,
    digest: Digest,
    size: u64,
    #[serde(default)]
    annotations: Map<String, Value>,
    #[serde(flatten)]
    other: Map<String, Value>,
}

/// An entry that waits to be written.
pub(crate) struct Ticket(u64);

impl IndexEntry {
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

    /// Has a manifest put there under a name; [`Index::write`] does it.
    pub(crate) fn enqueue(&self, manifest: &RawManifest, name: &str) -> Ticket {
        let entry = IndexEntry {
            media_type: manifest.media_type().to_owned(),
            digest: manifest.digest().clone(),
            size: manifest.bytes().len() as u64,
            annotations: Map::from_iter([(NAME.to_owned(), Value::from(name))]),
            other: Map::new(),
        };
        let mut waiting = lock(&self.waiting);
        waiting.next += 1;
        let number = waiting.next;
        waiting.entries.insert(number, entry);
        Ticket(number)
    }

    /// Waits until the entry is there, and writes it with all others that wait by then. The larger the index is, the more
    /// of them are written together.
    ///
    /// # Cancellation
    /// The entry may be written all the same, alone or with the next one.
    pub(crate) async fn write(
        self: Arc<Self>,
        files: Arc<Files>,
        threads: Threads,
        Ticket(number): Ticket,
    ) -> io::Result<()> {
        let mut next = self.writing.clone().lock_owned().await;
        if !lock(&self.waiting).entries.contains_key(&number) {
            // Whoever wrote before has taken it along.
            return Ok(());
        }
        if let Some(at) = next.filter(|_| threads == Threads::Apart) {
            tokio::time::sleep_until(at).await;
        }
        let index = self.clone();
        let work = move || {
            let began = Instant::now();
            let entries = std::mem::take(&mut lock(&index.waiting).entries);
            let written = index.update(&files, &entries);
            if written.is_err() {
                // The others find out for themselves.
                let others = entries.into_iter().filter(|(other, _)| *other != number);
                lock(&index.waiting).entries.extend(others);
            }
            // Somebody else may have held the lock for long; that is no reason to wait longer.
            *next = Some(Instant::now() + (began.elapsed() * PARTS).min(LONGEST_REST));
            written
        };
        threads.run(work).await?
    }

    fn update(&self, files: &Files, entries: &BTreeMap<u64, IndexEntry>) -> io::Result<()> {
        let mut new = None;
        let stamp = files.update(INDEX, |stamp| {
            let known = lock(&self.written).take().filter(|(known, _)| Some(*known) == stamp);
            let mut document = known.map_or_else(|| document(files), |(_, known)| Ok(known))?;
            unite(&mut document, entries);
            let bytes = serde_json::to_vec_pretty(&document)?;
            new = Some(document);
            Ok(bytes)
        })?;
        *lock(&self.written) = stamp.zip(new);
        Ok(())
    }

    /// The path of `index.json`.
    pub(crate) fn path(files: &Files) -> std::path::PathBuf {
        files.path(INDEX)
    }
}

/// Puts new entries in the place of those that have the same name.
fn unite(document: &mut IndexDocument, entries: &BTreeMap<u64, IndexEntry>) {
    let names: BTreeSet<Option<&str>> = entries.values().map(IndexEntry::name).collect();
    document.manifests.retain(|entry| entry.name().is_none() || !names.contains(&entry.name()));
    // Of two that came under one name, the later one counts.
    let by_name: BTreeMap<Option<&str>, &IndexEntry> =
        entries.values().map(|entry| (entry.name(), entry)).collect();
    document.manifests.extend(by_name.into_values().cloned());
    document.manifests.sort_by(|a, b| a.name().cmp(&b.name()));
}

fn document(files: &Files) -> io::Result<IndexDocument> {
    let Some(bytes) = files.read(INDEX)? else {
        return Ok(IndexDocument { schema_version: 2, manifests: Vec::new(), other: Map::new() });
    };
    // What is in the file is not repeated: it may be a link to anything.
    serde_json::from_slice(&bytes).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        io::Error::other(format!("it is not an image index: line {line}, column {column}"))
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

    async fn add(
        index: &Arc<Index>,
        files: &Arc<Files>,
        manifest: &RawManifest,
        name: &str,
    ) -> io::Result<()> {
        let ticket = index.enqueue(manifest, name);
        index.clone().write(files.clone(), Threads::Apart, ticket).await
    }

    #[tokio::test]
    async fn nobody_loses_an_entry() {
        let folder = tempfile::tempdir().unwrap();
        // Two that know nothing of each other, as those of two processes.
        let indexes = [Arc::new(Index::default()), Arc::new(Index::default())];
        let files = Arc::new(Files::of(folder.path()));
        let names: Vec<String> = (0..120).map(|number| format!("app:{number}")).collect();
        let manifests: Vec<RawManifest> = (0..120).map(manifest).collect();
        let adds = (0..120)
            .map(|number| add(&indexes[number % 2], &files, &manifests[number], &names[number]));
        for added in futures_util::future::join_all(adds).await {
            added.unwrap();
        }
        for index in &indexes {
            let names = index.names(&files).unwrap();
            for number in 0..120 {
                let found = names.digest(&format!("app:{number}")).cloned();
                assert_eq!(found.as_ref(), Some(manifest(number).digest()));
            }
        }
        add(&indexes[0], &files, &manifest(500), "app:7").await.unwrap();
        let names = indexes[1].names(&files).unwrap();
        assert_eq!(names.digest("app:7"), Some(manifest(500).digest()), "what changed is read");
        assert_eq!(names.by_name.len(), 120);
    }

    #[tokio::test]
    async fn what_others_wrote_stays() {
        let folder = tempfile::tempdir().unwrap();
        let digest = manifest(1).digest().clone();
        let theirs = format!(
            r#"{{"schemaVersion":2,"manifests":[{{"mediaType":"x","digest":"{digest}","size":1,"platform":{{}}}}],"annotations":{{"a":"b"}}}}"#
        );
        std::fs::write(folder.path().join(INDEX), theirs).unwrap();
        let (index, files) = (Arc::<Index>::default(), Arc::new(Files::of(folder.path())));
        add(&index, &files, &manifest(2), "app:2").await.unwrap();
        let text = std::fs::read_to_string(folder.path().join(INDEX)).unwrap();
        let document: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(document["annotations"]["a"], "b");
        assert_eq!(document["manifests"][0]["platform"], Value::Object(Map::new()));
        assert_eq!(index.names(&files).unwrap().media_type(&digest), Some("x"));
        std::fs::write(folder.path().join(INDEX), "nonsense").unwrap();
        let error = add(&index, &files, &manifest(3), "app:3").await.unwrap_err();
        assert!(error.to_string().contains("it is not an image index: line 1"), "{error}");
        assert!(lock(&index.waiting).entries.is_empty(), "what failed does not wait");
    }
}
