//! Why something did not work: at building, and at each call.

use std::time::Duration;

use chatcamp_protocol::{id::InvalidUserId, text::OneLine, url::InvalidUrl};

/// Why no [`Backend`](crate::Backend) was built. Always the caller's to mend.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// The address is not one of a server.
    #[error("invalid URL: {0}")]
    Url(InvalidUrl),
    /// The key is empty, or has characters that no key has.
    #[error("the API key is empty, or has white space or other characters in it that no key has")]
    ApiKey,
    /// The key would be readable on its way. Use `https://`.
    #[error(
        "the API key would cross the network in plaintext; use https, \
         or allow it with dangerous_send_the_key_in_plaintext"
    )]
    KeyExposed,
    /// The address is `https://`, and this build has no TLS.
    #[error("https needs the feature `tls` of chatcamp-backend")]
    NoTls,
    /// There are no means to make connections, such as the system's certificates for TLS.
    #[error("no HTTP client: {0}")]
    Client(String),
}

/// Why a call has no answer to give.
///
/// None of its texts holds an API key or an access token.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The user id is none. Nothing was sent.
    #[error(transparent)]
    UserId(#[from] InvalidUserId),
    /// What is to be sent cannot be written as JSON. Nothing was sent.
    #[error("what is to be sent cannot be written as JSON")]
    Unwritable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// What is to be sent is longer than a server reads. Nothing was sent.
    #[error("the request has {bytes} bytes, of at most {limit}")]
    TooLarge {
        /// How long it is.
        bytes: usize,
        /// How long it may be.
        limit: usize,
    },
    /// The call was made outside a tokio runtime. Nothing was sent.
    #[error("no tokio runtime: call within one, its I/O and timer enabled")]
    NoRuntime,
    /// No connection was opened. Nothing was sent.
    #[error("the server cannot be reached: {0}")]
    Unreachable(String),
    /// The connection broke before the answer was there.
    #[error("the connection broke before the answer was there: {0}")]
    Broken(String),
    /// There was no answer in the time for one attempt, or in what an earlier one had left of the time for the call.
    #[error("no answer within {0:?}")]
    TimedOut(Duration),
    /// The server refuses.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// What answered is not this API, or does not work: a proxy without its server, or another address.
    #[error("status {status}, with an answer that is not this API's{at}", at = position(*.at))]
    NotTheApi {
        /// The HTTP status.
        status: u16,
        /// Line and column of the answer that cannot be understood, where it is JSON.
        at: Option<(usize, usize)>,
        /// How long to wait at least, where the answer says.
        retry_after: Option<Duration>,
    },
}

/// An answer with `ok` false. [`code`](crate::code) names the codes that callers tell apart.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}: {} (status {status}, request {})", OneLine(.code), OneLine(.message), OneLine(.request_id))]
#[non_exhaustive]
pub struct Refusal {
    /// The HTTP status.
    pub status: u16,
    /// Why, for programs.
    pub code: String,
    /// Why, for people.
    pub message: String,
    /// Names the request in the server's log.
    pub request_id: String,
    /// How long to wait at least, where the server says.
    pub retry_after: Option<Duration>,
    /// Whether an earlier attempt of the same call may have been carried out: of [`USER_EXISTS`](code::USER_EXISTS) then
    /// that one may be the reason.
    pub may_have_run_before: bool,
}

/// Codes of refusals that a backend may want to act on; `docs/PROTOCOL.md`, "Platform API", lists all.
pub mod code {
    /// A field has a value of the wrong kind; the message names it.
    pub const INVALID_FIELD: &str = "INVALID_FIELD";
    /// A value is longer, or nested deeper, than its limit.
    pub const VALUE_TOO_LONG: &str = "VALUE_TOO_LONG";
    /// The API key is unknown or revoked.
    pub const API_KEY_INVALID: &str = "API_KEY_INVALID";
    /// The app has no API key with this id.
    pub const API_KEY_NOT_FOUND: &str = "API_KEY_NOT_FOUND";
    /// The app's last API key is not revoked over this API.
    pub const LAST_API_KEY: &str = "LAST_API_KEY";
    /// The app has as many API keys as it may have.
    pub const API_KEY_LIMIT_REACHED: &str = "API_KEY_LIMIT_REACHED";
    /// The app has as many users as it may have.
    pub const USER_LIMIT_REACHED: &str = "USER_LIMIT_REACHED";
    /// The app has no user with this id.
    pub const USER_NOT_FOUND: &str = "USER_NOT_FOUND";
    /// There is such a user, and none to be claimed.
    pub const USER_EXISTS: &str = "USER_EXISTS";
    /// An earlier attempt of the same call is still being carried out.
    pub const REQUEST_IN_PROGRESS: &str = "REQUEST_IN_PROGRESS";
    /// Too much is being asked of the server now; try again later.
    pub const OVERLOADED: &str = "OVERLOADED";
    /// The store cannot answer now; try again later.
    pub const STORE_UNAVAILABLE: &str = "STORE_UNAVAILABLE";
}

impl Error {
    /// Whether the same call may succeed later, nothing else done about it.
    ///
    /// Within the call it was tried again already, as often as is safe and the builder allows.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Unreachable(_) | Self::Broken(_) | Self::TimedOut(_) => true,
            Self::Refused(refusal) => is_passing(refusal.status) || refusal.is_in_progress(),
            Self::NotTheApi { status, .. } => is_passing(*status),
            Self::UserId(_) | Self::Unwritable(_) | Self::TooLarge { .. } | Self::NoRuntime => false,
        }
    }

    /// Whether the server may have done what was asked, at any attempt, although the call failed.
    #[must_use]
    pub fn may_have_run(&self) -> bool {
        match self {
            Self::Broken(_) | Self::TimedOut(_) => true,
            Self::Refused(refusal) => {
                refusal.may_have_run_before || refusal.status >= 500 || refusal.is_in_progress()
            }
            Self::NotTheApi { status, .. } => *status >= 500 || *status < 300,
            Self::UserId(_)
            | Self::Unwritable(_)
            | Self::TooLarge { .. }
            | Self::NoRuntime
            | Self::Unreachable(_) => false,
        }
    }

    /// The code of a refusal, one of those in [`code`](crate::code) perhaps.
    #[must_use]
    pub fn code(&self) -> Option<&str> {
        match self {
            Self::Refused(refusal) => Some(&refusal.code),
            _ => None,
        }
    }

    /// How long the server asks to wait.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Refused(Refusal { retry_after, .. }) | Self::NotTheApi { retry_after, .. } => *retry_after,
            _ => None,
        }
    }
}

impl Refusal {
    fn is_in_progress(&self) -> bool {
        self.code == code::REQUEST_IN_PROGRESS
    }
}

/// Whether a status tells of a state that passes: 501 and 505 say what the server will never do.
fn is_passing(status: u16) -> bool {
    status == 429 || (status >= 500 && status != 501 && status != 505)
}

fn position(at: Option<(usize, usize)>) -> String {
    at.map(|(line, column)| format!(" (line {line}, column {column})")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_is_one_of_the_servers() {
        let document = include_str!("../../../docs/PROTOCOL.md");
        for code in [
            code::INVALID_FIELD,
            code::VALUE_TOO_LONG,
            code::API_KEY_INVALID,
            code::API_KEY_NOT_FOUND,
            code::LAST_API_KEY,
            code::API_KEY_LIMIT_REACHED,
            code::USER_LIMIT_REACHED,
            code::USER_NOT_FOUND,
            code::USER_EXISTS,
            code::REQUEST_IN_PROGRESS,
            code::OVERLOADED,
            code::STORE_UNAVAILABLE,
        ] {
            assert!(document.contains(&format!(" | `{code}` | ")), "{code}");
        }
    }
}
