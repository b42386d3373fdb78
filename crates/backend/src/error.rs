//! Errors of building a backend and of its calls.

use std::time::Duration;

use chatcamp_protocol::{id::InvalidUserId, text::OneLine, url::InvalidUrl};

/// Why no [`Backend`](crate::Backend) was built. Always a configuration error.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// The URL is invalid.
    #[error(transparent)]
    Url(InvalidUrl),
    /// The API key is empty or contains invalid characters.
    #[error(
        "the API key is empty, or contains white space or other invalid characters: check where it is read from"
    )]
    ApiKey,
    /// The API key would be sent unencrypted. Use `https://`.
    #[error(
        "the API key would cross the network in plaintext; use https, \
         or allow it with dangerous_send_the_key_in_plaintext"
    )]
    KeyExposed,
    /// The URL begins with `https://`, and the feature `tls` is disabled.
    #[error("https:// needs TLS: enable the feature `tls` of chatcamp-backend")]
    NoTls,
    /// The root certificates cannot be used, or the operating system has none.
    #[cfg(feature = "tls")]
    #[error(transparent)]
    Roots(#[from] chatcamp_tls::RootsError),
    /// The HTTP client cannot be created.
    #[error("cannot create an HTTP client: {0}")]
    Client(String),
}

/// Why a call failed.
///
/// No message contains an API key or an access token.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The user id is invalid. Nothing was sent.
    #[error(transparent)]
    UserId(#[from] InvalidUserId),
    /// The request cannot be serialized as JSON. Nothing was sent.
    #[error("the request cannot be serialized as JSON: {0}")]
    Unwritable(Box<dyn std::error::Error + Send + Sync>),
    /// The request exceeds the size limit of the server. Nothing was sent.
    #[error("the request has {bytes} bytes, the limit is {limit}")]
    TooLarge {
        /// The size, in bytes.
        bytes: usize,
        /// The limit, in bytes.
        limit: usize,
    },
    /// The call was made outside a tokio runtime. Nothing was sent.
    #[error(
        "the tokio runtime is missing: make the call within a tokio runtime whose I/O and timer are enabled"
    )]
    NoRuntime,
    /// The connection cannot be opened. Nothing was sent. Contains the server and the cause.
    #[error("cannot reach {0}")]
    Unreachable(String),
    /// The TLS handshake failed, and nothing was sent; or the URL begins with `http://` and the server expects TLS, and did
    /// not carry out the call.
    #[cfg(feature = "tls")]
    #[error("cannot open an encrypted connection to the server: {0}")]
    Tls(chatcamp_tls::TlsError),
    /// The connection broke before the whole answer was received.
    #[error("the connection broke before the whole answer was received: {0}")]
    Broken(String),
    /// The server did not answer within the time limit of the attempt or of the call.
    #[error("the server did not answer within {0:?}")]
    TimedOut(Duration),
    /// The server refused the call.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The answer does not come from this API: a proxy cannot reach its server, or the URL belongs to another service.
    #[error(
        "the answer of {url}, status {status}, is not from the Platform API{at}: check the URL and the proxy",
        at = position(*.at)
    )]
    NotTheApi {
        /// The URL of the server.
        url: String,
        /// The HTTP status.
        status: u16,
        /// Line and column of the error, if the answer is invalid JSON.
        at: Option<(usize, usize)>,
        /// The shortest time to wait, if the answer names one.
        retry_after: Option<Duration>,
    },
}

/// An answer with `ok` false. [`code`](crate::code) lists the codes that callers handle.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}: {} (status {status}, request {})", OneLine(.code), OneLine(.message), OneLine(.request_id))]
#[non_exhaustive]
pub struct Refusal {
    /// The HTTP status.
    pub status: u16,
    /// The code, for programs.
    pub code: String,
    /// The message, for people.
    pub message: String,
    /// The id of the request in the server's log.
    pub request_id: String,
    /// The shortest time to wait, if the server names one.
    pub retry_after: Option<Duration>,
    /// Whether an earlier attempt of the same call may have run. That attempt may then be the cause of a
    /// [`USER_EXISTS`](code::USER_EXISTS).
    pub may_have_run_before: bool,
}

/// Codes of refusals that a backend may handle; `docs/PROTOCOL.md`, "Platform API", lists all.
pub mod code {
    use chatcamp_protocol::ApiCode;

    /// A field has an invalid value; the message names the field.
    pub const INVALID_FIELD: &str = ApiCode::InvalidField.as_str();
    /// A value is too long or nested too deeply.
    pub const VALUE_TOO_LONG: &str = ApiCode::ValueTooLong.as_str();
    /// The API key is unknown or revoked.
    pub const API_KEY_INVALID: &str = ApiCode::ApiKeyInvalid.as_str();
    /// The app has no API key with this id.
    pub const API_KEY_NOT_FOUND: &str = ApiCode::ApiKeyNotFound.as_str();
    /// The app's last API key cannot be revoked over this API.
    pub const LAST_API_KEY: &str = ApiCode::LastApiKey.as_str();
    /// The app has the maximum number of API keys.
    pub const API_KEY_LIMIT_REACHED: &str = ApiCode::ApiKeyLimitReached.as_str();
    /// The app has the maximum number of users.
    pub const USER_LIMIT_REACHED: &str = ApiCode::UserLimitReached.as_str();
    /// The app has no user with this id.
    pub const USER_NOT_FOUND: &str = ApiCode::UserNotFound.as_str();
    /// The user exists and cannot be claimed.
    pub const USER_EXISTS: &str = ApiCode::UserExists.as_str();
    /// An earlier attempt of the same call is still running.
    pub const REQUEST_IN_PROGRESS: &str = ApiCode::RequestInProgress.as_str();
    /// The API key made too many requests. The call did not run.
    pub const RATE_LIMITED: &str = ApiCode::RateLimited.as_str();
    /// The server is overloaded; retry later.
    pub const OVERLOADED: &str = ApiCode::Overloaded.as_str();
    /// The store is unavailable; retry later.
    pub const STORE_UNAVAILABLE: &str = ApiCode::StoreUnavailable.as_str();
}

impl Error {
    /// Returns whether the same call may succeed later without any change.
    ///
    /// The call has already been retried as often as is safe and as the builder allows. A failure of TLS is retryable only if the
    /// connection was cut: a certificate does not become valid within the time limit of a call.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            #[cfg(feature = "tls")]
            Self::Tls(error) => error.is_transient(),
            Self::Unreachable(_) | Self::Broken(_) | Self::TimedOut(_) => true,
            Self::Refused(refusal) => is_temporary(refusal.status) || refusal.is_in_progress(),
            Self::NotTheApi { status, .. } => is_temporary(*status),
            Self::UserId(_) | Self::Unwritable(_) | Self::TooLarge { .. } | Self::NoRuntime => false,
        }
    }

    /// Returns whether the server may have executed the call at any attempt although it failed.
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
            #[cfg(feature = "tls")]
            Self::Tls(_) => false,
        }
    }

    /// Returns the code of a refusal, or `None` for other errors. [`code`](crate::code) lists the common codes.
    #[must_use]
    pub fn code(&self) -> Option<&str> {
        match self {
            Self::Refused(refusal) => Some(&refusal.code),
            _ => None,
        }
    }

    /// Returns the time that the server asks to wait.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Refused(Refusal { retry_after, .. }) | Self::NotTheApi { retry_after, .. } => *retry_after,
            _ => None,
        }
    }
}

impl Error {
    /// Returns whether the server refused the call because the API key made too many.
    pub(crate) fn is_rate_limited(&self) -> bool {
        self.code() == Some(code::RATE_LIMITED)
    }
}

impl Refusal {
    fn is_in_progress(&self) -> bool {
        self.code == code::REQUEST_IN_PROGRESS
    }
}

/// Returns whether a status means a temporary failure. 501 and 505 are permanent.
fn is_temporary(status: u16) -> bool {
    status == 429 || (status >= 500 && status != 501 && status != 505)
}

fn position(at: Option<(usize, usize)>) -> String {
    at.map(|(line, column)| format!(" (line {line}, column {column})")).unwrap_or_default()
}
