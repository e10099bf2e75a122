//! The plan: what would make the destinations match the tree.

use std::collections::{BTreeMap, BTreeSet};

use mirror_oci::{Digest, Platform, Registry, Repository, Tag};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::base::{ConfigChange, Postponed};
use crate::ecr::{Setting, SettingChange, Settings, changes, is_immutable};
use crate::observed::{Failure, Observed, Side};
use crate::repository::{RepositoryAction, RepositoryAt, RepositoryState, RepositoryWant};
use crate::scope::Unwanted;
use crate::sums::{Pulls, Totals};
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
    /// How the configuration differs from the one that connections were made by, in a plan for a pull request.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub configuration: Vec<ConfigChange>,
    /// What is new in a pull request and is looked at after the merge.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub postponed: Vec<Postponed>,
    /// What the tree no longer wants, in a plan about changes since a commit. It stays where it is.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unwanted: Vec<Unwanted>,
    /// What a reviewer should know.
    pub notes: Vec<Note>,
    /// Registries that images were looked up at with credentials: what was read there is not for everybody.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Vec<String>")]
    pub authenticated_sources: Vec<Registry>,
    /// Manifests that copying pulls, by source registry; they count against pull limits.
    pub pulls: Vec<Pulls>,
    /// The sums.
    pub totals: Totals,
}

/// One thing to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "action", rename_all = "snake_case")]
pub enum Action {
    /// Make a repository.
    CreateRepository(RepositoryAction),
    /// Change settings of a repository.
    UpdateRepository(RepositoryAction),
    /// Copy an image.
    Copy(Box<Copy>),
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
    /// Manifests that copying it pulls from the source, where they were read.
    #[serde(default)]
    pub manifests: Option<u64>,
    /// The reference that the file had before, in a plan about changes since a commit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<String>,
    /// The source repository that the image names, if it is on a known forge.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upstream: Option<String>,
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
    /// Whether its signatures could not be looked for, so that this is still to be done.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub signatures_owed: bool,
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
    /// A registry that is new in a pull request was asked without credentials.
    AskedAsStranger {
        /// The registry.
        #[schemars(with = "String")]
        registry: Registry,
    },
    /// A lifecycle policy would delete images that the tree names.
    WouldExpire {
        /// The repository.
        #[serde(flatten)]
        at: RepositoryAt,
        /// The images, by tag or digest.
        images: Vec<String>,
    },
    /// What a changed lifecycle policy would delete could not be found out.
    NoPreview {
        /// The repository.
        #[serde(flatten)]
        at: RepositoryAt,
        /// Why.
        why: String,
    },
    /// A repository is encrypted in another way than wanted, which can't be changed.
    OtherEncryption {
        /// The repository.
        #[serde(flatten)]
        at: RepositoryAt,
        /// How it is, and how it was wanted.
        #[serde(flatten)]
        change: SettingChange,
    },
}

impl Plan {
    /// Compares what is wanted with what is there.
    pub fn new(wants: &Wants, observed: &Observed) -> Plan {
        let mut plan = Plan { format_version: 1, ..Plan::default() };
        plan.add_repositories(wants, observed);
        let kept: BTreeMap<(&str, &Repository), &RepositoryWant> = wants
            .repositories
            .iter()
            .map(|want| ((want.at.destination.as_str(), &want.at.repository), want))
            .collect();
        for want in &wants.wants {
            let target = &want.target;
            let repository = kept.get(&(target.destination.as_str(), &target.repository)).copied();
            plan.add(want, wants, repository, observed);
        }
        plan.conflicts.extend(wants.collisions.iter().map(conflict));
        plan.unwanted.clone_from(&wants.unwanted);
        plan.postponed.extend(wants.postponed.iter().cloned());
        let strangers = observed.strangers.iter().cloned();
        plan.notes.extend(strangers.map(|registry| Note::AskedAsStranger { registry }));
        plan.notes.extend(notes(&wants.wants, observed));
        plan.pulls = plan.count_pulls(observed);
        plan.totals = plan.count(observed);
        plan
    }

    /// The copies among the actions.
    pub fn copies(&self) -> impl Iterator<Item = &Copy> {
        self.actions.iter().filter_map(|action| match action {
            Action::Copy(copy) => Some(&**copy),
            _ => None,
        })
    }

    /// Repositories to make and to change among the actions; true for those to make.
    pub fn repositories(&self) -> impl Iterator<Item = (bool, &RepositoryAction)> {
        self.actions.iter().filter_map(|action| match action {
            Action::CreateRepository(action) => Some((true, action)),
            Action::UpdateRepository(action) => Some((false, action)),
            Action::Copy(_) => None,
        })
    }

    /// Images that are as they should be, but whose signatures are to be looked for.
    pub fn owed(&self) -> impl Iterator<Item = &Unchanged> {
        self.unchanged.iter().filter(|item| item.signatures_owed)
    }

    fn add_repositories(&mut self, wants: &Wants, observed: &Observed) {
        for want in &wants.repositories {
            let at = want.at.clone();
            match observed.repositories.get(&at) {
                Some(Ok(None)) if want.create && !self.makes(&at) => {
                    let settings = changes(&want.settings, &Settings::new());
                    self.actions.push(Action::CreateRepository(RepositoryAction { at, settings }));
                }
                Some(Ok(Some(state))) => self.compare(want, state, wants),
                // Each want of it says so.
                Some(Ok(None) | Err(_)) | None => {}
            }
        }
    }

    /// Whether this is among the actions; another destination may lead to the same repository.
    fn makes(&self, at: &RepositoryAt) -> bool {
        self.repositories().any(|(_, action)| {
            action.at.registry == at.registry && action.at.repository == at.repository
        })
    }

    fn compare(&mut self, want: &RepositoryWant, state: &RepositoryState, wants: &Wants) {
        let at = &want.at;
        let changes = changes(&want.settings, &state.settings);
        let (fixed, settings): (Vec<_>, Vec<_>) =
            changes.into_iter().partition(|change| change.setting == Setting::Encryption);
        let fixed =
            fixed.into_iter().map(|change| Note::OtherEncryption { at: at.clone(), change });
        self.notes.extend(fixed);
        let named = wants.wants.iter().filter(|wanted| {
            wanted.target.destination == at.destination && wanted.target.repository == at.repository
        });
        let (tags, digests): (BTreeSet<_>, BTreeSet<_>) =
            named.map(|want| (want.target.tag.as_ref(), want.source.version.digest())).unzip();
        let images = state.expiring.iter().flat_map(|image| {
            let tags = image.tags.iter().filter(|tag| tags.contains(&Some(tag)));
            let mut named: Vec<String> = tags.map(ToString::to_string).collect();
            if named.is_empty() && digests.contains(&Some(&image.digest)) {
                named.push(image.digest.to_string());
            }
            named
        });
        let images: Vec<String> = images.collect();
        if !images.is_empty() {
            self.notes.push(Note::WouldExpire { at: at.clone(), images });
        }
        if let Some(why) = state.no_preview.clone() {
            self.notes.push(Note::NoPreview { at: at.clone(), why });
        }
        if !settings.is_empty() && !self.makes(at) {
            let action = RepositoryAction { at: at.clone(), settings };
            self.actions.push(Action::UpdateRepository(action));
        }
    }

    /// Why an image can't go to its repository as that is, or will be.
    fn hindrance(
        want: &Want,
        kept: &RepositoryWant,
        found: Option<&Digest>,
        observed: &Observed,
    ) -> Option<String> {
        match observed.repositories.get(&kept.at)?.as_ref().ok()? {
            None => (!kept.create)
                .then(|| "the repository does not exist, and `create` is false for it".to_owned()),
            Some(state) => {
                let immutable = kept.settings.get(&Setting::ImmutableTags);
                let immutable = immutable.or(state.settings.get(&Setting::ImmutableTags))?;
                let tag = want.target.tag.as_ref()?;
                let found = found?;
                is_immutable(immutable, tag.as_str()).then(|| {
                    format!(
                        "the tag is immutable there and is another image, {}; delete it there, or mirror another tag",
                        found.short()
                    )
                })
            }
        }
    }

    fn add(
        &mut self,
        want: &Want,
        wants: &Wants,
        kept: Option<&RepositoryWant>,
        observed: &Observed,
    ) {
        let subject = Subject::of(want);
        let found = observed.targets.get(&want.target).cloned().unwrap_or(Ok(None));
        let (wanted, found) = match (observed.sources.get(&want.source), found) {
            (Some(Ok(wanted)), Ok(found)) => (wanted.clone(), found),
            (Some(Err(failure)), _) => return self.fail(subject, failure.clone(), observed),
            (_, Err(failure)) => return self.fail(subject, failure, observed),
            (None, Ok(_)) => return,
        };
        if found.as_ref() == Some(&wanted) {
            let signatures_owed = observed.owed.contains(&want.target);
            let want = Some(Box::new((want.source.clone(), want.target.clone())));
            let digest = wanted;
            return self.unchanged.push(Unchanged { subject, digest, signatures_owed, want });
        }
        let hindrance = kept.and_then(|kept| Plan::hindrance(want, kept, found.as_ref(), observed));
        if let Some(reason) = hindrance {
            let (files, target) = (vec![want.file.clone()], subject.target());
            let destination = subject.destination;
            return self.conflicts.push(Conflict { files, destination, target, reason });
        }
        let image = match observed.images.get(&want.source) {
            Some(Err(failure)) => return self.fail(subject, failure.clone(), observed),
            Some(Ok(image)) => Some(image),
            None => None,
        };
        self.actions.push(Action::Copy(Box::new(Copy {
            subject,
            digest: wanted,
            change: found.map_or(Change::Create, |from| Change::Update { from }),
            platforms: image.map(|image| image.platforms.clone()).unwrap_or_default(),
            bytes: image.map(|image| {
                image.blobs.values().fold(0, |sum: u64, size| sum.saturating_add(*size))
            }),
            manifests: image.map(|image| image.manifests.len() as u64),
            previous: wants.previous.get(&want.file).cloned(),
            upstream: image.and_then(|image| image.upstream.clone()),
            want: Some(Box::new((want.source.clone(), want.target.clone()))),
        })));
    }

    /// What a stranger is not told may be told to us after the merge.
    fn fail(&mut self, subject: Subject, failure: Failure, observed: &Observed) {
        let registry = &subject.source_registry;
        if failure.side == Side::Source && observed.strangers.contains(registry) {
            let message = failure.message;
            let reason = format!("the registry {registry}, asked without credentials: {message}");
            return self.postponed.push(Postponed { subject, reason });
        }
        self.failures.push(LookupFailure { subject, failure });
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
