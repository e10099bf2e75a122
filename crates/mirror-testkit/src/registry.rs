//! A registry in process: a real HTTP server on a free loopback port, or no server at all, with everything it was asked on
//! record.

use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use mirror_oci::Digest;
use tokio::net::TcpListener;

use crate::body::Breakable;
use crate::fault::{Exchange, Fault};
use crate::image::{Image, StoredManifest};
use crate::profile::Profile;
use crate::routes;
use crate::server::Server;
use crate::state::{Recorded, State};

/// A running registry. It stops when it is dropped.
pub struct Registry {
    _server: Option<Server>,
    state: Arc<State>,
}

impl Registry {
    /// Starts a registry that lets anybody do anything.
    pub fn start() -> Registry {
        Registry::with(Profile::default())
    }

    /// Starts a registry of a certain kind.
    pub fn with(profile: Profile) -> Registry {
        let (ready, state) = std::sync::mpsc::channel();
        let server = Server::start(move |listener, address| {
            let state = Arc::new(State::new(profile, format!("http://{address}")));
            ready.send(state.clone()).unwrap();
            serve(listener, state)
        });
        Registry { _server: Some(server), state: state.recv().unwrap() }
    }

    /// A registry without a server, called `host`: requests are handed to [`Registry::answer`].
    pub fn without_server(profile: Profile, host: &str) -> Registry {
        let state = Arc::new(State::new(profile, format!("https://{host}")));
        Registry { _server: None, state }
    }

    /// A registry without a server, called `host`, which holds what `other` holds.
    pub fn beside(other: &Registry, profile: Profile, host: &str) -> Registry {
        let mut state = State::new(profile, format!("https://{host}"));
        state.store = other.state.store.clone();
        Registry { _server: None, state: Arc::new(state) }
    }

    /// A host without a server that makes the tokens which this registry takes.
    pub(crate) fn with_same_tokens(&self, profile: &Profile, host: &str) -> Registry {
        let mut state = State::new(profile.clone(), format!("https://{host}"));
        state.issued = self.state.issued.clone();
        Registry { _server: None, state: Arc::new(state) }
    }

    /// Whether a token was given out for it.
    pub(crate) fn has_issued(&self, token: &str) -> bool {
        self.state.issued.lock().unwrap().knows(token)
    }

    /// Pulls that were refused since the limit was reached.
    pub fn refused_pulls(&self) -> usize {
        *self.state.refused_pulls.lock().unwrap()
    }

    /// Answers one request. An error stands for a connection that breaks.
    ///
    /// # Errors
    /// Where a fault says so.
    pub async fn answer<B>(&self, request: Request<B>) -> std::io::Result<Response<Breakable>>
    where
        B: hyper::body::Body,
        B::Error: std::error::Error + Send + Sync + 'static,
    {
        routes::answer(self.state.clone(), request).await
    }

    pub(crate) fn state(&self) -> Arc<State> {
        self.state.clone()
    }

    /// `127.0.0.1:<port>`, or what it is called.
    pub fn host(&self) -> String {
        self.state.own.split_once("://").unwrap().1.to_owned()
    }

    /// `http://127.0.0.1:<port>`, or where it would be.
    pub fn endpoint(&self) -> String {
        self.state.own.clone()
    }

    /// Puts an image there without a request.
    pub fn add(&self, repository: &str, tag: &str, image: &Image) {
        self.state.store.lock().unwrap().add(repository, Some(tag), image);
    }

    /// Puts an image there that no tag names.
    pub fn add_untagged(&self, repository: &str, image: &Image) {
        self.state.store.lock().unwrap().add(repository, None, image);
    }

    /// Removes a tag, and the manifest that it names.
    pub fn delete_tag(&self, repository: &str, tag: &str) {
        let mut store = self.state.store.lock().unwrap();
        let repository = store.repository(repository);
        let Some(digest) = repository.tags.remove(tag) else { return };
        if !repository.tags.values().any(|other| *other == digest) {
            repository.manifests.remove(&digest);
        }
    }

    /// The names of its repositories.
    pub fn repositories(&self) -> Vec<String> {
        self.state.store.lock().unwrap().repositories.keys().cloned().collect()
    }

    /// Whether there is such a repository.
    pub fn has_repository(&self, name: &str) -> bool {
        self.state.store.lock().unwrap().repositories.contains_key(name)
    }

    /// Puts any bytes there as a manifest, unchecked.
    pub fn add_manifest(
        &self,
        repository: &str,
        tag: &str,
        media_type: &str,
        bytes: Bytes,
    ) -> Digest {
        let digest = Digest::of(mirror_oci::Algorithm::Sha256, &bytes);
        let stored =
            StoredManifest { digest: digest.clone(), media_type: media_type.to_owned(), bytes };
        let mut store = self.state.store.lock().unwrap();
        let repository = store.repository(repository);
        repository.manifests.insert(digest.to_string(), stored);
        repository.tags.insert(tag.to_owned(), digest.to_string());
        digest
    }

    /// The manifest that a tag or digest names.
    pub fn manifest(&self, repository: &str, reference: &str) -> Option<StoredManifest> {
        self.state.store.lock().unwrap().manifest(repository, reference).cloned()
    }

    /// Tells the digest under a tag whenever it is asked, also by a rule for faults.
    pub fn state_of(
        &self,
        repository: &str,
        tag: &str,
    ) -> impl Fn() -> Option<Digest> + Send + Sync + 'static {
        let (state, repository, tag) = (self.state.clone(), repository.to_owned(), tag.to_owned());
        move || {
            let store = state.store.lock().unwrap();
            store.manifest(&repository, &tag).map(|manifest| manifest.digest.clone())
        }
    }

    /// Whether a repository holds all of an image: manifests and blobs, byte for byte.
    pub fn holds(&self, repository: &str, image: &Image) -> bool {
        let store = self.state.store.lock().unwrap();
        let manifest = |m: &StoredManifest| {
            store
                .manifest(repository, m.digest.as_str())
                .is_some_and(|s| s.bytes == m.bytes && s.media_type == m.media_type)
        };
        let blob = |digest: &Digest, bytes: &Bytes| {
            store.has_blob(repository, digest.as_str())
                && store.blobs.get(digest.as_str()) == Some(bytes)
        };
        image.manifests.iter().all(manifest)
            && image.blobs.iter().all(|(digest, bytes)| blob(digest, bytes))
    }

    /// Loses a blob or manifest, as registries do.
    pub fn lose(&self, repository: &str, digest: &Digest) {
        let mut store = self.state.store.lock().unwrap();
        let repository = store.repository(repository);
        repository.blobs.remove(digest.as_str());
        repository.manifests.remove(digest.as_str());
    }

    /// Spoils the bytes of a blob.
    pub fn spoil(&self, digest: &Digest) {
        let mut store = self.state.store.lock().unwrap();
        let size = store.blobs[digest.as_str()].len();
        store.blobs.insert(digest.to_string(), Bytes::from(vec![0; size]));
    }

    /// All tags, as `repository:tag`.
    pub fn tags(&self) -> Vec<String> {
        let store = self.state.store.lock().unwrap();
        let tags = store.repositories.iter();
        tags.flat_map(|(name, repository)| {
            repository.tags.keys().map(move |tag| format!("{name}:{tag}"))
        })
        .collect()
    }

    /// Upload sessions that are open.
    pub fn open_sessions(&self) -> usize {
        self.state.store.lock().unwrap().open_sessions.len()
    }

    /// The most requests that it was answering at once.
    pub fn most_at_once(&self) -> usize {
        self.state.busy.lock().unwrap().1
    }

    /// Everything it was asked since the last call.
    pub fn take_requests(&self) -> Vec<Recorded> {
        std::mem::take(&mut self.state.requests.lock().unwrap())
    }

    /// The window of the limit on pulls is over, however long it is.
    pub fn forget_pulls(&self) {
        self.state.pulls.lock().unwrap().clear();
    }

    /// From now on, asks `rule` what to do with each request; `None` is a proper answer.
    pub fn set_faults(&self, rule: impl Fn(&Exchange) -> Option<Fault> + Send + Sync + 'static) {
        *self.state.faults.lock().unwrap() = Some(Box::new(rule));
    }

    /// From now on, answers properly.
    pub fn clear_faults(&self) {
        *self.state.faults.lock().unwrap() = None;
    }
}

async fn serve(listener: TcpListener, state: Arc<State>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        let _ = stream.set_nodelay(true);
        let state = state.clone();
        tokio::spawn(async move {
            let service = service_fn(move |request| routes::answer(state.clone(), request));
            // A reset is a service error here; the client sees it, nobody else needs to.
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}
