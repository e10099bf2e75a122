//! Files that a command writes at its end. They are opened before it does anything, so that hours of work don't end with
//! a folder that isn't there.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use mirror_failure::io_reason;
use serde::Serialize;
use tempfile::NamedTempFile;

use crate::error::CommandError;

/// A file to be written.
pub(crate) enum Output {
    /// A whole new file, which takes the place of one that is there.
    Whole(NamedTempFile, PathBuf),
    /// Something else than a file, such as `/dev/stdout`.
    Direct(File),
}

impl Output {
    /// Gets ready to write `path`. `what` is what it is for.
    ///
    /// # Errors
    /// When that can't be done.
    pub(crate) fn open(path: &Path, what: &str) -> Result<Output, CommandError> {
        Output::ready(path).map_err(|error| {
            let what = format!("could not {what} {}", path.display());
            let help = "name a file in a folder that is there and can be written";
            CommandError::usage(what, io_reason(&error), Some(help))
        })
    }

    fn ready(path: &Path) -> io::Result<Output> {
        let there = fs::metadata(path).ok();
        if there.as_ref().is_some_and(fs::Metadata::is_dir) {
            return Err(io::Error::from(io::ErrorKind::IsADirectory));
        }
        if there.as_ref().is_some_and(|there| !there.is_file()) {
            return OpenOptions::new().write(true).open(path).map(Output::Direct);
        }
        // It must be writable itself, if it is there.
        if there.is_some() {
            OpenOptions::new().append(true).open(path)?;
        }
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let mut new = tempfile::Builder::new();
        #[cfg(unix)]
        new.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
        let new = new.prefix(".mirror-").tempfile_in(folder.unwrap_or(Path::new(".")))?;
        if let Some(there) = there {
            new.as_file().set_permissions(there.permissions())?;
        }
        Ok(Output::Whole(new, path.to_owned()))
    }

    /// Writes a value as JSON, and puts the file in its place.
    pub(crate) fn write(self, value: &impl Serialize) -> io::Result<()> {
        self.write_with(|writer| {
            serde_json::to_writer_pretty(&mut *writer, value)?;
            writer.write_all(b"\n")
        })
    }

    /// Writes whatever `write` does, and puts the file in its place.
    pub(crate) fn write_with(
        mut self,
        write: impl FnOnce(&mut BufWriter<&mut File>) -> io::Result<()>,
    ) -> io::Result<()> {
        let file: &mut File = match &mut self {
            Output::Whole(new, _) => new.as_file_mut(),
            Output::Direct(file) => file,
        };
        let mut writer = BufWriter::new(file);
        write(&mut writer)?;
        // Without this, an error of the last bytes would be lost.
        writer.flush()?;
        drop(writer);
        if let Output::Whole(new, path) = self {
            new.persist(path).map_err(|error| error.error)?;
        }
        Ok(())
    }
}
