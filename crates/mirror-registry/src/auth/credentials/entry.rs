//! One entry of Docker's `config.json`, read as Docker reads it.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde_json::Value;

use super::Credential;
use crate::redact::Secret;

/// With or without padding.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// Who we are by an entry; nobody, where Docker keeps an empty one for what its helper knows. The error says what is wrong,
/// without what is in it.
pub(super) fn credential(entry: &Value) -> Result<Option<Credential>, String> {
    let text = |name: &str| match field(entry, name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone()).filter(|text| !text.is_empty())),
        Some(_) => Err(format!("`{name}` is not text")),
    };
    if !entry.is_object() && !entry.is_null() {
        return Err("the entry is not a table of settings".to_owned());
    }
    if let Some(token) = text("registrytoken")? {
        return Ok(Some(Credential::Bearer(Secret::new(token))));
    }
    if let Some(token) = text("identitytoken")? {
        return Ok(Some(Credential::Refresh(Secret::new(token))));
    }
    if let Some(auth) = text("auth")? {
        let found = decoded(&auth);
        return found.map(Some).ok_or_else(|| "`auth` is not base64 of user:password".to_owned());
    }
    match (text("username")?, text("password")?) {
        (Some(user), Some(password)) => Ok(Some(Credential::basic(&user, &Secret::new(password)))),
        _ => Ok(None),
    }
}

/// A field by its name in whatever case, as Docker's decoder takes it: <https://pkg.go.dev/encoding/json#Unmarshal>.
pub(super) fn field<'a>(document: &'a Value, name: &str) -> Option<&'a Value> {
    let by_case = || {
        let mut fields = document.as_object()?.iter();
        fields.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    };
    document.get(name).or_else(by_case)
}

/// Splits `user:password`.
pub(super) fn basic(text: &[u8]) -> Option<Credential> {
    let user = text.split(|byte| *byte == b':').next().filter(|user| user.len() < text.len())?;
    let user = String::from_utf8_lossy(user).into_owned();
    Some(Credential::Basic { user, login: Secret::new(text) })
}

/// Decodes what Docker stores as `auth`. The bytes stay what they are: a password may be in Latin-1.
fn decoded(auth: &str) -> Option<Credential> {
    // `base64` breaks its lines.
    let auth: String = auth.chars().filter(|c| !c.is_ascii_whitespace()).collect();
    let bytes = LENIENT.decode(auth).ok()?;
    // Docker pads with NUL bytes.
    let end = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    basic(bytes.get(..end)?)
}
