//! What a plan comes to for the copier, and what came of it for the report.

use std::collections::BTreeSet;
use std::sync::Arc;

use mirror_copy::{Attached, CopyJob, Found, Parts, ReferrerPolicy, ReferrerProblem, SpooledGraph};
use mirror_failure::{Cause, Failure, Side, printable};
use mirror_oci::{Digest, Platforms};
use mirror_plan::config::{Location, Referrers};
use mirror_plan::plan::{Change, Holder, Plan, Unchanged};
use mirror_plan::report::{Outcome, Status, Warning};
use mirror_plan::want::{Want, Wants};
use tokio::time::Instant;

use crate::address;
use crate::connections::Connections;
use crate::graphs::Graphs;
use crate::look::holders;
use crate::memory::Seen;
use crate::stop::Stop;
use crate::surroundings::Surroundings;

/// How to carry out a plan.
pub(crate) struct RunOptions<'a> {
    /// Where all of it happens.
    pub(crate) surroundings: &'a Surroundings,
    /// What to do about signatures and the like.
    pub(crate) referrers: Referrers,
    /// Whether to look for those of images that are there already.
    pub(crate) refresh: bool,
    /// Asks the run to stop.
    pub(crate) stop: &'a Stop,
    /// What is wanted: an image that its source does not give may be at another destination.
    pub(crate) wants: &'a Wants,
    /// When the destinations were looked at.
    pub(crate) looked: Instant,
}

/// Something to carry out.
pub(crate) struct Task<'a> {
    pub(crate) digest: &'a Digest,
    pub(crate) want: &'a Want,
    pub(crate) parts: Parts,
    /// Where it is taken from instead of its source.
    pub(crate) holder: Option<&'a Holder>,
    change: Option<&'a Change>,
    /// What its target has, as far as it was looked at.
    expected: Option<&'a Digest>,
}

/// How a task ended.
#[derive(Debug, Clone)]
pub(crate) struct TaskEnd {
    pub(crate) status: Status,
    pub(crate) warnings: Vec<mirror_copy::ReferrerWarning>,
    pub(crate) holder: Option<Holder>,
    /// What belongs to the image and is there, if it was looked for.
    pub(crate) attached: Option<BTreeSet<Attached>>,
}

impl TaskEnd {
    pub(crate) fn failed(failure: Failure) -> TaskEnd {
        let status = Status::Failed { failure };
        TaskEnd { status, warnings: Vec::new(), holder: None, attached: None }
    }

    fn is_there(&self) -> bool {
        matches!(self.status, Status::Done | Status::Refreshed)
    }
}

/// Everything that a plan asks for.
pub(crate) fn of<'a>(plan: &'a Plan, options: &RunOptions<'_>) -> Vec<Task<'a>> {
    let copies = plan.copies().map(|copy| Task {
        digest: &copy.digest,
        want: &copy.want,
        parts: Parts::Image,
        holder: copy.holder.as_ref(),
        change: Some(&copy.change),
        expected: copy.expected(),
    });
    let look = |item: &&Unchanged| options.refresh || item.signatures_owed;
    let unchanged = plan.unchanged.iter().filter(look).map(|item| Task {
        digest: &item.digest,
        want: &item.want,
        parts: Parts::Referrers,
        holder: None,
        change: None,
        expected: Some(&item.digest),
    });
    copies.chain(unchanged).collect()
}

impl Task<'_> {
    /// What its image consists of.
    pub(crate) fn graph(&self, graphs: &Graphs) -> Result<Arc<SpooledGraph>, Failure> {
        let missing = || Failure::other(Side::Source, "the plan holds no manifests");
        graphs.get(&self.want.source).cloned().unwrap_or_else(|| Err(missing()))
    }

    pub(crate) async fn job(
        &self,
        number: usize,
        graph: &SpooledGraph,
        connections: &Connections,
        options: &RunOptions<'_>,
    ) -> Result<CopyJob, Failure> {
        let Want { source, target, .. } = self.want;
        if graph.root() != Some(self.digest) {
            let why = format!("its manifests are not those of {}", self.digest);
            return Err(Failure::new(Side::Source, "", &Cause::Outdated(why)));
        }
        let to = address::target(target, connections)?;
        let referrers = self.referrers(options)?;
        let origin = match self.holder {
            Some(holder) => {
                holders::origin(holder, options.wants, connections).ok_or_else(|| {
                    let message = format!("{} no longer holds it", holder.destination);
                    Failure::other(Side::Source, message)
                })?
            }
            None => connections.origin(&source.name)?,
        };
        let missing = match self.change {
            Some(Change::Complete { missing }) => missing.iter().cloned().collect(),
            _ => BTreeSet::new(),
        };
        Ok(CopyJob {
            number,
            origin,
            graph: Arc::new(graph.load(&connections.room).await?),
            target: to,
            referrers,
            parts: self.parts,
            present: None,
            missing,
            expected: self.found(),
            looked: options.looked,
        })
    }

    /// What its tag named when it was looked at.
    fn found(&self) -> Found {
        match (self.change, self.expected) {
            (Some(Change::Replace { .. }), _) => Found::Unreadable,
            (_, Some(digest)) => Found::Digest(digest.clone()),
            (_, None) => Found::Nothing,
        }
    }

    /// What to do about its signatures; a failure, where they are required and nobody can be asked for them.
    fn referrers(&self, options: &RunOptions<'_>) -> Result<ReferrerPolicy, Failure> {
        let holder = self.holder;
        if let Some(unsigned) = holder
            .filter(|holder| !holder.failure.is_gone() && options.referrers == Referrers::Require)
        {
            let message =
                format!("its signatures can't be looked for: {}", unsigned.failure.message);
            return Err(unsigned.failure.clone().saying(&message));
        }
        Ok(referrers(options.referrers))
    }

    /// How it ended, for the report.
    pub(crate) fn outcome(&self, end: &TaskEnd) -> Outcome {
        let failed = matches!(end.status, Status::Failed { .. });
        Outcome {
            holder: end.holder.clone(),
            serves: self.expected.filter(|_| failed).cloned(),
            warnings: end.warnings.iter().map(warning).collect(),
            ..Outcome::of(self.want, self.digest, end.status.clone())
        }
    }
}

/// What the configuration says to do about signatures.
pub(crate) fn referrers(referrers: Referrers) -> ReferrerPolicy {
    match referrers {
        Referrers::Copy => ReferrerPolicy::Copy,
        Referrers::Require => ReferrerPolicy::Require,
        Referrers::Off => ReferrerPolicy::Leave,
    }
}

/// Keeps what the next run should know of those that are there.
pub(crate) fn remember(tasks: &[Task<'_>], ends: &[Option<TaskEnd>], connections: &Connections) {
    let seen = tasks.iter().zip(ends).filter_map(|(task, end)| {
        let end = end.as_ref().filter(|end| end.is_there())?;
        let Want { source, target, .. } = task.want;
        let copied = task.parts == Parts::Image && matches!(target.location, Location::Registry(_));
        Some(Seen {
            target,
            digest: task.digest,
            owes_signatures: end.warnings.iter().any(|warning| warning.again),
            attached: end.attached.as_ref(),
            is_sparse: copied.then_some(matches!(source.platforms, Platforms::Some(_))),
        })
    });
    connections.memory().keep(&seen.collect::<Vec<_>>());
}

fn warning(warning: &mirror_copy::ReferrerWarning) -> Warning {
    let mirror_copy::ReferrerWarning { kind, message, .. } = warning;
    let kind = match kind {
        ReferrerProblem::Unknown => mirror_plan::report::WarningKind::SignaturesUnknown,
        ReferrerProblem::Missing => mirror_plan::report::WarningKind::SignatureMissing,
        ReferrerProblem::Kept => mirror_plan::report::WarningKind::SignatureKept,
    };
    Warning { kind, message: printable(message) }
}
