//! Authenticates a request by its API key.

use std::{
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
};

use chatcamp_protocol::{ApiCode, AppId};
use chatcamp_store::App;
use http::HeaderMap;

use super::Api;
use super::answer::Refusal;
use crate::AccountError;

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

/// Delays the refusal of a wrong key by the rates of its address. All clients whose address is unknown share one rate. Returns the refusal to
/// send.
///
/// # Cancel safety
/// Dropping the future ends the delay, so that a client which closes its connection does not hold a place for delayed answers.
pub(super) async fn delayed(api: &Api, refusal: Refusal, address: Option<IpAddr>) -> Refusal {
    if refusal.code != ApiCode::ApiKeyInvalid {
        return refusal;
    }
    let address = address.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
    match api.rates.delay_failure(Some(address), None).await {
        Ok(()) => refusal,
        Err(_) => Refusal::new(ApiCode::RateLimited, "too many requests have a wrong API key now"),
    }
}

/// Returns the value of a header. Returns `None` if the header is missing, and `Some(None)` if it is repeated or not ASCII text.
pub(super) fn single<'a>(headers: &'a HeaderMap, name: &str) -> Option<Option<&'a str>> {
    let mut values = headers.get_all(name).iter();
    let first = values.next()?;
    Some(first.to_str().ok().filter(|_| values.next().is_none()))
}
