//! Bringing what belongs to an image to its target: referrers and signatures.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};

use mirror_failure::{Cause, Side};
use mirror_oci::{Digest, RawManifest, Tag};
use mirror_registry::{Listed, Recall, Referrer};
use serde_json::{Map, Value};

use crate::copier::Copier;
use crate::error::CopyError;
use crate::job::{Attached, Copied, CopyJob, ReferrerPolicy, ReferrerProblem, ReferrerWarning};
use crate::referrers::find::{self, FoundReferrers, Link, ReferrerGraph};
use crate::referrers::listing;
use crate::store::{Store, Under};

/// A referrer whose blobs are wanted, until this is dropped.
pub(crate) struct Claimed<'a> {
    copier: &'a Copier,
    referrer: ReferrerGraph,
    arrived: AtomicBool,
}

impl Drop for Claimed<'_> {
    fn drop(&mut self) {
        self.copier.settle(&self.referrer.graph, self.arrived.load(Ordering::Relaxed));
    }
}

/// What a destination has under the tag of a signature.
enum Present {
    Nothing,
    /// The destination has this very manifest.
    Same,
    /// One that signs less than ours: nothing is lost when ours takes its place.
    Less,
    /// The destination has another one, which stays.
    Other,
}

impl Copier {
    /// Looks for what belongs to the image, where it comes from.
    pub(crate) async fn find_referrers(
        &self,
        job: &CopyJob,
    ) -> Result<(Vec<Claimed<'_>>, Vec<ReferrerWarning>), CopyError> {
        if job.referrers == ReferrerPolicy::Leave {
            return Ok((Vec::new(), Vec::new()));
        }
        let FoundReferrers { referrers, unasked, unread } =
            find::find(&job.origin, &job.graph, recall(job)).await;
        let hold = |referrer: ReferrerGraph| {
            for blob in &referrer.graph.blobs {
                self.downloads.expect(&blob.digest);
            }
            Claimed { copier: self, referrer, arrived: AtomicBool::new(false) }
        };
        let held: Vec<Claimed<'_>> = referrers.into_iter().map(hold).collect();
        for problem in unasked.iter().chain(&unread) {
            tolerated(job, problem)?;
        }
        let mut warnings = Vec::new();
        // They mostly fail all for one reason.
        if let Some((first, rest)) = unasked.split_first() {
            let more = match rest.len() {
                0 => String::new(),
                1 => "; and 1 more look-up".to_owned(),
                more => format!("; and {more} more look-ups"),
            };
            let message = format!("{}: {first}{more}", first.side());
            warnings.push(ReferrerWarning { kind: ReferrerProblem::Unknown, message, again: true });
        }
        warnings.extend(unread.iter().map(missing));
        Ok((held, warnings))
    }

    /// Brings what was found, and lists it where the destination has no list of its own.
    pub(crate) async fn attach(
        &self,
        job: &CopyJob,
        found: &[Claimed<'_>],
        copied: &mut Copied,
    ) -> Result<(), CopyError> {
        let (mut arrived, mut attached) = (Vec::new(), BTreeSet::new());
        for held in found {
            let one = self.referrer(job, &held.referrer).await;
            held.arrived.store(one.is_ok(), Ordering::Relaxed);
            match one {
                Ok(true) => {
                    arrived.push(&held.referrer);
                    attached.extend(as_attached(&held.referrer));
                }
                Ok(false) => {
                    if let Link::Tag(tag) = &held.referrer.link {
                        let (kind, message) = (ReferrerProblem::Kept, tag.to_string());
                        copied.warnings.push(ReferrerWarning { kind, message, again: false });
                    }
                }
                Err(problem) => copied.warnings.push(tolerated(job, &problem)?),
            }
        }
        if let Err(problem) = self.list(job, &arrived).await {
            copied.warnings.push(tolerated(job, &problem)?);
        }
        copied.attached = (job.referrers != ReferrerPolicy::Leave).then_some(attached);
        Ok(())
    }

    /// Blobs and manifests of something that belongs to an image; whether it is there now, and the destination does not
    /// keep another one.
    async fn referrer(&self, job: &CopyJob, referrer: &ReferrerGraph) -> Result<bool, CopyError> {
        let mut under = Under::Digest;
        if let Link::Tag(tag) = &referrer.link
            && let Some(root) = referrer.graph.root()
        {
            let Some(there) = job.graph.root() else { return Ok(false) };
            match present(&job.target.store, tag, root, there.digest()).await? {
                Present::Nothing | Present::Less => under = Under::Name(Some(tag)),
                Present::Same => return Ok(true),
                Present::Other => return Ok(false),
            }
        }
        self.blobs(job, &referrer.graph).await?;
        self.push_graph(job, &referrer.graph, under).await?;
        Ok(true)
    }

    /// Where the destination has no list of referrers, those that arrived are listed under a tag.
    async fn list(&self, job: &CopyJob, arrived: &[&ReferrerGraph]) -> Result<(), CopyError> {
        let mut by_subject: BTreeMap<&Digest, Vec<&Referrer>> = BTreeMap::new();
        for referrer in arrived {
            if let Link::Subject(subject, referrer) = &referrer.link {
                by_subject.entry(subject).or_default().push(referrer);
            }
        }
        for (subject, referrers) in by_subject {
            // Several images may share a manifest: one list is written at a time.
            let (at, repository) = job.target.store.key();
            let list = self.mounts.list(&at, &repository, subject);
            let _alone = list.lock().await;
            list_at(&job.target.store, subject, &referrers, recall(job)).await?;
        }
        Ok(())
    }
}

fn as_attached(referrer: &ReferrerGraph) -> Option<Attached> {
    let tag = match &referrer.link {
        Link::Tag(tag) => Some(tag.clone()),
        Link::Subject(..) => None,
    };
    Some(Attached { tag, digest: referrer.graph.root()?.digest().clone() })
}

/// Where signatures are a must, no earlier answer is good enough.
fn recall(job: &CopyJob) -> Recall {
    if job.referrers == ReferrerPolicy::Require { Recall::Ignored } else { Recall::Trusted }
}

async fn list_at(
    store: &Store,
    subject: &Digest,
    referrers: &[&Referrer],
    recall: Recall,
) -> Result<(), CopyError> {
    // Where that is known it may refuse to say so of some manifests.
    if store.lists_referrers() {
        return Ok(());
    }
    let listed = store.referrers(subject, recall).await?;
    // An API that doesn't list what was pushed leads nobody to it; a list under the tag does.
    let has = |listed: &Listed, one: &&Referrer| {
        listed.more || listed.referrers.iter().any(|listed| listed.digest == one.digest)
    };
    match listed {
        Some(listed) if referrers.iter().all(|one| has(&listed, one)) => Ok(()),
        _ => listing::add(store, subject, referrers).await,
    }
}

/// What the destination has under the tag of a signature: the company may sign there what it mirrors.
///
/// `there` is a manifest that the destination has by now.
async fn present(
    store: &Store,
    tag: &Tag,
    ours: &RawManifest,
    there: &Digest,
) -> Result<Present, CopyError> {
    let looking = format!("looking for {tag}");
    let theirs = match store.digest_of_tag(tag, there, &looking).await? {
        None => None,
        Some(found) if found == *ours.digest() => return Ok(Present::Same),
        Some(_) => store.tagged(tag, there, &looking).await?,
    };
    Ok(match theirs {
        None => Present::Nothing,
        Some(theirs) if theirs.bytes() == ours.bytes() => Present::Same,
        Some(theirs) if signs_less(&theirs, ours) => Present::Less,
        Some(_) => Present::Other,
    })
}

/// Whether all that one signature manifest holds is in another one too: cosign adds a layer for each signature.
fn signs_less(theirs: &RawManifest, ours: &RawManifest) -> bool {
    let layers = |manifest: &RawManifest| -> Option<Vec<Value>> {
        let mut document: Map<String, Value> = serde_json::from_slice(manifest.bytes()).ok()?;
        match document.remove("layers") {
            Some(Value::Array(layers)) if !layers.is_empty() => Some(layers),
            _ => None,
        }
    };
    let (Some(theirs), Some(ours)) = (layers(theirs), layers(ours)) else { return false };
    theirs.iter().all(|layer| ours.contains(layer))
}

/// What went wrong with a referrer is a warning, unless they are required. An image whose signatures wait for a limit on
/// pulls waits with them.
fn tolerated(job: &CopyJob, problem: &CopyError) -> Result<ReferrerWarning, CopyError> {
    if job.referrers == ReferrerPolicy::Require || problem.cause().kind().is_deferred() {
        return Err(problem.clone());
    }
    Ok(missing(problem))
}

fn missing(problem: &CopyError) -> ReferrerWarning {
    // What a source could not give now it may give later; what a destination refuses it refuses for good.
    let again = problem.side() == Side::Source && matches!(problem.cause(), Cause::Request(_));
    let message = format!("{}: {problem}", problem.side());
    ReferrerWarning { kind: ReferrerProblem::Missing, message, again }
}
