//! Referrers of an image: what signs, attests or describes it, and is found through its digests.
//!
//! Referrers come from the API or from the fallback tag `sha256-<hex>`
//! (<https://github.com/opencontainers/distribution-spec/blob/main/spec.md#referrers-tag-schema>); cosign before
//! version 3 uses the tags `sha256-<hex>.sig`, `.att` and `.sbom`
//! (<https://github.com/sigstore/cosign/blob/main/specs/SIGNATURE_SPEC.md#discovery>).

use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::{StreamExt, stream};
use mirror_failure::{Cause, Side};
use mirror_oci::caps::{MAX_IMAGE_REFERRERS, MAX_REFERRERS};
use mirror_oci::{Digest, RawManifest, Tag, media_type};
use mirror_registry::{Listed, Recall, Referrer};

use crate::error::CopyError;
use crate::graph::Graph;
use crate::graph::links::links;
use crate::store::origin::Origin;

const COSIGN: [&str; 3] = ["sig", "att", "sbom"];
const AT_ONCE: usize = 4;

/// Something that belongs to an image.
#[derive(Debug, Clone)]
pub(crate) struct ReferrerGraph {
    /// What it consists of.
    pub(crate) graph: Graph,
    /// How it is found.
    pub(crate) link: Link,
}

#[derive(Debug, Clone)]
pub(crate) enum Link {
    /// It is found under this tag.
    Tag(Tag),
    /// In the list of referrers of this manifest, as this entry.
    Subject(Digest, Referrer),
}

/// Referrers of an image, and what kept us from having more.
#[derive(Debug, Default)]
pub(crate) struct FoundReferrers {
    /// Referrers come before what is found by tag.
    pub(crate) referrers: Vec<ReferrerGraph>,
    /// Look-ups that failed: what they would have found is unknown.
    pub(crate) unasked: Vec<CopyError>,
    /// Referrers that are known and could not be read.
    pub(crate) unread: Vec<CopyError>,
}

impl FoundReferrers {
    fn add(&mut self, other: FoundReferrers) {
        self.referrers.extend(other.referrers);
        self.unasked.extend(other.unasked);
        self.unread.extend(other.unread);
    }
}

/// Finds the referrers of all manifests of an image. One that can't be had does not hide the others.
pub(crate) async fn find(origin: &Origin, graph: &Graph, recall: Recall) -> FoundReferrers {
    let subjects: Vec<Digest> =
        graph.manifests().map(|manifest| manifest.digest().clone()).collect();
    let left = AtomicUsize::new(MAX_IMAGE_REFERRERS);
    let found = stream::iter(subjects).map(|subject| of_manifest(origin, subject, recall, &left));
    let mut all = FoundReferrers::default();
    for found in found.buffered(AT_ONCE).collect::<Vec<FoundReferrers>>().await {
        all.add(found);
    }
    all.referrers.sort_by_key(|referrer| matches!(referrer.link, Link::Tag(_)));
    all
}

/// At most four look-ups: the list of referrers or the tag in its place, and cosign's three tags.
async fn of_manifest(
    origin: &Origin,
    subject: Digest,
    recall: Recall,
    left: &AtomicUsize,
) -> FoundReferrers {
    let mut found = FoundReferrers::default();
    match listed(origin, &subject, recall).await {
        Ok(Listed { mut referrers, more }) => {
            // Nobody has to list one once.
            referrers.sort_by(|a, b| a.digest.cmp(&b.digest));
            referrers.dedup_by(|a, b| a.digest == b.digest);
            let before = referrers.len();
            referrers.truncate(take(left, before));
            if more || referrers.len() < before {
                found.unread.push(too_many(&subject, referrers.len()));
            }
            let reads = stream::iter(referrers).map(|referrer| read(origin, &subject, referrer));
            for one in reads.buffered(AT_ONCE).collect::<Vec<_>>().await {
                match one {
                    Ok(referrer) => found.referrers.extend(referrer),
                    Err(problem) => found.unread.push(problem),
                }
            }
        }
        Err(problem) => found.unasked.push(problem),
    }
    for suffix in COSIGN {
        match tagged(origin, &subject, suffix).await {
            Ok(None) => {}
            Ok(Some(manifest)) => match Graph::below_referrer(origin, manifest).await {
                Ok(graph) => {
                    let link = Link::Tag(cosign_tag(&subject, suffix));
                    found.referrers.push(ReferrerGraph { link, graph });
                }
                Err(problem) => found.unread.push(problem),
            },
            Err(problem) => found.unasked.push(problem),
        }
    }
    found
}

/// Reads a referrer. What a list names and what doesn't name the subject itself is none: registries have listed the
/// platforms of an index like that (oras-project/oras-go#1396).
async fn read(
    origin: &Origin,
    subject: &Digest,
    referrer: Referrer,
) -> Result<Option<ReferrerGraph>, CopyError> {
    let graph = Graph::of_referrer(origin, &referrer.digest).await?;
    let names = match graph.root() {
        Some(root) => links(root)?.subject.is_some_and(|named| named.digest == *subject),
        None => false,
    };
    Ok(names.then(|| ReferrerGraph { link: Link::Subject(subject.clone(), referrer), graph }))
}

/// Takes as many as are left.
fn take(left: &AtomicUsize, wanted: usize) -> usize {
    let all = left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
        Some(left.saturating_sub(wanted))
    });
    all.map_or(0, |had| had.min(wanted))
}

fn too_many(subject: &Digest, taken: usize) -> CopyError {
    let why = format!(
        "only {taken} were taken, of more; at most {MAX_REFERRERS} are, and {MAX_IMAGE_REFERRERS} of an image"
    );
    let step = format!("reading what refers to {}", subject.short());
    CopyError::new(Side::Source, step, Cause::TooMuch(why))
}

/// Referrers by the API, or by the tag that stands for it where there is none.
async fn listed(origin: &Origin, subject: &Digest, recall: Recall) -> Result<Listed, CopyError> {
    let listed = origin.store.referrers(subject, recall).await;
    if let Some(listed) = listed.map_err(CopyError::of_source)? {
        return Ok(listed);
    }
    let index = tagged(origin, subject, "").await?;
    let list = index.as_ref().and_then(|index| as_list(index, subject));
    let listed = list.transpose().map_err(|why| {
        let step = format!("looking for signatures of {}", subject.short());
        CopyError::new(Side::Source, step, Cause::Other(why))
    })?;
    Ok(Listed::capped(listed.unwrap_or_default()))
}

/// The entries of what is under a fallback tag, if that is a list of referrers. GitLab takes `sha256-<hex>` for the
/// digest itself.
pub(crate) fn as_list(
    index: &RawManifest,
    subject: &Digest,
) -> Option<Result<Vec<Referrer>, String>> {
    let is_list = index.digest() != subject && index.media_type() == media_type::OCI_INDEX;
    is_list.then(|| Referrer::list(index.bytes()))
}

async fn tagged(
    origin: &Origin,
    subject: &Digest,
    suffix: &str,
) -> Result<Option<RawManifest>, CopyError> {
    let tag = cosign_tag(subject, suffix);
    let step = format!("looking for {tag}");
    // A HEAD is free where pulls are counted, and mostly there is nothing.
    let found = origin.store.digest_of_tag(&tag, subject, &step).await;
    let found = found.map_err(CopyError::of_source)?.filter(|found| found != subject);
    let Some(found) = found else { return Ok(None) };
    if let Some(known) = origin.cache.get(&found) {
        return Ok(Some(known));
    }
    let manifest = origin.store.tagged(&tag, subject, &step).await.map_err(CopyError::of_source)?;
    // Whoever waits for pulls comes by again, and would spend those on the same lists each time.
    manifest.iter().for_each(|manifest| origin.keep(manifest));
    Ok(manifest)
}

/// `sha256-<hex>`
pub(crate) fn fallback_tag(subject: &Digest) -> Tag {
    cosign_tag(subject, "")
}

/// `sha256-<hex>.sig`. A digest always makes a tag: its hex fits, and has no other characters.
fn cosign_tag(subject: &Digest, suffix: &str) -> Tag {
    let dot = if suffix.is_empty() { "" } else { "." };
    let hex = subject.hex().get(..64).unwrap_or_default();
    let text = format!("{}-{hex}{dot}{suffix}", subject.algorithm().name());
    text.parse().unwrap_or_else(|_| unreachable!("{text} is a tag"))
}
