//! The report: what became of each action.

use std::collections::{BTreeMap, BTreeSet};

use mirror_failure::Failure;
use mirror_oci::{Digest, Registry};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::plan::model::{Conflict, Holder, LookupFailure, Plan, Unchanged};
use crate::report::ending::Ending;
use crate::want::model::Want;
use crate::want::resource::RepositoryOutcome;

/// What became of a plan.
///
/// ```
/// use mirror_plan::report::{Ending, Outcome, Report, Status};
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
/// let copy = plan.copies().next().ok_or("one copy")?;
/// let ended = |status| vec![Outcome::of(&copy.want, &copy.digest, status)];
/// let stopped = Report::new(&plan, Vec::new(), ended(Status::Cancelled));
/// assert_eq!(stopped.ending(), Ending::Interrupted);
///
/// // A later pass over the same image decides how it ended.
/// let done = Report::new(&plan, Vec::new(), ended(Status::Done));
/// let whole = stopped.continued(&[copy.want.clone()].into(), done.clone());
/// assert_eq!((whole.ending(), whole.totals.copied), (Ending::Done, 1));
///
/// // Two machines, each with a part of the tree:
/// assert_eq!(Report::merge([done, Report::default()]).totals.copied, 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Report {
    /// Version of this format; 1.
    pub format_version: u32,
    /// Which part of the tree it is about, `2/5`; none for all of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shard: Option<String>,
    /// Whether the run was stopped.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub interrupted: bool,
    /// One for each action, in the order of the plan.
    pub outcomes: Vec<Outcome>,
    /// What was as it should be, and nothing was to be done for.
    #[serde(default)]
    pub unchanged: Vec<Unchanged>,
    /// What nobody had looked at when the run was stopped.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unreached: Vec<Want>,
    /// Repositories that were made or changed, or were to be.
    #[serde(default)]
    pub repositories: Vec<RepositoryOutcome>,
    /// Conflicts of the plan; nothing was done about them.
    pub conflicts: Vec<Conflict>,
    /// What the plan could not look up.
    pub failures: Vec<LookupFailure>,
    /// Registries that images were read from with credentials: what was read there is not for everybody.
    #[serde(default)]
    #[schemars(with = "Vec<String>")]
    pub authenticated_sources: Vec<Registry>,
    /// What the lists add up to.
    pub totals: ReportTotals,
}

/// What became of one action.
///
/// ```
/// use mirror_oci::{Algorithm, Digest};
/// use mirror_plan::report::{Outcome, Status, Warning, WarningKind};
/// # use mirror_plan::want::Want;
/// # let want: Want = serde_json::from_value(serde_json::json!({
/// #     "file": "docker.io/library/redis/Dockerfile", "source": "docker.io/library/redis:7.2",
/// #     "source_registry": "docker.io", "destination": "prod", "location": {"registry": "registry.example.com"},
/// #     "repository": "docker.io/library/redis", "tag": "7.2",
/// # }))?;
/// let digest = Digest::of(Algorithm::Sha256, b"a manifest");
/// let mut outcome = Outcome::of(&want, &digest, Status::Done);
/// outcome.warnings.push(Warning {
///     kind: WarningKind::SignatureMissing,
///     message: "sha256-….sig: 403 DENIED".to_owned(),
/// });
/// assert_eq!(outcome.warned(WarningKind::SignatureMissing).count(), 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Outcome {
    /// Which want it served.
    #[serde(flatten)]
    pub want: Want,
    /// What the destination was to get.
    #[schemars(with = "String")]
    pub digest: Digest,
    /// How the image ended.
    #[serde(flatten)]
    pub status: Status,
    /// What was moved for it.
    pub transfer: Transfer,
    /// The destination that it was taken from, where the source had it no more or failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub holder: Option<Holder>,
    /// What the destination serves under that tag meanwhile, where it failed: the image is not refreshed, and pulls work.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub serves: Option<Digest>,
    /// What is not as it should be with its signatures and the like.
    #[serde(default)]
    pub warnings: Vec<Warning>,
}

/// Something about the signatures of an image that was copied, or of what else refers to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Warning {
    /// What kind of problem it is.
    pub kind: WarningKind,
    /// Why, or which one.
    pub message: String,
}

/// What is not as it should be with signatures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum WarningKind {
    /// Whether there are any could not be found out. The next run looks again.
    SignaturesUnknown,
    /// One that is there could not be had, or was refused.
    SignatureMissing,
    /// The destination has another one in its place, which stays.
    SignatureKept,
}

impl Outcome {
    /// How an image ended for which nothing was moved.
    pub fn of(want: &Want, digest: &Digest, status: Status) -> Outcome {
        Outcome {
            want: want.clone(),
            digest: digest.clone(),
            status,
            transfer: Transfer::default(),
            holder: None,
            serves: None,
            warnings: Vec::new(),
        }
    }

    /// Its warnings of one kind.
    pub fn warned(&self, kind: WarningKind) -> impl Iterator<Item = &str> {
        let warnings = self.warnings.iter().filter(move |warning| warning.kind == kind);
        warnings.map(|warning| warning.message.as_str())
    }
}

/// How an action ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "status", rename_all = "snake_case")]
pub enum Status {
    /// The destination has it.
    Done,
    /// The destination had it, and now has its late signatures too.
    Refreshed,
    /// It doesn't; a tag that was there still names the old image.
    Failed {
        /// Why the image failed.
        failure: Failure,
    },
    /// The destination has moved since the plan was made; nothing was done.
    Stale {
        /// What is there now, if anything.
        #[schemars(with = "Option<String>")]
        found: Option<Digest>,
    },
    /// The run was stopped before its turn, or in the middle of it.
    Cancelled,
}

/// Bytes and blobs that were moved for an image.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Transfer {
    /// Bytes of blobs read from the source.
    pub fetched_bytes: u64,
    /// Bytes of blobs written to the destination.
    pub pushed_bytes: u64,
    /// Blobs that the destination had already, or took from another repository of its own.
    pub reused_blobs: u64,
}

impl std::ops::AddAssign for Transfer {
    fn add_assign(&mut self, other: Transfer) {
        self.fetched_bytes = self.fetched_bytes.saturating_add(other.fetched_bytes);
        self.pushed_bytes = self.pushed_bytes.saturating_add(other.pushed_bytes);
        self.reused_blobs = self.reused_blobs.saturating_add(other.reused_blobs);
    }
}

/// Totals of a report.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ReportTotals {
    /// Images that were copied.
    pub copied: usize,
    /// Images that were as they should be.
    pub unchanged: usize,
    /// Repositories made or changed as wanted.
    #[serde(default)]
    pub repositories: usize,
    /// Images among them whose signatures were looked for.
    pub refreshed: usize,
    /// Images that failed, at look-up or while copying, and repositories that are not as wanted.
    pub failed: usize,
    /// Images that wait for a limit on pulls.
    pub deferred: usize,
    /// Images whose destination has moved since the plan was made.
    #[serde(default)]
    pub stale: usize,
    /// Images and repositories that were not reached.
    pub cancelled: usize,
    /// Wants that cannot be.
    pub conflicts: usize,
    /// Images among those that are there whose signatures could not be looked for.
    #[serde(default)]
    pub signatures_unknown: usize,
    /// Images among those that are there without some of their signatures.
    #[serde(default)]
    pub signatures_missing: usize,
    /// What was moved for all of them.
    pub transfer: Transfer,
    /// Wall-clock time in milliseconds.
    pub milliseconds: u64,
}

impl Report {
    /// Sums up what became of `plan`.
    pub fn new(
        plan: &Plan,
        repositories: Vec<RepositoryOutcome>,
        outcomes: Vec<Outcome>,
    ) -> Report {
        let (conflicts, failures) = (plan.conflicts.clone(), plan.failures.clone());
        let looked_at: BTreeSet<&Want> = outcomes.iter().map(|outcome| &outcome.want).collect();
        let unchanged = plan.unchanged.iter().filter(|item| !looked_at.contains(&item.want));
        let unchanged = unchanged.cloned().collect();
        let lists =
            Report { outcomes, unchanged, repositories, conflicts, failures, ..Report::default() };
        Report::of_lists(lists, plan.unchanged.len())
    }

    /// Sums up lists, where so many images were as they should be.
    pub(crate) fn of_lists(lists: Report, unchanged: usize) -> Report {
        let mut report = Report { format_version: 1, ..lists };
        report.totals = report.tally(unchanged, 0);
        report
    }

    /// What the lists add up to; how many images were as they should be is in none of them.
    fn tally(&self, unchanged: usize, milliseconds: u64) -> ReportTotals {
        let unreached = self.repositories.iter().filter(|outcome| outcome.cancelled).count();
        let broken =
            self.repositories.iter().filter(|outcome| !outcome.problems.is_empty()).count();
        let deferred = self.failures.iter().filter(|failed| failed.failure.is_deferred()).count();
        let count = |wanted: fn(&Status) -> bool| {
            self.outcomes.iter().filter(|outcome| wanted(&outcome.status)).count()
        };
        let warned = |kind| {
            let outcomes = self.outcomes.iter();
            outcomes.filter(|outcome| outcome.warned(kind).next().is_some()).count()
        };
        let mut transfer = Transfer::default();
        self.outcomes.iter().for_each(|outcome| transfer += outcome.transfer);
        ReportTotals {
            copied: count(|status| *status == Status::Done),
            unchanged,
            refreshed: count(|status| *status == Status::Refreshed),
            repositories: self.repositories.len() - broken - unreached,
            failed: self.failures.len() - deferred
                + broken
                + count(
                    |status| matches!(status, Status::Failed { failure } if !failure.is_deferred()),
                ),
            deferred: deferred
                + count(
                    |status| matches!(status, Status::Failed { failure } if failure.is_deferred()),
                ),
            stale: count(|status| matches!(status, Status::Stale { .. })),
            cancelled: self.unreached.len()
                + unreached
                + count(|status| *status == Status::Cancelled),
            conflicts: self.conflicts.len(),
            signatures_unknown: warned(WarningKind::SignaturesUnknown),
            signatures_missing: warned(WarningKind::SignatureMissing),
            transfer,
            milliseconds,
        }
    }

    /// How the run ended.
    pub fn ending(&self) -> Ending {
        let totals = &self.totals;
        Ending::first([
            (self.interrupted || totals.cancelled > 0, Ending::Interrupted),
            (totals.failed > 0, Ending::Failed),
            (totals.stale > 0, Ending::Stale),
            (totals.conflicts > 0, Ending::Conflict),
            (totals.deferred > 0, Ending::Deferred),
        ])
    }

    /// Puts reports of parts of one tree together. Time is that of the longest, since they ran side by side.
    pub fn merge(reports: impl IntoIterator<Item = Report>) -> Report {
        let mut merged = Report { format_version: 1, ..Report::default() };
        for report in reports {
            let Report { outcomes, repositories, conflicts, failures, totals, .. } = report;
            merged.unchanged.extend(report.unchanged);
            merged.unreached.extend(report.unreached);
            merged.authenticated_sources.extend(report.authenticated_sources);
            merged.interrupted |= report.interrupted;
            merged.outcomes.extend(outcomes);
            merged.repositories.extend(repositories);
            merged.conflicts.extend(conflicts);
            merged.failures.extend(failures);
            let sum = &mut merged.totals;
            sum.unchanged = sum.unchanged.saturating_add(totals.unchanged);
            sum.milliseconds = sum.milliseconds.max(totals.milliseconds);
        }
        merged.totals = merged.tally(merged.totals.unchanged, merged.totals.milliseconds);
        merged.outcomes.sort_by(|a, b| {
            let key = |outcome: &Outcome| {
                (outcome.want.file.clone(), outcome.want.target.destination.clone())
            };
            key(a).cmp(&key(b))
        });
        let key = |want: &Want| (want.file.clone(), want.target.destination.clone());
        merged.unchanged.sort_by_cached_key(|item| key(&item.want));
        merged.unreached.sort_by_cached_key(|want| key(want));
        merged.repositories.sort_by(|a, b| a.at.cmp(&b.at));
        merged.authenticated_sources.sort_unstable();
        merged.authenticated_sources.dedup();
        merged
    }

    /// Goes on with what a later pass did about `again`, which waited for a limit.
    #[must_use]
    pub fn continued(mut self, again: &BTreeSet<Want>, mut later: Report) -> Report {
        let earlier = self.outcomes.extract_if(.., |outcome| again.contains(&outcome.want));
        let moved: BTreeMap<Want, Transfer> =
            earlier.map(|outcome| (outcome.want, outcome.transfer)).collect();
        for outcome in &mut later.outcomes {
            // What was moved for it then was moved.
            outcome.transfer += moved.get(&outcome.want).copied().unwrap_or_default();
        }
        self.failures.retain(|failed| !again.contains(&failed.want));
        // What could not be done to a repository was tried again.
        let retried: Vec<_> = later.repositories.iter().map(|outcome| &outcome.at).collect();
        self.repositories.retain(|outcome| !retried.contains(&&outcome.at));
        Report::merge([self, later])
    }
}
