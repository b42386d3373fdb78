//! Answers: successes, refusals with their codes, and the id that every one carries.

use std::{borrow::Cow, fmt};

use bytes::Bytes;
use chatcamp_store::StoreError;
use data_encoding::HEXLOWER;
use http::{HeaderValue, Response, header::ALLOW};
use http_body_util::Full;
use serde::Serialize;

use crate::{
    AccountError,
    endpoint::{Answer, Failure},
    random, service,
};

/// Names one request in its answer and in the log.
pub(super) struct RequestId(String);

/// Why a request was not carried out.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) code: Code,
    message: Cow<'static, str>,
}

/// The reasons that callers tell apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Code {
    InvalidBody,
    MissingField,
    InvalidField,
    ValueTooLong,
    ApiKeyRequired,
    ApiKeyInvalid,
    AppMismatch,
    UserLimitReached,
    NotFound,
    UnknownMethod,
    UserNotFound,
    MethodNotAllowed,
    UserExists,
    BodyTooLarge,
    UnsupportedContentType,
    StoreUnavailable,
}

#[derive(Serialize)]
struct Success<T> {
    ok: bool,
    #[serde(flatten)]
    body: T,
}

/// A body with the request's id.
#[derive(Serialize)]
struct Stamped<'a, T> {
    #[serde(flatten)]
    body: T,
    request_id: &'a str,
}

impl RequestId {
    pub(super) fn new() -> Self {
        Self(HEXLOWER.encode(&random::bytes::<12>()))
    }

    pub(super) fn success(&self, body: impl Serialize) -> Result<Answer, Refusal> {
        Ok(self.answer(200, Success { ok: true, body }))
    }

    fn answer(&self, status: u16, body: impl Serialize) -> Answer {
        Answer::json(status, &Stamped { body, request_id: &self.0 })
    }

    /// Renders the answer with the headers that only this API has.
    pub(super) fn stamp(&self, answer: Answer) -> Response<Full<Bytes>> {
        let mut response = service::render(&answer);
        let id = HeaderValue::from_str(&self.0).expect("hexadecimal digits are a header value");
        response.headers_mut().insert("x-request-id", id);
        if answer.status == Code::MethodNotAllowed.status() {
            response.headers_mut().insert(ALLOW, HeaderValue::from_static("POST"));
        }
        response
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Refusal {
    pub(super) fn new(code: Code, message: impl Into<Cow<'static, str>>) -> Self {
        Self { code, message: message.into() }
    }

    pub(super) fn invalid(field: &str, why: impl fmt::Display) -> Self {
        Self::new(Code::InvalidField, format!("{field}: {why}"))
    }

    pub(super) fn answer(&self, id: &RequestId) -> Answer {
        id.answer(self.code.status(), Failure::new(self.code.as_str(), &self.message))
    }
}

impl Code {
    pub(super) fn status(self) -> u16 {
        self.row().0
    }

    pub(super) fn as_str(self) -> &'static str {
        self.row().1
    }

    /// The table in `docs/PROTOCOL.md`, "Platform API".
    fn row(self) -> (u16, &'static str) {
        match self {
            Self::InvalidBody => (400, "INVALID_BODY"),
            Self::MissingField => (400, "MISSING_FIELD"),
            Self::InvalidField => (400, "INVALID_FIELD"),
            Self::ValueTooLong => (400, "VALUE_TOO_LONG"),
            Self::ApiKeyRequired => (401, "API_KEY_REQUIRED"),
            Self::ApiKeyInvalid => (401, "API_KEY_INVALID"),
            Self::AppMismatch => (403, "APP_MISMATCH"),
            Self::UserLimitReached => (403, "USER_LIMIT_REACHED"),
            Self::NotFound => (404, "NOT_FOUND"),
            Self::UnknownMethod => (404, "UNKNOWN_METHOD"),
            Self::UserNotFound => (404, "USER_NOT_FOUND"),
            Self::MethodNotAllowed => (405, "METHOD_NOT_ALLOWED"),
            Self::UserExists => (409, "USER_EXISTS"),
            Self::BodyTooLarge => (413, "BODY_TOO_LARGE"),
            Self::UnsupportedContentType => (415, "UNSUPPORTED_CONTENT_TYPE"),
            Self::StoreUnavailable => (503, "STORE_UNAVAILABLE"),
        }
    }
}

impl From<AccountError> for Refusal {
    fn from(error: AccountError) -> Self {
        match error {
            AccountError::NoUser(_) => Self::new(Code::UserNotFound, error.to_string()),
            AccountError::UserExists(_) => Self::new(Code::UserExists, error.to_string()),
            AccountError::OverLimit(over) => Self::new(Code::ValueTooLong, over.to_string()),
            AccountError::InvalidToken(why) => Self::invalid("access_token", why),
            AccountError::InvalidName => Self::invalid("name", error),
            AccountError::Store(StoreError::UserLimit) => {
                Self::new(Code::UserLimitReached, "the app has as many users as it may have")
            }
            // An app is not deleted, so that the others are the store's too.
            error => {
                let source = std::error::Error::source(&error).map(ToString::to_string);
                tracing::warn!(%error, source, "the store failed a request of a backend");
                Self::new(Code::StoreUnavailable, "the server cannot reach its store now; try again later")
            }
        }
    }
}
