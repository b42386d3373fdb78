//! The handle, and the calls it makes.

use std::sync::Arc;

use reqwest::header::HeaderValue;
use serde::{Serialize, de::DeserializeOwned};
use tokio::runtime::Handle;

use crate::{
    Error,
    exchange::{Exchange, Request, check_length},
    pause::Pause,
    retry::{Outcome, Policy, Repeat},
};

/// The Platform API of one app. Cheap to clone; clones share their connections.
///
/// Dropping the future of a call abandons the call: the server may or may not have executed it.
#[derive(Debug, Clone)]
pub struct Backend(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    exchange: Exchange,
    policy: Policy,
    pause: Pause,
}

impl Backend {
    pub(crate) fn new(exchange: Exchange, policy: Policy) -> Self {
        Self(Arc::new(Inner { exchange, policy, pause: Pause::default() }))
    }

    pub(crate) async fn call<T: DeserializeOwned>(
        &self,
        method: &'static str,
        repeat: Repeat,
        fields: &impl Serialize,
    ) -> Result<T, Error> {
        self.try_call(method, repeat, fields).await.result
    }

    pub(crate) async fn try_call<T: DeserializeOwned>(
        &self,
        method: &'static str,
        repeat: Repeat,
        fields: &impl Serialize,
    ) -> Outcome<T> {
        let Inner { exchange, policy, pause } = &*self.0;
        let runtime = Handle::try_current().map_err(|_| Error::NoRuntime);
        let request = match runtime.and_then(|_| request(method, repeat, fields)) {
            Ok(request) => request,
            Err(error) => return Outcome { result: Err(error), may_have_run_before: false },
        };
        policy.run(pause, repeat, random, |time| exchange.post(&request, time)).await
    }
}

fn request(method: &'static str, repeat: Repeat, fields: &impl Serialize) -> Result<Request, Error> {
    let body = serde_json::to_vec(fields).map_err(|error| Error::Unwritable(error.into()))?;
    check_length(&body)?;
    let idempotency_key = (repeat == Repeat::WithKey).then(new_idempotency_key);
    Ok(Request { method, body: body.into(), idempotency_key })
}

/// Returns 128 random bits, so that two calls never have the same key.
fn new_idempotency_key() -> HeaderValue {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).expect("the operating system gives random bytes");
    let text = format!("{:032x}", u128::from_le_bytes(bytes));
    HeaderValue::from_str(&text).expect("hexadecimal digits are a header value")
}

/// Returns a random number for the delays; without randomness, the middle of the range.
fn random() -> u64 {
    getrandom::u64().unwrap_or(u64::MAX / 2)
}
