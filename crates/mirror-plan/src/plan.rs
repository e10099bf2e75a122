//! The plan: what would make the destinations match the tree.

use std::collections::{BTreeMap, BTreeSet};

use mirror_oci::{Digest, Name, Platform, Registry, Repository, Tag};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::observed::{Failure, Image, Observed};
use crate::want::{Platforms, Source, Target, Want, Wants};

/// What would make the destinations match the tree.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// Version of this format; 1.
    pub format_version: u32,
    /// What is to be done, in the order of the tree.
    pub actions: Vec<Action>,
    /// What is as it should be.
    pub unchanged: Vec<Unchanged>,
    /// What cannot be done as wanted.
    pub conflicts: Vec<Conflict>,
    /// What could not be looked up.
    pub failures: Vec<LookupFailure>,
    /// What a reviewer should know.
    pub notes: Vec<Note>,
    /// Manifests that copying pulls, by source registry; they count against pull limits.
    pub pulls: Vec<Pulls>,
    /// The sums.
    pub totals: Totals,
}

/// One thing to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "action", rename_all = "snake_case")]
pub enum Action {
    /// Copy an image.
    Copy(Copy),
}

/// An image to copy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Copy {
    /// Which want it serves.
    #[serde(flatten)]
    pub subject: Subject,
    /// What the destination gets.
    #[schemars(with = "String")]
    pub digest: Digest,
    /// Whether something is there already.
    #[serde(flatten)]
    pub change: Change,
    /// Platforms that are copied, where the manifests were read.
    #[schemars(with = "Vec<String>")]
    pub platforms: Vec<Platform>,
    /// Bytes of its distinct blobs, where the manifests were read.
    pub bytes: Option<u64>,
    /// Source and target as wanted, for whoever carries it out.
    #[serde(skip)]
    pub want: Option<Box<(Source, Target)>>,
}

/// Whether the target is there already.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "change", rename_all = "snake_case")]
pub enum Change {
    /// Nothing is there.
    Create,
    /// Another image is there.
    Update {
        /// The digest it has.
        #[schemars(with = "String")]
        from: Digest,
    },
}

/// What an item of the plan is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Subject {
    /// The file of the tree.
    pub file: String,
    /// The reference in it, fully spelled.
    pub source: String,
    /// The registry it comes from.
    #[schemars(with = "String")]
    pub source_registry: Registry,
    /// Name of the destination.
    pub destination: String,
    /// The repository there.
    #[schemars(with = "String")]
    pub repository: Repository,
    /// The tag there; none for a digest alone.
    #[schemars(with = "Option<String>")]
    pub tag: Option<Tag>,
}

impl Subject {
    /// Describes a want.
    pub fn of(want: &Want) -> Subject {
        Subject {
            file: want.file.clone(),
            source: format!("{}{}", want.source.name, want.source.version),
            source_registry: want.source.name.registry.clone(),
            destination: want.target.destination.clone(),
            repository: want.target.repository.clone(),
            tag: want.target.tag.clone(),
        }
    }

    /// `repository:tag` at the destination, or the repository alone.
    pub fn target(&self) -> String {
        let tag = self.tag.as_ref().map(|tag| format!(":{tag}"));
        format!("{}{}", self.repository, tag.unwrap_or_default())
    }
}

/// A want that is fulfilled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Unchanged {
    /// Which want.
    #[serde(flatten)]
    pub subject: Subject,
    /// What source and destination have.
    #[schemars(with = "String")]
    pub digest: Digest,
    /// Source and target as wanted, for whoever brings late signatures.
    #[serde(skip)]
    pub want: Option<Box<(Source, Target)>>,
}

/// Wants that cannot be fulfilled as they stand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Conflict {
    /// The files that want it.
    pub files: Vec<String>,
    /// Name of the destination.
    pub destination: String,
    /// The place they fight over.
    pub target: String,
    /// Why it cannot be.
    pub reason: String,
}

/// A want that nothing can be said about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LookupFailure {
    /// Which want.
    #[serde(flatten)]
    pub subject: Subject,
    /// Why.
    #[serde(flatten)]
    pub failure: Failure,
}

/// Something a reviewer should know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "note", rename_all = "snake_case")]
pub enum Note {
    /// The tag beside a digest points elsewhere by now. The digest is what is copied.
    TagMoved {
        /// The file of the tree.
        file: String,
        /// The reference in it.
        source: String,
        /// What the tag points to now.
        #[schemars(with = "String")]
        upstream: Digest,
    },
}

/// How many manifests are pulled from a registry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Pulls {
    /// The registry.
    #[schemars(with = "String")]
    pub registry: Registry,
    /// Distinct manifests; at least that many where they were not read.
    pub manifests: u64,
    /// Pulls that the registry has left for us, if it limits them.
    pub left: Option<u64>,
}

/// Sums over a plan.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Totals {
    /// Images that are not there yet.
    pub create: usize,
    /// Images that replace another one.
    pub update: usize,
    /// Images that are as they should be.
    pub unchanged: usize,
    /// Wants that cannot be.
    pub conflicts: usize,
    /// Wants that could not be looked up.
    pub failures: usize,
    /// Wants that have to wait for a limit on pulls.
    pub deferred: usize,
    /// Bytes of the distinct blobs of all images to copy, where the manifests were read.
    pub bytes: Option<u64>,
}

impl Plan {
    /// Compares what is wanted with what is there.
    pub fn new(wants: &Wants, observed: &Observed) -> Plan {
        let mut plan = Plan { format_version: 1, ..Plan::default() };
        for want in &wants.wants {
            plan.add(want, observed);
        }
        plan.conflicts = wants.collisions.iter().map(conflict).collect();
        plan.notes = notes(&wants.wants, observed);
        plan.pulls = plan.count_pulls(observed);
        plan.totals = plan.count(observed);
        plan
    }

    /// The copies among the actions.
    pub fn copies(&self) -> impl Iterator<Item = &Copy> {
        self.actions.iter().map(|Action::Copy(copy)| copy)
    }

    fn add(&mut self, want: &Want, observed: &Observed) {
        let subject = Subject::of(want);
        let found = observed.targets.get(&want.target).cloned().unwrap_or(Ok(None));
        let (wanted, found) = match (observed.sources.get(&want.source), found) {
            (Some(Ok(wanted)), Ok(found)) => (wanted.clone(), found),
            (Some(Err(failure)), _) => return self.fail(subject, failure.clone()),
            (_, Err(failure)) => return self.fail(subject, failure),
            (None, Ok(_)) => return,
        };
        if found.as_ref() == Some(&wanted) {
            let pair = Some(Box::new((want.source.clone(), want.target.clone())));
            return self.unchanged.push(Unchanged { subject, digest: wanted, want: pair });
        }
        let image = match observed.images.get(&want.source) {
            Some(Err(failure)) => return self.fail(subject, failure.clone()),
            Some(Ok(image)) => Some(image),
            None => None,
        };
        self.actions.push(Action::Copy(Copy {
            subject,
            digest: wanted,
            change: found.map_or(Change::Create, |from| Change::Update { from }),
            platforms: image.map(|image| image.platforms.clone()).unwrap_or_default(),
            bytes: image.map(|image| {
                image.blobs.values().fold(0, |sum: u64, size| sum.saturating_add(*size))
            }),
            want: Some(Box::new((want.source.clone(), want.target.clone()))),
        }));
    }

    fn fail(&mut self, subject: Subject, failure: Failure) {
        self.failures.push(LookupFailure { subject, failure });
    }

    /// The distinct sources of the copies, with what is known of their images.
    fn images<'a>(&'a self, observed: &'a Observed) -> BTreeMap<&'a Source, Option<&'a Image>> {
        let sources = self.copies().filter_map(|copy| copy.want.as_ref().map(|want| &want.0));
        sources
            .map(|source| {
                (source, observed.images.get(source).and_then(|image| image.as_ref().ok()))
            })
            .collect()
    }

    fn count_pulls(&self, observed: &Observed) -> Vec<Pulls> {
        let mut manifests: BTreeMap<&Registry, BTreeSet<(&Name, &Digest)>> = BTreeMap::new();
        for (source, image) in self.images(observed) {
            let pulled = manifests.entry(&source.name.registry).or_default();
            match (image, observed.sources.get(source)) {
                (Some(image), _) => {
                    pulled.extend(image.manifests.iter().map(|digest| (&source.name, digest)))
                }
                (None, Some(Ok(digest))) => pulled.extend([(&source.name, digest)]),
                (None, _) => {}
            }
        }
        let pulls = manifests.into_iter();
        pulls
            .map(|(registry, set)| Pulls {
                registry: registry.clone(),
                manifests: set.len() as u64,
                left: observed.pulls_left.get(registry).copied(),
            })
            .collect()
    }

    fn count(&self, observed: &Observed) -> Totals {
        let update =
            self.copies().filter(|copy| matches!(copy.change, Change::Update { .. })).count();
        let deferred = self.failures.iter().filter(|failed| failed.failure.deferred).count();
        let images: Option<Vec<&Image>> = self.images(observed).into_values().collect();
        let distinct = |images: Vec<&Image>| {
            let blobs: BTreeMap<&Digest, u64> = images
                .iter()
                .flat_map(|image| &image.blobs)
                .map(|(digest, size)| (digest, *size))
                .collect();
            blobs.values().fold(0, |sum: u64, size| sum.saturating_add(*size))
        };
        Totals {
            create: self.actions.len() - update,
            update,
            unchanged: self.unchanged.len(),
            conflicts: self.conflicts.len(),
            failures: self.failures.len() - deferred,
            deferred,
            bytes: images.map(distinct),
        }
    }
}

fn conflict(collision: &crate::want::Collision) -> Conflict {
    let crate::want::Collision { files, destination, target, reason } = collision.clone();
    Conflict { files, destination, target, reason }
}

/// Several destinations share one source; it is noted once.
fn notes(wants: &[Want], observed: &Observed) -> Vec<Note> {
    let mut seen = BTreeSet::new();
    let mut notes = Vec::new();
    for want in wants {
        let Some(upstream) = observed.tags.get(&want.source) else { continue };
        let single = matches!(want.source.platforms, Platforms::One(_));
        if single || want.source.version.digest() == Some(upstream) || !seen.insert(&want.file) {
            continue;
        }
        let source = format!("{}{}", want.source.name, want.source.version);
        notes.push(Note::TagMoved { file: want.file.clone(), source, upstream: upstream.clone() });
    }
    notes
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
