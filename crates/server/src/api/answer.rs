//! Answers: successes, refusals and request ids.

use std::{borrow::Cow, fmt};

use bytes::Bytes;
use chatcamp_protocol::ApiCode;
use chatcamp_store::StoreError;
use data_encoding::HEXLOWER;
use http::{
    HeaderName, HeaderValue, Response, StatusCode,
    header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, REFERRER_POLICY, RETRY_AFTER},
};
use http_body_util::Full;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Serialize;

use super::ignored_field::IgnoredField;
use crate::{AccountError, BusError, random};

/// The header that marks the repeated answer to an idempotency key.
pub(super) const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// Identifies a request in its answer and in the log.
#[derive(Clone)]
pub(super) struct RequestId(String);

/// An answer and its request id. Not `Debug`: may contain secrets.
#[derive(Clone)]
pub(super) struct ApiAnswer {
    /// The code of a refusal; `None` for a success.
    refused: Option<ApiCode>,
    pub(super) body: Bytes,
    id: RequestId,
    /// Whether this repeats the answer to the same idempotency key.
    is_replayed: bool,
}

/// Why a request was refused.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) code: ApiCode,
    pub(super) message: Cow<'static, str>,
}

/// The request succeeded.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "{T}Answer")]
pub(super) struct Success<'a, T> {
    ok: True,
    #[serde(flatten)]
    body: T,
    /// Fields of the request that the method does not have, at most 20. Absent if the method has all fields.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    ignored_fields: Vec<IgnoredField>,
    /// Names the request; the header `x-request-id` has it too.
    request_id: &'a str,
}

/// The request was refused. Nothing was changed, unless the code is `STORE_UNAVAILABLE`.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Refusal")]
pub(super) struct Refused<'a> {
    ok: False,
    error: Detail<'a>,
    /// Names the request; the header `x-request-id` has it too.
    request_id: &'a str,
}

#[derive(Serialize, JsonSchema)]
#[schemars(inline)]
struct Detail<'a> {
    /// For programs.
    code: &'a str,
    /// For people; its wording may change.
    message: &'a str,
}

/// Always true.
pub(super) struct True;
/// Always false.
struct False;

macro_rules! always {
    ($name:ident, $value:literal) => {
        impl Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_bool($value)
            }
        }

        impl JsonSchema for $name {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": "boolean", "const": $value })
            }
        }
    };
}

always!(True, true);
always!(False, false);

impl RequestId {
    pub(super) fn new() -> Self {
        Self(HEXLOWER.encode(&random::bytes::<12>()))
    }

    pub(super) fn success(&self, body: impl Serialize, ignored_fields: Vec<IgnoredField>) -> ApiAnswer {
        self.answer(None, &Success { ok: True, body, ignored_fields, request_id: &self.0 })
    }

    fn answer(&self, refused: Option<ApiCode>, body: &impl Serialize) -> ApiAnswer {
        let body = serde_json::to_vec(body).expect("the bodies that this API sends are serializable").into();
        ApiAnswer { refused, body, id: self.clone(), is_replayed: false }
    }

    /// Creates a response with JSON and the headers of every answer.
    pub(super) fn render(&self, status: u16, body: Bytes) -> Response<Full<Bytes>> {
        let mut response = Response::new(Full::from(body));
        *response.status_mut() = StatusCode::from_u16(status).expect("the codes have valid statuses");
        let id = HeaderValue::from_str(&self.0).expect("hexadecimal digits are a valid header value");
        let headers = response.headers_mut();
        headers.insert("x-request-id", id);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        // Answers may contain a token, so no cache may store them.
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
        response
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl ApiAnswer {
    /// Returns this answer, marked as repeated.
    pub(super) fn replayed(&self) -> Self {
        Self { is_replayed: true, ..self.clone() }
    }

    /// Returns whether a retry may be answered differently.
    pub(super) fn is_temporary(&self) -> bool {
        self.refused.is_some_and(ApiCode::is_retryable)
    }

    pub(super) fn render(self) -> Response<Full<Bytes>> {
        let mut response = self.id.render(self.refused.map_or(200, ApiCode::status), self.body);
        let mut set =
            |name: HeaderName, value| response.headers_mut().insert(name, HeaderValue::from_static(value));
        match self.refused {
            Some(code) if code.is_retryable() => set(RETRY_AFTER, "1"),
            Some(ApiCode::MethodNotAllowed) => set(ALLOW, "POST"),
            _ => None,
        };
        if self.is_replayed {
            set(REPLAYED, "true");
        }
        response
    }
}

impl Refusal {
    pub(super) fn new(code: ApiCode, message: impl Into<Cow<'static, str>>) -> Self {
        Self { code, message: message.into() }
    }

    pub(super) fn invalid(field: &str, why: impl fmt::Display) -> Self {
        Self::new(ApiCode::InvalidField, format!("{field}: {why}"))
    }

    pub(super) fn answer(&self, id: &RequestId) -> ApiAnswer {
        let error = Detail { code: self.code.as_str(), message: &self.message };
        id.answer(Some(self.code), &Refused { ok: False, error, request_id: &id.0 })
    }
}

impl From<BusError> for Refusal {
    fn from(error: BusError) -> Self {
        Self::new(ApiCode::Overloaded, error.to_string())
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        AccountError::from(error).into()
    }
}

impl From<AccountError> for Refusal {
    fn from(error: AccountError) -> Self {
        match error {
            AccountError::NoUser(_) => Self::new(ApiCode::UserNotFound, error.to_string()),
            AccountError::UserExists(_) => Self::new(ApiCode::UserExists, error.to_string()),
            AccountError::NoApiKey(_) => Self::new(ApiCode::ApiKeyNotFound, error.to_string()),
            AccountError::OverLimit(over) => Self::new(ApiCode::ValueTooLong, over.to_string()),
            AccountError::InvalidToken(why) => Self::invalid("access_token", why),
            AccountError::InvalidName => Self::invalid("name", error),
            AccountError::TooManyOrigins(_) => Self::invalid("origins", error),
            AccountError::InvalidField(_) => Self::new(ApiCode::InvalidField, error.to_string()),
            AccountError::Store(StoreError::UserLimit) => {
                Self::new(ApiCode::UserLimitReached, "the app has as many users as it may have")
            }
            AccountError::Store(error @ StoreError::Nul { .. }) => {
                Self::new(ApiCode::InvalidField, error.to_string())
            }
            // Apps are never deleted, so a missing app is a fault of the store too.
            error => {
                let source = std::error::Error::source(&error).map(ToString::to_string);
                tracing::warn!(%error, source, "the store failed during a request of a backend");
                Self::new(ApiCode::StoreUnavailable, "the server cannot reach its store now; try again later")
            }
        }
    }
}
