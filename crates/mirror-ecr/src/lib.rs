//! Amazon ECR: logins, repositories and their settings, and look-ups in bulk.
//!
//! Images themselves are read and written with the distribution protocol by `mirror-registry`; what that has no
//! words for goes through the AWS SDK here. When to try again is decided by the [`mirror_registry::Host`] of the
//! registry, so that a pause is one for both; the SDK's own retry is off.

mod calls;
mod error;
mod login;
mod presets;
mod remembered;
mod repositories;
mod settings;
mod way_out;

use std::sync::Arc;
use std::time::Duration;

use aws_config::default_provider::credentials::DefaultCredentialsChain;
use aws_config::environment::EnvironmentVariableRegionProvider;
use aws_config::meta::region::RegionProviderChain;
use aws_config::profile::ProfileFileRegionProvider;
use aws_config::provider_config::ProviderConfig;
use aws_config::retry::RetryConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_smithy_async::rt::sleep::{SharedAsyncSleep, TokioSleep};
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use mirror_plan::provider::ecr::EcrRegistry;
use mirror_registry::{Clock, Host, Wire};
use tokio::sync::OnceCell;

use crate::remembered::Remembered;

pub use login::{private_login, public_login};
pub use presets::{private_presets, public_presets};

/// Where AWS is asked from: the credential chain of the environment, and one way out for all.
#[derive(Debug, Clone)]
pub struct Aws {
    config: Arc<OnceCell<SdkConfig>>,
    wire: Option<Wire>,
    clock: Clock,
}

/// How long the metadata of an instance are waited for: they are on its link, or nowhere.
const METADATA: Duration = Duration::from_secs(1);

impl Aws {
    /// As the AWS settings of the environment say: keys, profile, single sign-on, a process, web identity, container,
    /// instance. They are read when AWS is asked for the first time. Requests go through `wire`.
    pub fn from_environment(wire: Wire) -> Aws {
        Aws { config: Arc::default(), wire: Some(wire), clock: Clock::system() }
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
        let config = Arc::new(OnceCell::new_with(Some(config.build())));
        Aws { config, wire: None, clock }
    }

    /// The settings of the environment. Where they name no region, the token service of `region` is asked, which is in the
    /// right partition at least.
    async fn config(&self, region: &str) -> &SdkConfig {
        let load = || async {
            let own = Region::new(region.to_owned());
            let region = RegionProviderChain::first_try(EnvironmentVariableRegionProvider::new())
                .or_else(ProfileFileRegionProvider::new())
                .or_else(own)
                .region()
                .await;
            let mut provider = ProviderConfig::without_region().with_region(region.clone());
            let limits = aws_config::timeout::TimeoutConfig::builder()
                .operation_attempt_timeout(Duration::from_secs(60));
            let mut config = aws_config::defaults(BehaviorVersion::latest())
                .region(region)
                .retry_config(RetryConfig::disabled())
                .timeout_config(limits.build());
            if let Some(wire) = &self.wire {
                let http = way_out::client(wire.clone());
                provider = provider.with_http_client(http.clone());
                config = config.http_client(http);
            }
            let metadata = aws_config::imds::Client::builder()
                .configure(&provider)
                .connect_timeout(METADATA)
                .read_timeout(METADATA)
                .max_attempts(1);
            let chain = DefaultCredentialsChain::builder()
                .configure(provider)
                .imds_client(metadata.build())
                .build();
            let chain = Remembered::new(SharedCredentialsProvider::new(chain.await));
            config.credentials_provider(chain).load().await
        };
        self.config.get_or_init(load).await
    }

    /// The client for one registry, perhaps in another role.
    pub async fn client(&self, registry: &EcrRegistry, role: Option<&str>) -> EcrClient {
        let region = Region::new(registry.region.clone());
        let shared = self.config(&registry.region).await;
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
