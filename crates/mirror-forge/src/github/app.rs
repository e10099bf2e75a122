//! Logging in as an App.
//!
//! <https://docs.github.com/en/apps/creating-github-apps/authenticating-with-a-github-app/generating-a-json-web-token-jwt-for-a-github-app>

use std::time::SystemTime;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::SystemRandom;
use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use rustls_pki_types::PrivateKeyDer;
use rustls_pki_types::pem::PemObject;
use serde::Deserialize;
use serde_json::json;

use super::GitHub;
use crate::error::ForgeError;

/// Seconds that a token is made older, for clocks that differ, and how long it lasts; GitHub allows ten minutes.
const EARLIER: u64 = 60;
const LASTS: u64 = 540;

/// An App with its key. The signature is made by ring, which TLS needs anyway: the crates that make whole tokens bring
/// either a second implementation of all of that, or one of RSA with a known leak of time.
pub(crate) struct App {
    id: String,
    key: RsaKeyPair,
}

impl App {
    pub(crate) fn new(id: &str, key: &str) -> Result<App, ForgeError> {
        // What the parsers say of a key may have the key in it.
        let unusable = || {
            let help = "the private key of the App can't be used; it is the .pem file that GitHub made for it, with its \
                        lines as they are";
            ForgeError::Unusable(help.to_owned())
        };
        // Line ends often get lost where secrets are kept in one line.
        let key = key.replace("\\n", "\n");
        let parsed = PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(|_| unusable())?;
        let key = match &parsed {
            PrivateKeyDer::Pkcs1(key) => RsaKeyPair::from_der(key.secret_pkcs1_der()),
            PrivateKeyDer::Pkcs8(key) => RsaKeyPair::from_pkcs8(key.secret_pkcs8_der()),
            _ => return Err(unusable()),
        };
        let key = key.map_err(|_| unusable())?;
        Ok(App { id: id.to_owned(), key })
    }

    /// A token that proves who we are, for a few minutes.
    pub(crate) fn token(&self) -> Result<String, ForgeError> {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let now = now.as_secs();
        let claims =
            json!({ "iat": now.saturating_sub(EARLIER), "exp": now + LASTS, "iss": self.id });
        let part = |value: serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", part(json!({ "alg": "RS256", "typ": "JWT" })), part(claims));
        let mut signature = vec![0; self.key.public().modulus_len()];
        self.key
            .sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), signed.as_bytes(), &mut signature)
            .map_err(|_| ForgeError::Unusable("signing with the App's key failed".to_owned()))?;
        Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }
}

impl GitHub {
    /// The token of the App's installation where the repository is, and what the App is called.
    pub(crate) async fn installation(&self) -> Result<(String, String), ForgeError> {
        #[derive(Deserialize)]
        struct Installation {
            id: u64,
            app_slug: String,
        }
        #[derive(Deserialize)]
        struct InstallationToken {
            token: String,
        }
        let found: Installation =
            self.get("looking for the App's installation", &self.path("installation")).await?;
        // A second token does no harm, so this can be repeated as it is.
        let path = format!("/app/installations/{}/access_tokens", found.id);
        let (_, name) = self.repository.as_str().split_once('/').unwrap_or_default();
        let body = json!({ "repositories": [name] });
        let token: InstallationToken =
            self.post_again("getting the App's token", &path, &body).await?;
        Ok((token.token, found.app_slug))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_that_are_none() {
        let unframed = "-----BEGIN RSA PRIVATE KEY----- AAAA -----END RSA PRIVATE KEY-----";
        for key in [
            unframed,
            "",
            "secret",
            "-----BEGIN RSA PRIVATE KEY-----\nAAAA\n-----END RSA PRIVATE KEY-----\n",
        ] {
            let error = App::new("1", key).err().unwrap().to_string();
            assert!(error.starts_with("the private key of the App can't be used; "), "{error}");
            assert!(!error.contains("AAAA") && !error.contains("65, 65"), "{error}");
        }
    }
}
