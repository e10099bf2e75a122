//! What a run has to remember of images for the next one, since no registry can tell it: whose signatures could not be
//! looked for (an image without any looks the same), which ones were there, and of which images some platforms were left out
//! (the tag has the right digest). It is kept in the spool, and lost with it.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;

use mirror_copy::{Attached, Documents};
use mirror_oci::{Digest, Repository};
use mirror_plan::config::Location;
use mirror_plan::want::Target;
use serde::{Deserialize, Serialize};

const FOLDER: &str = "remembered";
const FILE: &str = "images.json";
/// What is larger is not ours: it would be a hundred thousand images.
const LARGEST: u64 = 64 << 20;

/// What earlier runs with the same spool have left.
#[derive(Debug)]
pub(crate) struct Memory {
    documents: Documents,
    known: Remembered,
}

#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
struct Remembered {
    /// Images whose signatures are to be looked for.
    signatures: BTreeSet<RememberedImage>,
    /// Images of which some platforms were left out.
    sparse: BTreeSet<RememberedImage>,
    /// What belongs to images and was there, by what those are called: one that a tag has left is forgotten.
    attached: BTreeMap<String, BelongingToImage>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct BelongingToImage {
    digest: Digest,
    referrers: BTreeSet<Attached>,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct RememberedImage {
    /// The registry, or the folder of a layout.
    at: String,
    repository: Repository,
    digest: Digest,
}

/// What is to be remembered of an image that is there now.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Seen<'a> {
    pub(crate) target: &'a Target,
    pub(crate) digest: &'a Digest,
    /// Whether its signatures are still to be looked for.
    pub(crate) owes_signatures: bool,
    /// Whether some platforms were left out; nothing, if no manifests were copied.
    pub(crate) is_sparse: Option<bool>,
    /// What belongs to it and is there; nothing, if it was not looked for.
    pub(crate) attached: Option<&'a BTreeSet<Attached>>,
}

impl Memory {
    /// Reads what earlier runs have left; what can't be read is nothing.
    pub(crate) fn in_spool(spool: &Path) -> Memory {
        let documents = Documents::in_folder(&spool.join(FOLDER));
        let known = read(&documents).unwrap_or_else(|error| {
            tracing::debug!(%error, "nothing is remembered");
            Remembered::default()
        });
        Memory { documents, known }
    }

    /// Whether the signatures of an image are to be looked for.
    pub(crate) fn owes_signatures(&self, target: &Target, digest: &Digest) -> bool {
        holds(&self.known.signatures, target, digest)
    }

    /// Whether platforms of an image were left out.
    pub(crate) fn is_sparse(&self, target: &Target, digest: &Digest) -> bool {
        holds(&self.known.sparse, target, digest)
    }

    /// What was there of an image, beside it: its digest, and its referrers and signatures.
    pub(crate) fn attached(&self, target: &Target) -> Option<(&Digest, &BTreeSet<Attached>)> {
        let known = self.known.attached.get(&name(target))?;
        Some((&known.digest, &known.referrers))
    }

    /// Keeps what came of the images of a run.
    pub(crate) fn keep(&self, seen: &[Seen<'_>]) {
        let mut now = self.known.clone();
        learn(&mut now, seen);
        if now == self.known {
            return;
        }
        if let Err(error) = self.write(seen) {
            tracing::warn!(%error, "could not remember what the next run should know");
        }
    }

    /// Other runs may use the same spool.
    fn write(&self, seen: &[Seen<'_>]) -> io::Result<()> {
        self.documents.alone(|| {
            let mut known = read(&self.documents)?;
            learn(&mut known, seen);
            if known == Remembered::default() {
                return self.documents.clear();
            }
            self.documents.write(FILE, &[&serde_json::to_vec_pretty(&known)?])
        })
    }
}

fn learn(known: &mut Remembered, seen: &[Seen<'_>]) {
    for Seen { target, digest, owes_signatures, is_sparse, attached } in seen {
        let image = image(target, digest);
        let mut set = |set: fn(&mut Remembered) -> &mut BTreeSet<RememberedImage>, holds: bool| {
            if holds {
                set(known).insert(image.clone());
            } else {
                set(known).remove(&image);
            }
        };
        set(|known| &mut known.signatures, *owes_signatures);
        if let Some(is_sparse) = is_sparse {
            set(|known| &mut known.sparse, *is_sparse);
        }
        if let Some(attached) = attached {
            let before = known.attached.remove(&name(target));
            // What nobody could be asked for may still be there.
            let before = before.filter(|before| *owes_signatures && before.digest == **digest);
            let mut referrers = before.map(|before| before.referrers).unwrap_or_default();
            referrers.extend(attached.iter().cloned());
            if !referrers.is_empty() {
                let belonging = BelongingToImage { digest: (*digest).clone(), referrers };
                known.attached.insert(name(target), belonging);
            }
        }
    }
}

fn holds(images: &BTreeSet<RememberedImage>, target: &Target, digest: &Digest) -> bool {
    !images.is_empty() && images.contains(&image(target, digest))
}

/// What is there; what can't be understood is nothing, what can't be read is left alone.
fn read(documents: &Documents) -> io::Result<Remembered> {
    let Some(text) = documents.read(FILE, LARGEST)? else { return Ok(Remembered::default()) };
    Ok(serde_json::from_slice(&text).unwrap_or_else(|error| {
        tracing::debug!(%error, "what was remembered can't be understood");
        Remembered::default()
    }))
}

fn place(target: &Target) -> String {
    match &target.location {
        Location::Registry(registry) => registry.to_string(),
        Location::Layout(folder) => folder.clone(),
    }
}

/// What an image is called, in all.
fn name(target: &Target) -> String {
    let tag = target.tag.as_ref().map(|tag| format!(":{tag}")).unwrap_or_default();
    format!("{}/{}{tag}", place(target), target.repository)
}

fn image(target: &Target, digest: &Digest) -> RememberedImage {
    let at = place(target);
    RememberedImage { at, repository: target.repository.clone(), digest: digest.clone() }
}
