//! One request to a registry, and everything that belongs to it: the pause, who we are, redirects.

use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use http::Method;
use http::header::{self, HeaderMap, HeaderValue};
use mirror_failure::{ErrorKind, RequestError, passing_status};
use url::Url;

use crate::auth::challenge::{self, Challenge};
use crate::auth::challenges::Asked;
use crate::auth::scope::TokenScope;
use crate::auth::{Authorization, Sent};
use crate::host::Host;
use crate::host::answer::HostResponse;
use crate::host::base::ToldByBase;
use crate::host::call::Call;
use crate::host::response::{StallGuard, describe, refusal, within_idle};
use crate::limits::pace::Permit;
use crate::limits::pulls;
use crate::wire::{Outgoing, Reach, Response};

/// How long the base of a registry may take.
const BASE: Duration = Duration::from_secs(5);
/// A login younger than this is good.
const YOUNG: Duration = Duration::from_secs(60);

impl Host {
    /// One attempt in the caller's slot: the pause, the first meeting, redirects. A response that often goes away is an
    /// error.
    pub(crate) async fn exchange(&self, call: &Call) -> Result<HostResponse, RequestError> {
        let request = describe(&call.method, &call.url);
        // Whether and how a registry wants credentials shows with the first response; the others wait for that
        // instead of being refused all at once.
        let mut meeting =
            if self.met.load(Ordering::Acquire) { None } else { Some(self.first.lock().await) };
        if self.met.load(Ordering::Acquire) {
            meeting = None;
        }
        let entry =
            self.pace.enter().await.map_err(|kind| RequestError::new(request.clone(), kind))?;
        let outcome = self.authorized(call, &entry).await;
        self.met.store(true, Ordering::Release);
        drop(meeting);
        let refused = match &outcome {
            Err(error) => error.lacks_credentials(),
            Ok((response, _)) => matches!(response.status().as_u16(), 401 | 403),
        };
        if refused && let Some(failed) = self.auth.failed_source(&call.scope).await {
            return Err(failed);
        }
        let (response, authorization) = outcome?;
        let response = HostResponse {
            response,
            request,
            stall_guard: StallGuard::new(self.pace.idle()),
            slot: None,
            clock: self.pace.clock(),
            authorization,
        };
        let response = self.followed(call, response).await?;
        if !passing_status(response.status()) {
            entry.served();
            return Ok(response);
        }
        let told = pulls::told(response.response.headers());
        let error = response.into_error().await;
        if matches!(error.kind(), ErrorKind::PullLimit { .. }) {
            self.pulls.refused(told, error.retry_after());
        }
        if self.wants_fewer_sessions(call, &error) {
            entry.served();
        } else {
            entry.failed(&error);
        }
        Err(error)
    }

    /// Sends with the right `Authorization`, and once more when the registry asks for another.
    async fn authorized(
        &self,
        call: &Call,
        entry: &Permit<'_>,
    ) -> Result<(Response, Authorization), RequestError> {
        let (given, refused) = self.first_guess(&call.scope).await?;
        let response = self.transmit_home(call, &given).await?;
        entry.reached();
        if response.status().as_u16() == 403 && self.auth.logins().exist() {
            let response = self.logged_in_anew(call, &given.sent, response).await?;
            return Ok((response, given));
        }
        let (response, given) = self.unasked(call, response, given).await?;
        if response.status().as_u16() != 401 {
            if given.asked.is_some() {
                self.auth.settle(&call.scope);
            }
            return Ok((response, given));
        }
        let (response, given) = self.renewed(call, response, given).await?;
        let Some(told) = self.asked_by(&response, &call.scope, &given) else {
            return Ok((response, given));
        };
        if let Some((guess, error)) = refused
            && told.challenge == guess.challenge
        {
            return Err(error);
        }
        let same = given.asked.as_ref() == Some(&told);
        if response.status().as_u16() != 401 || (given.fresh && same) {
            return Ok((response, given));
        }
        self.auth.learn(&call.scope, told);
        let again = self.auth.authorize(&self.wire, &call.scope, given.token()).await?;
        if again.header.is_none() || again.sent == given.sent {
            return Ok((response, given));
        }
        drop(response);
        let mut response = self.transmit_home(call, &again).await?;
        let refused = matches!(response.status().as_u16(), 401 | 403);
        if refused && again.sent == Sent::Basic && self.auth.logins().refuse_stored() {
            let login = self.auth.authorize(&self.wire, &call.scope, None).await?;
            response = self.transmit_home(call, &login).await?;
            return Ok((response, login));
        }
        Ok((response, again))
    }

    /// What goes with the first attempt. Where the token service of another repository gives nothing, whatever the reason, this
    /// one may have one of its own: it is asked without a token then, and the refusal is kept in case it has not.
    async fn first_guess(
        &self,
        scope: &TokenScope,
    ) -> Result<(Authorization, Option<(Asked, RequestError)>), RequestError> {
        match self.auth.authorize(&self.wire, scope, None).await {
            Err(error) if self.auth.is_guess(scope) => {
                let guess = self.auth.asked(scope);
                Ok((Authorization::nothing(None), guess.map(|guess| (guess, error))))
            }
            outcome => outcome.map(|given| (given, None)),
        }
    }

    /// A refusal without a challenge, or the silence that strangers get: some registries deny to them that anything exists
    /// (distribution/distribution#1984, project-zot/zot#3869), and some refuse them without a word of how to log in. Where
    /// something is stored for the registry, its base says what to do with it; where that says nothing either, a refusal can
    /// only mean user and password, and what is not there at a registry that is open to all is not there.
    async fn unasked(
        &self,
        call: &Call,
        response: Response,
        given: Authorization,
    ) -> Result<(Response, Authorization), RequestError> {
        let status = response.status().as_u16();
        let said = self.asked_by(&response, &call.scope, &given);
        let refused = matches!(status, 403 | 404) || (status == 401 && said.is_none());
        // What counts is what this request carried: others may have learned more meanwhile.
        let stranger = given.sent == Sent::Nothing && given.asked.is_none();
        if !refused || !stranger || !self.auth.is_known(&call.scope).await {
            return Ok((response, given));
        }
        let told = match said.or_else(|| self.auth.asked(&call.scope)) {
            Some(told) => Some(told),
            None => {
                let base = self.told_by_base().await;
                if base.asked.is_none() && base.is_open && status == 404 {
                    return Ok((response, given));
                }
                base.asked.clone()
            }
        };
        let guessed = told.is_none();
        let asked = told.unwrap_or(Asked {
            challenge: Challenge::Basic,
            reach: Reach::Public,
            scope: None,
        });
        let again = self.auth.answer(&self.wire, &call.scope, asked.clone(), None).await?;
        if again.header.is_none() {
            return Ok((response, given));
        }
        let answer = self.transmit_home(call, &again).await?;
        if guessed && matches!(answer.status().as_u16(), 400 | 401) {
            return Ok((response, given));
        }
        self.auth.learn(&call.scope, asked);
        Ok((answer, again))
    }

    /// What the registry's base says to strangers. It is asked once, and once more where nothing is heard; then it says
    /// nothing, and nobody waits for it again.
    async fn told_by_base(&self) -> &ToldByBase {
        let ask = async || {
            let scope = TokenScope::nothing();
            let (method, url, body) = (Method::GET, self.root(), Bytes::new());
            let call = Call { method, url, scope, headers: HeaderMap::new(), body };
            let sent = self.transmit(&call, call.url.clone(), None, Reach::Anywhere);
            let response = tokio::time::timeout(BASE, sent).await.ok()?.ok()?;
            Some(ToldByBase::of(&response, self.reach_of(&response)))
        };
        let asked = async || match ask().await {
            Some(told) => told,
            None => ask().await.unwrap_or_default(),
        };
        self.base_told.get_or_init(asked).await
    }

    /// What a response with an unwelcome status says. A page is not how a registry says so, unless its base shows that this is
    /// one.
    pub(crate) async fn refused(&self, response: HostResponse) -> RequestError {
        let status = response.status();
        let error = response.into_error().await;
        if !matches!(error.kind(), ErrorKind::NotARegistry(_)) || !self.is_registry().await {
            return error;
        }
        let kind = ErrorKind::Status { status, code: None, message: None, page: true };
        RequestError::new(error.request(), kind)
    }

    /// Whether its base answers as that of a registry does, though something else looked like a web site.
    pub(crate) async fn is_registry(&self) -> bool {
        self.told_by_base().await.is_registry
    }

    /// After a 401 to a token that has served before: another one of the same token service. A registry that names another
    /// service now may be wrong about that.
    async fn renewed(
        &self,
        call: &Call,
        response: Response,
        given: Authorization,
    ) -> Result<(Response, Authorization), RequestError> {
        let told = challenge::of(response.headers());
        let (Some(asked), Some(token)) = (given.asked.clone(), given.token()) else {
            return Ok((response, given));
        };
        if given.fresh || told.is_none_or(|told| told == asked.challenge) {
            return Ok((response, given));
        }
        let again = self.auth.answer(&self.wire, &call.scope, asked, Some(token)).await;
        let Ok(again) = again else { return Ok((response, given)) };
        if again.header.is_none() || again.sent == given.sent {
            return Ok((response, given));
        }
        drop(response);
        Ok((self.transmit_home(call, &again).await?, again))
    }

    /// How a response wants to be asked. What a token has to be for is learned where a new one for the repository itself was
    /// refused.
    pub(crate) fn asked_by(
        &self,
        response: &Response,
        scope: &TokenScope,
        given: &Authorization,
    ) -> Option<Asked> {
        let challenge = challenge::of(response.headers())?;
        let before = given.asked.as_ref().filter(|asked| asked.challenge == challenge);
        let told = challenge::scope_of(response.headers());
        let lacking = told.and_then(|told| scope.lacks(&told)).filter(|_| given.fresh);
        let lacking = lacking.or_else(|| before.and_then(|asked| asked.scope.clone()));
        Some(Asked { challenge, reach: self.reach_of(response), scope: lacking })
    }

    /// After a 403: another login, if that is what it says.
    async fn logged_in_anew(
        &self,
        call: &Call,
        sent: &Sent,
        response: Response,
    ) -> Result<Response, RequestError> {
        let what = describe(&call.method, &call.url);
        let refusal = refusal(response, what, self.pace.idle(), self.pace.clock()).await;
        let Sent::Token(over) = sent else { return Err(refusal) };
        // A HEAD has no body that says why. A login of a moment ago is not over.
        let silent = call.method == Method::HEAD && self.auth.login_age().await > YOUNG;
        if !refusal.is_expired_login() && !silent {
            return Err(refusal);
        }
        let again = self.auth.authorize(&self.wire, &call.scope, Some(over)).await?;
        if again.sent == *sent {
            return Err(refusal);
        }
        self.transmit_home(call, &again).await
    }

    async fn transmit_home(
        &self,
        call: &Call,
        given: &Authorization,
    ) -> Result<Response, RequestError> {
        self.transmit(call, call.url.clone(), given.header.clone(), Reach::Anywhere).await
    }

    pub(crate) async fn transmit(
        &self,
        call: &Call,
        url: Url,
        authorization: Option<HeaderValue>,
        reach: Reach,
    ) -> Result<Response, RequestError> {
        let what = describe(&call.method, &url);
        tracing::debug!(request = %what, "sending");
        let mut headers = call.headers.clone();
        // Digests are of the bytes as they are; what stands between must not pack them.
        headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        headers.extend(authorization.map(|value| (header::AUTHORIZATION, value)));
        let (method, body) = (call.method.clone(), call.body.clone());
        let tls = self.tls_for(&url);
        let outgoing = Outgoing { method, url, headers, body, reach, tls };
        within_idle(&what, self.pace.idle(), self.wire.send(outgoing)).await
    }
}
