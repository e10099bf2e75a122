//! Where new entries go.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use mirror_oci::Name;
use mirror_tree::version::{Number, Reading, variant, variant_names};
use mirror_tree::{Entry, is_dockerfile_name};

use crate::load::Loaded;

/// Puts each new entry into a folder of its own: the newest of an image into the folder of its name, other variants into one
/// that is called by what tells them apart, such as `alpine`, and older versions into one that is called by their first
/// numbers, which keeps them there. Of those that share these numbers the newest goes on, and the others stay as they are.
pub(crate) fn place(loaded: &Loaded, new: &mut [Entry]) {
    let mut siblings: BTreeMap<Name, Variants> = BTreeMap::new();
    for entry in loaded.entries.iter().chain(new.iter()) {
        let Some(tag) = tag(entry) else { continue };
        let variants = siblings.entry(entry.name.clone()).or_default();
        variants.entry(variant(tag)).or_default().push((tag.to_owned(), Reading::of(tag)));
    }
    let none = Variants::new();
    let mut taken = BTreeSet::new();
    let mut placed: BTreeSet<(Name, String)> = loaded.entries.iter().map(kind).collect();
    // Plain versions have the first choice of the folder of the image, and among them the newest: it moves on, and the
    // others stay behind it.
    let mut order: Vec<usize> = (0..new.len()).collect();
    order.sort_by_cached_key(|at| {
        new.get(*at).map(|entry| Rank::of(tag(entry).unwrap_or_default()))
    });
    for at in order {
        let Some(entry) = new.get_mut(at) else { continue };
        let siblings = siblings.get(&entry.name).unwrap_or(&none);
        let is_first = placed.insert(kind(entry));
        let folder = folders(entry, siblings, is_first)
            .into_iter()
            .find(|folder| is_free(loaded, folder, &taken))
            .unwrap_or_else(|| numbered(loaded, entry, &taken));
        taken.insert(folder.to_ascii_lowercase());
        entry.file = format!("{folder}/Dockerfile");
    }
}

/// The tags of an image, by variant.
type Variants = BTreeMap<String, Vec<(String, Reading)>>;

/// What two entries have in common that would become the same one day, if nothing kept them apart.
fn kind(entry: &Entry) -> (Name, String) {
    (entry.name.clone(), tag(entry).map(variant).unwrap_or_default())
}

fn tag(entry: &Entry) -> Option<&str> {
    entry.version.tag().map(|tag| tag.as_str())
}

/// Where a tag stands among those of its image: plain versions first, then final ones, and of those the newest.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Rank {
    is_plain: Reverse<bool>,
    is_final: Reverse<bool>,
    /// `5` is newer than any `5.7`: it may be 5.8 tomorrow.
    version: Reverse<Vec<Result<Number, Rolls>>>,
    builds: Reverse<Vec<Number>>,
    length: usize,
}

/// Behind the last number of a version.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Rolls;

impl Rank {
    fn of(tag: &str) -> Rank {
        let reading = Reading::of(tag);
        let numbers = reading.numbers().iter().cloned().map(Ok);
        // What floats has no place in this order.
        let end = reading.has_version().then_some(Err(Rolls));
        Rank {
            is_plain: Reverse(is_plain(tag)),
            is_final: Reverse(reading.is_final()),
            version: Reverse(numbers.chain(end).collect()),
            builds: Reverse(reading.builds()),
            length: if reading.has_version() { tag.len() } else { 0 },
        }
    }
}

fn is_plain(tag: &str) -> bool {
    variant(tag).is_empty()
}

/// Where an entry may be, best first. Only the first of a variant goes where no number keeps it.
fn folders(entry: &Entry, siblings: &Variants, is_first: bool) -> Vec<String> {
    let name = entry.name.to_string();
    let Some(tag) = tag(entry) else {
        let digest = entry.version.digest().map_or("digest", |digest| digest.short());
        return vec![name.clone(), format!("{name}/{}", digest.replace(':', "-"))];
    };
    let variant = variant(tag);
    let same = siblings.get(&variant).into_iter().flatten();
    let same: Vec<&Reading> =
        same.filter(|(other, _)| other != tag).map(|(_, reading)| reading).collect();
    let is_alone = siblings.keys().all(|other| *other == variant);
    let mut folders = Vec::new();
    // Beside a plain version, a variant leaves the folder of the image to it.
    let plain_one = siblings.contains_key("");
    if is_first && (variant.is_empty() || !plain_one) {
        folders.push(name.clone());
    }
    let by_variant = !variant.is_empty() && !variant.contains(|c: char| c.is_ascii_digit());
    if is_first && by_variant && !is_alone {
        folders.push(format!("{name}/{variant}"));
    }
    folders
        .extend(variant_names(tag, &same).into_iter().map(|variant| format!("{name}/{variant}")));
    folders
}

/// A folder that nobody has, whatever is there.
fn numbered(loaded: &Loaded, entry: &Entry, taken: &BTreeSet<String>) -> String {
    let base = format!("{}/{}", entry.name, tag(entry).unwrap_or("digest"));
    let names = (2_u32..).map(|number| format!("{base}-n{number}"));
    names.into_iter().find(|folder| is_free(loaded, folder, taken)).unwrap_or(base)
}

/// Whether a folder holds no entry yet, also where the case of letters makes no difference.
fn is_free(loaded: &Loaded, folder: &str, taken: &BTreeSet<String>) -> bool {
    let variant = folder.rsplit('/').next().unwrap_or_default();
    // A folder of such a name looks like a file to whoever reads the tree.
    if taken.contains(&folder.to_ascii_lowercase()) || is_dockerfile_name(variant) {
        return false;
    }
    let here = fs::read_dir(loaded.images.join(folder)).into_iter().flatten().flatten();
    let empty =
        !here.into_iter().any(|found| found.file_name().to_str().is_some_and(is_dockerfile_name));
    empty && mirror_tree::is_free(&loaded.images, &format!("{folder}/Dockerfile"))
}
