//! Images whose signatures could not be looked for: the next run does. Registries can't say which those are, since an
//! image without signatures looks the same; so this is kept in the spool, and lost with it.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use mirror_oci::{Digest, Repository};
use mirror_plan::{Place, Target};
use serde::{Deserialize, Serialize};

const FOLDER: &str = "signatures";
const FILE: &str = "to-look-for.json";
const LOCK: &str = ".lock";

/// The images of a spool whose signatures are to be looked for.
#[derive(Debug, Default)]
pub(crate) struct Owed {
    folder: PathBuf,
    known: BTreeSet<Image>,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct Image {
    /// The registry, or the folder of a layout.
    at: String,
    repository: Repository,
    digest: Digest,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Listed {
    images: BTreeSet<Image>,
}

impl Owed {
    /// Reads what earlier runs have left; a list that can't be read is none.
    pub(crate) fn in_spool(spool: &Path) -> Owed {
        let folder = spool.join(FOLDER);
        let known = read(&folder.join(FILE)).unwrap_or_else(|error| {
            tracing::debug!(%error, "nothing is known of signatures to look for");
            BTreeSet::new()
        });
        Owed { folder, known }
    }

    /// Whether the signatures of an image are to be looked for.
    pub(crate) fn has(&self, target: &Target, digest: &Digest) -> bool {
        !self.known.is_empty() && self.known.contains(&image(target, digest))
    }

    /// Keeps what came of the images of a run: of those that are true the signatures are still to be looked for.
    pub(crate) fn keep<'a>(&self, seen: impl Iterator<Item = (&'a Target, &'a Digest, bool)>) {
        let (mut owed, mut settled) = (BTreeSet::new(), BTreeSet::new());
        for (target, digest, again) in seen {
            if again {
                owed.insert(image(target, digest));
            } else {
                settled.insert(image(target, digest));
            }
        }
        if owed.is_empty() && self.known.is_disjoint(&settled) {
            return;
        }
        if let Err(error) = self.write(&owed, &settled) {
            tracing::warn!(%error, "could not keep which signatures are to be looked for again");
        }
    }

    /// Other runs may use the same spool.
    fn write(&self, owed: &BTreeSet<Image>, settled: &BTreeSet<Image>) -> io::Result<()> {
        fs::create_dir_all(&self.folder)?;
        let lock = File::create(self.folder.join(LOCK))?;
        lock.lock()?;
        let path = self.folder.join(FILE);
        let mut images = read(&path).unwrap_or_default();
        images.retain(|image| !settled.contains(image));
        images.extend(owed.iter().cloned());
        if images.is_empty() {
            return fs::remove_dir_all(&self.folder);
        }
        let mut file = tempfile::NamedTempFile::new_in(&self.folder)?;
        file.write_all(&serde_json::to_vec_pretty(&Listed { images })?)?;
        file.persist(path).map_err(|error| error.error)?;
        Ok(())
    }
}

fn read(path: &Path) -> io::Result<BTreeSet<Image>> {
    let text = match fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeSet::new()),
        text => text?,
    };
    Ok(serde_json::from_slice::<Listed>(&text)?.images)
}

fn image(target: &Target, digest: &Digest) -> Image {
    let at = match &target.place {
        Place::Registry(registry) => registry.to_string(),
        Place::Layout(folder) => folder.clone(),
    };
    Image { at, repository: target.repository.clone(), digest: digest.clone() }
}
