//! Plans in a file, to be looked at now and carried out later.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use mirror_oci::{Algorithm, Digest, Platforms, RawManifest};
use mirror_tree::Entry;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::plan::model::{Action, Change, Copy, Plan, Unchanged};
use crate::provider::setting::Settings;
use crate::want::model::{Want, Wants};
use crate::want::resource::{RepositoryAction, RepositoryWant};

const VERSION: u32 = 1;

/// A plan with everything that carrying it out needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SavedPlan {
    /// Version of this format; 1.
    pub format_version: u32,
    /// Digest of what the tree wanted.
    #[schemars(with = "String")]
    pub tree: Digest,
    /// Digest of the configuration and the documents it names.
    #[schemars(with = "String")]
    pub config: Digest,
    /// The plan.
    pub plan: Plan,
    /// The manifests of the images to copy, by digest, so that they are not pulled twice.
    pub manifests: BTreeMap<String, SavedManifest>,
    /// Digest of all of the above: a plan is made, not written.
    #[schemars(with = "String")]
    pub checksum: Digest,
}

/// A manifest, byte for byte.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SavedManifest {
    /// Its media type.
    pub media_type: String,
    /// Its bytes, in base64.
    pub content: String,
}

/// Why a saved plan is not carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PlanRefusal {
    /// It is no plan, or one of another version.
    Broken(String),
    /// It is not a plan for this tree and configuration.
    Stale(String),
}

/// A plan with the manifests of its images.
#[derive(Debug, Clone)]
pub struct Planned {
    /// The plan.
    pub plan: Plan,
    /// Its manifests, each checked against its digest.
    pub manifests: BTreeMap<Digest, RawManifest>,
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

impl SavedPlan {
    /// Puts a plan together with its manifests.
    pub fn new<'a>(
        plan: Plan,
        tree: Digest,
        config: Digest,
        manifests: impl Iterator<Item = &'a RawManifest>,
    ) -> SavedPlan {
        let save = |manifest: &RawManifest| {
            let media_type = manifest.media_type().to_owned();
            let content = STANDARD.encode(manifest.bytes());
            (manifest.digest().to_string(), SavedManifest { media_type, content })
        };
        let manifests = manifests.map(save).collect();
        let checksum = tree.clone();
        let mut saved =
            SavedPlan { format_version: VERSION, tree, config, plan, manifests, checksum };
        saved.seal();
        saved
    }

    /// Makes the checksum that of what is in it now.
    pub fn seal(&mut self) {
        self.checksum = checksum(&self.tree, &self.config, &self.plan, &self.manifests);
    }

    /// Reads the bytes of a file.
    ///
    /// # Errors
    /// [`PlanRefusal::Broken`] when they are no saved plan of this version.
    pub fn read(bytes: &[u8]) -> Result<SavedPlan, PlanRefusal> {
        #[derive(Deserialize)]
        struct Versioned {
            format_version: u32,
        }
        let broken =
            |why: serde_json::Error| PlanRefusal::Broken(format!("it is no saved plan: {why}"));
        let Versioned { format_version } = serde_json::from_slice(bytes).map_err(broken)?;
        if format_version != VERSION {
            let age = if format_version > VERSION { "a newer" } else { "an older" };
            let why =
                format!("it was made by {age} mirror: version {format_version}, not {VERSION}");
            return Err(PlanRefusal::Broken(why));
        }
        serde_json::from_slice(bytes).map_err(broken)
    }

    /// Whether it is as it was made. Whoever makes a whole new one can make that right, so it says nothing about who
    /// made it.
    ///
    /// # Errors
    /// [`PlanRefusal::Broken`] when somebody has changed it.
    pub fn intact(&self) -> Result<(), PlanRefusal> {
        if self.checksum != checksum(&self.tree, &self.config, &self.plan, &self.manifests) {
            return Err(PlanRefusal::Broken("it was changed after it was made".to_owned()));
        }
        if !self.plan.adds_up() {
            return Err(PlanRefusal::Broken("its sums are not those of its actions".to_owned()));
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
    ) -> Result<Planned, PlanRefusal> {
        for (mine, now, what) in
            [(&self.tree, tree, "tree"), (&self.config, config, "configuration")]
        {
            if mine != now {
                return Err(PlanRefusal::Stale(format!(
                    "the {what} has changed since it was made"
                )));
            }
        }
        let intact = self.intact();
        let plan = self.plan;
        if !plan.postponed.is_empty() || !plan.configuration.is_empty() {
            let why = "it was made for a pull request and leaves out what is new there";
            return Err(PlanRefusal::Stale(why.to_owned()));
        }
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
                Action::CreateRepository(action) => fits_repository(action, wants, |want| {
                    // What a repository is made without, it may be without for good.
                    want.create
                        && action.settings
                            == want.provider().changes(&want.settings, &Settings::new())
                })?,
                Action::UpdateRepository(action) => fits_repository(action, wants, |want| {
                    action
                        .settings
                        .iter()
                        .all(|change| want.settings.get(&change.setting) == Some(&change.to))
                })?,
            }
        }
        let unasked = |item: &&Unchanged| {
            !wanted.contains(&item.want) || !is_pinned(&item.want, &item.digest)
        };
        let owed = plan.owed().find(unasked);
        if let Some(item) = owed {
            let (target, destination) = (item.want.target.shown(), &item.want.target.destination);
            return Err(PlanRefusal::Stale(format!(
                "it looks for signatures of {target} at {destination}, which the tree does not ask for"
            )));
        }
        // What the tree does not ask for is said first: it is the more telling of the two.
        intact?;
        let manifests = self.manifests.iter().map(|(digest, saved)| saved.verified(digest));
        Ok(Planned { plan, manifests: manifests.collect::<Result<_, _>>()? })
    }
}

impl SavedManifest {
    /// The manifest, which must be the one of this digest.
    fn verified(&self, digest: &str) -> Result<(Digest, RawManifest), PlanRefusal> {
        let broken = |why: String| PlanRefusal::Broken(format!("manifest {digest}: {why}"));
        let bytes = STANDARD.decode(&self.content).map_err(|why| broken(why.to_string()))?;
        let parsed: Digest = digest.parse().map_err(|why| broken(format!("{why}")))?;
        let manifest = RawManifest::verified(Bytes::from(bytes), &self.media_type, &parsed);
        Ok((parsed, manifest.map_err(|why| broken(why.to_string()))?))
    }
}

/// Refuses a repository that nobody asks for in this way.
fn fits_repository(
    action: &RepositoryAction,
    wants: &Wants,
    asked: impl Fn(&RepositoryWant) -> bool,
) -> Result<(), PlanRefusal> {
    let want = wants.repositories.iter().find(|want| want.at == action.at);
    if want.is_some_and(asked) {
        return Ok(());
    }
    Err(PlanRefusal::Stale(format!(
        "it makes or changes the repository {} as nobody asks for",
        action.at.repository
    )))
}

fn checksum(
    tree: &Digest,
    config: &Digest,
    plan: &Plan,
    manifests: &BTreeMap<String, SavedManifest>,
) -> Digest {
    // None of these can fail to be written.
    let text = serde_json::to_vec(&(tree, config, plan, manifests)).unwrap_or_default();
    Digest::of(Algorithm::Sha256, &text)
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

    /// What the destination had when this was planned.
    pub fn expected(&self) -> Option<&Digest> {
        match &self.change {
            Change::Create => None,
            Change::Update { from } => Some(from),
            Change::Complete { .. } => Some(&self.digest),
        }
    }
}
