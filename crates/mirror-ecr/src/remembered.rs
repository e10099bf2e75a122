//! A credential chain that has found nothing is not asked again for a while: each of its members may take a second to say so.

use std::sync::Mutex;
use std::time::Duration;

use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::future::ProvideCredentials as ProvidedCredentials;
use aws_credential_types::provider::{ProvideCredentials, Result, SharedCredentialsProvider};
use tokio::time::Instant;

use crate::error::{means_nobody, reasons};

/// How long a failure is believed.
const BELIEVED: Duration = Duration::from_secs(60);

/// A provider of credentials, and how it has failed last.
#[derive(Debug)]
pub(crate) struct Remembered {
    provider: SharedCredentialsProvider,
    failed: Mutex<Option<(Instant, String)>>,
}

impl Remembered {
    pub(crate) fn new(provider: SharedCredentialsProvider) -> Remembered {
        Remembered { provider, failed: Mutex::default() }
    }

    async fn provide(&self) -> Result {
        if let Some((since, why)) = self.failed().clone()
            && since.elapsed() < BELIEVED
        {
            return Err(CredentialsError::provider_error(why));
        }
        let provided = self.provider.provide_credentials().await;
        // What may pass is for the next one to try.
        let why = provided.as_ref().err().map(|error| reasons(error));
        *self.failed() = why.filter(|why| means_nobody(why)).map(|why| (Instant::now(), why));
        provided
    }

    fn failed(&self) -> std::sync::MutexGuard<'_, Option<(Instant, String)>> {
        self.failed.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl ProvideCredentials for Remembered {
    fn provide_credentials<'a>(&'a self) -> ProvidedCredentials<'a>
    where
        Self: 'a,
    {
        ProvidedCredentials::new(self.provide())
    }
}
