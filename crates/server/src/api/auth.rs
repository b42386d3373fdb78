//! Authenticates a request by its API key.

use std::{sync::Arc, time::Duration};

use chatcamp_protocol::{ApiCode, AppId};
use chatcamp_store::App;
use http::HeaderMap;
use tokio::sync::Semaphore;

use super::Api;
use super::answer::Refusal;
use crate::AccountError;

/// The delay of an answer to an invalid key; requests with a valid key are never delayed.
const DELAY: Duration = Duration::from_millis(200);
/// The maximum number of answers that are delayed at the same time. Further ones are sent at once, so that guessing keys costs no memory.
const AT_ONCE: usize = 256;

/// Delays the answers to invalid keys.
#[derive(Debug)]
pub(super) struct FailureThrottle(Semaphore);

/// Returns the app of the key in `x-api-key`, and the key. If `x-app-id` is present, it must name the same app.
pub(super) async fn app<'a>(api: &Api, headers: &'a HeaderMap) -> Result<(Arc<App>, &'a str), Refusal> {
    let Some(key) = single(headers, "x-api-key") else {
        return Err(Refusal::new(ApiCode::ApiKeyRequired, "give the app's API key in the header x-api-key"));
    };
    let app = match key {
        Some(key) => api.operations.accounts.app_of_api_key(key).await?.map(|app| (app, key)),
        None => None,
    };
    let Some((app, key)) = app else {
        api.throttle.wait().await;
        return Err(Refusal::new(ApiCode::ApiKeyInvalid, "the API key is unknown or revoked"));
    };
    let named = match single(headers, "x-app-id") {
        None => return Ok((api.operations.accounts.app(&app).await?, key)),
        Some(named) => named.and_then(|named| AppId::new(named).ok()),
    };
    let named = match named {
        Some(named) => match api.operations.accounts.app(&named).await {
            Err(AccountError::NoApp(_)) => None,
            found => Some(found?),
        },
        None => None,
    };
    let mismatch = || Refusal::new(ApiCode::AppMismatch, "the API key is not one of the app in x-app-id");
    Ok((named.filter(|named| named.id == app).ok_or_else(mismatch)?, key))
}

/// Returns the value of a header. Returns `None` if the header is missing, and `Some(None)` if it is repeated or not ASCII text.
pub(super) fn single<'a>(headers: &'a HeaderMap, name: &str) -> Option<Option<&'a str>> {
    let mut values = headers.get_all(name).iter();
    let first = values.next()?;
    Some(first.to_str().ok().filter(|_| values.next().is_none()))
}

impl FailureThrottle {
    async fn wait(&self) {
        if let Ok(_permit) = self.0.try_acquire() {
            tokio::time::sleep(DELAY).await;
        }
    }
}

impl Default for FailureThrottle {
    fn default() -> Self {
        Self(Semaphore::new(AT_ONCE))
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_limited_number_of_answers_is_delayed() {
        let throttle = FailureThrottle::default();
        let began = Instant::now();
        throttle.wait().await;
        assert!(began.elapsed() >= DELAY);

        let _all = throttle.0.acquire_many(AT_ONCE as u32).await.unwrap();
        let began = Instant::now();
        throttle.wait().await;
        assert_eq!(began.elapsed(), Duration::ZERO);
    }
}
