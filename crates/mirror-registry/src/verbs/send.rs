//! The bytes of a blob on their way into an open session: all of them in one PUT.
//!
//! Chunked PATCH is not used: ECR answers 201 and drops later chunks (aws/containers-roadmap#2831), GHCR caps a
//! PATCH at 4 MiB. A registry that takes no bytes with a PUT gets them in one PATCH, and a PUT without any.

use std::sync::Arc;

use bytes::Bytes;
use http::Method;
use http::header::{self, HeaderMap, HeaderValue};
use mirror_failure::{ErrorKind, RequestError};
use url::Url;

use crate::auth::challenges::Asked;
use crate::auth::scope::TokenScope;
use crate::auth::{Authorization, Sent};
use crate::host::response::{describe, refusal, refuse_page};
use crate::limits::pressure::Speed;
use crate::remote::Remote;
use crate::verbs::flow::{Flow, UploadBody, Wanted, Watched, moving};
use crate::verbs::session::Session;
use crate::wire::{Body, Outgoing, Response};

/// What an attempt was refused with, for the next one.
pub(crate) struct Refused {
    /// What was sent.
    pub(crate) given: Authorization,
    /// How the registry wants to be asked instead.
    told: Option<Asked>,
    /// Whether another token of the same service comes before that: the registry may be wrong about who gives them.
    renews: bool,
}

impl Refused {
    /// What to do after an attempt that failed, and the one before; nothing, where no other login may help.
    pub(crate) fn after(failed: &FailedSending, before: Option<&Refused>) -> Option<Refused> {
        let FailedSending { given, told, .. } = failed;
        let renews = before.is_none() && given.token().is_some() && !given.fresh;
        let again = failed.may_log_in_anew && before.is_none_or(|before| before.renews);
        again.then(|| Refused { given: given.clone(), told: told.clone(), renews })
    }

    fn asked(&self) -> Option<&Asked> {
        if self.renews { self.given.asked.as_ref() } else { self.told.as_ref() }
    }
}

/// Why the bytes are not there.
pub(crate) enum Unsent {
    /// They are wanted elsewhere.
    Redirected(Box<Session>),
    Failed(Box<FailedSending>),
}

/// An attempt that failed.
pub(crate) struct FailedSending {
    pub(crate) error: RequestError,
    /// What was sent.
    pub(crate) given: Authorization,
    /// How the registry wants to be asked instead.
    pub(crate) told: Option<Asked>,
    /// Whether the same with another login may work.
    pub(crate) may_log_in_anew: bool,
}

impl FailedSending {
    fn of(error: RequestError) -> Box<FailedSending> {
        let given = Authorization::nothing(None);
        Box::new(FailedSending { error, given, told: None, may_log_in_anew: false })
    }
}

/// A request with a body of its own, on its way to a session.
struct Sending<'a> {
    method: Method,
    blob: Wanted<'a>,
    body: Body,
    size: u64,
    flow: Arc<Flow>,
}

impl Remote {
    /// Sends the whole blob.
    pub(crate) async fn send_blob(
        &self,
        blob: Wanted<'_>,
        mut session: Session,
        body: UploadBody,
        refused: Option<&Refused>,
    ) -> Result<(), Unsent> {
        let flow = Arc::new(Flow::default());
        let body = Body::stream(Watched { body, flow: flow.clone() });
        let outcome = match self.host.capabilities().takes_whole_puts() {
            true => self.put_whole(blob, &mut session, body, &flow, refused).await,
            false => self.patch(blob, &mut session, body, &flow, refused).await,
        };
        let failed = match outcome {
            Ok(None) => {
                session.ended();
                return Ok(());
            }
            Ok(Some(())) => return Err(Unsent::Redirected(Box::new(session))),
            Err(failed) => failed,
        };
        // Whatever the code: the session is gone, not the right to upload.
        if failed.error.status() == Some(404) || failed.error.is_lost_session() {
            session.ended();
            let error = failed.error.clone().worth_another_try();
            return Err(Unsent::Failed(Box::new(FailedSending { error, ..*failed })));
        }
        self.host.give_back(session).await;
        Err(Unsent::Failed(failed))
    }

    /// All bytes in one PUT. Nothing, when they are there; otherwise the session is elsewhere now.
    async fn put_whole(
        &self,
        blob: Wanted<'_>,
        session: &mut Session,
        body: Body,
        flow: &Arc<Flow>,
        refused: Option<&Refused>,
    ) -> Result<Option<()>, Box<FailedSending>> {
        let url = finishing(&session.url, blob);
        let (method, size, flow) = (Method::PUT, blob.size, flow.clone());
        let sending = Sending { method, blob, body, size, flow };
        let outcome = self.send(sending, url, session, refused).await;
        match outcome {
            Ok(response) if response.status().is_redirection() => {
                self.moved(session, &response).map_err(FailedSending::of)?;
                Ok(Some(()))
            }
            Ok(_) => {
                // A registry that passes over the bytes takes a blob without any all the same.
                if blob.size > 0 {
                    self.host.capabilities().whole_put(true);
                }
                Ok(None)
            }
            Err(mut failed) => {
                if is_of_the_way(&failed.error) && self.host.capabilities().whole_put(false) {
                    failed.error = failed.error.worth_another_try();
                }
                Err(failed)
            }
        }
    }

    /// All bytes in one PATCH, and a PUT without any.
    async fn patch(
        &self,
        blob: Wanted<'_>,
        session: &mut Session,
        body: Body,
        flow: &Arc<Flow>,
        refused: Option<&Refused>,
    ) -> Result<Option<()>, Box<FailedSending>> {
        let (method, size, url) = (Method::PATCH, blob.size, session.url.clone());
        let sending = Sending { method, blob, body, size, flow: flow.clone() };
        let response = match self.send(sending, url, session, refused).await {
            Ok(response) => response,
            Err(mut failed) => {
                if is_of_the_way(&failed.error) && self.host.capabilities().patch_refused() {
                    failed.error = failed.error.worth_another_try();
                }
                return Err(failed);
            }
        };
        self.moved(session, &response).map_err(FailedSending::of)?;
        if response.status().is_redirection() {
            return Ok(Some(()));
        }
        drop(response);
        let (method, url) = (Method::PUT, finishing(&session.url, blob));
        let (body, flow) = (Body::from(Bytes::new()), Arc::default());
        let sending = Sending { method, blob, body, size: 0, flow };
        self.send(sending, url, session, refused).await?;
        self.host.capabilities().patched();
        Ok(None)
    }

    /// Takes the session to where a response says that it is.
    fn moved(&self, session: &mut Session, response: &Response) -> Result<(), RequestError> {
        let request = describe(&Method::PUT, response.url());
        (session.url, session.reach) = self.host.location_of(response, &request)?;
        Ok(())
    }

    /// One request with a body. A response that is neither a success nor a redirect is an error.
    async fn send(
        &self,
        sending: Sending<'_>,
        url: Url,
        session: &Session,
        refused: Option<&Refused>,
    ) -> Result<Response, Box<FailedSending>> {
        let Sending { method, blob, body, size, flow } = sending;
        let what = describe(&method, &url);
        self.host.rates().wait(&Method::PUT, "blobs").await;
        let _slot = self.host.slot().await.map_err(FailedSending::of)?;
        let entry = self.host.pace().enter().await;
        // A body may take its time; others need not wait to see whether it is taken.
        let entry = entry
            .map_err(|kind| FailedSending::of(RequestError::new(what.clone(), kind)))?
            .not_as_probe();
        let scope = self.push_scope();
        let opened = session.asked.as_deref();
        let asked = refused.map_or(opened, Refused::asked).cloned();
        let given = refused.map(|refused| &refused.given);
        let given = self.host.authorize_upload(&url, &scope, asked, given).await;
        let given = given.map_err(FailedSending::of)?;
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(size));
        headers.extend(given.header.clone().map(|value| (header::AUTHORIZATION, value)));
        let reach = session.reach;
        let (body_here, tls) = (Bytes::new(), self.host.tls_for(&url));
        let sent_by = method.clone();
        let outgoing = Outgoing { method, url: url.clone(), headers, body: body_here, reach, tls };
        let sent = self.host.wire().send_body(outgoing, body);
        let idle = self.host.pace().idle();
        let speed = Speed::new(blob.pressure, blob.size, idle);
        let outcome = match moving(&what, size, &flow, idle, speed, sent).await {
            Ok(response) => self.taken(response, &sent_by, &what, (&scope, &given)).await,
            Err(error) => Err((error, None)),
        };
        let (error, told) = match outcome {
            Ok(response) => {
                entry.served();
                return Ok(response);
            }
            Err(failed) => failed,
        };
        let other = told.as_ref().is_some_and(|told| given.asked.as_ref() != Some(told));
        let expired = matches!(given.sent, Sent::Token(_)) && error.is_expired_login();
        let unknown = error.status() == Some(401) && (given.token().is_some() || other);
        let may_log_in_anew = expired || unknown;
        let error = self.host.misled(&url, false, error);
        entry.failed(&error);
        // Whoever makes the bytes decides whether there is another try.
        let error = match flow.failure() {
            Some(why) => RequestError::new("reading the blob", ErrorKind::Body(why)),
            None => error,
        };
        Err(Box::new(FailedSending { error, given, told, may_log_in_anew }))
    }

    /// A response to bytes that is a success or a redirect; otherwise why not, and how the registry wants to be asked instead.
    async fn taken(
        &self,
        mut response: Response,
        method: &Method,
        what: &str,
        (scope, given): (&TokenScope, &Authorization),
    ) -> Result<Response, (RequestError, Option<Asked>)> {
        let pace = self.host.pace();
        match response.status().as_u16() {
            200..=299 => match refuse_page(&mut response, what, pace.idle()).await {
                Ok(()) => Ok(response),
                Err(error) => Err((error, None)),
            },
            307 | 308 => Ok(response),
            301..=303 => Err((self.host.lost_method(method, &response, what), None)),
            _ => {
                let told = self.host.asked_by(&response, scope, given);
                let error = refusal(response, what.to_owned(), pace.idle(), pace.clock()).await;
                Err((error.anonymously(!given.named), told))
            }
        }
    }
}

/// Where a session becomes a blob. Its own query (`_state=…`) must come back unchanged.
fn finishing(session: &Url, blob: Wanted<'_>) -> Url {
    let mut url = session.clone();
    if !url.query_pairs().any(|(name, _)| name == "digest") {
        url.query_pairs_mut().append_pair("digest", blob.digest.as_str());
    }
    url
}

/// Whether an error may be about the way that the bytes came, and another way is worth trying.
fn is_of_the_way(error: &RequestError) -> bool {
    matches!(error.status(), Some(400 | 405 | 411 | 415 | 500 | 501)) && !error.is_lost_session()
}
