//! Looking for holes in what a target holds: a tag does not prove that its children and blobs are there.

use std::collections::BTreeSet;
use std::io::Read;

use futures_util::{StreamExt, stream};
use mirror_oci::caps::MAX_MANIFESTS;
use mirror_oci::{Digest, RawManifest, Repository, Verifier};
use mirror_registry::{Host, ManifestRef, Pressure};

use crate::error::CopyError;
use crate::graph::Blob;
use crate::job::Target;
use crate::selection::{Selection, links, selected};

const AT_ONCE: usize = 8;

/// How closely to look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Check {
    /// Manifests are read, blobs are asked for.
    Existence,
    /// Blobs are read and hashed as well.
    Content,
}

/// Something that is not there, or not what it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hole {
    /// Which manifest or blob; none when it is the image as a whole.
    pub digest: Option<Digest>,
    /// What is wrong with it.
    pub problem: String,
}

/// Walks an image at its target. `expected` is the digest it must have, if the tree says so.
///
/// # Errors
/// When the target can't be asked. What it doesn't have is a hole, not an error.
pub async fn verify(
    target: &Target,
    expected: Option<&Digest>,
    selection: &Selection,
    check: Check,
) -> Result<Vec<Hole>, CopyError> {
    let whole = |problem: String| vec![Hole { digest: None, problem }];
    let Some(root) = root(target, expected).await? else {
        return Ok(whole("it is not there".to_owned()));
    };
    if let Some(expected) = expected.filter(|expected| **expected != root) {
        return Ok(whole(format!("it is {root}, the tree wants {expected}")));
    }
    let mut holes = Vec::new();
    let mut blobs: BTreeSet<(u64, Digest)> = BTreeSet::new();
    let mut seen = BTreeSet::from([root.clone()]);
    let mut open = vec![root];
    while let Some(digest) = open.pop() {
        if seen.len() > MAX_MANIFESTS {
            return Ok(whole(format!("it has over {MAX_MANIFESTS} manifests")));
        }
        let links = match manifest(target, &digest).await? {
            Ok(manifest) => manifest.links().map_err(|error| error.to_string()),
            Err(problem) => Err(problem),
        };
        match links {
            Ok(links) => {
                let wanted = links
                    .manifests
                    .iter()
                    .filter(|child| selected(selection, child.platform.as_ref()));
                open.extend(
                    wanted
                        .map(|child| child.digest.clone())
                        .filter(|digest| seen.insert(digest.clone())),
                );
                blobs.extend(links.blobs.into_iter().map(|blob| (blob.size, blob.digest)));
            }
            Err(problem) => {
                holes.push(Hole { digest: Some(digest), problem: format!("manifest {problem}") })
            }
        }
    }
    let looked =
        stream::iter(blobs).map(|(size, digest)| look(target, Blob { digest, size }, check));
    let looked: Vec<_> = looked.buffered(AT_ONCE).collect().await;
    for hole in looked {
        holes.extend(hole?);
    }
    Ok(holes)
}

/// Children of an index that a registry lacks, of those that are wanted: they may have been left out once.
///
/// # Errors
/// When the target can't be asked.
pub async fn missing_children(
    target: &Target,
    root: &Digest,
    selection: &Selection,
) -> Result<Vec<Digest>, CopyError> {
    let Target::Registry { host, repository, .. } = target else { return Ok(Vec::new()) };
    let links = match manifest(target, root).await? {
        Ok(manifest) => links(&manifest)?,
        Err(_) => return Ok(vec![root.clone()]),
    };
    let wanted = links.manifests.into_iter();
    let wanted = wanted.filter(|child| selected(selection, child.platform.as_ref()));
    let wanted: BTreeSet<Digest> = wanted.map(|child| child.digest).collect();
    let looks = stream::iter(wanted).map(|child| async move {
        let found = host.head_manifest(repository, ManifestRef::Digest(&child)).await;
        let step = || format!("looking up {repository}@{child}");
        let found = match found {
            Err(error) if error.may_mean_missing() => None,
            found => found.map_err(|error| CopyError::destination(step(), error))?,
        };
        Ok(found.is_none().then_some(child))
    });
    let found: Vec<Result<Option<Digest>, CopyError>> = looks.buffered(AT_ONCE).collect().await;
    found.into_iter().filter_map(Result::transpose).collect()
}

/// The digest under the tag, or the expected one where there is no tag.
async fn root(target: &Target, expected: Option<&Digest>) -> Result<Option<Digest>, CopyError> {
    match target {
        Target::Layout { layout, name, .. } => layout.digest_of(name),
        Target::Registry { host, repository, tag } => {
            let which = match (tag, expected) {
                (Some(tag), _) => ManifestRef::Tag(tag),
                (None, Some(digest)) => ManifestRef::Digest(digest),
                (None, None) => return Ok(None),
            };
            let found = host.head_manifest(repository, which).await;
            found.map_err(|error| {
                CopyError::destination(format!("looking up {repository}:{which}"), error)
            })
        }
    }
}

/// A manifest, or what is wrong with it.
async fn manifest(
    target: &Target,
    digest: &Digest,
) -> Result<Result<RawManifest, String>, CopyError> {
    match target {
        Target::Layout { layout, .. } => {
            let (layout, digest) = (layout.clone(), digest.clone());
            let read = move || layout.manifest(&digest, &layout.media_type_of(&digest));
            let read = tokio::task::spawn_blocking(read).await;
            Ok(read.unwrap_or_else(|error| Err(error.to_string())))
        }
        Target::Registry { host, repository, .. } => {
            match host.get_manifest(repository, ManifestRef::Digest(digest)).await {
                Ok(manifest) => Ok(Ok(manifest)),
                Err(error) if error.status() == Some(404) => Ok(Err("is missing".to_owned())),
                Err(error) if error.is_content() => Ok(Err(error.to_string())),
                Err(error) => Err(CopyError::destination(
                    format!("reading manifest {}", digest.short()),
                    error,
                )),
            }
        }
    }
}

async fn look(target: &Target, blob: Blob, check: Check) -> Result<Option<Hole>, CopyError> {
    let problem = match (target, check) {
        (Target::Layout { layout, .. }, Check::Existence) => {
            (!layout.has(&blob.digest, blob.size)).then(|| "is missing or cut off".to_owned())
        }
        (Target::Layout { layout, .. }, Check::Content) => {
            let (path, digest) = (layout.path(&blob.digest), blob.digest.clone());
            let hashed = tokio::task::spawn_blocking(move || hash_file(&path, &digest)).await;
            hashed.unwrap_or_else(|error| Err(error.to_string())).err()
        }
        (Target::Registry { host, repository, .. }, Check::Existence) => {
            let found = host.has_blob(repository, &blob.digest, blob.size).await;
            let found = found
                .map_err(|error| CopyError::destination(format!("asking for {blob}"), error))?;
            // Some registries serve what they deny to have, or tell another size of it.
            if found { None } else { read_through(host, repository, &blob).await? }
        }
        (Target::Registry { host, repository, .. }, Check::Content) => {
            read_through(host, repository, &blob).await?
        }
    };
    Ok(problem
        .map(|problem| Hole { problem: format!("{blob} {problem}"), digest: Some(blob.digest) }))
}

/// Reads and hashes a blob; says what is wrong with it.
async fn read_through(
    host: &Host,
    repository: &Repository,
    blob: &Blob,
) -> Result<Option<String>, CopyError> {
    let mut verifier = Verifier::new(&blob.digest);
    let nobody = Pressure::default();
    let mut reader = host.read_blob(repository, &blob.digest, blob.size, 0, &nobody);
    loop {
        match reader.chunk().await {
            Ok(Some(chunk)) => verifier.update(&chunk),
            Ok(None) => return Ok(verifier.finish().map_err(|error| error.to_string()).err()),
            Err(error) if error.status() == Some(404) => return Ok(Some("is missing".to_owned())),
            Err(error) if error.is_content() => return Ok(Some(error.to_string())),
            Err(error) => return Err(CopyError::destination(format!("reading {blob}"), error)),
        }
    }
}

fn hash_file(path: &std::path::Path, digest: &Digest) -> Result<(), String> {
    let wrong = |error: std::io::Error| format!("can't be read: {error}");
    let mut file = std::fs::File::open(path).map_err(wrong)?;
    let mut verifier = Verifier::new(digest);
    let mut buffer = vec![0; 256 << 10];
    loop {
        let read = file.read(&mut buffer).map_err(wrong)?;
        if read == 0 {
            return verifier.finish().map_err(|error| error.to_string());
        }
        verifier.update(buffer.get(..read).unwrap_or_default());
    }
}
