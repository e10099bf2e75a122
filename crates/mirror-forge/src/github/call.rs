//! One call of GitHub's API, and when to make it again.
//!
//! <https://docs.github.com/en/rest/using-the-rest-api/best-practices-for-using-the-rest-api>

use std::time::{Duration, SystemTime};

use http::header::{HeaderMap, LINK, RETRY_AFTER};
use http::{Method, Request};
use http_body_util::BodyExt;
use mirror_failure::{
    Delays, ErrorKind, LONGEST_PAUSE, LONGEST_TOLD, RequestError, RetryPolicy, passing_status,
    printable,
};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::GitHub;
use crate::error::ForgeError;

/// What GitHub asks for after a burst:
/// <https://docs.github.com/en/rest/using-the-rest-api/best-practices-for-using-the-rest-api#handle-rate-limit-errors-appropriately>.
const AFTER_A_BURST: Duration = Duration::from_secs(60);
/// Items on a page, the most there can be.
const PAGE: usize = 100;
/// Pages that are read at most.
const MOST_PAGES: usize = 200;
const MOST_ATTEMPTS: usize = 5;

/// A response of GitHub, as a value, and the next page of a list.
struct GitHubResponse<T> {
    value: T,
    /// The number of the page that a list goes on on.
    next: Option<usize>,
}

/// How one attempt ended, when it did not succeed.
enum CallFailure {
    /// Another attempt may do better, after this pause if GitHub named one.
    Passing { why: String, pause: Option<Duration> },
    /// It won't.
    Final(ForgeError),
}

/// The attempts of one call.
pub(crate) struct CallAttempts {
    what: String,
    made: u32,
    delays: Delays,
}

impl CallAttempts {
    fn new(what: &str, retry_policy: RetryPolicy) -> CallAttempts {
        // Two runs at once hardly begin in the same nanosecond, and may well have the same process id, each in its container.
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let delays = retry_policy.delays(MOST_ATTEMPTS - 1, u64::from(now.subsec_nanos()));
        CallAttempts { what: what.to_owned(), made: 0, delays }
    }

    /// Waits for the next attempt, or says why there is none.
    async fn wait(&mut self, failure: CallFailure) -> Result<(), ForgeError> {
        self.made += 1;
        let (why, pause) = match failure {
            CallFailure::Final(error) => return Err(error),
            CallFailure::Passing { why, pause } => (why, pause),
        };
        if let Some(wait) = pause.filter(|pause| *pause > LONGEST_PAUSE) {
            return Err(ForgeError::Limited { what: self.what.clone(), wait });
        }
        match self.delays.next() {
            Some(delay) => {
                let delay = pause.unwrap_or(delay);
                tracing::debug!("{}: {why}; again in {} ms", self.what, delay.as_millis());
                tokio::time::sleep(delay).await;
                Ok(())
            }
            None => Err(ForgeError::Broken { what: self.what.clone(), why, attempts: self.made }),
        }
    }
}

impl GitHub {
    /// Reads one document, trying again what may pass.
    pub(crate) async fn get<T: DeserializeOwned>(
        &self,
        what: &str,
        path: &str,
    ) -> Result<T, ForgeError> {
        self.repeat(what, Method::GET, path, None).await.map(|response| response.value)
    }

    /// Changes something to what it should be; twice is as good as once.
    pub(crate) async fn patch(
        &self,
        what: &str,
        path: &str,
        body: &Value,
    ) -> Result<(), ForgeError> {
        self.repeat::<Value>(what, Method::PATCH, path, Some(body)).await.map(|_| ())
    }

    /// Takes something away; what is gone already is gone.
    pub(crate) async fn delete(&self, what: &str, path: &str) -> Result<(), ForgeError> {
        match self.repeat::<Value>(what, Method::DELETE, path, None).await {
            Err(error) if error.status() != Some(404) => Err(error),
            _ => Ok(()),
        }
    }

    /// Makes something of which there may be two.
    pub(crate) async fn post_again<T: DeserializeOwned>(
        &self,
        what: &str,
        path: &str,
        body: &Value,
    ) -> Result<T, ForgeError> {
        self.repeat(what, Method::POST, path, Some(body)).await.map(|response| response.value)
    }

    async fn repeat<T: DeserializeOwned>(
        &self,
        what: &str,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<GitHubResponse<T>, ForgeError> {
        let mut attempts = CallAttempts::new(what, self.retry_policy);
        loop {
            match self.once(what, method.clone(), path, body).await {
                Ok(response) => return Ok(response),
                Err(failure) => attempts.wait(failure).await?,
            }
        }
    }

    /// Makes something that must not be there twice. After an attempt whose outcome is unknown, `find` looks for it
    /// before there is another.
    pub(crate) async fn create<T>(
        &self,
        what: &str,
        path: &str,
        body: &Value,
        find: impl AsyncFn() -> Result<Option<T>, ForgeError>,
    ) -> Result<(), ForgeError> {
        let mut attempts = CallAttempts::new(what, self.retry_policy);
        loop {
            match self.once::<Value>(what, Method::POST, path, Some(body)).await {
                Ok(_) => return Ok(()),
                Err(failure) => attempts.wait(failure).await?,
            }
            // What was asked for may still be on its way.
            tokio::time::sleep(self.retry_policy.first_pause * 4).await;
            if find().await?.is_some() {
                return Ok(());
            }
        }
    }

    /// The items of a list, over all its pages, that are wanted.
    pub(crate) async fn all<T: DeserializeOwned>(
        &self,
        what: &str,
        path: &str,
        wanted: impl Fn(&T) -> bool,
    ) -> Result<Vec<T>, ForgeError> {
        let mut found = Vec::new();
        let gather = async |items: Vec<T>| {
            found.extend(items.into_iter().filter(|item| wanted(item)));
            None::<T>
        };
        self.pages(what, path, gather).await?;
        Ok(found)
    }

    /// The first item of a list, over all its pages, that is wanted.
    pub(crate) async fn find<T: DeserializeOwned>(
        &self,
        what: &str,
        path: &str,
        wanted: impl Fn(&T) -> bool,
    ) -> Result<Option<T>, ForgeError> {
        let first = async |items: Vec<T>| items.into_iter().find(|item| wanted(item));
        self.pages(what, path, first).await
    }

    /// Goes through the pages of a list, until one of them has what is looked for.
    async fn pages<T: DeserializeOwned>(
        &self,
        what: &str,
        path: &str,
        mut look: impl AsyncFnMut(Vec<T>) -> Option<T>,
    ) -> Result<Option<T>, ForgeError> {
        let sign = if path.contains('?') { '&' } else { '?' };
        for page in 1..=MOST_PAGES {
            let path = format!("{path}{sign}per_page={PAGE}&page={page}");
            let GitHubResponse { value: items, next } =
                self.repeat::<Vec<T>>(what, Method::GET, &path, None).await?;
            let last = items.len() < PAGE && next != Some(page + 1);
            if let Some(found) = look(items).await {
                return Ok(Some(found));
            }
            if last {
                return Ok(None);
            }
        }
        Ok(None)
    }

    async fn once<T: DeserializeOwned>(
        &self,
        what: &str,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<GitHubResponse<T>, CallFailure> {
        let unusable = |why: String| CallFailure::Final(ForgeError::Unusable(why));
        let request = self
            .client
            .build_request(Request::builder().method(method.clone()).uri(path), body)
            .map_err(|error| unusable(error.to_string()))?;
        let response = async {
            let response =
                self.client.execute(request).await.map_err(|error| broken(what, &error))?;
            let (parts, body) = response.into_parts();
            let body = body.collect().await.map_err(|error| broken(what, &error))?.to_bytes();
            Ok((parts, body))
        };
        let idle = self.retry_policy.idle;
        let late = |_| {
            let why = format!("no response in {} s", idle.as_secs());
            CallFailure::Passing { why, pause: None }
        };
        let (parts, body) = tokio::time::timeout(idle, response).await.map_err(late)??;
        tracing::debug!("{method} {path}: {}", parts.status);
        if parts.status.is_success() {
            // A deletion has no body.
            let text: &[u8] = if body.is_empty() { b"null" } else { &body };
            let value = serde_json::from_slice(text).map_err(|error| {
                let message = format!("the response is not what GitHub's API says: {error}");
                let (what, status) = (what.to_owned(), parts.status.as_u16());
                CallFailure::Final(ForgeError::Refused { what, status, message })
            })?;
            let link = parts.headers.get(LINK).and_then(|value| value.to_str().ok());
            return Ok(GitHubResponse { value, next: link.and_then(next_page) });
        }
        Err(refusal(what, parts.status.as_u16(), &parts.headers, &body))
    }
}

/// The page that a `Link` header names as the next:
/// <https://docs.github.com/en/rest/using-the-rest-api/using-pagination-in-the-rest-api>.
fn next_page(link: &str) -> Option<usize> {
    let next = link.split(',').find(|part| part.contains("rel=\"next\""))?;
    let query = next.split(['?', '&', '>']).find_map(|part| part.strip_prefix("page="))?;
    query.parse().ok()
}

/// Why there was no response, from what is at the bottom of an error: what octocrab prints has a backtrace in it.
fn broken(what: &str, error: &(dyn std::error::Error + 'static)) -> CallFailure {
    let mut last = error;
    loop {
        if let Some(kind) = last.downcast_ref::<ErrorKind>() {
            let error = RequestError::new(what, kind.clone());
            // A proxy that refuses us, or a certificate, is no better in a second.
            return match error.is_passing() {
                true => CallFailure::Passing { why: kind.to_string(), pause: None },
                false => CallFailure::Final(ForgeError::Unreachable(Box::new(error))),
            };
        }
        match last.source() {
            Some(source) => last = source,
            None => return CallFailure::Passing { why: last.to_string(), pause: None },
        }
    }
}

/// Whether a refusal passes. One for too many calls has a header that says when:
/// <https://docs.github.com/en/rest/using-the-rest-api/rate-limits-for-the-rest-api>.
fn refusal(what: &str, status: u16, headers: &HeaderMap, body: &[u8]) -> CallFailure {
    let said: Value = serde_json::from_slice(body).unwrap_or_default();
    let message = said.get("message").and_then(Value::as_str).unwrap_or_default();
    let message: String = printable(message).chars().take(300).collect();
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let number = |name: &str| text(name).and_then(|value| value.parse::<u64>().ok());
    let asked =
        number(RETRY_AFTER.as_str()).map(Duration::from_secs).map(|asked| asked.min(LONGEST_TOLD));
    let used_up = number("x-ratelimit-remaining") == Some(0);
    let reset = number("x-ratelimit-reset").filter(|_| used_up).map(|reset| {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Duration::from_secs(reset).saturating_sub(now)
    });
    let pause = asked.or(reset);
    // The limit on bursts may come without a header.
    let burst = message.contains("secondary rate limit").then_some(AFTER_A_BURST);
    let pause = pause.or(burst);
    let limited = status == 429 || (status == 403 && pause.is_some());
    if limited || passing_status(status) {
        return CallFailure::Passing { why: format!("{status} {message}"), pause };
    }
    let (what, message) =
        (what.to_owned(), if message.is_empty() { "without a word".to_owned() } else { message });
    CallFailure::Final(ForgeError::Refused { what, status, message })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links() {
        let link = "<https://api.github.com/x?per_page=100&page=3>; rel=\"next\", <https://api.github.com/x?page=9>; rel=\"last\"";
        assert_eq!(next_page(link), Some(3));
        assert_eq!(next_page("<https://api.github.com/x?page=1>; rel=\"prev\""), None);
        assert_eq!(next_page(""), None);
    }
}
