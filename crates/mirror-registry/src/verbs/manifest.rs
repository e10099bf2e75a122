//! Manifests: asked for, read, written.

use bytes::Bytes;
use http::Method;
use http::header::{self, HeaderMap, HeaderValue};
use mirror_failure::{ErrorKind, RequestError};
use mirror_oci::{Digest, MAX_MANIFEST_BYTES, ManifestError, RawManifest, Tag, media_type};

use crate::host::call::Call;
use crate::host::response::HostResponse;
use crate::limits::pulls::{self, Reservation};
use crate::remote::Remote;

const DIGEST_HEADER: &str = "docker-content-digest";

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
    /// One HEAD, which Docker Hub does not count as a pull. A registry that leaves out the digest is asked for the
    /// manifest itself.
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
            404 => return not_found(response),
            // The reason stands in a body, which a HEAD has not. What else is refused is not worth a pull.
            400 => {
                let error = response.into_error().await;
                return Err(self.get_manifest(which).await.err().unwrap_or(error));
            }
            // No HEAD at all: then a GET tells.
            405 | 501 => {
                drop(response);
                let found = self.find_manifest(which).await?;
                return Ok(found.map(|manifest| manifest.digest().clone()));
            }
            _ => return Err(response.into_error().await),
        }
        html(&response)?;
        let request = response.request.clone();
        let told = response.header(DIGEST_HEADER).map(str::parse::<Digest>);
        // Its slot must be free before another request is made.
        drop(response);
        let protocol = |why: String| RequestError::new(request, ErrorKind::Protocol(why));
        match told {
            Some(Ok(digest)) => match which {
                ManifestRef::Digest(asked) if *asked != digest => {
                    Err(protocol(format!("asked for {asked}, the registry has {digest}")))
                }
                _ => Ok(Some(digest)),
            },
            Some(Err(error)) => Err(protocol(format!("{DIGEST_HEADER}: {error}"))),
            None => Ok(Some(self.get_manifest(which).await?.digest().clone())),
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
            !is_html(response)
        };
        let found = self.host.read(&call, MAX_MANIFEST_BYTES, heard).await;
        let (response, body) = found.inspect_err(|_| self.host.pulls.heard_nothing())?;
        if response.status() != 200 {
            self.host.pulls.heard_nothing();
            return Err(response.into_error().await);
        }
        html(&response)?;
        let content_type = response.header("content-type").unwrap_or_default().to_owned();
        let request = response.request.clone();
        let fail = |error| RequestError::new(request.clone(), ErrorKind::Manifest(error));
        let body = body.ok_or_else(|| fail(ManifestError::TooLarge))?;
        match which {
            ManifestRef::Digest(digest) => {
                RawManifest::verified(body, &content_type, digest).map_err(fail)
            }
            ManifestRef::Tag(_) => RawManifest::digested(body, &content_type).map_err(fail),
        }
    }

    /// Writes a manifest under a tag, or under its digest.
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
        let response = self.host.call(&call).await?;
        // ECR answers without Location, others with 200 or 202; the digest is what counts.
        if !response.response.status().is_success() {
            return Err(response.into_error().await);
        }
        match response.header(DIGEST_HEADER) {
            Some(digest)
                if digest != manifest.digest().as_str()
                    && same_algorithm(digest, manifest.digest()) =>
            {
                let message =
                    format!("the registry stored {digest} instead of {}", manifest.digest());
                Err(RequestError::new(response.request, ErrorKind::Protocol(message)))
            }
            _ => Ok(()),
        }
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

/// A page instead of a manifest means that this is a web site.
fn html(response: &HostResponse) -> Result<(), RequestError> {
    if !is_html(response) {
        return Ok(());
    }
    Err(RequestError::new(
        response.request.clone(),
        ErrorKind::NotARegistry("it answers with an HTML page".to_owned()),
    ))
}

fn is_html(response: &HostResponse) -> bool {
    let content_type = response.header("content-type").unwrap_or_default().to_ascii_lowercase();
    content_type.starts_with("text/html")
}

/// 404 with a page is no registry's way to say that a manifest isn't there.
fn not_found<T>(response: HostResponse) -> Result<Option<T>, RequestError> {
    html(&response).map(|()| None)
}

/// A registry may name what it stored by a hash function of its own choice.
fn same_algorithm(digest: &str, ours: &Digest) -> bool {
    digest.split_once(':').is_some_and(|(name, _)| name == ours.algorithm().name())
}
