//! Logins that a cloud makes for a while, shared by all requests to one host.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use mirror_failure::RequestError;
use tokio::sync::Mutex;
use tokio::time::Instant;
use url::Url;

use super::credentials::{Login, LoginSource};
use super::realm::authority;
use crate::limits::pace::Pace;
use crate::limits::retry::retrying;
use crate::redact::Secret;

/// How long a failure to log in is believed.
const REFUSED: Duration = Duration::from_secs(300);

/// Logins at one host, where a cloud makes them.
pub(crate) struct Logins {
    source: Option<LoginSource>,
    /// Whether what is stored somewhere was refused: `docker login` at ECR holds for twelve hours.
    stored_refused: AtomicBool,
    made: Mutex<Option<LoggedIn>>,
}

/// A login that was made, if there were credentials for it.
struct LoggedIn {
    login: Result<Option<Login>, RequestError>,
    since: Instant,
    until: Instant,
}

impl Logins {
    pub(crate) fn new(source: Option<LoginSource>) -> Logins {
        Logins { source, stored_refused: AtomicBool::new(false), made: Mutex::new(None) }
    }

    /// Whether there are logins at all.
    pub(crate) fn exist(&self) -> bool {
        self.source.is_some()
    }

    /// Whether what is stored somewhere is still good.
    pub(crate) fn trust_stored(&self) -> bool {
        !self.stored_refused.load(Ordering::Relaxed)
    }

    /// What is stored was refused; true, if somebody else can say who we are.
    pub(crate) fn refuse_stored(&self) -> bool {
        self.exist() && !self.stored_refused.swap(true, Ordering::Relaxed)
    }

    /// Whether a login that was made for this registry may go to a token service.
    pub(crate) fn belong_to(&self, realm: &Url) -> bool {
        let endpoint = realm.origin().ascii_serialization().parse().ok();
        let source = self.source.as_ref();
        source.zip(endpoint).is_some_and(|(source, endpoint)| source.belongs_to(&endpoint))
    }

    /// Who a cloud makes us for a while; another one when `rejected` was it.
    pub(crate) async fn ask(
        &self,
        pace: &Pace,
        base: &Url,
        rejected: Option<&Secret>,
    ) -> Result<Option<Login>, RequestError> {
        let Some(source) = &self.source else { return Ok(None) };
        let mut made = self.made.lock().await;
        if let Some(LoggedIn { login, until, .. }) = made.as_ref()
            && *until > Instant::now()
        {
            let over = matches!(login, Ok(Some(login)) if Some(&login.password) == rejected);
            if !over {
                return login.clone();
            }
        }
        let what = format!("login at {}", authority(base));
        let login = match retrying(pace, &what, || source.ask()).await {
            Ok(login) => login,
            Err(error) => {
                // Looking for credentials can take seconds, and each request would do it again.
                let (login, since) = (Err(error.settled()), Instant::now());
                let until = since + REFUSED;
                *made = Some(LoggedIn { login: login.clone(), since, until });
                return login;
            }
        };
        // Renewed well before it ends: an upload may take a while.
        let lifetime = login.as_ref().map_or(Duration::from_secs(3600), |login| login.lifetime);
        let since = Instant::now();
        let until = since + lifetime.mul_f64(0.8);
        *made = Some(LoggedIn { login: Ok(login.clone()), since, until });
        Ok(login)
    }

    /// How old the login is.
    pub(crate) async fn age(&self) -> Duration {
        let made = self.made.lock().await;
        made.as_ref().map_or(Duration::ZERO, |made| made.since.elapsed())
    }
}
