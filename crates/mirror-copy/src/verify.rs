//! Looking for defects in what a target holds: a tag does not prove that its children and blobs are there.

use std::collections::BTreeSet;

use futures_util::{StreamExt, stream};
use mirror_oci::caps::MAX_MANIFESTS;
use mirror_oci::{Digest, Platforms, Verifier};
use mirror_registry::{ManifestRef, Pressure, Remote};

use crate::blob::Blob;
use crate::error::CopyError;
use crate::graph::links::links;
use crate::job::{Attached, CopyTarget};
use crate::store::{ContentProblem, Store};

const AT_ONCE: usize = 8;

/// How closely to look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VerifyMode {
    /// Manifests are read, blobs are asked for.
    Existence,
    /// Blobs are read and hashed as well.
    Content,
}

/// Something that is not there, or not what it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Defect {
    /// Which manifest or blob; none when it is the image as a whole.
    pub digest: Option<Digest>,
    /// What is wrong with it.
    pub problem: String,
    /// Whether it isn't there, or not all of it.
    pub is_missing: bool,
}

impl Defect {
    fn of(digest: Option<Digest>, what: &str, problem: &ContentProblem) -> Defect {
        let ContentProblem { is_missing, text } = problem;
        let separator = if what.is_empty() { "" } else { " " };
        Defect { digest, problem: format!("{what}{separator}{text}"), is_missing: *is_missing }
    }
}

/// Walks an image at its target. `expected` is the digest it must have, if the tree says so; `attached` is what is
/// known to belong to the image with that digest.
///
/// # Errors
/// When the target can't be asked. What it doesn't have is a defect, not an error.
///
/// ```
/// use mirror_copy::{CopyTarget, Store, VerifyMode, verify};
/// use mirror_oci::Platforms;
///
/// # use std::sync::Arc;
/// # use mirror_registry::{Access, Credentials, Host, HostOptions, Remote, World};
/// # use mirror_testkit::{ImageBuilder, Registry};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let image = ImageBuilder::new("app").platforms(&["linux/amd64", "linux/arm64"]).layers(&[300]).build();
/// # let registry = Registry::start();
/// # registry.add("app", "1", &image);
/// # let (world, name) = (World::real(), registry.host().parse()?);
/// # let host = Host::new(&world, Arc::new(Credentials::default()), &name, &HostOptions::default())?;
/// # let remote = Remote::new(Arc::new(host), "app".parse()?, Access::Pull);
/// let target = CopyTarget { store: Store::Remote(remote), tag: Some("1".parse()?) };
/// let wanted = Some(image.digest());
/// assert_eq!(verify(&target, wanted, &Platforms::All, None, VerifyMode::Existence).await?, []);
///
/// registry.lose("app", &image.blobs[0].0);
/// let defects = verify(&target, wanted, &Platforms::All, None, VerifyMode::Existence).await?;
/// assert!(defects.iter().all(|defect| defect.is_missing));
/// assert_eq!(defects.len(), 1);
/// # Ok(())
/// # }
/// ```
pub async fn verify(
    target: &CopyTarget,
    expected: Option<&Digest>,
    platforms: &Platforms,
    attached: Option<(&Digest, &BTreeSet<Attached>)>,
    check: VerifyMode,
) -> Result<Vec<Defect>, CopyError> {
    let whole = |problem: &ContentProblem| vec![Defect::of(None, "", problem)];
    let Some(root) = target.store.resolve(target.tag.as_ref(), expected).await? else {
        return Ok(whole(&ContentProblem::missing("it is not there")));
    };
    let found = as_expected(&target.store, &root, expected).await?;
    if let Some(expected) = expected.filter(|expected| **expected != found) {
        let why = format!("it is {found}, the tree wants {expected}");
        return Ok(whole(&ContentProblem::wrong(why)));
    }
    let attached = attached.filter(|(image, _)| **image == root).map(|(_, attached)| attached);
    let (beside, mut defects) = look_beside(&target.store, &root, attached).await?;
    let mut blobs: BTreeSet<(u64, Digest)> = BTreeSet::new();
    let mut seen: BTreeSet<Digest> = beside.into_iter().chain([root]).collect();
    let mut open: Vec<Digest> = seen.iter().cloned().collect();
    while let Some(digest) = open.pop() {
        if seen.len() > MAX_MANIFESTS {
            let why = format!("it has over {MAX_MANIFESTS} manifests");
            return Ok(whole(&ContentProblem::wrong(why)));
        }
        let links = match target.store.manifest(&digest).await? {
            Ok(manifest) => manifest.links().map_err(ContentProblem::wrong),
            Err(problem) => Err(problem),
        };
        match links {
            Ok(links) => {
                let wanted = links
                    .manifests
                    .iter()
                    .filter(|child| platforms.include(child.platform.as_ref()));
                open.extend(
                    wanted
                        .map(|child| child.digest.clone())
                        .filter(|digest| seen.insert(digest.clone())),
                );
                blobs.extend(links.blobs.into_iter().map(|blob| (blob.size, blob.digest)));
            }
            Err(problem) => defects.push(Defect::of(Some(digest), "manifest", &problem)),
        }
    }
    let looks = stream::iter(blobs)
        .map(|(size, digest)| look(&target.store, Blob { digest, size, data: None }, check));
    let looked: Vec<_> = looks.buffered(AT_ONCE).collect().await;
    for defect in looked {
        defects.extend(defect?);
    }
    Ok(defects)
}

/// What belongs to an image and is there as it was, and what of it is gone.
async fn look_beside(
    store: &Store,
    image: &Digest,
    attached: Option<&BTreeSet<Attached>>,
) -> Result<(Vec<Digest>, Vec<Defect>), CopyError> {
    let (mut there, mut defects) = (Vec::new(), Vec::new());
    for referrer in attached.into_iter().flatten() {
        match named(store, referrer, image).await? {
            None => defects.push(gone(referrer)),
            Some(digest) if digest == referrer.digest => there.push(digest),
            Some(_) => {}
        }
    }
    Ok((there, defects))
}

/// What is found where a referrer or signature was. Under its tag there may be more by now, as others sign as well.
async fn named(
    store: &Store,
    referrer: &Attached,
    image: &Digest,
) -> Result<Option<Digest>, CopyError> {
    match &referrer.tag {
        Some(tag) => store.digest_of_tag(tag, image, &format!("looking for {tag}")).await,
        None => Ok(Some(referrer.digest.clone())),
    }
}

fn gone(referrer: &Attached) -> Defect {
    let what = referrer.tag.as_ref().map(ToString::to_string).unwrap_or_default();
    let problem = ContentProblem::missing("is missing");
    Defect::of(Some(referrer.digest.clone()), &format!("signature {what}"), &problem)
}

/// The digest of what is there, by the hash function of the one that is expected: registries tell sha256.
async fn as_expected(
    store: &Store,
    found: &Digest,
    expected: Option<&Digest>,
) -> Result<Digest, CopyError> {
    let other = expected.filter(|expected| expected.algorithm() != found.algorithm());
    let Some(expected) = other else { return Ok(found.clone()) };
    let manifest = store.manifest(found).await?;
    let computed = manifest.map(|it| Digest::of(expected.algorithm(), it.bytes()));
    Ok(computed.unwrap_or_else(|_| found.clone()))
}

/// Children of an index that a registry lacks, of those that are wanted: they may have been left out once.
///
/// # Errors
/// When the target can't be asked.
///
/// ```
/// use mirror_copy::{CopyTarget, Store, missing_children};
/// use mirror_oci::Platforms;
///
/// # use std::sync::Arc;
/// # use mirror_registry::{Access, Credentials, Host, HostOptions, Remote, World};
/// # use mirror_testkit::{ImageBuilder, Registry};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let image = ImageBuilder::new("app").platforms(&["linux/amd64", "linux/arm64"]).layers(&[300]).build();
/// # let registry = Registry::start();
/// # registry.add("app", "1", &image);
/// # let (world, name) = (World::real(), registry.host().parse()?);
/// # let host = Host::new(&world, Arc::new(Credentials::default()), &name, &HostOptions::default())?;
/// # let remote = Remote::new(Arc::new(host), "app".parse()?, Access::Pull);
/// let target = CopyTarget { store: Store::Remote(remote), tag: Some("1".parse()?) };
/// let missing = missing_children(&target, image.digest(), &Platforms::All).await?;
/// assert_eq!(missing, []);
/// # Ok(())
/// # }
/// ```
pub async fn missing_children(
    target: &CopyTarget,
    root: &Digest,
    platforms: &Platforms,
) -> Result<Vec<Digest>, CopyError> {
    let Store::Remote(remote) = &target.store else { return Ok(Vec::new()) };
    let links = match target.store.manifest(root).await? {
        Ok(manifest) => links(&manifest)?,
        Err(_) => return Ok(vec![root.clone()]),
    };
    let wanted = links.manifests.into_iter();
    let wanted = wanted.filter(|child| platforms.include(child.platform.as_ref()));
    let wanted: BTreeSet<Digest> = wanted.map(|child| child.digest).collect();
    let looks = stream::iter(wanted).map(|child| async move {
        let found = remote.head_manifest(ManifestRef::Digest(&child)).await;
        let step = || format!("looking up {}@{child}", remote.repository());
        let found = match found {
            Err(error) if error.may_mean_missing() => None,
            found => found.map_err(|error| CopyError::destination(step(), error))?,
        };
        Ok(found.is_none().then_some(child))
    });
    let found: Vec<Result<Option<Digest>, CopyError>> = looks.buffered(AT_ONCE).collect().await;
    found.into_iter().filter_map(Result::transpose).collect()
}

async fn look(store: &Store, blob: Blob, check: VerifyMode) -> Result<Option<Defect>, CopyError> {
    let problem = match (store, check) {
        (Store::Layout(_), VerifyMode::Existence) => {
            let found = store.has_blob(&blob).await?;
            (!found).then(|| ContentProblem::missing("is missing or cut off"))
        }
        (Store::Layout(inside), VerifyMode::Content) => {
            inside.layout.hash(&blob.digest).await.map_err(ContentProblem::wrong).err()
        }
        (Store::Remote(remote), VerifyMode::Existence) => match store.has_blob(&blob).await {
            Ok(true) => None,
            Err(error) if !error.is_answer() => return Err(error),
            // Some registries serve what they deny to have, tell another size of it, or answer no HEAD.
            Ok(false) | Err(_) => read_through(remote, &blob).await?,
        },
        (Store::Remote(remote), _) => read_through(remote, &blob).await?,
    };
    let what = blob.to_string();
    Ok(problem.map(|problem| Defect::of(Some(blob.digest), &what, &problem)))
}

/// Reads and hashes a blob; says what is wrong with it.
async fn read_through(remote: &Remote, blob: &Blob) -> Result<Option<ContentProblem>, CopyError> {
    let mut verifier = Verifier::new(&blob.digest);
    let nobody = Pressure::default();
    let mut reader = remote.read_blob(&blob.digest, blob.size, 0, &nobody);
    loop {
        match reader.chunk().await {
            Ok(Some(chunk)) => verifier.update(&chunk),
            Ok(None) => return Ok(verifier.finish().map_err(ContentProblem::wrong).err()),
            Err(error) if error.status() == Some(404) => {
                return Ok(Some(ContentProblem::missing("is missing")));
            }
            Err(error) if error.is_content() => return Ok(Some(ContentProblem::wrong(error))),
            Err(error) => return Err(CopyError::destination(format!("reading {blob}"), error)),
        }
    }
}
