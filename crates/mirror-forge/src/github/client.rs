//! octocrab, on the way out that everything else takes.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, HeaderValue, USER_AGENT};
use http::{Request, Response, Uri};
use http_body_util::{BodyExt, Full};
use mirror_failure::ErrorKind;
use octocrab::service::middleware::base_uri::BaseUriLayer;
use octocrab::service::middleware::extra_headers::ExtraHeadersLayer;
use octocrab::{AuthState, OctoBody, Octocrab, OctocrabBuilder};
use tower::ServiceExt;

use crate::ForgeWire;
use crate::error::ForgeError;

/// A client for `api`; it never makes a call again by itself.
pub(crate) fn client(api: &str, token: &str, wire: ForgeWire) -> Result<Octocrab, ForgeError> {
    let unusable = |why: String| ForgeError::Unusable(why);
    let uri: Uri = api
        .trim_end_matches('/')
        .parse()
        .map_err(|_| unusable(format!("`{api}` is not the address of an API")))?;
    let local = matches!(uri.host(), Some("localhost" | "127.0.0.1" | "[::1]"));
    if uri.scheme_str() != Some("https") && !(uri.scheme_str() == Some("http") && local) {
        return Err(unusable(format!(
            "`{api}` is not the address of an API: the token goes over https:// only"
        )));
    }
    let token = token.trim();
    if token.is_empty() || !token.chars().all(|c| c.is_ascii_graphic()) {
        return Err(unusable("the token is empty, or has characters that no token has".to_owned()));
    }
    let mut login = HeaderValue::try_from(format!("Bearer {token}"))
        .map_err(|_| unusable("the token has characters that no token has".to_owned()))?;
    login.set_sensitive(true);
    let headers = vec![
        (USER_AGENT, HeaderValue::from_static(concat!("mirror/", env!("CARGO_PKG_VERSION")))),
        (ACCEPT, HeaderValue::from_static("application/vnd.github+json, application/json")),
        (AUTHORIZATION, login),
    ];
    let service = tower::service_fn(move |request: Request<OctoBody>| send(wire.clone(), request));
    let built = OctocrabBuilder::new_empty()
        .with_service(service)
        .with_layer(&BaseUriLayer::new(uri))
        .with_layer(&ExtraHeadersLayer::new(Arc::new(headers)))
        .with_auth(AuthState::None)
        .build();
    match built {
        Ok(client) => Ok(client),
        Err(never) => match never {},
    }
}

async fn send(
    wire: ForgeWire,
    request: Request<OctoBody>,
) -> Result<Response<Full<Bytes>>, ErrorKind> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.map_err(|error| ErrorKind::Body(error.to_string()))?;
    let response = wire.oneshot(Request::from_parts(parts, body.to_bytes())).await?;
    Ok(response.map(Full::new))
}
