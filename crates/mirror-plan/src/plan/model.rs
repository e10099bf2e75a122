//! The plan: what would make the destinations match the tree.

use mirror_failure::Failure;
use mirror_oci::{Digest, Platform, Registry, Repository};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::provider::setting::SettingChange;
use crate::report::ending::Ending;
use crate::want::base::ConfigChange;
use crate::want::model::{Postponed, Unwanted, Want};
use crate::want::resource::{RepositoryAction, RepositoryAt};

/// What would make the destinations match the tree.
///
/// ```
/// use mirror_plan::report::Ending;
/// # use mirror_plan::plan::{Answers, Draft, Observed};
/// # use mirror_plan::want::{Want, Wants};
/// # let want: Want = serde_json::from_value(serde_json::json!({
/// #     "file": "docker.io/library/redis/Dockerfile", "source": "docker.io/library/redis:7.2",
/// #     "source_registry": "docker.io", "destination": "prod", "location": {"registry": "registry.example.com"},
/// #     "repository": "docker.io/library/redis", "tag": "7.2",
/// # }))?;
/// # let digest = mirror_oci::Digest::of(mirror_oci::Algorithm::Sha256, b"a manifest");
/// # let wants = Wants { wants: vec![want.clone()], ..Wants::default() };
/// # let mut observed = Observed::default();
/// # observed.sources.insert(want.source.clone(), Ok(digest));
/// # observed.targets.insert(want.target.clone(), Ok(mirror_plan::plan::Presence::Absent));
/// # let plan = Draft::new(&wants, observed).settle(&Answers::default());
/// // One image, which its destination does not have:
/// let copy = plan.copies().next().ok_or("one copy")?;
/// assert_eq!((copy.expected(), copy.is_incomplete()), (None, false));
/// assert!(copy.expects(&mirror_plan::plan::Presence::Absent));
/// assert_eq!(plan.carried_out(false).count(), 1);
/// assert_eq!((plan.repositories().count(), plan.owed().count()), (0, 0));
/// assert_eq!(plan.ending(), Ending::Pending);
/// assert!(plan.adds_up());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// Version of this format; 1.
    pub format_version: u32,
    /// What a reviewer should see first: it weakens what the tree says, whether or not anything is copied for it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub alerts: Vec<Alert>,
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
    /// What is new in a pull request and is checked after the merge.
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
    /// What the lists add up to.
    pub totals: Totals,
}

/// One thing to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "action", rename_all = "snake_case")]
pub enum Action {
    /// Create a repository at a destination.
    CreateRepository(RepositoryAction),
    /// Change settings of a repository.
    UpdateRepository(RepositoryAction),
    /// Copy an image to a destination.
    Copy(Box<Copy>),
}

/// An image to copy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Copy {
    /// Which want it serves.
    #[serde(flatten)]
    pub want: Want,
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
    /// The destination that it is taken from, where the source has it no more or fails.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub holder: Option<Holder>,
}

/// Whether the target is there already.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "change", rename_all = "snake_case")]
pub enum Change {
    /// The destination has nothing under that tag.
    Create,
    /// Another image is there.
    Update {
        /// The digest it has.
        #[schemars(with = "String")]
        from: Digest,
    },
    /// Another image is there, or the same, which nobody may read: a policy of the registry refuses that.
    Replace {
        /// What the registry says.
        reason: String,
    },
    /// It is there, but not all of it.
    Complete {
        /// Manifests and blobs that are missing, as far as they were looked for.
        #[schemars(with = "Vec<String>")]
        missing: Vec<Digest>,
    },
}

/// Where an image is that its source does not give.
///
/// ```
/// use mirror_failure::{Cause, Failure, Side};
/// use mirror_plan::plan::Holder;
///
/// let gone = Cause::Missing { registry: "docker.io".parse()?, anonymous: false };
/// let holder = Holder {
///     destination: "prod".to_owned(),
///     repository: "docker.io/library/redis".parse()?,
///     failure: Failure::new(Side::Source, "", &gone),
/// };
/// assert_eq!(holder.reason(), "gone upstream");
/// assert_eq!(holder.told(), "gone upstream, you hold it at prod");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Holder {
    /// The name of the destination.
    pub destination: String,
    /// The repository at the destination.
    #[schemars(with = "String")]
    pub repository: Repository,
    /// What the source failed with.
    pub failure: Failure,
}

impl Holder {
    /// For the end of a line.
    pub fn told(&self) -> String {
        format!("{}, you hold it at {}", self.reason(), self.destination)
    }

    /// Why it is taken from there.
    pub fn reason(&self) -> &'static str {
        if self.failure.is_gone() { "gone upstream" } else { "its source fails" }
    }
}

/// A want that is fulfilled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Unchanged {
    /// The want that it fulfils.
    #[serde(flatten)]
    pub want: Want,
    /// What source and destination have.
    #[schemars(with = "String")]
    pub digest: Digest,
    /// Whether its signatures could not be looked for, so that this is still to be done.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub signatures_owed: bool,
}

/// Wants that cannot be fulfilled as they stand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Conflict {
    /// The files that want it.
    pub files: Vec<String>,
    /// Name of the destination.
    pub destination: String,
    /// What they both want, `repository:tag`.
    pub target: String,
    /// Why it cannot be.
    pub reason: String,
}

/// A want that nothing can be said about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LookupFailure {
    /// The want that could not be looked up.
    #[serde(flatten)]
    pub want: Want,
    /// Why it could not be looked up.
    #[serde(flatten)]
    pub failure: Failure,
    /// What the destination serves under that tag meanwhile, if anything: the image is not refreshed, and pulls work.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub serves: Option<Digest>,
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
        /// The registry that was asked.
        #[schemars(with = "String")]
        registry: Registry,
    },
    /// Whether repositories are as wanted could not be found out, though their images could.
    SettingsUnknown {
        /// The name of the destination.
        destination: String,
        /// How many repositories.
        repositories: usize,
        /// Why that is unknown, of the first.
        why: String,
    },
    /// A lifecycle policy would delete images that the tree names.
    WouldExpire {
        /// The repository whose policy it is.
        #[serde(flatten)]
        at: RepositoryAt,
        /// Those that their source has no more, by tag or digest: nobody else may have them.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        gone: Vec<String>,
        /// The others, by tag or digest.
        images: Vec<String>,
    },
    /// What a changed lifecycle policy would delete could not be found out.
    NoPreview {
        /// The repository whose policy it is.
        #[serde(flatten)]
        at: RepositoryAt,
        /// Why that is unknown.
        why: String,
    },
    /// A repository is encrypted in another way than wanted, which can't be changed.
    OtherEncryption {
        /// The repository with the other encryption.
        #[serde(flatten)]
        at: RepositoryAt,
        /// How it is, and how it was wanted.
        #[serde(flatten)]
        change: SettingChange,
    },
}

/// A change that weakens what the tree says or what users get.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "alert", rename_all = "snake_case")]
pub enum Alert {
    /// The reference had a digest and has none any more: its tag floats.
    DigestRemoved {
        /// The file of the tree.
        file: String,
        /// The reference in it.
        source: String,
        /// The digest that it had.
        #[schemars(with = "String")]
        digest: Digest,
    },
    /// The tag is an earlier version than the one before.
    VersionLowered {
        /// The file of the tree.
        file: String,
        /// The reference in it.
        source: String,
        /// The tag that it had.
        before: String,
    },
    /// The digest is one that the file named before the one that it replaces, as Git's history says.
    DigestReturned {
        /// The file of the tree.
        file: String,
        /// The reference in it.
        source: String,
        /// The digest.
        #[schemars(with = "String")]
        digest: Digest,
    },
    /// The image is no longer for platforms that the one before was for.
    PlatformsLost {
        /// The file of the tree.
        file: String,
        /// The reference in it.
        source: String,
        /// The platforms of the image, sorted.
        #[schemars(with = "Vec<String>")]
        platforms: Vec<Platform>,
    },
    /// The image was made before the one that it replaces.
    Older {
        /// The file of the tree.
        file: String,
        /// The reference in it.
        source: String,
        /// When it was made, in RFC 3339.
        created: String,
        /// When the one before was made.
        before: String,
    },
}

/// What an image says of itself: the one that another one replaces, or that one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Before {
    /// Its platforms, sorted; empty when its manifests don't say.
    pub platforms: Vec<Platform>,
    /// When it was made, in RFC 3339, if it says.
    pub created: Option<String>,
}

/// How many manifests are pulled from a registry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Pulls {
    /// The registry that the manifests are read from.
    #[schemars(with = "String")]
    pub registry: Registry,
    /// Distinct manifests; at least that many where they were not read.
    pub manifests: u64,
    /// Pulls that the registry has left for us, if it limits them.
    pub left: Option<u64>,
}

/// Totals of a plan.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Totals {
    /// How many repositories are created.
    #[serde(default)]
    pub create_repositories: usize,
    /// Repositories whose settings change.
    #[serde(default)]
    pub update_repositories: usize,
    /// Images that are not there yet.
    pub create: usize,
    /// Images that replace another one.
    pub update: usize,
    /// Images that are there, but not all of them.
    #[serde(default)]
    pub complete: usize,
    /// Images that are as they should be.
    pub unchanged: usize,
    /// Images that are no longer wanted.
    #[serde(default)]
    pub unwanted: usize,
    /// Images that are checked after the merge of a pull request.
    #[serde(default)]
    pub postponed: usize,
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
    /// The copies among the actions.
    pub fn copies(&self) -> impl Iterator<Item = &Copy> {
        self.actions.iter().filter_map(|action| match action {
            Action::Copy(copy) => Some(&**copy),
            _ => None,
        })
    }

    /// The images that are carried out, in the order of their numbers: the copies, then those that are there and whose
    /// signatures are looked for, which are those that owe them, or all.
    pub fn carried_out(&self, refresh: bool) -> impl Iterator<Item = (&Want, &Digest)> {
        let copies = self.copies().map(|copy| (&copy.want, &copy.digest));
        let looked_for = self.unchanged.iter().filter(move |item| refresh || item.signatures_owed);
        copies.chain(looked_for.map(|item| (&item.want, &item.digest)))
    }

    /// Repositories to make and to change among the actions; true for those to make.
    pub fn repositories(&self) -> impl Iterator<Item = (bool, &RepositoryAction)> {
        self.actions.iter().filter_map(|action| match action {
            Action::CreateRepository(action) => Some((true, action)),
            Action::UpdateRepository(action) => Some((false, action)),
            Action::Copy(_) => None,
        })
    }

    /// How it ends, if it is all that is done.
    pub fn ending(&self) -> Ending {
        Ending::first([
            (self.totals.failures > 0, Ending::Failed),
            (!self.conflicts.is_empty(), Ending::Conflict),
            (self.totals.deferred > 0, Ending::Deferred),
            (!self.actions.is_empty() || self.owed().next().is_some(), Ending::Pending),
        ])
    }

    /// Images that are as they should be, but whose signatures are to be looked for.
    pub fn owed(&self) -> impl Iterator<Item = &Unchanged> {
        self.unchanged.iter().filter(|item| item.signatures_owed)
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
