//! Reading small files of a repository. Git keeps symbolic links, so whoever proposes a change could make one of them
//! lead to a file of the machine that looks at it; none is followed.

use std::fs;
use std::io::{self, Read};
use std::path::{Component, Path, PathBuf};

/// What is said of a link.
pub(crate) const LINK: &str = "symbolic links are not followed";

/// A text file of at most `largest` bytes at `path` below `folder`; not a pipe or a device, and with no link on the way
/// from there. `folder` itself is taken as it is.
pub(crate) fn read_below(folder: &Path, path: &Path, largest: u64) -> io::Result<String> {
    if let Some(link) = link_below(folder, path) {
        let shown = link.strip_prefix(folder).unwrap_or(&link).display();
        return Err(io::Error::other(format!("`{shown}` is a link, and {LINK}")));
    }
    let whole = folder.join(path);
    if !fs::symlink_metadata(&whole)?.is_file() {
        return Err(io::Error::other("it is not a file"));
    }
    let mut text = String::new();
    fs::File::open(whole)?.take(largest + 1).read_to_string(&mut text)?;
    if text.len() as u64 > largest {
        return Err(io::Error::other(format!("it is larger than {} MiB", largest >> 20)));
    }
    Ok(text)
}

/// The first link on the way from `folder` to `path` below it.
pub(crate) fn link_below(folder: &Path, path: &Path) -> Option<PathBuf> {
    let mut at = folder.to_owned();
    path.components().find_map(|part| {
        at.push(part);
        let step = matches!(part, Component::Normal(_));
        (step && at.is_symlink()).then(|| at.clone())
    })
}
