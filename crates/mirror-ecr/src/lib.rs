//! Amazon ECR: logins, repositories and their settings, and look-ups in bulk.
//!
//! Images themselves are read and written with the distribution protocol by `mirror-registry`; what that has no
//! words for goes through the AWS SDK here. When to try again is decided by the [`mirror_registry::Host`] of the
//! registry, so that a pause is one for both; the SDK's own retry is off.

mod calls;
mod error;
mod login;
mod presets;
mod repositories;
mod settings;

use std::sync::Arc;

use aws_config::retry::RetryConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_smithy_async::rt::sleep::{SharedAsyncSleep, TokioSleep};
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use mirror_plan::provider::ecr::EcrRegistry;
use mirror_registry::{Clock, Host};
use tokio::sync::OnceCell;

pub use login::{private_login, public_login};
pub use presets::{private_presets, public_presets};

/// Where AWS is asked from: the credential chain of the environment, and one HTTP client for all.
#[derive(Debug, Clone)]
pub struct Aws {
    config: Arc<OnceCell<SdkConfig>>,
    clock: Clock,
}

impl Aws {
    /// As the AWS settings of the environment say: keys, profile, web identity, container, instance. They are read when
    /// AWS is asked for the first time.
    pub fn from_environment() -> Aws {
        Aws { config: Arc::default(), clock: Clock::system() }
    }

    /// Whatever answers `http`, with keys that mean nothing.
    pub fn simulated(http: SharedHttpClient, clock: Clock) -> Aws {
        let keys = Credentials::new("simulated", "simulated", None, None, "simulated");
        let config = SdkConfig::builder()
            .behavior_version(BehaviorVersion::latest())
            .http_client(http)
            .credentials_provider(SharedCredentialsProvider::new(keys))
            .sleep_impl(SharedAsyncSleep::new(TokioSleep::new()))
            .retry_config(RetryConfig::disabled());
        Aws { config: Arc::new(OnceCell::new_with(Some(config.build()))), clock }
    }

    async fn config(&self) -> &SdkConfig {
        let load = || async {
            let http = aws_smithy_http_client::Builder::new()
                .tls_provider(Provider::Rustls(CryptoMode::Ring))
                .build_https();
            let limits = aws_config::timeout::TimeoutConfig::builder()
                .connect_timeout(std::time::Duration::from_secs(10))
                .operation_attempt_timeout(std::time::Duration::from_secs(60));
            let config = aws_config::defaults(BehaviorVersion::latest())
                .http_client(http)
                .retry_config(RetryConfig::disabled())
                .timeout_config(limits.build());
            config.load().await
        };
        self.config.get_or_init(load).await
    }

    /// The client for one registry, perhaps in another role.
    pub async fn client(&self, registry: &EcrRegistry, role: Option<&str>) -> EcrClient {
        let region = Region::new(registry.region.clone());
        let shared = self.config().await;
        let mut config = aws_sdk_ecr::config::Builder::from(shared)
            .region(region.clone())
            .use_fips(registry.fips)
            .use_dual_stack(registry.dual_stack);
        if let Some(role) = role {
            let provider = aws_config::sts::AssumeRoleProvider::builder(role)
                .session_name("mirror")
                .region(region)
                .configure(shared)
                .build()
                .await;
            config = config.credentials_provider(provider);
        }
        let ecr = aws_sdk_ecr::Client::from_conf(config.build());
        EcrClient { ecr, registry: registry.clone(), clock: self.clock }
    }
}

/// One private registry, as AWS knows it.
#[derive(Debug, Clone)]
pub struct EcrClient {
    ecr: aws_sdk_ecr::Client,
    registry: EcrRegistry,
    clock: Clock,
}

/// One private registry, asked at the pace of its host.
#[derive(Debug)]
pub struct Ecr {
    client: EcrClient,
    host: Arc<Host>,
}

impl Ecr {
    /// Puts the two together.
    pub fn new(client: EcrClient, host: Arc<Host>) -> Ecr {
        Ecr { client, host }
    }
}
