//! Uploads: one POST that is a mount at the same time, one PUT with the whole blob.

use std::pin::Pin;

use bytes::Bytes;
use http::Method;
use http::header::HeaderMap;
use mirror_failure::{ErrorKind, RequestError};
use mirror_oci::{Algorithm, Digest, Repository};
use tokio::sync::OwnedSemaphorePermit;

use crate::auth::scope::TokenScope;
use crate::host::call::Call;
use crate::host::sessions::Permit;
use crate::limits::pressure::Pressure;
use crate::remote::Remote;
use crate::verbs::flow::{UploadBody, Wanted};
use crate::verbs::send::{FailedSending, Refused, Unsent};
use crate::verbs::session::{FRESH, Reply, Session};

/// How to get at the bytes.
pub enum Supply {
    /// They come by themselves, whether they are taken or not: while the first are not here, others go first.
    Stored(Opening),
    /// They come only when they are taken.
    Passing(Opening),
}

/// Gives the bytes when there are some.
pub type Opening = Pin<Box<dyn Future<Output = Result<UploadBody, std::io::Error>> + Send>>;

/// Where a blob may be taken from instead of being sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mount {
    /// This repository of the same registry; the one that the blob goes to will do, which makes the request that
    /// opens the upload an existence check (201 on distribution 2.8 when the blob is there).
    From(Repository),
    /// From nowhere: the bytes are sent.
    Never,
}

/// How a blob got to be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Upload {
    /// The registry had it, here or in the repository it was mounted from.
    Reused,
    /// Its bytes were sent.
    Sent,
}

/// Blobs up to this size are sent without asking twice whether they are there: that costs as much as they do.
const FEW: u64 = 16 << 10;

/// What the digest is of that is asked for to see what a registry says of a blob that is not there.
const NOBODY_HAS: &[u8] = b"mirror asks for a blob that nobody has";

/// So often the bytes of one blob are sent on to somewhere else.
const MOST_REDIRECTS: usize = 5;

/// The right to send a body of a certain size, and to have a session open for it.
struct BodyPermit {
    _large: Option<OwnedSemaphorePermit>,
    _session: Permit,
}

impl Remote {
    /// Uploads a blob of `size` bytes to the repository. A mount that is declined becomes the upload it opened. `body` is
    /// called for each attempt. Being slow is a failure while there is `pressure`.
    ///
    /// # Errors
    /// When the registry refuses the blob for good, or `body` fails.
    ///
    /// # Cancellation
    /// When the future is dropped, the repository does not have the blob, or has all of it. A session that was open is ended in
    /// the background; [`crate::Host::end_sessions`] waits for that.
    pub async fn upload_blob(
        &self,
        digest: &Digest,
        size: u64,
        mount: &Mount,
        pressure: &Pressure,
        mut body: impl FnMut() -> Supply,
    ) -> Result<Upload, RequestError> {
        let blob = Wanted { digest, size, pressure };
        let mut attempts = self.host.attempts();
        let mut refused: Option<Refused> = None;
        loop {
            let permit = self.body_permit(size).await?;
            let Some((session, permit)) = self.begin(blob, mount, permit).await? else {
                return Ok(Upload::Reused);
            };
            let (bytes, session, permit) = self.ready(blob, body(), session, permit).await?;
            let outcome = self.send_on(blob, session, bytes, refused.as_ref(), &mut body).await;
            drop(permit);
            let Err(failed) = outcome? else {
                if size > FEW
                    && matches!(mount, Mount::From(_))
                    && self.host.capabilities().is_mine_to_try()
                {
                    self.try_hint(blob).await;
                }
                return Ok(Upload::Sent);
            };
            // A token can expire while the upload waits for its bytes, and some registries ask for another one for the bytes
            // than for the session: once more from the start.
            refused = Refused::after(&failed, refused.as_ref());
            let error = failed.error;
            // What is there may not be written again everywhere (replicatedhq/kots#5940).
            if matches!(error.status(), Some(403 | 405 | 409 | 412))
                && self.has_blob(digest, size).await.unwrap_or(false)
            {
                return Ok(Upload::Reused);
            }
            if refused.is_none() {
                attempts.wait(error).await?;
            }
        }
    }

    /// Sends the bytes, from the start to wherever they are wanted.
    async fn send_on(
        &self,
        blob: Wanted<'_>,
        session: Session,
        bytes: UploadBody,
        refused: Option<&Refused>,
        mut body: impl FnMut() -> Supply,
    ) -> Result<Result<(), Box<FailedSending>>, RequestError> {
        let mut outcome = self.send_blob(blob, session, bytes, refused).await;
        for _ in 0..MOST_REDIRECTS {
            let Err(Unsent::Redirected(moved)) = outcome else { break };
            let bytes = self.bytes(body()).await?;
            outcome = self.send_blob(blob, *moved, bytes, refused).await;
        }
        match outcome {
            Ok(()) => Ok(Ok(())),
            Err(Unsent::Failed(failed)) => Ok(Err(failed)),
            Err(Unsent::Redirected(session)) => {
                self.host.give_back(*session).await;
                let why = ErrorKind::Protocol("too many redirects".to_owned());
                Err(RequestError::new("sending the blob", why))
            }
        }
    }

    /// The bytes, for a session that is open.
    async fn bytes(&self, supply: Supply) -> Result<UploadBody, RequestError> {
        let (Supply::Stored(opening) | Supply::Passing(opening)) = supply;
        opening.await.map_err(unread)
    }

    async fn body_permit(&self, size: u64) -> Result<BodyPermit, RequestError> {
        let large = self.host.large_upload(size).await?;
        Ok(BodyPermit { _large: large, _session: self.host.sessions().permit().await })
    }

    /// Finds out whether the blob is there, and opens a session if it isn't.
    async fn begin(
        &self,
        blob: Wanted<'_>,
        mount: &Mount,
        permit: BodyPermit,
    ) -> Result<Option<(Session, BodyPermit)>, RequestError> {
        let elsewhere = match mount {
            Mount::Never => return self.open(blob, None, permit).await.map(Opened::session),
            Mount::From(from)
                if from != &self.repository && !self.host.capabilities().refuses_mounts() =>
            {
                Some(from)
            }
            Mount::From(_) => None,
        };
        let known = |looks| {
            self.host.capabilities().mounts_from_itself().is_some_and(|known| known.value == looks)
        };
        let (mut permit, mut refused) = (permit, false);
        if let Some(from) = elsewhere {
            match self.open(blob, Some(from), permit).await? {
                Opened::There if self.mounts_are_true().await => {
                    self.host.capabilities().mounted(true);
                    return Ok(None);
                }
                Opened::There => permit = self.body_permit(blob.size).await?,
                // It may be that the blob is here, and the mount was ignored.
                Opened::Session(session, permit) => {
                    return Ok(self.unless_there(blob, session).await.map(|s| (s, permit)));
                }
                Opened::Refused(again) => permit = again,
            }
        }
        if !known(false) {
            match self.open(blob, Some(&self.repository), permit).await? {
                Opened::There if self.mounts_are_true().await => {
                    self.host.capabilities().learn_mounts_from_itself(true);
                    return Ok(None);
                }
                Opened::There => permit = self.body_permit(blob.size).await?,
                Opened::Session(session, permit) if known(true) => {
                    return Ok(Some((session, permit)));
                }
                Opened::Session(session, permit) => {
                    return Ok(self.unless_there(blob, session).await.map(|s| (s, permit)));
                }
                Opened::Refused(again) => (permit, refused) = (again, true),
            }
        }
        if self.is_there(blob).await {
            return Ok(None);
        }
        let opened = self.open(blob, None, permit).await?;
        if refused {
            // A session without the hint shows that it was the hint that was refused.
            self.host.capabilities().learn_mounts_from_itself(false);
        }
        Ok(opened.session())
    }

    /// Whether a blob is there that the registry says to have mounted, as far as a mount tells of a blob that nobody has.
    async fn mounts_are_true(&self) -> bool {
        let capabilities = self.host.capabilities();
        let ask = async {
            let (digest, pressure) =
                (Digest::of(Algorithm::Sha256, NOBODY_HAS), Pressure::default());
            let blob = Wanted { digest: &digest, size: 0, pressure: &pressure };
            let Ok(permit) = self.body_permit(0).await else { return true };
            match self.open(blob, Some(&self.repository), permit).await {
                Ok(Opened::There) => {
                    capabilities.mounts_are_untrue();
                    false
                }
                Ok(Opened::Session(session, _permit)) => {
                    self.host.give_back(session).await;
                    true
                }
                // Not to know it leaves what was said.
                Ok(Opened::Refused(_)) | Err(_) => true,
            }
        };
        // Rare, and large: whoever waits for an upload need not carry it.
        capabilities.mounts_are_true(Box::pin(ask)).await
    }

    /// Whether a blob that is worth asking for is there.
    async fn is_there(&self, blob: Wanted<'_>) -> bool {
        if blob.size <= FEW {
            return false;
        }
        // Not to know costs an upload, nothing else.
        self.has_blob(blob.digest, blob.size).await.unwrap_or(false)
    }

    /// The session, unless it was opened for a blob that is there.
    async fn unless_there(&self, blob: Wanted<'_>, session: Session) -> Option<Session> {
        if !self.is_there(blob).await {
            if blob.size > FEW {
                self.host.capabilities().agreed();
            }
            return Some(session);
        }
        self.host.capabilities().learn_mounts_from_itself(false);
        self.host.give_back(session).await;
        None
    }

    /// Finds out what the registry makes of a hint, with a blob that is there.
    async fn try_hint(&self, blob: Wanted<'_>) {
        let Ok(permit) = self.body_permit(0).await else { return };
        match self.open(blob, Some(&self.repository), permit).await {
            Ok(Opened::There) => self.host.capabilities().learn_mounts_from_itself(true),
            Ok(Opened::Session(session, _permit)) => {
                self.host.capabilities().learn_mounts_from_itself(false);
                self.host.give_back(session).await;
            }
            Ok(Opened::Refused(_)) => self.host.capabilities().learn_mounts_from_itself(false),
            Err(error) => tracing::debug!(%error, "what the registry makes of hints is unknown"),
        }
    }

    /// The bytes, with a session that is fresh when they are here. Whoever makes bytes that wait for nobody must not wait
    /// for a slot, and whoever waits for one must not keep a download waiting, or two hosts could wait for each other.
    async fn ready(
        &self,
        blob: Wanted<'_>,
        supply: Supply,
        session: Session,
        permit: BodyPermit,
    ) -> Result<(UploadBody, Session, BodyPermit), RequestError> {
        let (body, permit) = match supply {
            Supply::Stored(mut opening) => {
                match tokio::time::timeout(FRESH, &mut opening).await {
                    Ok(Ok(body)) if !session.is_old() => return Ok((body, session, permit)),
                    Ok(Ok(body)) => {
                        self.host.give_back(session).await;
                        return self.reopened(blob, body, permit).await;
                    }
                    Ok(Err(error)) => {
                        self.host.give_back(session).await;
                        return Err(unread(error));
                    }
                    Err(_) => {}
                }
                self.host.give_back(session).await;
                drop(permit);
                let body = opening.await.map_err(unread)?;
                (body, self.body_permit(blob.size).await?)
            }
            Supply::Passing(opening) => match opening.await {
                Ok(body) if !session.is_old() => return Ok((body, session, permit)),
                outcome => {
                    self.host.give_back(session).await;
                    (outcome.map_err(unread)?, permit)
                }
            },
        };
        self.reopened(blob, body, permit).await
    }

    /// Another session, for bytes that are here.
    async fn reopened(
        &self,
        blob: Wanted<'_>,
        body: UploadBody,
        permit: BodyPermit,
    ) -> Result<(UploadBody, Session, BodyPermit), RequestError> {
        match self.open(blob, None, permit).await?.session() {
            Some((session, permit)) => Ok((body, session, permit)),
            None => Err(RequestError::new("opening an upload", no_bytes())),
        }
    }

    /// Opens an upload session, perhaps with a mount that makes it unnecessary. Any refusal of a mount means only that
    /// (401 for one from a repository that does not exist: harbor#17097; 404 at pulp-container).
    async fn open(
        &self,
        blob: Wanted<'_>,
        from: Option<&Repository>,
        permit: BodyPermit,
    ) -> Result<Opened, RequestError> {
        let mut url = self.url("blobs/uploads/");
        let mut scope = self.push_scope();
        if let Some(from) = from {
            url.query_pairs_mut()
                .append_pair("mount", blob.digest.as_str())
                .append_pair("from", from.as_str());
            scope = TokenScope::mount(&self.repository, from);
        }
        let call = Call {
            method: Method::POST,
            url,
            scope,
            headers: HeaderMap::new(),
            body: Bytes::new(),
        };
        let scope = self.push_scope();
        let (outcome, permit) = self.ask_for_session(&call, &scope, blob.size, permit).await?;
        let status = match &outcome {
            Ok(Reply::Session(_)) => Some(202),
            Ok(Reply::HostResponse(response)) => Some(response.status()),
            // Some give no token for two repositories at once.
            Err(error) => error.status().or_else(|| error.token_service_status()),
        };
        if let Some(from) = from
            && matches!(status, Some(400..=428 | 430..=499 | 501))
        {
            self.host.capabilities().declined_mount();
            if *from != self.repository {
                self.host.capabilities().mounted(false);
            }
            return Ok(Opened::Refused(permit));
        }
        match outcome? {
            Reply::Session(session) => {
                if from.is_some() {
                    self.host.capabilities().declined_mount();
                }
                Ok(Opened::Session(session, permit))
            }
            Reply::HostResponse(response) if response.status() == 201 && from.is_some() => {
                Ok(Opened::There)
            }
            Reply::HostResponse(response) if response.status() == 201 => {
                Err(RequestError::new(response.request, no_bytes()))
            }
            Reply::HostResponse(response) => Err(self.host.refused(*response).await),
        }
    }

    /// Sends the request that opens a session. A registry that has no more of them gets fewer requests at once; only when
    /// there is no other session of ours, its refusal means the host.
    async fn ask_for_session(
        &self,
        call: &Call,
        scope: &TokenScope,
        size: u64,
        mut permit: BodyPermit,
    ) -> Result<(Result<Reply, RequestError>, BodyPermit), RequestError> {
        let mut attempts = self.host.attempts();
        loop {
            match self.host.open_session(call, scope).await {
                Ok(reply) => return Ok((Ok(reply), permit)),
                Err(error) if self.host.wants_fewer_sessions(call, &error) => {
                    self.host.sessions().fewer();
                    drop(permit);
                    tokio::time::sleep(self.host.pace().first_pause()).await;
                    permit = self.body_permit(size).await?;
                }
                Err(error) => {
                    if let Err(error) = attempts.wait(error).await {
                        return Ok((Err(error), permit));
                    }
                }
            }
        }
    }
}

/// The bytes could not be had.
fn unread(error: std::io::Error) -> RequestError {
    RequestError::new("reading the blob", ErrorKind::Body(error.to_string()))
}

/// A blob that nobody has sent can't be there.
fn no_bytes() -> ErrorKind {
    let why = "the registry answers 201 to an upload without bytes";
    ErrorKind::Protocol(why.to_owned())
}

/// What came of the request that opens an upload session.
enum Opened {
    /// There is no need: the blob is there, says the registry.
    There,
    Session(Session, BodyPermit),
    /// The mount was refused; without one it may work.
    Refused(BodyPermit),
}

impl Opened {
    /// The session, where no mount was asked for.
    fn session(self) -> Option<(Session, BodyPermit)> {
        match self {
            Opened::Session(session, permit) => Some((session, permit)),
            Opened::There | Opened::Refused(_) => None,
        }
    }
}
