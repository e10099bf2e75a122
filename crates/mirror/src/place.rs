//! Where new entries go.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use mirror_oci::Name;
use mirror_tree::version::{flavour, variant_names};
use mirror_tree::{Entry, is_dockerfile_name};

use crate::load::Loaded;

/// Puts each new entry into a folder of its own: the first of an image into the folder of its name, other flavours into one
/// that is called by what tells them apart, such as `alpine`, and other versions into one that is called by their first
/// numbers, which keeps them there.
pub(crate) fn place(loaded: &Loaded, new: &mut [Entry]) {
    let mut tags: BTreeMap<Name, Vec<String>> = BTreeMap::new();
    for entry in loaded.entries.iter().chain(new.iter()) {
        let tag = entry.version.tag().map(ToString::to_string);
        tags.entry(entry.name.clone()).or_default().extend(tag);
    }
    let mut taken = BTreeSet::new();
    let mut placed: BTreeSet<(Name, String)> = loaded.entries.iter().map(kind).collect();
    // Plain versions have the first choice of the folder of the image.
    let mut order: Vec<usize> = (0..new.len()).collect();
    order.sort_by_key(|at| new.get(*at).map(|entry| !tag(entry).is_some_and(is_plain)));
    for at in order {
        let Some(entry) = new.get_mut(at) else { continue };
        let siblings = tags.get(&entry.name).map(Vec::as_slice).unwrap_or_default();
        let is_first = placed.insert(kind(entry));
        let folder = folders(entry, siblings, is_first)
            .into_iter()
            .find(|folder| is_free(loaded, folder, &taken))
            .unwrap_or_else(|| numbered(loaded, entry, &taken));
        taken.insert(folder.to_ascii_lowercase());
        entry.file = format!("{folder}/Dockerfile");
    }
}

/// What two entries have in common that would become the same one day, if nothing kept them apart.
fn kind(entry: &Entry) -> (Name, String) {
    (entry.name.clone(), tag(entry).map(flavour).unwrap_or_default())
}

fn tag(entry: &Entry) -> Option<&str> {
    entry.version.tag().map(|tag| tag.as_str())
}

fn is_plain(tag: &str) -> bool {
    flavour(tag).is_empty()
}

/// Where an entry may be, best first. Only the first of a flavour goes where no number keeps it.
fn folders(entry: &Entry, siblings: &[String], is_first: bool) -> Vec<String> {
    let name = entry.name.to_string();
    let Some(tag) = tag(entry) else {
        let digest = entry.version.digest().map_or("digest", |digest| digest.short());
        return vec![name.clone(), format!("{name}/{}", digest.replace(':', "-"))];
    };
    let flavour = flavour(tag);
    let others: Vec<&str> =
        siblings.iter().map(String::as_str).filter(|other| *other != tag).collect();
    let (same, different): (Vec<&str>, Vec<&str>) =
        others.into_iter().partition(|other| mirror_tree::version::flavour(other) == flavour);
    let mut folders = Vec::new();
    // Beside a plain version, a flavour leaves the folder of the image to it.
    let plain_one = different.iter().any(|other| is_plain(other));
    if is_first && (flavour.is_empty() || !plain_one) {
        folders.push(name.clone());
    }
    let by_flavour = !flavour.is_empty() && !flavour.contains(|c: char| c.is_ascii_digit());
    if is_first && by_flavour && !different.is_empty() {
        folders.push(format!("{name}/{flavour}"));
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
    if taken.contains(&folder.to_ascii_lowercase()) {
        return false;
    }
    let here = fs::read_dir(loaded.images.join(folder)).into_iter().flatten().flatten();
    let empty =
        !here.into_iter().any(|found| found.file_name().to_str().is_some_and(is_dockerfile_name));
    empty && mirror_tree::is_free(&loaded.images, &format!("{folder}/Dockerfile"))
}
