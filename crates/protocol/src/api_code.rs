//! The codes with which the Platform API refuses a request of a backend.
//!
//! One row per code. The server's answers, its OpenAPI document, the constants of `chatcamp-backend` and the table in
//! `docs/PROTOCOL.md` all come from this table.

macro_rules! codes {
    ($($(#[doc = $doc:literal])+ $name:ident = $status:literal $wire:literal,)+) => {
        /// Why the Platform API refused a request: `error.code` of its answer.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum ApiCode {
            $($(#[doc = $doc])+ $name,)+
        }

        impl ApiCode {
            /// Every code, in the order of the documentation.
            pub const ALL: &[Self] = &[$(Self::$name),+];

            /// Returns the code as it is on the wire.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $wire,)+ }
            }

            /// Returns the HTTP status of the answer.
            #[must_use]
            pub const fn status(self) -> u16 {
                match self { $(Self::$name => $status,)+ }
            }

            /// Returns what the code means, for people and for `docs/PROTOCOL.md`.
            #[must_use]
            pub const fn meaning(self) -> &'static str {
                match self { $(Self::$name => concat!($($doc),+).trim_ascii(),)+ }
            }
        }
    };
}

codes! {
    /// The body is not a JSON object or a form, not UTF-8, or incomplete.
    InvalidBody = 400 "INVALID_BODY",
    /// A field that the method needs is missing; the message names it.
    MissingField = 400 "MISSING_FIELD",
    /// A field has a value of the wrong kind; the message names it.
    InvalidField = 400 "INVALID_FIELD",
    /// A value is longer, or nested deeper, than its limit.
    ValueTooLong = 400 "VALUE_TOO_LONG",
    /// `Idempotency-Key` is not 1 to 255 visible ASCII characters, or is repeated.
    InvalidIdempotencyKey = 400 "INVALID_IDEMPOTENCY_KEY",
    /// The header `x-api-key` is missing.
    ApiKeyRequired = 401 "API_KEY_REQUIRED",
    /// The key is unknown or revoked.
    ApiKeyInvalid = 401 "API_KEY_INVALID",
    /// `x-app-id` is not the app of the key.
    AppMismatch = 403 "APP_MISMATCH",
    /// The app has reached its limit of users.
    UserLimitReached = 403 "USER_LIMIT_REACHED",
    /// The app has reached its limit of API keys.
    ApiKeyLimitReached = 403 "API_KEY_LIMIT_REACHED",
    /// The path is not `/api/1.0/METHOD` or `/api/2.0/METHOD`.
    NotFound = 404 "NOT_FOUND",
    /// The server does not know the method.
    UnknownMethod = 404 "UNKNOWN_METHOD",
    /// The app has no user with this id.
    UserNotFound = 404 "USER_NOT_FOUND",
    /// The app has no API key with this id.
    ApiKeyNotFound = 404 "API_KEY_NOT_FOUND",
    /// Every method is a POST.
    MethodNotAllowed = 405 "METHOD_NOT_ALLOWED",
    /// The user exists and was not auto-created, so it cannot be claimed.
    UserExists = 409 "USER_EXISTS",
    /// The API does not revoke the app's last API key.
    LastApiKey = 409 "LAST_API_KEY",
    /// The first request with this idempotency key is still running; `Retry-After` says when to retry.
    RequestInProgress = 409 "REQUEST_IN_PROGRESS",
    /// The body has more than 64 KiB.
    BodyTooLarge = 413 "BODY_TOO_LARGE",
    /// The body is neither JSON nor a form.
    UnsupportedContentType = 415 "UNSUPPORTED_CONTENT_TYPE",
    /// The idempotency key was used for a request with another method or body.
    IdempotencyKeyReused = 422 "IDEMPOTENCY_KEY_REUSED",
    /// Too many calls with the API key, or with wrong keys, in a short time; `Retry-After` says when to retry. The request was not carried out.
    RateLimited = 429 "RATE_LIMITED",
    /// The server has too many requests now; try again later.
    Overloaded = 503 "OVERLOADED",
    /// The store cannot answer now; try again later.
    StoreUnavailable = 503 "STORE_UNAVAILABLE",
}

impl ApiCode {
    /// Reads a code from the wire; returns `None` for a code that this version does not know.
    #[must_use]
    pub fn from_wire(text: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|code| code.as_str() == text)
    }

    /// Returns whether a retry may be answered differently.
    #[must_use]
    pub const fn is_retryable(self) -> bool {
        matches!(
            self,
            Self::RequestInProgress | Self::RateLimited | Self::Overloaded | Self::StoreUnavailable
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_read_as_they_are_written() {
        for &code in ApiCode::ALL {
            assert_eq!(ApiCode::from_wire(code.as_str()), Some(code));
        }
        assert_eq!(ApiCode::from_wire("user_not_found"), None);
    }

    #[test]
    fn meanings_are_sentences() {
        for code in ApiCode::ALL {
            assert!(code.meaning().ends_with('.'), "{}", code.as_str());
        }
    }
}
