//! What refers to a manifest: signatures, attestations, bills of materials.
//!
//! <https://github.com/opencontainers/distribution-spec/blob/main/spec.md#listing-referrers>

use std::sync::atomic::Ordering;

use bytes::Bytes;
use http::Method;
use http::header::{self, HeaderMap, HeaderValue};
use mirror_failure::RequestError;
use mirror_oci::caps::{MAX_REFERRER_PAGES, MAX_REFERRERS};
use mirror_oci::{Digest, MAX_MANIFEST_BYTES, Tag, media_type};
use serde_json::{Map, Value};

use crate::host::answer::HostResponse;
use crate::host::call::Call;
use crate::remote::Remote;
use crate::verbs::manifest::ManifestRef;
use crate::verbs::pages::Pages;

/// One entry of a list of referrers, with all its keys: it may have to be listed again elsewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Referrer {
    /// The manifest that refers.
    pub digest: Digest,
    /// Its descriptor as it was listed.
    pub descriptor: Map<String, Value>,
}

impl Referrer {
    /// Reads the entries of an index, such as the one under a fallback tag.
    ///
    /// # Errors
    /// When it is no list of descriptors; says why.
    pub fn list(index: &[u8]) -> Result<Vec<Referrer>, String> {
        let mut index: Map<String, Value> =
            serde_json::from_slice(index).map_err(|error| error.to_string())?;
        entries(index.remove("manifests").unwrap_or_default())
    }
}

/// The descriptors of an index. Some write `null` for none.
fn entries(manifests: Value) -> Result<Vec<Referrer>, String> {
    let manifests: Option<Vec<Map<String, Value>>> =
        serde_json::from_value(manifests).map_err(|error| error.to_string())?;
    let entry = |descriptor: Map<String, Value>| {
        let digest = descriptor.get("digest").and_then(Value::as_str).unwrap_or_default();
        let digest = digest.parse().map_err(|error| format!("`{digest}`: {error}"))?;
        Ok(Referrer { digest, descriptor })
    };
    manifests.unwrap_or_default().into_iter().map(entry).collect()
}

/// Whether to believe an earlier response of the same repository that there is no list of referrers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recall {
    /// It saves a request for each manifest.
    Trusted,
    /// Ask each time, whatever was learned before.
    Ignored,
}

/// Referrers of a manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// The entries, at most [`MAX_REFERRERS`].
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
enum Found {
    Listed(Listed),
    /// There is no such list in this repository.
    NoApi,
    /// There is none of this manifest.
    Unknown,
}

impl Found {
    fn listed(self) -> Option<Listed> {
        match self {
            Found::Listed(listed) => Some(listed),
            Found::NoApi | Found::Unknown => None,
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
            return self.list_referrers(digest).await.map(Found::listed);
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
            Ok(Found::Listed(_)) => learned.has_listed.store(true, Ordering::Release),
            // Once it has listed some, a refusal is about that manifest.
            Ok(Found::NoApi) if first => learned.lists_no_referrers.store(true, Ordering::Release),
            _ => {}
        }
        drop(asking);
        listed.map(Found::listed)
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

    async fn list_referrers(&self, digest: &Digest) -> Result<Found, RequestError> {
        let first = Call {
            method: Method::GET,
            url: self.url(&format!("referrers/{digest}")),
            scope: self.look_scope(),
            headers: HeaderMap::from_iter([(
                header::ACCEPT,
                HeaderValue::from_static(media_type::OCI_INDEX),
            )]),
            body: Bytes::new(),
        };
        let mut pages = Pages::of("referrers", first, is_no_page, MAX_MANIFEST_BYTES);
        let mut found = Vec::new();
        for number in 0..MAX_REFERRER_PAGES {
            let Some(page) = pages.read(&self.host).await? else { break };
            let document: Option<Map<String, Value>> = match page.response.status() {
                200 if is_json(&page.response) => Some(pages.parse(&page)?),
                // An index is one, whatever its content type says.
                200 if is_no_page(&page.response) => pages.parse(&page).ok(),
                _ => None,
            };
            match document.and_then(|mut document| document.remove("manifests")) {
                Some(manifests) => {
                    found.extend(entries(manifests).map_err(|why| pages.wrong(&page, &why))?);
                }
                // What comes after a first page is there.
                None if number > 0 => {
                    return Err(match page.response.status() {
                        200 => pages.wrong(&page, "it breaks off after some pages"),
                        _ => page.response.into_error().await,
                    });
                }
                None => return self.without_list(page.response, digest).await,
            }
            pages.ends(&page)?;
            if found.len() > MAX_REFERRERS {
                break;
            }
        }
        let more = pages.has_more();
        let Listed { referrers, more: cut } = Listed::capped(found);
        Ok(Found::Listed(Listed { referrers, more: more || cut }))
    }
}

impl Remote {
    /// What a response says that is no list of referrers.
    async fn without_list(
        &self,
        response: HostResponse,
        digest: &Digest,
    ) -> Result<Found, RequestError> {
        match response.status() {
            // Some web servers in front answer anything with a page.
            200 | 400 | 405 | 406 | 501 => Ok(Found::NoApi),
            404 => {
                let error = response.into_error().await;
                let of_this = ["MANIFEST_UNKNOWN", "NAME_UNKNOWN"];
                let of_this = error.code().is_some_and(|code| of_this.contains(&code));
                Ok(if of_this { Found::Unknown } else { Found::NoApi })
            }
            _ => {
                let error = response.into_error().await;
                let missing = self.means_missing(&error, digest).await;
                if missing { Ok(Found::NoApi) } else { Err(error) }
            }
        }
    }
}

/// A tag to ask for what a registry says of one that is missing.
const NOBODY_HAS: &str = "mirror-asks-for-a-missing-tag";

/// Whether this may be a list.
fn is_no_page(response: &HostResponse) -> bool {
    !response.response.is_called_page()
}

fn is_json(response: &HostResponse) -> bool {
    response
        .header("content-type")
        .is_some_and(|content_type| media_type::essence(content_type).ends_with("json"))
}
