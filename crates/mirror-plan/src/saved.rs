//! Plans in a file, to be looked at now and carried out later.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use mirror_oci::{Algorithm, Digest, RawManifest};
use mirror_tree::Entry;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::plan::{Action, Change, Copy, Plan, Subject};
use crate::want::{Platforms, Want, Wants};

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
pub enum Unfit {
    /// It is no plan, or one of another version.
    Broken(String),
    /// It is not a plan for this tree and configuration.
    Stale(String),
}

/// What a saved plan comes to when it fits: copies know their source and target again.
#[derive(Debug, Clone)]
pub struct Fit {
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
        SavedPlan { format_version: VERSION, tree, config, plan, manifests }
    }

    /// Reads the bytes of a file.
    ///
    /// # Errors
    /// [`Unfit::Broken`] when they are no saved plan of this version.
    pub fn read(bytes: &[u8]) -> Result<SavedPlan, Unfit> {
        #[derive(Deserialize)]
        struct Versioned {
            format_version: u32,
        }
        let broken = |why: serde_json::Error| Unfit::Broken(format!("it is no saved plan: {why}"));
        let Versioned { format_version } = serde_json::from_slice(bytes).map_err(broken)?;
        if format_version != VERSION {
            let age = if format_version > VERSION { "a newer" } else { "an older" };
            let why =
                format!("it was made by {age} mirror: version {format_version}, not {VERSION}");
            return Err(Unfit::Broken(why));
        }
        serde_json::from_slice(bytes).map_err(broken)
    }

    /// Holds the plan against what the tree wants now.
    ///
    /// # Errors
    /// [`Unfit::Stale`] when tree or configuration differ, or it asks for something that they don't.
    /// [`Unfit::Broken`] when a manifest is not what its digest says.
    pub fn fit(self, tree: &Digest, config: &Digest, wants: &Wants) -> Result<Fit, Unfit> {
        for (mine, now, what) in
            [(&self.tree, tree, "tree"), (&self.config, config, "configuration")]
        {
            if mine != now {
                return Err(Unfit::Stale(format!("the {what} has changed since it was made")));
            }
        }
        let mut plan = self.plan;
        let by_subject: BTreeMap<_, &Want> =
            wants.wants.iter().map(|want| (key(&Subject::of(want)), want)).collect();
        for action in &mut plan.actions {
            match action {
                Action::Copy(copy) => {
                    let want = by_subject.get(&key(&copy.subject));
                    let want = want.filter(|want| asks_for(want, copy)).ok_or_else(|| {
                        let (target, destination) = (copy.subject.target(), &copy.subject.destination);
                        Unfit::Stale(format!(
                            "it copies {} to {target} at {destination}, which the tree does not ask for",
                            copy.digest
                        ))
                    })?;
                    copy.want = Some(Box::new((want.source.clone(), want.target.clone())));
                }
                Action::CreateRepository(action) | Action::UpdateRepository(action) => {
                    let want = wants.repositories.iter().find(|want| want.at == action.at);
                    let asked = want.is_some_and(|want| {
                        action
                            .settings
                            .iter()
                            .all(|change| want.settings.get(&change.setting) == Some(&change.to))
                    });
                    if !asked {
                        return Err(Unfit::Stale(format!(
                            "it makes or changes the repository {} as nobody asks for",
                            action.at.repository
                        )));
                    }
                }
            }
        }
        let mut manifests = BTreeMap::new();
        for (digest, saved) in self.manifests {
            let broken = |why: String| Unfit::Broken(format!("manifest {digest}: {why}"));
            let bytes = STANDARD.decode(&saved.content).map_err(|why| broken(why.to_string()))?;
            let parsed: Digest = digest.parse().map_err(|why| broken(format!("{why}")))?;
            let manifest = RawManifest::verified(Bytes::from(bytes), &saved.media_type, &parsed);
            manifests.insert(parsed, manifest.map_err(|why| broken(why.to_string()))?);
        }
        Ok(Fit { plan, manifests })
    }
}

/// What makes two subjects the same; texts, since not all of it can be ordered.
fn key(subject: &Subject) -> (String, String, String, String) {
    let Subject { file, source, destination, .. } = subject;
    (file.clone(), source.clone(), destination.clone(), subject.target())
}

/// A digest that the tree pins is the one that is copied, unless one platform of it is.
fn asks_for(want: &Want, copy: &Copy) -> bool {
    let pinned = want.source.version.digest();
    let whole = !matches!(want.source.platforms, Platforms::One(_));
    !whole || pinned.is_none_or(|pinned| *pinned == copy.digest)
}

impl Copy {
    /// What the destination had when this was planned.
    pub fn expected(&self) -> Option<&Digest> {
        match &self.change {
            Change::Create => None,
            Change::Update { from } => Some(from),
        }
    }
}
