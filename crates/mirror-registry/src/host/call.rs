//! One request, to be sent as often as it takes.

use bytes::Bytes;
use http::Method;
use http::header::HeaderMap;
use url::Url;

use crate::auth::scope::TokenScope;

/// A request, to be sent as often as needed.
#[derive(Clone)]
pub(crate) struct Call {
    pub(crate) method: Method,
    pub(crate) url: Url,
    pub(crate) scope: TokenScope,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}
