//! Plans in a file, to be looked at now and carried out later.
//!
//! A saved plan is a text of JSON lines, so that neither side has to have all of it in memory: a header, the plan, each
//! manifest that carrying it out needs, and a checksum of all of that. The command line packs it with gzip.

use std::collections::BTreeSet;
use std::io::{self, BufRead, Read as _, Write};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use mirror_oci::{Algorithm, ByteSize, Digest, Hasher, MAX_MANIFEST_BYTES, Platforms, RawManifest};
use mirror_tree::Entry;
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::plan::model::{Action, Change, Copy, Plan, Unchanged};
use crate::plan::observed::Presence;
use crate::provider::setting::Settings;
use crate::want::model::{Want, Wants};
use crate::want::resource::{RepositoryAction, RepositoryWant};

const VERSION: u32 = 2;
/// Longest header and last line.
const LONGEST_HEADER: u64 = 64 << 10;
/// Longest line with a plan. One for ten thousand images has about 15 MiB.
const LONGEST_PLAN: u64 = 256 << 20;
/// Longest line with a manifest, whose bytes are in base64.
const LONGEST_MANIFEST: u64 = MAX_MANIFEST_BYTES as u64 * 4 / 3 + 1024;
/// The most that all lines may have together.
const MOST: u64 = 4 << 30;

/// A line of a saved plan.
#[derive(Debug, JsonSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "it is the schema of what is written and read line by line")]
pub(crate) enum SavedLine {
    /// The first line: what the plan was made for.
    Header(Header),
    /// The second line: the plan as `plan --format json` prints it.
    Plan(Box<Plan>),
    /// Any number of lines.
    Manifest(SavedManifest),
    /// The last line: the checksum.
    End(End),
}

/// What a saved plan was made for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Header {
    /// Version of this format; 2.
    format_version: u32,
    /// Digest of what the tree wanted.
    #[schemars(with = "String")]
    tree: Digest,
    /// Digest of the configuration and the documents it names.
    #[schemars(with = "String")]
    config: Digest,
}

/// A manifest of an image to copy, byte for byte, so that it is not pulled twice.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SavedManifest {
    /// The digest of its bytes.
    #[schemars(with = "String")]
    digest: Digest,
    /// Its media type, as the source said it.
    media_type: String,
    /// Its bytes, in base64.
    content: String,
}

/// The end of a saved plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct End {
    /// Digest of all lines before: a plan is made, not written.
    #[schemars(with = "String")]
    checksum: Digest,
}

/// A plan that was read, without its manifests.
#[derive(Debug, Clone)]
pub struct SavedPlan {
    header: Header,
    plan: Plan,
    is_intact: bool,
}

/// Why a saved plan is not carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PlanRefusal {
    /// It is no plan, or one of another version.
    Broken(String),
    /// It is not a plan for this tree and configuration.
    Stale(String),
}

/// The digest of what a tree wants; comments and the order of files in folders make no difference.
pub fn tree_digest(entries: &[Entry]) -> Digest {
    let mut lines: Vec<String> = entries
        .iter()
        .map(|entry| {
            let platform = entry.platform.as_ref().map(ToString::to_string).unwrap_or_default();
            format!("{}\0{}{}\0{platform}\n", entry.file, entry.name, entry.version)
        })
        .collect();
    lines.sort_unstable();
    Digest::of(Algorithm::Sha256, lines.concat().as_bytes())
}

/// Writes a plan with its manifests. `tree` and `config` are the digests of what it was made for.
///
/// # Errors
/// What `out` or `manifests` fail with; also when the plan is larger than [`SavedPlan::read`] takes.
pub fn write_plan(
    out: &mut impl Write,
    plan: &Plan,
    (tree, config): (&Digest, &Digest),
    manifests: impl Iterator<Item = io::Result<RawManifest>>,
) -> io::Result<()> {
    let mut lines = Lines { out, hash: Hasher::new(Algorithm::Sha256), written: 0 };
    let (tree, config) = (tree.clone(), config.clone());
    lines.add(&Header { format_version: VERSION, tree, config }, LONGEST_HEADER)?;
    lines.add(plan, LONGEST_PLAN)?;
    for manifest in manifests {
        let manifest = manifest?;
        let saved = SavedManifest {
            digest: manifest.digest().clone(),
            media_type: manifest.media_type().to_owned(),
            content: STANDARD.encode(manifest.bytes()),
        };
        lines.add(&saved, LONGEST_MANIFEST)?;
    }
    let checksum = lines.hash.digest();
    lines.add(&End { checksum }, LONGEST_HEADER)
}

/// Lines on their way out.
struct Lines<'a, W> {
    out: &'a mut W,
    hash: Hasher,
    written: u64,
}

impl<W: Write> Lines<'_, W> {
    /// Writes a line that must not be longer than `most`.
    fn add(&mut self, value: &impl Serialize, most: u64) -> io::Result<()> {
        let before = self.written;
        serde_json::to_writer(&mut *self, value)?;
        self.write_all(b"\n")?;
        if self.written - before > most || self.written > MOST {
            let most = ByteSize(if self.written > MOST { MOST } else { most });
            return Err(io::Error::other(format!(
                "the plan is too large: a part of it has over {most}"
            )));
        }
        Ok(())
    }
}

impl<W: Write> Write for Lines<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.out.write(bytes)?;
        self.hash.update(bytes.get(..written).unwrap_or(bytes));
        self.written += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// Lines on their way in.
struct Input<R> {
    lines: R,
    hash: Hasher,
    read: u64,
}

impl<R: BufRead> Input<R> {
    /// The next line, which must not be longer than `most`; nothing at the end.
    fn line(&mut self, most: u64) -> Result<Option<Vec<u8>>, PlanRefusal> {
        let mut line = Vec::new();
        let read = (&mut self.lines).take(most + 1).read_until(b'\n', &mut line);
        self.read += read.map_err(|why| match why.kind() {
            io::ErrorKind::UnexpectedEof => cut_off(),
            _ => broken(&why),
        })? as u64;
        if line.len() as u64 > most {
            return Err(broken(&format!("a line has over {}", ByteSize(most))));
        }
        if self.read > MOST {
            return Err(broken(&format!("it has over {}", ByteSize(MOST))));
        }
        Ok((!line.is_empty()).then_some(line))
    }

    fn value<T: DeserializeOwned>(&mut self, most: u64) -> Result<T, PlanRefusal> {
        let line = self.line(most)?.ok_or_else(cut_off)?;
        self.hash.update(&line);
        serde_json::from_slice(&line).map_err(|why| broken(&why))
    }
}

fn broken(why: &dyn std::fmt::Display) -> PlanRefusal {
    PlanRefusal::Broken(format!("it is not a saved plan: {why}"))
}

fn cut_off() -> PlanRefusal {
    PlanRefusal::Broken("it is cut off".to_owned())
}

impl SavedPlan {
    /// Reads what [`write_plan`] wrote. Each manifest is checked against its digest and given to `keep`.
    ///
    /// # Errors
    /// [`PlanRefusal::Broken`] when it is not a saved plan of this version, or `keep` fails.
    pub fn read(
        lines: impl BufRead,
        mut keep: impl FnMut(RawManifest) -> io::Result<()>,
    ) -> Result<SavedPlan, PlanRefusal> {
        let mut input = Input { lines, hash: Hasher::new(Algorithm::Sha256), read: 0 };
        let header = input.header()?;
        let plan = input.value(LONGEST_PLAN)?;
        loop {
            let line = input.line(LONGEST_MANIFEST)?.ok_or_else(cut_off)?;
            if line.starts_with(b"{\"checksum\":") {
                let End { checksum } = serde_json::from_slice(&line).map_err(|why| broken(&why))?;
                if !line.ends_with(b"\n") {
                    return Err(cut_off());
                }
                if input.line(LONGEST_HEADER)?.is_some() {
                    return Err(broken(&"it goes on after its end"));
                }
                let is_intact = checksum == input.hash.digest();
                return Ok(SavedPlan { header, plan, is_intact });
            }
            input.hash.update(&line);
            let saved: SavedManifest = serde_json::from_slice(&line).map_err(|why| broken(&why))?;
            keep(saved.verified()?).map_err(|why| PlanRefusal::Broken(why.to_string()))?;
        }
    }

    /// The plan, to be shown.
    ///
    /// # Errors
    /// [`PlanRefusal::Broken`] when somebody has changed it.
    pub fn shown(self) -> Result<Plan, PlanRefusal> {
        self.intact()?;
        Ok(self.plan)
    }

    /// Whether it is as it was made. Whoever makes a whole new one can make that right, so it says nothing about who
    /// made it.
    fn intact(&self) -> Result<(), PlanRefusal> {
        if !self.is_intact {
            return Err(PlanRefusal::Broken("it was changed after it was made".to_owned()));
        }
        if !self.plan.adds_up() {
            return Err(PlanRefusal::Broken("its totals do not match its actions".to_owned()));
        }
        Ok(())
    }

    /// Holds the plan against what the tree wants now.
    ///
    /// # Errors
    /// [`PlanRefusal::Stale`] when tree or configuration differ, or it asks for something that they don't.
    /// [`PlanRefusal::Broken`] when it was changed, or a manifest is not what its digest says.
    pub fn checked(
        self,
        tree: &Digest,
        config: &Digest,
        wants: &Wants,
    ) -> Result<Plan, PlanRefusal> {
        for (mine, now, what) in
            [(&self.header.tree, tree, "tree"), (&self.header.config, config, "configuration")]
        {
            if mine != now {
                return Err(PlanRefusal::Stale(format!(
                    "the {what} has changed since it was made"
                )));
            }
        }
        let (intact, plan) = (self.intact(), self.plan);
        if !plan.postponed.is_empty() || !plan.configuration.is_empty() {
            let why = "it was made for a pull request and leaves out what is new there";
            return Err(PlanRefusal::Stale(why.to_owned()));
        }
        is_asked_for(&plan, wants)?;
        // What the tree does not ask for is said first: it is the more telling of the two.
        intact?;
        Ok(plan)
    }
}

impl<R: BufRead> Input<R> {
    fn header(&mut self) -> Result<Header, PlanRefusal> {
        #[derive(Deserialize)]
        struct Versioned {
            format_version: u32,
        }
        let line = self.line(LONGEST_HEADER)?.ok_or_else(cut_off)?;
        self.hash.update(&line);
        let Versioned { format_version } =
            serde_json::from_slice(&line).map_err(|why| broken(&why))?;
        if format_version != VERSION {
            let age = if format_version > VERSION { "a newer" } else { "an older" };
            let why =
                format!("it was made by {age} mirror: version {format_version}, not {VERSION}");
            return Err(PlanRefusal::Broken(why));
        }
        serde_json::from_slice(&line).map_err(|why| broken(&why))
    }
}

impl SavedManifest {
    /// The manifest, which must be the one of its digest.
    fn verified(&self) -> Result<RawManifest, PlanRefusal> {
        let wrong = |why: String| PlanRefusal::Broken(format!("manifest {}: {why}", self.digest));
        let bytes = STANDARD.decode(&self.content).map_err(|why| wrong(why.to_string()))?;
        let manifest = RawManifest::verified(Bytes::from(bytes), &self.media_type, &self.digest);
        manifest.map_err(|why| wrong(why.to_string()))
    }
}

/// Refuses a plan that does something which the tree does not ask for.
fn is_asked_for(plan: &Plan, wants: &Wants) -> Result<(), PlanRefusal> {
    let wanted: BTreeSet<&Want> = wants.wants.iter().collect();
    for action in &plan.actions {
        match action {
            Action::Copy(copy)
                if wanted.contains(&copy.want) && is_pinned(&copy.want, &copy.digest) => {}
            Action::Copy(copy) => {
                let (target, destination) =
                    (copy.want.target.shown(), &copy.want.target.destination);
                return Err(PlanRefusal::Stale(format!(
                    "it copies {} to {target} at {destination}, which the tree does not ask for",
                    copy.digest
                )));
            }
            Action::CreateRepository(action) => is_repository_asked_for(action, wants, |want| {
                // What a repository is made without, it may be without for good.
                want.create
                    && action.settings == want.provider().changes(&want.settings, &Settings::new())
            })?,
            Action::UpdateRepository(action) => is_repository_asked_for(action, wants, |want| {
                action
                    .settings
                    .iter()
                    .all(|change| want.settings.get(&change.setting) == Some(&change.to))
            })?,
        }
    }
    let unasked =
        |item: &&Unchanged| !wanted.contains(&item.want) || !is_pinned(&item.want, &item.digest);
    let owed = plan.owed().find(unasked);
    if let Some(item) = owed {
        let (target, destination) = (item.want.target.shown(), &item.want.target.destination);
        return Err(PlanRefusal::Stale(format!(
            "it looks for signatures of {target} at {destination}, which the tree does not ask for"
        )));
    }
    Ok(())
}

/// Refuses a repository that nobody asks for in this way.
fn is_repository_asked_for(
    action: &RepositoryAction,
    wants: &Wants,
    asked: impl Fn(&RepositoryWant) -> bool,
) -> Result<(), PlanRefusal> {
    let want = wants.repositories.iter().find(|want| want.at == action.at);
    if want.is_some_and(asked) {
        return Ok(());
    }
    Err(PlanRefusal::Stale(format!(
        "it creates or changes the repository {} in a way the tree does not ask for",
        action.at.repository
    )))
}

/// Whether a digest is the one that the tree pins, if it pins one: that is what is copied, unless one platform of it is.
fn is_pinned(want: &Want, digest: &Digest) -> bool {
    let pinned = want.source.version.digest();
    let whole = !matches!(want.source.platforms, Platforms::One(_));
    !whole || pinned.is_none_or(|pinned| pinned == digest)
}

impl Copy {
    /// Whether the destination has the image, but not all of it.
    pub fn is_incomplete(&self) -> bool {
        matches!(self.change, Change::Complete { .. })
    }

    /// Whether the destination has what it had when this was planned.
    pub fn expects(&self, found: &Presence) -> bool {
        match &self.change {
            Change::Replace { .. } => matches!(found, Presence::Unreadable(_)),
            _ => *found == Presence::of(self.expected().cloned()),
        }
    }

    /// The digest that the destination had when this was planned, as far as it was known.
    pub fn expected(&self) -> Option<&Digest> {
        match &self.change {
            Change::Create | Change::Replace { .. } => None,
            Change::Update { from } => Some(from),
            Change::Complete { .. } => Some(&self.digest),
        }
    }
}
