//! Lists of referrers under the fallback tag, at destinations that have no API for them. They are the one document that
//! `mirror` writes itself; no source has it. What others have put on a list stays on it:
//! <https://github.com/opencontainers/distribution-spec/blob/main/spec.md#pushing-manifests-with-subject>.

use bytes::Bytes;
use mirror_failure::{Cause, Side};
use mirror_oci::{Digest, RawManifest, media_type};
use mirror_registry::Referrer;
use serde_json::{Map, Value, json};

use crate::error::CopyError;
use crate::referrers::find::{as_list, fallback_tag};
use crate::settling::Settling;
use crate::store::{Store, Under};

/// Lists referrers under the tag of their subject. What is there is read right before it is written, each time.
pub(crate) async fn add(
    store: &Store,
    subject: &Digest,
    referrers: &[&Referrer],
) -> Result<(), CopyError> {
    let (tag, step) = (fallback_tag(subject), step(subject));
    let mut settling = Settling::new();
    loop {
        let present = store.tagged(&tag, subject, &step).await?;
        let Some(index) = united(present.as_ref(), subject, referrers)? else { return Ok(()) };
        settling.put();
        match store.put_manifest(&index, Under::Name(Some(&tag)), &step).await {
            Err(error) if error.misses_content() => settling.after(error).await?,
            outcome => return outcome,
        }
    }
}

/// What is there with what is new; nothing if there is nothing new.
fn united(
    present: Option<&RawManifest>,
    subject: &Digest,
    referrers: &[&Referrer],
) -> Result<Option<RawManifest>, CopyError> {
    let wrong = |why: String| other(subject, why);
    // GitLab takes the tag for the digest.
    let present = present.filter(|present| present.digest() != subject);
    let known = match present.map(|present| as_list(present, subject)) {
        None => Vec::new(),
        Some(Some(list)) => list.map_err(wrong)?,
        Some(None) => {
            let message =
                format!("something else is under {} there; it stays", fallback_tag(subject));
            return Err(wrong(message));
        }
    };
    let mut new: Vec<&&Referrer> = referrers
        .iter()
        .filter(|new| !known.iter().any(|known| known.digest == new.digest))
        .collect();
    new.sort_by(|a, b| a.digest.cmp(&b.digest));
    new.dedup_by(|a, b| a.digest == b.digest);
    if new.is_empty() {
        return Ok(None);
    }
    let document = match present {
        Some(present) => serde_json::from_slice(present.bytes()),
        None => Ok(empty()),
    };
    let mut document: Map<String, Value> = document.map_err(|error| wrong(error.to_string()))?;
    if let Value::Array(manifests) = document.entry("manifests").or_insert(json!([])) {
        manifests.extend(new.into_iter().map(|new| Value::Object(new.descriptor.clone())));
    }
    let text = Value::Object(document).to_string();
    let index = RawManifest::digested(Bytes::from(text), media_type::OCI_INDEX);
    let wrong = |error| CopyError::new(Side::Destination, step(subject), Cause::Manifest(error));
    index.map(Some).map_err(wrong)
}

fn empty() -> Map<String, Value> {
    Map::from_iter([
        ("schemaVersion".to_owned(), json!(2)),
        ("mediaType".to_owned(), json!(media_type::OCI_INDEX)),
        ("manifests".to_owned(), json!([])),
    ])
}

fn step(subject: &Digest) -> String {
    format!("listing referrers of {}", subject.short())
}

fn other(subject: &Digest, why: String) -> CopyError {
    CopyError::new(Side::Destination, step(subject), Cause::Other(why))
}
