//! What refers to a manifest: signatures, attestations, bills of materials.
//!
//! <https://github.com/opencontainers/distribution-spec/blob/main/spec.md#listing-referrers>

use std::sync::atomic::Ordering;

use bytes::Bytes;
use mirror_oci::{Digest, MAX_MANIFEST_BYTES, media_type};
use reqwest::header::{self, HeaderMap, HeaderValue};
use reqwest::{Method, Url};
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::answer::{Answer, read_capped};
use crate::error::{Error, ErrorKind};
use crate::host::{Call, Host};
use mirror_oci::Repository;

/// Lists longer than this many pages are not signatures any more.
const MOST_PAGES: usize = 64;

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

impl Host {
    /// What refers to a manifest; `None` when the host has no list of referrers, which is remembered: then the tag
    /// `sha256-<hex>` has it.
    ///
    /// # Errors
    /// When the host can't be asked. A refusal (401, 403, 429) is not the same as nothing.
    pub async fn referrers(
        &self,
        repository: &Repository,
        digest: &Digest,
    ) -> Result<Option<Vec<Referrer>>, Error> {
        // Until the first answer nobody knows whether there is a list at all; the others wait for that.
        let mut asking = None;
        if self.lists_referrers.load(Ordering::Acquire) == UNKNOWN {
            asking = Some(self.asking_referrers.lock().await);
        }
        match self.lists_referrers.load(Ordering::Acquire) {
            ABSENT => return Ok(None),
            PRESENT => asking = None,
            _ => {}
        }
        let listed = self.list_referrers(repository, digest).await;
        // Once it has listed some, a refusal is about that manifest.
        if let (Ok(listed), Some(_)) = (&listed, &asking) {
            let known = if listed.is_some() { PRESENT } else { ABSENT };
            self.lists_referrers.store(known, Ordering::Release);
        }
        drop(asking);
        listed
    }

    async fn list_referrers(
        &self,
        repository: &Repository,
        digest: &Digest,
    ) -> Result<Option<Vec<Referrer>>, Error> {
        let mut call = Call {
            method: Method::GET,
            url: self.url(repository, &format!("referrers/{digest}")),
            scope: self.read_scope(repository),
            headers: HeaderMap::from_iter([(
                header::ACCEPT,
                HeaderValue::from_static(media_type::OCI_INDEX),
            )]),
            body: Bytes::new(),
        };
        let mut found = Vec::new();
        for _ in 0..MOST_PAGES {
            let answer = self.call(&call).await?;
            match answer.status() {
                200 if is_index(&answer) => {}
                // Some web servers in front answer anything with a page.
                200 | 400 | 404 | 405 | 406 | 501 => return Ok(None),
                _ => return Err(answer.into_error().await),
            }
            let next = next_page(&answer);
            let request = answer.request.clone();
            let protocol = |why: String| Error::new(request.clone(), ErrorKind::Protocol(why));
            let body =
                read_capped(answer.response, &request, MAX_MANIFEST_BYTES, answer.trickle.idle)
                    .await?;
            let body = body
                .ok_or_else(|| protocol("the list of referrers is longer than 4 MiB".to_owned()))?;
            found.extend(
                Referrer::list(&body)
                    .map_err(|why| protocol(format!("not a list of referrers: {why}")))?,
            );
            match next {
                Some(next) if self.is_home(&next) => call.url = next,
                Some(_) => {
                    return Err(protocol(
                        "the next page of referrers is on another host".to_owned(),
                    ));
                }
                None => return Ok(Some(found)),
            }
        }
        Err(Error::new(
            call.url.path(),
            ErrorKind::Protocol(format!("over {MOST_PAGES} pages of referrers")),
        ))
    }
}

/// Values of [`Host::lists_referrers`].
pub(crate) const UNKNOWN: u8 = 0;
const ABSENT: u8 = 1;
pub(crate) const PRESENT: u8 = 2;

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
