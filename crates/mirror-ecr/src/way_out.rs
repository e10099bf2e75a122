//! The SDK on the same way out as the registries: one decision on proxies and certificates.

use std::fmt;
use std::time::Duration;

use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient,
    SharedHttpConnector, http_client_fn,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_types::body::SdkBody;
use bytes::Bytes;
use mirror_failure::ErrorKind;
use mirror_registry::Wire;
use tower::ServiceExt;

/// The largest response that is read. Lists come in pages of a thousand, with some hundred bytes each.
const LARGEST: usize = 64 << 20;

/// What the SDK sends its requests through.
pub(crate) fn client(wire: Wire) -> SharedHttpClient {
    http_client_fn(move |settings: &HttpConnectorSettings, _| {
        // Whoever asks the metadata of an instance can't wait as long as others.
        let times = [settings.connect_timeout(), settings.read_timeout()];
        let limit = times.into_iter().flatten().max();
        SharedHttpConnector::new(OverWire { wire: wire.clone(), limit })
    })
}

#[derive(Clone)]
struct OverWire {
    wire: Wire,
    /// How long a response may take.
    limit: Option<Duration>,
}

impl fmt::Debug for OverWire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OverWire")
    }
}

impl HttpConnector for OverWire {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let this = self.clone();
        HttpConnectorFuture::new(async move { this.send(request).await })
    }
}

impl OverWire {
    async fn send(self, request: HttpRequest) -> Result<HttpResponse, ConnectorError> {
        let user = |error: Box<dyn std::error::Error + Send + Sync>| ConnectorError::user(error);
        let request = request.try_into_http1x().map_err(|error| user(error.into()))?;
        // Calls of ECR have small bodies, which are here as a whole.
        let request =
            request.map(|body| body.bytes().map(Bytes::copy_from_slice).unwrap_or_default());
        let response = self.within_limit(self.wire.whole(LARGEST).oneshot(request)).await;
        let response = response.map_err(connector_error)?.map(SdkBody::from);
        HttpResponse::try_from(response).map_err(|error| user(error.into()))
    }

    async fn within_limit<T>(
        &self,
        response: impl Future<Output = Result<T, ErrorKind>>,
    ) -> Result<T, ErrorKind> {
        match self.limit {
            None => response.await,
            Some(limit) => {
                let response = tokio::time::timeout(limit, response).await;
                response.unwrap_or(Err(ErrorKind::TimedOut(limit)))
            }
        }
    }
}

/// What went wrong, with the kind in it for whoever tells of it.
fn connector_error(kind: ErrorKind) -> ConnectorError {
    match kind {
        ErrorKind::TimedOut(_) => ConnectorError::timeout(kind.into()),
        ErrorKind::Dns | ErrorKind::Refused | ErrorKind::Broken(_) => {
            ConnectorError::io(kind.into())
        }
        kind => ConnectorError::other(kind.into(), None),
    }
}
