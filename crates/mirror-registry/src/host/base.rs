//! What the base of a registry, `/v2/`, says to strangers.

use crate::auth::challenge;
use crate::auth::challenges::Asked;
use crate::wire::{Reach, Response};

/// What registries name themselves by: <https://distribution.github.io/distribution/spec/api/#api-version-check>.
const API_VERSION: &str = "docker-distribution-api-version";

/// What the base of a registry says to strangers.
#[derive(Debug, Clone, Default)]
pub(crate) struct ToldByBase {
    /// Whether it is open to all.
    pub(crate) is_open: bool,
    /// Whether it speaks as a registry does.
    pub(crate) is_registry: bool,
    /// How it wants to be asked.
    pub(crate) asked: Option<Asked>,
}

impl ToldByBase {
    /// Reads it off a response that may send us so far.
    pub(crate) fn of(response: &Response, reach: Reach) -> ToldByBase {
        let challenge = challenge::of(response.headers());
        let text = |name| response.headers().get(name).and_then(|value| value.to_str().ok());
        let is_open = response.status().is_success() && !response.is_called_page();
        let is_registry = is_open || challenge.is_some() || text(API_VERSION).is_some();
        let asked = challenge.map(|challenge| Asked { challenge, reach, scope: None });
        ToldByBase { is_open, is_registry, asked }
    }
}
