//! From an API key to the app it speaks for.

use std::{sync::Arc, time::Duration};

use chatcamp_protocol::AppId;
use chatcamp_store::App;
use http::HeaderMap;
use tokio::sync::Semaphore;

use super::Api;
use super::answer::{Code, Refusal};
use crate::AccountError;

/// How long the answer to a wrong key is held back; a right key never waits.
const DELAY: Duration = Duration::from_millis(200);
/// Answers held back at one moment, at most; more are given at once, so that guessing costs no memory.
const AT_ONCE: usize = 256;

/// The answers held back.
#[derive(Debug)]
pub(super) struct Slowed(Semaphore);

/// Finds the app of the key in `x-api-key`, which `x-app-id`, if it is given, must name as well.
pub(super) async fn app(api: &Api, headers: &HeaderMap) -> Result<Arc<App>, Refusal> {
    let Some(key) = single(headers, "x-api-key") else {
        return Err(Refusal::new(Code::ApiKeyRequired, "give the app's API key in the header x-api-key"));
    };
    let app = match key {
        Some(key) => api.operations.accounts.app_of_api_key(key).await?,
        None => None,
    };
    let Some(app) = app else {
        api.slowed.wait().await;
        return Err(Refusal::new(Code::ApiKeyInvalid, "the API key is unknown or revoked"));
    };
    let named = match single(headers, "x-app-id") {
        None => return Ok(api.operations.accounts.app(&app).await?),
        Some(named) => named.and_then(|named| AppId::new(named).ok()),
    };
    let named = match named {
        Some(named) => match api.operations.accounts.app(&named).await {
            Err(AccountError::NoApp(_)) => None,
            found => Some(found?),
        },
        None => None,
    };
    let mismatch = || Refusal::new(Code::AppMismatch, "the API key is not one of the app in x-app-id");
    named.filter(|named| named.id == app).ok_or_else(mismatch)
}

/// A header's value, if it is there; nothing of it when it is there twice, or no text.
pub(super) fn single<'a>(headers: &'a HeaderMap, name: &str) -> Option<Option<&'a str>> {
    let mut values = headers.get_all(name).iter();
    let first = values.next()?;
    Some(first.to_str().ok().filter(|_| values.next().is_none()))
}

impl Slowed {
    async fn wait(&self) {
        if let Ok(_permit) = self.0.try_acquire() {
            tokio::time::sleep(DELAY).await;
        }
    }
}

impl Default for Slowed {
    fn default() -> Self {
        Self(Semaphore::new(AT_ONCE))
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn only_so_many_answers_are_held_back() {
        let slowed = Slowed::default();
        let began = Instant::now();
        slowed.wait().await;
        assert!(began.elapsed() >= DELAY);

        let _all = slowed.0.acquire_many(AT_ONCE as u32).await.unwrap();
        let began = Instant::now();
        slowed.wait().await;
        assert_eq!(began.elapsed(), Duration::ZERO);
    }
}
