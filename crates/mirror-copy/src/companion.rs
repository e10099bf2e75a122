//! Companions of an image: what signs, attests or describes it, and is found through its digests.
//!
//! Referrers come from the API or from the fallback tag `sha256-<hex>`
//! (<https://github.com/opencontainers/distribution-spec/blob/main/spec.md#referrers-tag-schema>); cosign before
//! version 3 uses the tags `sha256-<hex>.sig`, `.att` and `.sbom`
//! (<https://github.com/sigstore/cosign/blob/main/specs/SIGNATURE_SPEC.md#discovery>).

use std::collections::BTreeMap;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use mirror_oci::{Digest, RawManifest, Repository, Tag, media_type};
use mirror_registry::{Host, ManifestRef, Referrer};
use serde_json::{Value, json};

use crate::error::{Cause, CopyError, Side};
use crate::graph::{Graph, Selection};
use crate::source::Source;

const COSIGN: [&str; 3] = ["sig", "att", "sbom"];
const AT_ONCE: usize = 4;

/// Something that belongs to an image.
#[derive(Debug, Clone)]
pub(crate) struct Companion {
    /// What it consists of.
    pub(crate) graph: Graph,
    /// How it is found.
    pub(crate) link: Link,
}

#[derive(Debug, Clone)]
pub(crate) enum Link {
    /// Under a tag.
    Tag(Tag),
    /// In the list of referrers of this manifest, as this entry.
    Subject(Digest, Referrer),
}

/// Companions of an image, and what kept us from finding more.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// Referrers come before what is found by tag.
    pub(crate) companions: Vec<Companion>,
    pub(crate) problems: Vec<CopyError>,
}

/// Finds the companions of all manifests of an image. One that can't be had does not hide the others.
pub(crate) async fn find(source: &Source, graph: &Graph) -> Found {
    let subjects: Vec<Digest> =
        graph.manifests().map(|manifest| manifest.digest().clone()).collect();
    let found =
        stream::iter(subjects).map(|subject| of_manifest(source, subject)).buffered(AT_ONCE);
    let mut all = Found::default();
    for found in found.collect::<Vec<Found>>().await {
        all.companions.extend(found.companions);
        all.problems.extend(found.problems);
    }
    all.companions.sort_by_key(|companion| matches!(companion.link, Link::Tag(_)));
    all
}

/// At most four look-ups: the list of referrers or the tag in its place, and cosign's three tags.
async fn of_manifest(source: &Source, subject: Digest) -> Found {
    let mut found = Found::default();
    let listed = match listed(source, &subject).await {
        Ok(listed) => listed,
        Err(problem) => {
            found.problems.push(problem);
            Vec::new()
        }
    };
    for referrer in listed {
        match Graph::read(source, &referrer.digest, &Selection::All).await {
            Ok(graph) => {
                let link = Link::Subject(subject.clone(), referrer);
                found.companions.push(Companion { link, graph });
            }
            Err(problem) => found.problems.push(problem),
        }
    }
    for suffix in COSIGN {
        let graph = async {
            match tagged(source, &subject, suffix).await? {
                Some(manifest) => Graph::below(source, manifest, &Selection::All).await.map(Some),
                None => Ok(None),
            }
        };
        match graph.await {
            Ok(graph) => {
                found.companions.extend(graph.map(|graph| Companion {
                    link: Link::Tag(cosign_tag(&subject, suffix)),
                    graph,
                }))
            }
            Err(problem) => found.problems.push(problem),
        }
    }
    found
}

/// Referrers by the API, or by the tag that stands for it where there is none.
async fn listed(source: &Source, subject: &Digest) -> Result<Vec<Referrer>, CopyError> {
    let origin = &source.origin;
    let step = || format!("looking for signatures of {}", subject.short());
    let listed = origin.host.referrers(&origin.repository, subject).await;
    if let Some(listed) = listed.map_err(|error| CopyError::source(step(), error))? {
        return Ok(listed);
    }
    let index = tagged(source, subject, "").await?;
    let listed = index.as_ref().map(|index| Referrer::list(index.bytes())).transpose();
    let listed = listed.map_err(|why| CopyError::new(Side::Source, step(), Cause::Other(why)))?;
    Ok(listed.unwrap_or_default())
}

async fn tagged(
    source: &Source,
    subject: &Digest,
    suffix: &str,
) -> Result<Option<RawManifest>, CopyError> {
    let tag = cosign_tag(subject, suffix);
    let origin = &source.origin;
    let failed = |error| CopyError::source(format!("looking for {tag}"), error);
    // A HEAD is free where pulls are counted, and mostly there is nothing.
    let which = ManifestRef::Tag(&tag);
    if origin.host.head_manifest(&origin.repository, which).await.map_err(failed)?.is_none() {
        return Ok(None);
    }
    origin.host.find_manifest(&origin.repository, which).await.map_err(failed)
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

/// Makes sure that referrers are found at a registry without a list of them: the fallback tag gets an index that has
/// what was there and what is new. This is the one document that `mirror` writes itself; no source has it.
pub(crate) async fn list_under_tag(
    host: &Host,
    repository: &Repository,
    subject: &Digest,
    referrers: &[&Referrer],
) -> Result<(), CopyError> {
    let step = || format!("listing referrers of {}", subject.short());
    let fail = |error| CopyError::destination(step(), error);
    let tag = fallback_tag(subject);
    let present = host.find_manifest(repository, ManifestRef::Tag(&tag)).await.map_err(fail)?;
    let present = present.map(|index| Referrer::list(index.bytes())).transpose();
    let present =
        present.map_err(|why| CopyError::new(Side::Destination, step(), Cause::Other(why)))?;
    let present = present.unwrap_or_default();
    let known = |referrer: &&&Referrer| present.iter().any(|other| other.digest == referrer.digest);
    if referrers.iter().filter(known).count() == referrers.len() {
        return Ok(());
    }
    let index = index(present.iter().chain(referrers.iter().copied()))?;
    host.put_manifest(repository, ManifestRef::Tag(&tag), &index).await.map_err(fail)
}

/// The index that stands for a list of referrers, each once.
pub(crate) fn index<'a>(
    referrers: impl Iterator<Item = &'a Referrer>,
) -> Result<RawManifest, CopyError> {
    let entries: BTreeMap<&str, Value> = referrers
        .map(|referrer| (referrer.digest.as_str(), Value::Object(referrer.descriptor.clone())))
        .collect();
    let manifests: Vec<Value> = entries.into_values().collect();
    let index =
        json!({ "schemaVersion": 2, "mediaType": media_type::OCI_INDEX, "manifests": manifests });
    RawManifest::digested(Bytes::from(index.to_string()), media_type::OCI_INDEX).map_err(|error| {
        CopyError::new(Side::Destination, "listing referrers", Cause::Manifest(error))
    })
}
