//! Manifests: asked for, read, written.

use bytes::Bytes;
use http::Method;
use http::header::{self, HeaderMap, HeaderValue};
use mirror_failure::{ErrorKind, RequestError};
use mirror_oci::{Digest, MAX_MANIFEST_BYTES, ManifestError, RawManifest, Tag, media_type};
use tokio::time::Instant;

use crate::host::answer::HostResponse;
use crate::host::call::Call;
use crate::host::response::{page_instead, refuse_page, unpacked};
use crate::limits::pulls::{self, Reservation};
use crate::remote::Remote;

const DIGEST_HEADER: &str = "docker-content-digest";
/// A manifest that collides with another request is written again so often.
const MOST_CONFLICTS: u32 = 3;

/// By what a manifest is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ManifestRef<'a> {
    /// By a tag, which may move.
    Tag(&'a Tag),
    /// By the digest of its bytes.
    Digest(&'a Digest),
}

impl std::fmt::Display for ManifestRef<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            ManifestRef::Tag(tag) => tag.fmt(f),
            ManifestRef::Digest(digest) => digest.fmt(f),
        }
    }
}

impl Remote {
    /// The digest of a manifest, without reading it; `None` when it isn't there.
    ///
    /// One HEAD, which Docker Hub does not count as a pull. A registry that leaves out the digest, or tells one that can't be
    /// used, is asked for the manifest itself.
    ///
    /// # Errors
    /// When the registry can't be asked, or answers neither yes nor no.
    pub async fn head_manifest(
        &self,
        which: ManifestRef<'_>,
    ) -> Result<Option<Digest>, RequestError> {
        let response = self.host.call(&self.manifest_call(Method::HEAD, which)).await?;
        self.hear(&response);
        match response.status() {
            200 => {}
            404 => return self.not_found(response).await,
            // No HEAD at all, or a reason that stands in a body, which a HEAD has not: then a GET tells. What is refused to us as
            // such, and often for what is missing as well, is not worth a pull.
            400 | 402 | 405..=428 | 451 | 501 => {
                drop(response);
                let found = self.find_manifest(which).await?;
                return Ok(found.map(|manifest| manifest.digest().clone()));
            }
            _ => return Err(self.host.refused(response).await),
        }
        let request = response.request.clone();
        let told = response.header(DIGEST_HEADER).and_then(|told| told.parse::<Digest>().ok());
        if is_page(&response) {
            return Err(page_instead(&response.response, &request, "it answers"));
        }
        // Its slot must be free before another request is made.
        drop(response);
        match (told, which) {
            // Known by another hash function, it is the same all the same.
            (Some(told), ManifestRef::Digest(asked)) if asked.algorithm() != told.algorithm() => {
                Ok(Some(asked.clone()))
            }
            (Some(told), ManifestRef::Digest(asked)) if *asked != told => {
                let why = format!("asked for {asked}, the registry has {told}");
                Err(RequestError::new(request, ErrorKind::Protocol(why)))
            }
            (Some(told), _) => Ok(Some(told)),
            (None, _) => Ok(Some(self.get_manifest(which).await?.digest().clone())),
        }
    }

    /// The same where the reason of a refusal is worth another request: the image itself is what is wanted.
    ///
    /// # Errors
    /// As [`Remote::head_manifest`], with what the registry says of it.
    pub async fn look_up(&self, which: ManifestRef<'_>) -> Result<Option<Digest>, RequestError> {
        let error = match self.head_manifest(which).await {
            Err(error) if error.status() == Some(403) => error,
            outcome => return outcome,
        };
        match self.get_manifest(which).await {
            Ok(manifest) => Ok(Some(manifest.digest().clone())),
            Err(reason) if reason.status() == Some(403) => Err(reason),
            Err(_) => Err(error),
        }
    }

    /// The media type of a manifest, without reading it; `None` when it isn't there or the registry doesn't say. One HEAD.
    ///
    /// # Errors
    /// When the registry can't be asked, or answers neither yes nor no.
    pub async fn media_type(&self, which: ManifestRef<'_>) -> Result<Option<String>, RequestError> {
        let response = self.host.call(&self.manifest_call(Method::HEAD, which)).await?;
        self.hear(&response);
        match response.status() {
            200 => Ok(response.header("content-type").map(str::to_owned)),
            404 => Ok(None),
            _ => Err(response.into_error().await),
        }
    }

    /// Reads a manifest that need not be there.
    ///
    /// # Errors
    /// When it is there, but isn't what it should be, or the registry can't be asked.
    pub async fn find_manifest(
        &self,
        which: ManifestRef<'_>,
    ) -> Result<Option<RawManifest>, RequestError> {
        match self.get_manifest(which).await {
            Err(error) if error.status() == Some(404) => Ok(None),
            outcome => outcome.map(Some),
        }
    }

    /// Reads a manifest, at most 4 MiB, and checks it against the digest it was asked for by.
    ///
    /// # Errors
    /// When it isn't there, or isn't what it should be.
    pub async fn get_manifest(&self, which: ManifestRef<'_>) -> Result<RawManifest, RequestError> {
        let pull = self.host.reserve_pulls(1)?;
        self.pull_manifest(&pull, which).await
    }

    /// The same, with a pull that was set aside before.
    ///
    /// # Errors
    /// As [`Remote::get_manifest`].
    ///
    /// # Cancellation
    /// When the future is dropped, the registry may have counted a pull that the reservation gives back; the headers of the next
    /// response put that right.
    pub async fn pull_manifest(
        &self,
        pulls: &Reservation<'_>,
        which: ManifestRef<'_>,
    ) -> Result<RawManifest, RequestError> {
        let call = self.manifest_call(Method::GET, which);
        let heard = |response: &HostResponse| {
            if response.response.status().is_success() {
                pulls.made(response.response.headers());
            }
            self.hear(response);
            !is_page(response)
        };
        let found = self.host.read(&call, MAX_MANIFEST_BYTES, heard).await;
        let (response, body) = found.inspect_err(|_| self.host.pulls.heard_nothing())?;
        if response.status() != 200 {
            self.host.pulls.heard_nothing();
            return Err(self.host.refused(response).await);
        }
        if is_page(&response) {
            return Err(page_instead(&response.response, &response.request, "it answers"));
        }
        let fail = |error| RequestError::new(response.request.as_str(), ErrorKind::Manifest(error));
        let body = body.ok_or_else(|| fail(ManifestError::TooLarge))?;
        manifest_of(&response, body, which).map_err(fail)
    }

    /// Writes a manifest under a tag, or under its digest. Where it may not be written again (replicatedhq/kots#5940, immutable
    /// tags), the same one that is there will do.
    ///
    /// # Errors
    /// When the registry refuses it, or says that it stored something else.
    ///
    /// # Cancellation
    /// When the future is dropped, the registry may have stored the manifest or not. Manifests are stored whole.
    pub async fn put_manifest(
        &self,
        which: ManifestRef<'_>,
        manifest: &RawManifest,
    ) -> Result<(), RequestError> {
        let call = self.writing(which, manifest)?;
        let mut attempts = self.host.attempts();
        let began = Instant::now();
        for made in 1.. {
            let error = match self.write(&call, manifest).await {
                Err(error) if may_be_there(&error) => error,
                outcome => return outcome,
            };
            let found = self.head_manifest(which).await;
            if found.as_ref().is_ok_and(|found| found.as_ref() == Some(manifest.digest())) {
                return Ok(());
            }
            // Somebody may be writing the same at this moment.
            let passes = error.status() == Some(409) && !error.is_immutable_tag() && found.is_ok();
            if !passes || made == MOST_CONFLICTS {
                return Err(error.after(made, began.elapsed()));
            }
            attempts.wait(error.worth_another_try()).await?;
        }
        Ok(())
    }

    fn writing(
        &self,
        which: ManifestRef<'_>,
        manifest: &RawManifest,
    ) -> Result<Call, RequestError> {
        let mut call = self.manifest_call(Method::PUT, which);
        let media_type = HeaderValue::from_str(manifest.media_type()).map_err(|_| {
            RequestError::new(
                format!("PUT {which}"),
                ErrorKind::Protocol("the media type is not printable".to_owned()),
            )
        })?;
        call.headers = HeaderMap::from_iter([(header::CONTENT_TYPE, media_type)]);
        call.scope = self.push_scope();
        call.body = manifest.bytes().clone();
        Ok(call)
    }

    async fn write(&self, call: &Call, manifest: &RawManifest) -> Result<(), RequestError> {
        let mut response = self.host.call(call).await?;
        // ECR answers without Location, others with 200 or 202; the digest is what counts.
        if !response.response.status().is_success() {
            return Err(self.host.refused(response).await);
        }
        let idle = response.stall_guard.idle;
        refuse_page(&mut response.response, &response.request, idle).await?;
        let told = response.header(DIGEST_HEADER).and_then(|told| told.parse::<Digest>().ok());
        match told {
            // A registry may name what it stored by a hash function of its own choice.
            Some(told)
                if told != *manifest.digest()
                    && told.algorithm() == manifest.digest().algorithm() =>
            {
                let message =
                    format!("the registry stored {told} instead of {}", manifest.digest());
                Err(RequestError::new(response.request, ErrorKind::Protocol(message)))
            }
            _ => Ok(()),
        }
    }

    /// 404 with a page is no registry's way to say that a manifest isn't there, unless its base shows that it is one.
    async fn not_found<T>(&self, response: HostResponse) -> Result<Option<T>, RequestError> {
        if !is_page(&response) || self.host.is_registry().await {
            return Ok(None);
        }
        Err(response.into_error().await)
    }

    /// What a response tells of a limit on pulls. An error that says nothing of one doesn't mean that there is none.
    fn hear(&self, response: &HostResponse) {
        let headers = response.response.headers();
        if response.response.status().is_success() || pulls::told(headers).is_some() {
            self.host.pulls.hear(headers);
        }
    }

    fn manifest_call(&self, method: Method, which: ManifestRef<'_>) -> Call {
        // A HEAD at a destination is followed by pushes: one token serves both.
        let head = method == Method::HEAD;
        Call {
            method,
            url: self.url(&format!("manifests/{which}")),
            scope: if head { self.look_scope() } else { self.pull_scope() },
            headers: HeaderMap::from_iter([(
                header::ACCEPT,
                HeaderValue::from_static(media_type::ACCEPT),
            )]),
            body: Bytes::new(),
        }
    }
}

/// Whether this is a web site. Whoever tells a digest is a registry, whatever it calls its documents.
fn is_page(response: &HostResponse) -> bool {
    response.response.is_called_page() && response.header(DIGEST_HEADER).is_none()
}

/// A manifest from the body of a response. What somebody on the way has packed, though it was asked for as it is, is unpacked
/// where only that is what was asked for, or can be a manifest.
fn manifest_of(
    response: &HostResponse,
    body: Bytes,
    which: ManifestRef<'_>,
) -> Result<RawManifest, ManifestError> {
    let content_type = response.header("content-type").unwrap_or_default();
    let headers = response.response.headers();
    let told = response.header(DIGEST_HEADER).and_then(|told| told.parse::<Digest>().ok());
    let read = |body: Bytes| match (which, &told) {
        (ManifestRef::Digest(digest), _) => RawManifest::verified(body, content_type, digest),
        // By a tag, the header tells which bytes are meant; it is not trusted beyond that.
        (ManifestRef::Tag(_), _) => RawManifest::digested(body, content_type),
    };
    let unpacked = unpacked(headers, body.clone(), MAX_MANIFEST_BYTES);
    if unpacked == body {
        return read(body);
    }
    let meant = |found: &RawManifest| told.as_ref().is_none_or(|told| told == found.digest());
    read(body)
        .and_then(|found| if meant(&found) { Ok(found) } else { read(unpacked.clone()) })
        .or_else(|error| read(unpacked.clone()).map_err(|_| error))
}

/// Whether a refusal to write can mean that the very same is there already. What it lacks is another matter.
fn may_be_there(error: &RequestError) -> bool {
    matches!(error.status(), Some(400 | 403 | 405 | 409 | 412 | 422 | 423))
        && !error.lacks_content()
}
