//! Logins at the registries themselves. A token holds for the whole registry and twelve hours:
//! <https://docs.aws.amazon.com/AmazonECR/latest/userguide/registry_auth.html>.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mirror_failure::RequestError;
use mirror_plan::provider::Provider;
use mirror_registry::{Login, LoginSource, Secret};

use crate::error::translate;
use crate::{Aws, EcrClient};

const ACTION: &str = "ecr:GetAuthorizationToken";
const PUBLIC_ACTION: &str = "ecr-public:GetAuthorizationToken";
/// Where tokens for the public registry come from, whatever region is configured:
/// <https://docs.aws.amazon.com/AmazonECR/latest/public/public-registry-auth.html>.
const PUBLIC_REGION: &str = "us-east-1";

/// Logins at a private registry.
pub fn private_login(client: EcrClient) -> LoginSource {
    let client = Arc::new(client);
    let registry = Provider::Ecr(client.registry.clone());
    LoginSource::new(
        move |endpoint| registry.login_belongs_to(endpoint),
        move || {
            let client = client.clone();
            Box::pin(async move {
                let answer = client.ecr.get_authorization_token().send().await;
                let answer = answer.map_err(|error| translate(ACTION, "*", error))?;
                let data = answer.authorization_data().first();
                let token = data.and_then(|data| data.authorization_token()).unwrap_or_default();
                let ends = data.and_then(|data| data.expires_at()).map(|time| time.secs());
                login(token, ends, client.clock.now()).map(Some)
            })
        },
    )
}

/// Logins at public.ecr.aws. Without AWS credentials, or without the right to log in there, there is none, and none is
/// needed: it only raises limits.
pub async fn public_login(aws: &Aws) -> LoginSource {
    let clock = aws.clock;
    let config = aws_sdk_ecrpublic::config::Builder::from(aws.config(PUBLIC_REGION).await)
        .region(aws_config::Region::from_static(PUBLIC_REGION));
    let client = aws_sdk_ecrpublic::Client::from_conf(config.build());
    LoginSource::new(
        |endpoint| Provider::EcrPublic.login_belongs_to(endpoint),
        move || {
            let client = client.clone();
            Box::pin(async move {
                let answer = match client.get_authorization_token().send().await {
                    Ok(answer) => answer,
                    Err(error) => {
                        let error = translate(PUBLIC_ACTION, "*", error);
                        if error.is_passing() {
                            return Err(error);
                        }
                        tracing::debug!(%error, "no login at public.ecr.aws");
                        return Ok(None);
                    }
                };
                let data = answer.authorization_data();
                let token = data.and_then(|data| data.authorization_token()).unwrap_or_default();
                let ends = data.and_then(|data| data.expires_at()).map(|time| time.secs());
                login(token, ends, clock.now()).map(Some)
            })
        },
    )
}

/// The token is `AWS:<password>` in base64.
fn login(token: &str, ends: Option<i64>, now: SystemTime) -> Result<Login, RequestError> {
    let wrong =
        || RequestError::unusable("login at Amazon ECR", "the token has not the form it should");
    let text = STANDARD.decode(token).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    let text = text.ok_or_else(wrong)?;
    let (user, password) = text.split_once(':').ok_or_else(wrong)?;
    let now = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let ends = ends.and_then(|ends| u64::try_from(ends).ok()).map(Duration::from_secs);
    // A clock that is wrong must not make us ask for each request.
    let lifetime = ends.map_or(Duration::from_secs(3600), |ends| ends.saturating_sub(now));
    Ok(Login {
        user: user.to_owned(),
        password: Secret::new(password),
        lifetime: lifetime.max(Duration::from_secs(60)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        let made = login(&STANDARD.encode("AWS:pass:word"), Some(1_700_007_200), now).unwrap();
        assert_eq!((made.user.as_str(), made.password.expose()), ("AWS", &b"pass:word"[..]));
        assert_eq!(made.lifetime.as_secs(), 7200);
        let past = login(&STANDARD.encode("AWS:x"), Some(5), now).unwrap();
        assert_eq!(past.lifetime.as_secs(), 60);
        for wrong in ["", "nonsense!", &STANDARD.encode("no colon")] {
            assert!(login(wrong, None, now).is_err(), "{wrong}");
        }
    }
}
