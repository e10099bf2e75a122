//! Comparing what is wanted with what is there: a draft, whose questions make it a plan.

use std::collections::{BTreeMap, BTreeSet};

use mirror_failure::{Failure, Side};
use mirror_oci::{Digest, Platforms, Repository};

use crate::config::Location;
use crate::plan::model::{Action, Change, Conflict, Copy, LookupFailure, Note, Plan, Unchanged};
use crate::plan::observed::{Observed, Presence};
use crate::plan::questions::{Answers, Closer, Depth, Questions, Replaced, ReviewNotes};
use crate::provider::Provider;
use crate::want::model::{Collision, Postponed, Want, Wants};
use crate::want::resource::RepositoryWant;

/// What differs, before its details are known. Each want is decided in one way.
///
/// ```
/// use mirror_oci::{Algorithm, Digest};
/// use mirror_plan::plan::{Answers, Closer, Depth, Draft, Observed, ReviewNotes};
/// # use mirror_plan::want::{Want, Wants};
/// # let want: Want = serde_json::from_value(serde_json::json!({
/// #     "file": "docker.io/library/redis/Dockerfile", "source": "docker.io/library/redis:7.2",
/// #     "source_registry": "docker.io", "destination": "prod", "location": {"registry": "registry.example.com"},
/// #     "repository": "docker.io/library/redis", "tag": "7.2",
/// # }))?;
/// # let wants = Wants { wants: vec![want.clone()], ..Wants::default() };
///
/// let digest = Digest::of(Algorithm::Sha256, b"a manifest");
/// let mut observed = Observed::default();
/// observed.sources.insert(want.source.clone(), Ok(digest.clone()));
/// observed.targets.insert(want.target.clone(), Ok(mirror_plan::plan::Presence::There(digest.clone())));
/// let mut draft = Draft::new(&wants, observed);
/// assert_eq!(draft.fulfilled().count(), 1);
/// assert!(draft.questions(Depth::Manifests, ReviewNotes::Ask).manifests.is_empty());
///
/// // A closer look shows that a layer is missing, so that there is something to do.
/// let missing = vec![Digest::of(Algorithm::Sha256, b"a layer")];
/// let incomplete = [(want.target.clone(), Ok(missing))].into();
/// draft.look_closer(Closer { incomplete, ..Closer::default() });
/// let plan = draft.settle(&Answers::default());
/// assert_eq!((plan.totals.unchanged, plan.totals.complete), (0, 1));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Draft<'a> {
    pub(crate) wants: &'a Wants,
    pub(crate) observed: Observed,
    owed: BTreeSet<&'a Want>,
    decided: Vec<(&'a Want, Decision)>,
}

/// What is to become of one want.
#[derive(Debug, Clone)]
enum Decision {
    Copy(Digest, Change),
    Unchanged(Digest),
    /// It can't be, as its repository is or will be.
    Blocked(String),
    /// Nobody knows, and what the destination serves meanwhile.
    Unknown(Failure, Option<Digest>),
}

impl<'a> Draft<'a> {
    /// Compares what is wanted with what is there.
    pub fn new(wants: &'a Wants, observed: Observed) -> Draft<'a> {
        let kept: BTreeMap<(&str, &Repository), &RepositoryWant> = wants
            .repositories
            .iter()
            .map(|want| ((want.at.destination.as_str(), &want.at.repository), want))
            .collect();
        let decide = |want: &'a Want| {
            let target = &want.target;
            let repository = kept.get(&(target.destination.as_str(), &target.repository)).copied();
            (want, decide(want, repository, &observed))
        };
        let decided = wants.wants.iter().map(decide).collect();
        Draft { wants, observed, owed: BTreeSet::new(), decided }
    }

    /// Wants that are fulfilled, and the digest that source and destination have.
    pub fn fulfilled(&self) -> impl Iterator<Item = (&'a Want, &Digest)> {
        self.decided.iter().filter_map(|(want, decision)| match decision {
            Decision::Unchanged(digest) => Some((*want, digest)),
            _ => None,
        })
    }

    /// Takes what a closer look at those has shown.
    pub fn look_closer(&mut self, closer: Closer) {
        let Closer { mut incomplete, owed } = closer;
        for (want, decision) in &mut self.decided {
            let Decision::Unchanged(digest) = decision else { continue };
            match incomplete.remove(&want.target) {
                Some(Ok(missing)) => {
                    *decision = Decision::Copy(digest.clone(), Change::Complete { missing });
                }
                // Not to know whether it is whole is not to know.
                Some(Err(failure)) => *decision = Decision::Unknown(failure, None),
                None => drop(owed.contains(&want.target).then(|| self.owed.insert(want))),
            }
        }
    }

    /// What is to be found out before this is a plan.
    pub fn questions(&self, depth: Depth, review_notes: ReviewNotes) -> Questions<'_> {
        let mut questions = Questions::default();
        for (want, decision) in &self.decided {
            let (source, target) = (&want.source, &want.target);
            let (digest, change) = match decision {
                Decision::Copy(digest, change) => (digest, Some(change)),
                Decision::Unchanged(digest) => (digest, None),
                Decision::Blocked(_) | Decision::Unknown(..) => continue,
            };
            let owed = || depth == Depth::All || self.owed.contains(want);
            if depth != Depth::Digests && (change.is_some() || owed()) {
                questions.manifests.insert(source, digest);
            }
            if review_notes == ReviewNotes::Skip {
                continue;
            }
            let whole = source.platforms == Platforms::All;
            if change.is_some() && whole && source.version.digest().is_some() {
                questions.tags.insert(source);
            }
            if depth != Depth::Digests
                && let Some(before) = self.replaced(want, digest, change)
            {
                let there = change.is_none().then_some(digest);
                questions.replaced.push(Replaced { source, target, before, there });
            }
        }
        if review_notes == ReviewNotes::Ask {
            questions.gone = self.expiring();
        }
        questions
    }

    /// The digest of the image that one takes the place of, as far as it is known.
    fn replaced(&self, want: &Want, now: &Digest, change: Option<&Change>) -> Option<Digest> {
        match change {
            Some(Change::Update { from }) => Some(from.clone()),
            Some(Change::Complete { .. } | Change::Replace { .. }) => None,
            // The digest that the tree named before, if it is another one.
            Some(Change::Create) | None => {
                let (_, digest) = self.wants.previous.get(&want.file)?.split_once('@')?;
                digest.parse().ok().filter(|digest| digest != now)
            }
        }
    }

    /// The plan, with what was found out.
    pub fn settle(self, answers: &Answers) -> Plan {
        let mut plan = Plan { format_version: 1, ..Plan::default() };
        plan.add_repositories(self.wants, &self.observed, answers);
        for (want, decision) in &self.decided {
            match decision.clone() {
                Decision::Copy(digest, change) => {
                    self.copy(want, digest, change, answers, &mut plan);
                }
                Decision::Unchanged(digest) => {
                    let signatures_owed = self.owed.contains(want);
                    let want = (*want).clone();
                    plan.unchanged.push(Unchanged { want, digest, signatures_owed });
                }
                Decision::Blocked(reason) => plan.conflicts.push(conflict(want, reason)),
                Decision::Unknown(failure, serves) => self.fail(want, failure, serves, &mut plan),
            }
        }
        plan.conflicts.extend(self.wants.collisions.iter().map(Conflict::from));
        plan.unwanted.clone_from(&self.wants.unwanted);
        plan.postponed.extend(self.wants.postponed.iter().cloned());
        let strangers = self.observed.strangers.iter().cloned();
        plan.notes.extend(strangers.map(|registry| Note::AskedAsStranger { registry }));
        plan.notes.extend(notes(&self.wants.wants, answers));
        plan.add_alerts(self.wants, answers);
        plan.pulls = plan.count_pulls(answers);
        plan.totals = plan.count(answers);
        plan
    }

    fn copy(
        &self,
        want: &Want,
        digest: Digest,
        change: Change,
        answers: &Answers,
        plan: &mut Plan,
    ) {
        let image = match answers.images.get(&want.source) {
            Some(Err(failure)) => {
                // What lacks parts is not served.
                let serves = match change {
                    Change::Update { from } => Some(from),
                    Change::Create | Change::Replace { .. } | Change::Complete { .. } => None,
                };
                return self.fail(want, failure.clone(), serves, plan);
            }
            Some(Ok(image)) if image.is_sparse && refuses_sparse_indexes(want) => {
                return plan.conflicts.push(conflict(want, SPARSE.to_owned()));
            }
            Some(Ok(image)) => Some(image),
            None => None,
        };
        plan.actions.push(Action::Copy(Box::new(Copy {
            want: want.clone(),
            digest,
            change,
            platforms: image.map(|image| image.platforms.clone()).unwrap_or_default(),
            bytes: image.map(|image| {
                image.blobs.values().fold(0, |sum: u64, size| sum.saturating_add(*size))
            }),
            manifests: image.map(|image| image.manifests.len() as u64),
            previous: self.wants.previous.get(&want.file).cloned(),
            upstream: image.and_then(|image| image.upstream.clone()),
            holder: answers.holder.get(&want.source).cloned(),
        })));
    }

    /// What a stranger is not told may be told to us after the merge.
    fn fail(&self, want: &Want, failure: Failure, serves: Option<Digest>, plan: &mut Plan) {
        let want = want.clone();
        let registry = &want.source.name.registry;
        if failure.side == Side::Source && self.observed.strangers.contains(registry) {
            let message = failure.message;
            let reason = format!("the registry {registry}, asked without credentials: {message}");
            return plan.postponed.push(Postponed { want, reason });
        }
        plan.failures.push(LookupFailure { want, failure, serves });
    }
}

const SPARSE: &str = "only some platforms of the image are wanted, and this registry takes no index without the others; \
                      mirror all of them, or a single one";

fn refuses_sparse_indexes(want: &Want) -> bool {
    match &want.target.location {
        Location::Registry(registry) => Provider::of(registry).refuses_sparse_indexes(),
        Location::Layout(_) => false,
    }
}

fn conflict(want: &Want, reason: String) -> Conflict {
    Conflict {
        files: vec![want.file.clone()],
        destination: want.target.destination.clone(),
        target: want.target.shown(),
        reason,
    }
}

/// What is to become of a want, as far as digests tell.
fn decide(want: &Want, kept: Option<&RepositoryWant>, observed: &Observed) -> Decision {
    // What nobody has asked is unknown, and never absent.
    let unasked = |side| Failure::other(side, "it was not looked at; please report this");
    let found = observed.targets.get(&want.target).cloned();
    let found = found.unwrap_or_else(|| Err(unasked(Side::Destination)));
    let wanted = observed.sources.get(&want.source).cloned();
    let wanted = wanted.unwrap_or_else(|| Err(unasked(Side::Source)));
    let (wanted, found) = match (wanted, found) {
        (Ok(wanted), Ok(found)) => (wanted, found),
        (Err(failure), found) => {
            let serves = found.ok().and_then(|found| found.digest().cloned());
            return Decision::Unknown(failure, serves);
        }
        (_, Err(failure)) => return Decision::Unknown(failure, None),
    };
    if found.digest() == Some(&wanted) {
        return Decision::Unchanged(wanted);
    }
    if let Some(reason) = kept.and_then(|kept| blocked(want, kept, found.digest(), observed)) {
        return Decision::Blocked(reason);
    }
    let change = match found {
        Presence::Absent => Change::Create,
        Presence::There(from) => Change::Update { from },
        Presence::Unreadable(reason) => Change::Replace { reason },
    };
    Decision::Copy(wanted, change)
}

/// Why an image can't go to its repository as that is, or will be.
fn blocked(
    want: &Want,
    kept: &RepositoryWant,
    found: Option<&Digest>,
    observed: &Observed,
) -> Option<String> {
    match observed.repositories.get(&kept.at)?.as_ref().ok()? {
        None => (!kept.create)
            .then(|| "the repository does not exist, and `create` is false for it".to_owned()),
        Some(state) => {
            let (tag, found) = (want.target.tag.as_ref()?, found?);
            let mut settings = state.settings.clone();
            settings.extend(kept.settings.clone());
            kept.provider().keeps_tag(&settings, tag).then(|| {
                format!(
                    "the tag is immutable there and is another image, {}; delete it there, or mirror another tag",
                    found.short()
                )
            })
        }
    }
}

impl From<&Collision> for Conflict {
    fn from(collision: &Collision) -> Conflict {
        let Collision { files, destination, target, reason } = collision.clone();
        Conflict { files, destination, target, reason }
    }
}

/// Several destinations share one source; it is noted once.
fn notes(wants: &[Want], answers: &Answers) -> Vec<Note> {
    let mut seen = BTreeSet::new();
    let mut notes = Vec::new();
    for want in wants {
        let Some(upstream) = answers.tags.get(&want.source) else { continue };
        let single = matches!(want.source.platforms, Platforms::One(_));
        if single || want.source.version.digest() == Some(upstream) || !seen.insert(&want.file) {
            continue;
        }
        let source = format!("{}{}", want.source.name, want.source.version);
        notes.push(Note::TagMoved { file: want.file.clone(), source, upstream: upstream.clone() });
    }
    notes
}
