//! Saved plans, opened and closed again by somebody else.
#![expect(clippy::indexing_slicing, reason = "tests may panic")]

use std::io::{Read, Write};
use std::path::Path;

use mirror_oci::{Algorithm, Digest};
use serde_json::{Value, json};

/// The lines of a saved plan, as they were written: a header, the plan, manifests, and the checksum.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Opened(Vec<String>);

impl Opened {
    pub(crate) fn read(path: &Path) -> Opened {
        let mut text = String::new();
        let file = std::fs::File::open(path).unwrap();
        flate2::read::GzDecoder::new(file).read_to_string(&mut text).unwrap();
        Opened(text.lines().map(str::to_owned).collect())
    }

    pub(crate) fn header(&self) -> &str {
        &self.0[0]
    }

    pub(crate) fn plan(&self) -> &str {
        &self.0[1]
    }

    /// Changes a line.
    fn change(line: &mut String, change: impl FnOnce(&mut Value)) {
        let mut value = serde_json::from_str(line).unwrap();
        change(&mut value);
        *line = value.to_string();
    }

    pub(crate) fn change_header(&mut self, change: impl FnOnce(&mut Value)) {
        Opened::change(&mut self.0[0], change);
    }

    pub(crate) fn change_plan(&mut self, change: impl FnOnce(&mut Value)) {
        Opened::change(&mut self.0[1], change);
    }

    /// The manifests.
    pub(crate) fn manifests(&mut self) -> &mut [String] {
        let end = self.0.len() - 1;
        &mut self.0[2..end]
    }

    /// Changes the line of this manifest.
    pub(crate) fn change_manifest(&mut self, digest: &Digest, change: impl FnOnce(&mut Value)) {
        let mine = format!("{{\"digest\":\"{digest}\"");
        let line = self.manifests().iter_mut().find(|line| line.starts_with(&mine)).unwrap();
        Opened::change(line, change);
    }

    /// Adds a line before the end.
    pub(crate) fn add(&mut self, line: &Value) {
        self.0.insert(2, line.to_string());
    }

    /// Takes one manifest away.
    pub(crate) fn remove_manifest(&mut self) {
        self.0.remove(2);
    }

    /// The text before it is packed.
    pub(crate) fn text(&self) -> String {
        self.0.iter().map(|line| format!("{line}\n")).collect()
    }

    /// With the checksum of what is in it now, as whoever makes a whole new one would.
    pub(crate) fn sealed(mut self) -> Opened {
        self.0.pop();
        let checksum = Digest::of(Algorithm::Sha256, self.text().as_bytes());
        self.0.push(json!({ "checksum": checksum }).to_string());
        self
    }

    pub(crate) fn write(&self, path: &Path) {
        pack(path, self.text().as_bytes());
    }
}

/// Writes a file of gzip.
pub(crate) fn pack(path: &Path, bytes: &[u8]) {
    let file = std::fs::File::create(path).unwrap();
    let mut packed = flate2::write::GzEncoder::new(file, flate2::Compression::fast());
    packed.write_all(bytes).unwrap();
    packed.finish().unwrap();
}
