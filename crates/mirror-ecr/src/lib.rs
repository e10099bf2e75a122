//! Amazon ECR: logins, repositories and their settings, and look-ups in bulk.
//!
//! Images themselves are read and written with the distribution protocol by `mirror-registry`; what that has no
//! words for goes through the AWS SDK here. When to try again is decided by the [`mirror_registry::Host`] of the
//! registry, so that a pause is one for both; the SDK's own retry is off.

mod calls;
mod error;
mod login;
mod repositories;
mod settings;

use std::sync::Arc;

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use mirror_plan::provider::ecr::EcrRegistry;
use mirror_registry::Host;

pub use login::{private_login, public_login};

/// Where AWS is asked from: the credential chain of the environment, and one HTTP client for all.
#[derive(Debug, Clone)]
pub struct Aws(SdkConfig);

impl Aws {
    /// Reads the AWS settings of the environment: keys, profile, web identity, container, instance. Credentials
    /// themselves are looked for when they are needed.
    pub async fn from_environment() -> Aws {
        let http = aws_smithy_http_client::Builder::new()
            .tls_provider(Provider::Rustls(CryptoMode::Ring))
            .build_https();
        let config = aws_config::defaults(BehaviorVersion::latest())
            .http_client(http)
            .retry_config(aws_config::retry::RetryConfig::disabled())
            .timeout_config(
                aws_config::timeout::TimeoutConfig::builder()
                    .connect_timeout(std::time::Duration::from_secs(10))
                    .operation_attempt_timeout(std::time::Duration::from_secs(60))
                    .build(),
            );
        Aws(config.load().await)
    }

    /// The client for one registry, perhaps in another role.
    pub async fn client(&self, registry: &EcrRegistry, role: Option<&str>) -> Client {
        let region = Region::new(registry.region.clone());
        let mut config = aws_sdk_ecr::config::Builder::from(&self.0)
            .region(region.clone())
            .use_fips(registry.fips)
            .use_dual_stack(registry.dual_stack);
        if let Some(role) = role {
            let provider = aws_config::sts::AssumeRoleProvider::builder(role)
                .session_name("mirror")
                .region(region)
                .configure(&self.0)
                .build()
                .await;
            config = config.credentials_provider(provider);
        }
        let ecr = aws_sdk_ecr::Client::from_conf(config.build());
        Client { ecr, registry: registry.clone() }
    }
}

/// One private registry, as AWS knows it.
#[derive(Debug, Clone)]
pub struct Client {
    ecr: aws_sdk_ecr::Client,
    registry: EcrRegistry,
}

/// One private registry, asked at the pace of its host.
#[derive(Debug)]
pub struct Ecr {
    client: Client,
    host: Arc<Host>,
}

impl Ecr {
    /// Puts the two together.
    pub fn new(client: Client, host: Arc<Host>) -> Ecr {
        Ecr { client, host }
    }
}
