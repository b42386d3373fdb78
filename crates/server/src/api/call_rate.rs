//! The rate of calls with one API key, and the headers that tell callers of it.
//!
//! `RateLimit` and `RateLimit-Policy` have the form of revision 11 of the Internet-Draft "RateLimit header fields for HTTP"
//! (draft-ietf-httpapi-ratelimit-headers): lists of structured fields, with the name of a policy and its parameters.

use std::{sync::Arc, time::Duration};

use chatcamp_protocol::ApiCode;
use http::{HeaderMap, HeaderName, HeaderValue, header::RETRY_AFTER};

use super::answer::Refusal;
use crate::{
    rate::Rate,
    rate_map::{Quota, RateMap},
    sessions::Sessions,
};

const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const LIMIT: HeaderName = HeaderName::from_static("ratelimit");

/// Counts the calls of each API key.
pub(super) struct CallRate {
    rate: Rate,
    calls: RateMap,
    /// Its clock is the one of the rates.
    sessions: Arc<Sessions>,
}

/// A counted call.
#[derive(Debug, Clone, Copy)]
pub(super) struct Counted {
    rate: Rate,
    quota: Quota,
}

impl CallRate {
    pub(super) fn new(rate: Rate, sessions: Arc<Sessions>) -> Self {
        Self { rate, calls: RateMap::new(rate, sessions.millis()), sessions }
    }

    /// Counts a call with this valid key.
    pub(super) fn count(&self, key: &str) -> Counted {
        Counted { rate: self.rate, quota: self.calls.take_and_tell(&key, self.sessions.millis()) }
    }
}

impl Counted {
    /// Returns an error if the call was one too many.
    pub(super) fn check(&self) -> Result<(), Refusal> {
        match self.quota.refused {
            None => Ok(()),
            Some(_) => {
                let Rate { per_second, burst } = self.rate;
                let message = format!(
                    "this API key made too many requests: it may make {per_second} a second, and {burst} at once; \
                     wait as long as Retry-After says"
                );
                Err(Refusal::new(ApiCode::RateLimited, message))
            }
        }
    }

    /// Writes the headers of its answer.
    pub(super) fn write(&self, headers: &mut HeaderMap) {
        let Self { rate: Rate { per_second, burst }, quota } = self;
        let window = burst.div_ceil((*per_second).max(1));
        let Quota { refused, remaining, until_full } = quota;
        // A caller that was refused waits until the time of Retry-After, which comes before the whole burst is available.
        let reset = seconds(refused.unwrap_or(*until_full));
        let mut set = |name, text: String| {
            let value = HeaderValue::try_from(text).expect("names and numbers are a valid header value");
            headers.insert(name, value);
        };
        set(POLICY, format!(r#""key";q={burst};w={window}"#));
        set(LIMIT, format!(r#""key";r={remaining};t={reset}"#));
        if refused.is_some() {
            set(RETRY_AFTER, reset.to_string());
        }
    }
}

/// Returns the time in whole seconds, rounded up.
fn seconds(time: Duration) -> u64 {
    time.as_secs() + u64::from(time.subsec_nanos() > 0)
}
