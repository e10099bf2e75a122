//! What refers to a manifest: signatures, attestations, bills of materials.
//!
//! <https://github.com/opencontainers/distribution-spec/blob/main/spec.md#listing-referrers>

use std::sync::atomic::Ordering;

use bytes::Bytes;
use http::Method;
use http::header::{self, HeaderMap, HeaderValue};
use mirror_failure::{ErrorKind, RequestError};
use mirror_oci::caps::{MAX_MANIFEST_BYTES, MAX_REFERRER_PAGES, MAX_REFERRERS};
use mirror_oci::{Digest, Tag, media_type};
use serde::Deserialize;
use serde_json::{Map, Value};
use url::Url;

use crate::answer::Answer;
use crate::host::call::Call;
use crate::remote::Remote;
use crate::verbs::manifest::ManifestRef;

/// One entry of a list of referrers, with all its keys: it may have to be listed again elsewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Referrer {
    /// The manifest that refers.
    pub digest: Digest,
    /// Its descriptor as it was listed.
    pub descriptor: Map<String, Value>,
}

#[derive(Deserialize)]
struct List {
    #[serde(default)]
    manifests: Vec<Map<String, Value>>,
}

impl Referrer {
    /// Reads the entries of an index, such as the one under a fallback tag.
    ///
    /// # Errors
    /// When it is no list of descriptors; says why.
    pub fn list(index: &[u8]) -> Result<Vec<Referrer>, String> {
        let list: List = serde_json::from_slice(index).map_err(|error| error.to_string())?;
        let entry = |descriptor: Map<String, Value>| {
            let digest = descriptor.get("digest").and_then(Value::as_str).unwrap_or_default();
            let digest = digest.parse().map_err(|error| format!("`{digest}`: {error}"))?;
            Ok(Referrer { digest, descriptor })
        };
        list.manifests.into_iter().map(entry).collect()
    }
}

/// Whether to believe an earlier answer of the same repository that there is no list of referrers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recall {
    /// It saves a request for each manifest.
    Trusted,
    /// Ask each time.
    Ignored,
}

/// Referrers of a manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// At most [`MAX_REFERRERS`].
    pub referrers: Vec<Referrer>,
    /// Whether there are more.
    pub more: bool,
}

impl Listed {
    /// The first entries of a list.
    pub fn capped(mut referrers: Vec<Referrer>) -> Listed {
        let more = referrers.len() > MAX_REFERRERS;
        referrers.truncate(MAX_REFERRERS);
        Listed { referrers, more }
    }
}

/// What comes of asking for referrers.
enum Page {
    Listed(Listed),
    /// There is no such list in this repository.
    NoApi,
    /// There is none of this manifest.
    Unknown,
}

impl Page {
    fn listed(self) -> Option<Listed> {
        match self {
            Page::Listed(listed) => Some(listed),
            Page::NoApi | Page::Unknown => None,
        }
    }
}

impl Remote {
    /// What refers to a manifest; `None` when the repository has no list of referrers: then the tag `sha256-<hex>` has it.
    ///
    /// # Errors
    /// When the host can't be asked. A refusal (401, 403, 429) is not the same as nothing.
    pub async fn referrers(
        &self,
        digest: &Digest,
        recall: Recall,
    ) -> Result<Option<Listed>, RequestError> {
        if recall == Recall::Ignored {
            return self.list_referrers(digest).await.map(Page::listed);
        }
        let learned = self.learned();
        let asking = learned.asking_referrers.lock().await;
        if learned.lists_no_referrers.load(Ordering::Acquire) {
            return Ok(None);
        }
        // Where it is known to list them, some manifests get a 405 all the same: aws/containers-roadmap#2783.
        let lists = self.host.capabilities().lists_referrers().is_some_and(|lists| lists.value);
        let first = !lists && !learned.has_listed.load(Ordering::Acquire);
        let asking = first.then_some(asking);
        let listed = self.list_referrers(digest).await;
        match &listed {
            Ok(Page::Listed(_)) => learned.has_listed.store(true, Ordering::Release),
            // Once it has listed some, a refusal is about that manifest.
            Ok(Page::NoApi) if first => learned.lists_no_referrers.store(true, Ordering::Release),
            _ => {}
        }
        drop(asking);
        listed.map(Page::listed)
    }

    /// The digest under a tag that is mostly missing. Some registries refuse to tell what is missing
    /// (google/go-containerregistry#1691); where a manifest that is `there` can be looked at, and a tag that nobody has gets
    /// the same refusal, that is what it means.
    ///
    /// # Errors
    /// When the host can't be asked, or refuses this tag alone.
    pub async fn look_for_tag(
        &self,
        tag: &Tag,
        there: &Digest,
    ) -> Result<Option<Digest>, RequestError> {
        match self.head_manifest(ManifestRef::Tag(tag)).await {
            Err(error) if self.means_missing(&error, there).await => Ok(None),
            outcome => outcome,
        }
    }

    /// Whether a refusal means that something isn't there: where a manifest that is `there` can be looked at, and a tag that
    /// nobody has is refused alike.
    pub async fn means_missing(&self, error: &RequestError, there: &Digest) -> bool {
        let Some(refused @ (401 | 403)) = error.status() else { return false };
        let ask = || async {
            let Ok(tag) = NOBODY_HAS.parse::<Tag>() else { return None };
            let known = self.head_manifest(ManifestRef::Digest(there)).await;
            known.ok().flatten()?;
            let asked = self.head_manifest(ManifestRef::Tag(&tag)).await;
            asked.err().and_then(|error| error.status())
        };
        let learned = self.learned();
        *learned.refuses_missing.get_or_init(ask).await == Some(refused)
    }

    async fn list_referrers(&self, digest: &Digest) -> Result<Page, RequestError> {
        let mut call = Call {
            method: Method::GET,
            url: self.url(&format!("referrers/{digest}")),
            scope: self.look_scope(),
            headers: HeaderMap::from_iter([(
                header::ACCEPT,
                HeaderValue::from_static(media_type::OCI_INDEX),
            )]),
            body: Bytes::new(),
        };
        let mut found = Vec::new();
        for _ in 0..MAX_REFERRER_PAGES {
            let (answer, body) = self.host.read(&call, MAX_MANIFEST_BYTES, |_| ()).await?;
            match answer.status() {
                200 if is_index(&answer) => {}
                // Some web servers in front answer anything with a page.
                200 | 400 | 405 | 406 | 501 => return Ok(Page::NoApi),
                404 => {
                    let error = answer.into_error().await;
                    let of_this = ["MANIFEST_UNKNOWN", "NAME_UNKNOWN"];
                    let of_this = error.code().is_some_and(|code| of_this.contains(&code));
                    return Ok(if of_this { Page::Unknown } else { Page::NoApi });
                }
                _ => {
                    let error = answer.into_error().await;
                    let missing = self.means_missing(&error, digest).await;
                    return if missing { Ok(Page::NoApi) } else { Err(error) };
                }
            }
            let next = next_page(&answer);
            found.extend(list(&answer, body)?);
            match next {
                _ if found.len() > MAX_REFERRERS => return Ok(Page::Listed(Listed::capped(found))),
                Some(next) if self.host.is_home(&next) => call.url = next,
                Some(_) => {
                    let why = "the next page of referrers is on another host".to_owned();
                    return Err(RequestError::new(answer.request, ErrorKind::Protocol(why)));
                }
                None => return Ok(Page::Listed(Listed::capped(found))),
            }
        }
        Ok(Page::Listed(Listed { referrers: found, more: true }))
    }
}

/// Reads one page of a list of referrers.
fn list(answer: &Answer, body: Option<Bytes>) -> Result<Vec<Referrer>, RequestError> {
    let protocol = |why| RequestError::new(answer.request.clone(), ErrorKind::Protocol(why));
    let body =
        body.ok_or_else(|| protocol("the list of referrers is longer than 4 MiB".to_owned()))?;
    let list = Referrer::list(&body);
    list.map_err(|why| protocol(format!("not a list of referrers: {why}")))
}

/// A tag to ask for what a registry says of one that is missing.
const NOBODY_HAS: &str = "mirror-asks-for-a-missing-tag";

fn is_index(answer: &Answer) -> bool {
    answer
        .header("content-type")
        .is_some_and(|content_type| media_type::essence(content_type).ends_with("json"))
}

/// `Link: </v2/…?last=…>; rel="next"`
pub(crate) fn next_page(answer: &Answer) -> Option<Url> {
    let link = answer.header("link")?;
    let (target, rest) = link.trim().strip_prefix('<')?.split_once('>')?;
    rest.contains("next").then(|| answer.response.url().join(target).ok()).flatten()
}
