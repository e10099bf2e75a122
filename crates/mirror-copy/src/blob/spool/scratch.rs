//! An unnamed file of the spool, for what doesn't fit into memory and no other run wants.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

/// A file that goes with whoever has it.
#[derive(Debug)]
pub(crate) struct Scratch {
    file: File,
    length: u64,
}

impl Scratch {
    /// Makes one in this folder, and the folder with it.
    pub(crate) fn in_folder(folder: &Path) -> io::Result<Scratch> {
        fs::create_dir_all(folder)?;
        Ok(Scratch { file: tempfile::tempfile_in(folder)?, length: 0 })
    }

    /// Adds bytes at the end; where they are.
    pub(crate) fn append(&mut self, bytes: &[u8]) -> io::Result<u64> {
        let at = self.length;
        // What an append that failed has left is written over.
        self.file.seek(SeekFrom::Start(at))?;
        self.file.write_all(bytes)?;
        self.length += bytes.len() as u64;
        Ok(at)
    }

    /// Bytes that were added.
    pub(crate) fn read(&mut self, at: u64, length: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; length];
        self.file.seek(SeekFrom::Start(at))?;
        self.file.read_exact(&mut bytes)?;
        Ok(bytes)
    }
}
