//! Changing files of the tree, so that a reader sees the old file or the new one, and nothing is overwritten by
//! mistake.

use std::fs;
use std::io::{self, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};

/// Puts `text` in place of the bytes of `span`. `expected` is what the file said when the span was found.
pub(crate) fn replace(
    path: &Path,
    expected: Option<&str>,
    span: Range<usize>,
    text: &str,
) -> io::Result<()> {
    let mut content = fs::read_to_string(path)?;
    // Somebody may have changed the file since it was read.
    if expected != Some(content.as_str()) || content.get(span.clone()).is_none() {
        return Err(io::Error::other("the file changed in the meantime"));
    }
    content.replace_range(span, text);
    write(path, &content)
}

/// Writes a file as a whole, new or in place of another, whose permissions it keeps.
pub(crate) fn write(path: &Path, content: &str) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    // A new file under a name that nobody can foresee, so that no link planted there is followed.
    let mut new = tempfile::Builder::new();
    #[cfg(unix)]
    new.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    let mut new = new.tempfile_in(folder)?;
    new.write_all(content.as_bytes())?;
    if let Ok(old) = fs::metadata(path) {
        new.as_file().set_permissions(old.permissions())?;
    }
    new.persist(path).map_err(|error| error.error)?;
    Ok(())
}

/// Makes files that must not be there yet: all of them, or none, and no folders for nothing.
pub(crate) fn create_all(files: &[(PathBuf, String)]) -> Result<(), (PathBuf, io::Error)> {
    let mut folders: Vec<PathBuf> = Vec::new();
    for (number, (path, content)) in files.iter().enumerate() {
        let missing = path.ancestors().skip(1).take_while(|folder| !folder.exists());
        folders.extend(missing.map(Path::to_owned));
        if let Err(error) = create(path, content) {
            for (path, _) in files.iter().take(number) {
                let _ = fs::remove_file(path);
            }
            folders.sort();
            for folder in folders.iter().rev() {
                let _ = fs::remove_dir(folder);
            }
            return Err((path.clone(), error));
        }
    }
    Ok(())
}

fn create(path: &Path, content: &str) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let mut file = fs::File::create_new(path)?;
    file.write_all(content.as_bytes()).inspect_err(|_| {
        let _ = fs::remove_file(path);
    })
}

/// Deletes the folders above a file, up to `top`, that are empty: they would not be in Git either.
pub(crate) fn remove_empty_folders(path: &Path, top: &Path) {
    for folder in path.ancestors().skip(1).take_while(|folder| *folder != top) {
        if fs::remove_dir(folder).is_err() {
            break;
        }
    }
}
