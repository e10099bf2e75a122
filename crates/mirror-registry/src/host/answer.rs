//! The response to one request, with everything that was decided about that.

use mirror_failure::RequestError;
use tokio::sync::OwnedSemaphorePermit;

use crate::auth::{Authorization, Sent};
use crate::host::response::{StallGuard, refusal};
use crate::wire::Response;
use crate::world::Clock;

/// A response that is not a passing failure. The slot is free again when it is dropped.
pub(crate) struct HostResponse {
    pub(crate) response: Response,
    pub(crate) request: String,
    pub(crate) stall_guard: StallGuard,
    pub(crate) slot: Option<OwnedSemaphorePermit>,
    pub(crate) clock: Clock,
    /// What was sent with the request.
    pub(crate) authorization: Authorization,
}

impl HostResponse {
    pub(crate) fn status(&self) -> u16 {
        self.response.status().as_u16()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.response.headers().get(name).and_then(|value| value.to_str().ok())
    }

    /// What a response with an unwelcome status says.
    pub(crate) async fn into_error(self) -> RequestError {
        let Authorization { named, sent, .. } = &self.authorization;
        let authorized = *named && matches!(sent, Sent::Token(_));
        let anonymous = !named;
        let error = refusal(self.response, self.request, self.stall_guard.idle, self.clock).await;
        error.anonymously(anonymous).with_token(authorized)
    }
}
